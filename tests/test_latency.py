"""``vlaeval bench policy SPEC``: configurations, quantiles, and the line through them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vla_eval.benchmarking import policy as command
from vla_eval.benchmarking import profile as profiles
from vla_eval.benchmarking.latency import Inferences, Latency, fits, measure, with_options
from vla_eval.benchmarking.policy import measure_policy
from vla_eval.benchmarking.profile import measure_profile
from vla_eval.cli import main
from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata
from vla_eval.realtime.profile import read_profile


class Policy:
    """Takes a number of steps, and says how long each part took."""

    def __init__(self, nfe: int = 10, dtype: str = "float32") -> None:
        if nfe == 5:
            raise PolicySpecError("five steps are not defined")
        self.metadata = PolicyMetadata(
            "toy", "fm", 10, 10, nfe=nfe, solver="euler", dtype=dtype, device="cpu"
        )
        self.seen: list = []
        self.ended: list = []
        self.warm: list = []

    def example(self, seed):
        bound = np.ones(2, np.float32)
        context = Context(EpisodeKey("example", "a", seed, 0, 0), 0, 0, "go", -bound, bound)
        return {"pixels": {}, "agent_pos": np.zeros(2, np.float32)}, context

    def warm_up(self, observations, contexts):
        self.warm.append(len(observations))

    def infer(self, observations, contexts):
        self.seen.append([(each.key.init_state, each.chunk_index) for each in contexts])
        nfe = self.metadata.nfe
        chunk = ActionChunk(np.zeros((10, 2), np.float32), nfe, 5.0, 2.0 * nfe)
        return [chunk] * len(observations)

    def end_episode(self, key, outcome):
        self.ended.append(key.init_state)


def test_warm_up_is_apart_and_chunks_differ():
    """The warm-up sees the whole batch and is not among the repeats; each repeat is another chunk."""
    policy = Policy()
    found = measure(policy, [policy.example(i) for i in range(3)], repeats=4)
    assert policy.warm == [3]
    assert policy.seen == [[(0, i), (1, i), (2, i)] for i in range(4)]
    assert policy.ended == [0, 1, 2]
    assert (found.batch, found.nfe, found.repeats) == (3, 10, 4)
    assert found.prefix_ms == (5.0, 5.0, 5.0)
    assert found.denoise_ms == (20.0, 20.0, 20.0)
    assert found.total_ms[0] <= found.total_ms[1] <= found.total_ms[2]
    assert found.memory_mb > 10


def test_a_budget_ends_it_after_three_repeats():
    """A slow policy is measured three times and no more."""
    assert measure(Policy(), [Policy().example(0)], repeats=30, budget_s=0.0).repeats == 3


def latency(nfe: int, total: float, batch: int = 1) -> Latency:
    return Latency("float32", "cpu", batch, nfe, 30, 1.0, (total,) * 3, (5.0,) * 3, (1.0,) * 3, 1.0)


def test_line_through_the_medians():
    """T(N) = 30 + 2 N is found again for its batch; one measurement makes no line."""
    ((first, fit),) = fits([*(latency(n, 30 + 2 * n) for n in (1, 2, 5, 10)), latency(1, 9.0, 4)])
    assert first.batch == 1
    assert fit.prefix_ms == pytest.approx(30)
    assert fit.step_ms == pytest.approx(2)
    assert fit.speedup(10) == pytest.approx(50 / 32)


def test_options_of_a_spec_are_replaced():
    """Whatever was there stays, and a number of steps is set."""
    assert with_options("lerobot:a/b", nfe=1) == "lerobot:a/b?nfe=1"
    spec = "lerobot:/a/b?nfe=10&cameras=agentview:camera1,wrist:camera2"
    assert with_options(spec, nfe=2) == spec.replace("nfe=10", "nfe=2")


@pytest.fixture
def _built(monkeypatch):
    def build(spec):
        options = dict(pair.split("=") for pair in spec.partition("?")[2].split("&") if pair)
        return Policy(int(options.get("nfe", 10)), options.get("dtype", "float32"))

    monkeypatch.setattr(command, "build_policy", build)


@pytest.mark.long
@pytest.mark.usefixtures("_built")
def test_every_configuration():
    """Steps, batches and dtypes are crossed; what a policy refuses is said and left out."""
    result = measure_policy("toy", batches=(1, 2), dtypes=("float32", "bfloat16"), repeats=3)
    found = [(each["dtype"], each["nfe"], each["batch"]) for each in result["latencies"]]
    assert found == [
        (dtype, nfe, batch)
        for dtype in ("float32", "bfloat16")
        for nfe in (1, 2, 10)
        for batch in (1, 2)
    ]
    assert len(result["fits"]) == 4
    assert result["refused"] == ["five steps are not defined"] * 2
    assert result["hardware"]["processor"]


@pytest.mark.long
@pytest.mark.usefixtures("_built")
def test_command(capsys):
    """The table fits 80 columns and says what one step could give; --json has it all."""
    assert main(["bench", "policy", "toy", "--nfe", "1", "10", "--repeats", "3"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "One step instead of ten is at most" in " ".join(out.split())
    assert main(["bench", "policy", "toy", "--nfe", "1", "--repeats", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latencies"][0]["nfe"] == 1
    assert main(["bench", "policy", "toy", "--batch", "0"]) == 4


def test_a_policy_that_makes_nothing_up():
    """Without an example of its own, a policy needs a suite's."""
    with pytest.raises(UsageError, match="--suite"):
        measure_policy("random")


@pytest.fixture
def timed(monkeypatch):
    monkeypatch.setattr(profiles, "build_policy", lambda _: Policy())
    monkeypatch.setattr(profiles, "identity_of", lambda *_: {"name": "toy"})

    def times(total_ms):
        found = Inferences(9e9, Policy().infer([0], [Policy().example(0)[1]]), total_ms)
        monkeypatch.setattr(profiles, "inferences", lambda *_, **__: found)

    return times


def test_a_profile_has_the_quantiles_of_the_times(timed):
    """In whole microseconds, without the warm-up; parts where the policy reports them."""
    timed([10.0, 10.5, 11.0])
    found = measure_profile("toy")
    assert (found.inferences, found.batch, found.device) == (3, 1, "cpu")
    assert [found.total_us[percent] for percent in (0, 25, 50, 100)] == [
        10_000,
        10_250,
        10_500,
        11_000,
    ]
    assert set(found.prefix_us) == {5_000}
    assert set(found.denoise_us) == {20_000}


def test_a_busy_machine_makes_no_profile(timed, tmp_path, capsys):
    """Unless it is asked for; nothing is written."""
    timed([10.0] * 9 + [30.0])
    file = tmp_path / "p.json"
    command = ["bench", "policy", "toy", "--profile", str(file)]
    assert main(command) == 4
    assert "this machine is busy" in capsys.readouterr().err
    assert not file.exists()
    assert main([*command, "--busy"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    assert read_profile(file)[0].total_us[100] == 30_000
    assert main(["latency", "show", str(file)]) == 0
    assert "30.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--batch", "4"], "leave --batch out"), (["--nfe", "1"], "write nfe and")],
)
def test_a_profile_is_of_one_configuration(flags, words, capsys):
    """Its steps and dtype belong to the spec."""
    assert main(["bench", "policy", "toy", "--profile", "p.json", *flags]) == 4
    assert words in capsys.readouterr().err
