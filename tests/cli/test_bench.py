"""``vlaeval bench sim`` measures any environment, and says more of those that help."""

from __future__ import annotations

import pytest

from vla_eval.benchmarking import simulator as module
from vla_eval.benchmarking.simulator import measure_simulator
from vla_eval.catalog import Cost, Suite, Task
from vla_eval.cli import main
from vla_eval.cli.bench import _options
from vla_eval.errors import UsageError


@pytest.fixture
def _suite(monkeypatch):
    tasks = tuple(
        Task(name, "fakes:fakes/Point-v0", "go", 8, 40, "fakes:PointEnv") for name in ("a", "b")
    )
    suite = Suite(name="fake", description="", tasks=tasks, extra="", cost=Cost(0, 0, 0, 0))
    monkeypatch.setattr(module, "find_suite", lambda _: suite)


@pytest.mark.usefixtures("_suite")
def test_every_number_is_there():
    """Without help from the environment there is no floor, and the cameras come as one."""
    result = measure_simulator("fake/a", {})
    assert result.keys() == {
        "task",
        "physics_floor_ms",
        "control_step_ms",
        "observe_ms",
        "reset_s",
        "task_change_s",
        "rss_mb",
    }
    assert result["physics_floor_ms"] is None
    assert result["observe_ms"].keys() == {"all"}
    assert result["rss_mb"] > 10


@pytest.mark.usefixtures("_suite")
def test_an_environment_may_help(monkeypatch):
    """With both methods there are a floor and a number for each camera."""
    make = module.make_env

    def helpful(env_id, kwargs):
        env = make(env_id, kwargs)
        env.bench_physics = lambda: lambda: None
        env.bench_cameras = lambda: {"left": env.observe, "right": env.observe}
        return env

    monkeypatch.setattr(module, "make_env", helpful)
    result = measure_simulator("fake/b", {})
    assert result["physics_floor_ms"] >= 0
    assert result["observe_ms"].keys() == {"left", "right"}


@pytest.mark.usefixtures("_suite")
@pytest.mark.parametrize("name", ["fake", "fake/c"])
def test_unknown_tasks_are_refused(name: str):
    """A name without a task, or of none, is a usage error."""
    with pytest.raises(UsageError):
        measure_simulator(name, {})


def test_options_of_the_environment():
    """Options are KEY=VALUE, whole numbers as numbers."""
    assert _options(("physics=fast", "image_size=64")) == {
        "physics": "fast",
        "image_size": 64,
    }
    with pytest.raises(UsageError):
        _options(("physics",))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["sim", "fake/a", "--nfe", "1"], "--nfe is for vlaeval bench policy, not for bench sim"),
        (["policy", "random", "--option", "a=b"], "--option is for vlaeval bench sim"),
    ],
)
def test_an_option_of_the_other_bench_is_refused(capsys, arguments, sentence):
    """What would be ignored is said."""
    assert main(["bench", *arguments]) == 4
    assert sentence in capsys.readouterr().err
