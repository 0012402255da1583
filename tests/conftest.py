"""Shared by all tests: the path of `fakes`, a protocol over the fake environment, caches."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_TESTS = Path(__file__).parent
_FAKES = str(_TESTS / "fakes")
_ONE_CACHE = ("benchmarks", "envs", "examples", "policies")
"""Folders whose tests share one cache, because it takes long to compile what they keep in it."""
sys.path.insert(0, _FAKES)
os.environ["PYTHONPATH"] = os.pathsep.join(
    part for part in (_FAKES, os.environ.get("PYTHONPATH", "")) if part
)

for _number in (signal.SIGINT, signal.SIGHUP):
    # An ampersand in a script and `nohup` have them ignored, by commands that tests start too.
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

# Searching thousands of collected tests for garbage takes a tenth of the time of the quick ones.
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish() -> None:
    """Leave the collected tests out of further searches."""
    gc.collect()
    gc.freeze()


_PROTOCOL = """
schema_version = 1
protocol = "fake"
version = 1
title = "a point on a line"
source = "tests"
[[blocks]]
suite = "fake"
env_id = "fakes:fakes/{{task}}-v0"
tasks = ["Point"]
init_states = {{ count = {count} }}
max_steps = {max_steps}
{env_kwargs}
[run]
n_action_steps = 4
{run}
[run.limits]
{limits}
[analysis]
estimand = "difference in success rate"
margin = 0.1
margin_reason = "a test"
"""


@pytest.fixture(autouse=True)
def _own_cache(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Give each test of the core its own cache, because uses of states are counted in it."""
    if request.path.relative_to(_TESTS).parts[0] not in _ONE_CACHE:
        monkeypatch.setenv("VLA_EVAL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Lets torch compute in one thread: the last bits of a sum depend on the number of threads."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def protocol_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a protocol over the fake environment; keyword arguments go to its environment."""

    def write(
        *,
        count: int = 8,
        max_steps: int = 40,
        run: str = "",
        limits: str = "",
        name: str = "protocol.toml",
        **env_kwargs: Any,
    ) -> Path:
        lines = [
            f"{key} = {str(value).lower()}"
            if isinstance(value, int | float)
            else f'{key} = "{value}"'
            for key, value in env_kwargs.items()
        ]
        table = "\n".join(["[blocks.env_kwargs]", *lines]) if lines else ""
        path = tmp_path / name
        text = _PROTOCOL.format(
            count=count, max_steps=max_steps, env_kwargs=table, run=run, limits=limits
        )
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run in which the walker loses some episodes that the teacher wins."""
    import vla_eval

    folder = tmp_path_factory.mktemp("finished")
    text = _PROTOCOL.format(count=8, max_steps=12, env_kwargs="", run="", limits="")
    (folder / "fake.toml").write_text(text)
    arms = {"walker": "fakes.policies:InWorker?skill=0.6", "teacher": "fakes.policies:InWorker"}
    protocol = vla_eval.load_protocol(str(folder / "fake.toml"))
    assert vla_eval.run(protocol, arms, folder / "run", workers=1).complete
    return folder / "run"


@pytest.fixture(scope="session")
def libero_assets():
    """LIBERO's meshes and textures; what needs them is skipped where they, or the extra, are missing."""
    from vla_eval.errors import InfrastructureError, MissingExtraError

    try:
        from vla_eval_envs.libero.assets import find_assets
        from vla_eval_envs.libero.versions import versions

        versions()
        return find_assets(download=False)
    except (MissingExtraError, InfrastructureError) as error:
        pytest.skip(str(error))
