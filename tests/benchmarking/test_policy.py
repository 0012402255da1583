"""``vlaeval bench policy``: which configurations are measured, and the line through their medians."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval.benchmarking import machine
from vla_eval.benchmarking import policy as module
from vla_eval.benchmarking.latency import Latency, fits
from vla_eval.benchmarking.policy import measure_policy
from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata
from vla_eval.spec import PolicySpec


class Silent:
    """A policy with a solver."""

    def __init__(self, options) -> None:
        self.nfe = int(options.get("nfe", 10))
        self.metadata = PolicyMetadata(
            name="solver", method="fake", chunk_size=2, n_action_steps=2, solver="euler"
        )

    def infer(self, observations, contexts):
        chunk = ActionChunk(np.zeros((2, 2), np.float32), nfe=self.nfe, prefix_ms=1.0)
        return [chunk for _ in observations]


class Solver(Silent):
    """One that makes up its observations."""

    def example(self, seed):
        key = EpisodeKey("suite", "task", seed, 0, 0)
        bound = np.ones(2, np.float32)
        context = Context(key, 0, 0, "go", -bound, bound)
        return {"state": np.full(2, seed, np.float32)}, context


@pytest.fixture
def built(monkeypatch):
    """The specs that were built; three evaluations are refused."""
    specs = []

    def build(spec):
        specs.append(spec)
        options = PolicySpec.parse(spec).options
        if options.get("nfe") == "3":
            raise PolicySpecError("no 3 evaluations")
        return Solver(options)

    monkeypatch.setattr(module, "build_policy", build)
    return specs


def test_every_number_of_steps_is_built_and_measured_with_every_batch(built):
    """On the observations that the policy makes up; one that is refused is said and left out."""
    result = measure_policy("solver:x?nfe=7", nfes=(1, 3, 5), batches=(1, 4), repeats=3)
    assert built == ["solver:x?nfe=7", *(f"solver:x?nfe={nfe}" for nfe in (1, 3, 5))]
    rows = [(row["nfe"], row["batch"], row["repeats"]) for row in result["latencies"]]
    assert rows == [(1, 1, 3), (1, 4, 3), (5, 1, 3), (5, 4, 3)]
    assert result["refused"] == ["no 3 evaluations"]
    assert result["observation"] == "made up"
    assert [(fit["dtype"], fit["batch"]) for fit in result["fits"]] == [(None, 1), (None, 4)]
    for row in result["latencies"]:
        served = row["per_s"] * row["total_ms"][0] / 1e3
        assert served == pytest.approx(row["batch"], rel=0.1)


def test_without_numbers_of_steps_a_solver_is_measured_at_four(built):
    """One to ten; the dtype is an option of the spec."""
    result = measure_policy("solver:x", dtypes=("float32", "bfloat16"), repeats=3)
    assert [row["nfe"] for row in result["latencies"]] == [1, 2, 5, 10] * 2
    assert built[-1] == "solver:x?dtype=bfloat16&nfe=10"


def test_who_makes_up_no_observations_needs_a_suite(monkeypatch):
    """One sentence says which option."""
    monkeypatch.setattr(module, "build_policy", lambda _: Silent({}))
    with pytest.raises(UsageError, match=r"makes up no observations.*--suite"):
        measure_policy("solver:x")


def latency(nfe, total_ms, *, batch=1):
    parts = (1.0, 1.0, 1.0)
    return Latency("float32", "cpu", batch, nfe, 30, 9.0, total_ms, parts, parts, 100.0)


def test_the_line_goes_through_the_medians():
    """Of each batch by itself; slow inferences do not move it, and one point is no line."""
    measured = [latency(nfe, (20 + 3 * nfe, 90.0, 200.0 * nfe)) for nfe in (1, 2, 5, 10)]
    measured += [latency(1, (40.0, 50.0, 60.0), batch=8)]
    ((first, fit),) = fits(measured)
    assert first.batch == 1
    assert (fit.prefix_ms, fit.step_ms) == pytest.approx((20, 3))
    assert module._fit(first, fit)["speedup_10_to_1"] == pytest.approx(50 / 23, abs=1e-3)


def test_what_takes_no_time_has_no_rate():
    """A clock may be too coarse for a policy that does nothing."""
    assert module._row(latency(1, (0.0, 0.0, 0.1)))["per_s"] is None
    assert module._row(latency(1, (5.0, 9.0, 9.0), batch=2))["per_s"] == 400.0


def test_printed_numbers_of_the_line_have_three_digits():
    """Microseconds are told apart, in milliseconds."""
    measured = [latency(nfe, (20.1234 + 0.1236 * nfe, 0.0, 0.0)) for nfe in (1, 10)]
    ((first, fit),) = fits(measured)
    shown = module._fit(first, fit)
    assert (shown["prefix_ms"], shown["step_ms"]) == (20.123, 0.124)


def test_the_peak_of_an_accelerator_is_that_of_the_measurement(monkeypatch):
    """What was used before is forgotten; without an accelerator the process's memory counts."""
    peak = [5e9]
    cuda = SimpleNamespace(
        is_available=lambda: True,
        reset_peak_memory_stats=lambda: peak.__setitem__(0, 2e9),
        max_memory_allocated=lambda device: peak[0],
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    machine.forget_peak()
    assert machine.peak_mb("cuda:0") == 2000
    assert 10 < machine.peak_mb("cpu") != 2000
    cuda.is_available = lambda: False
    peak[0] = 7e9
    machine.forget_peak()
    assert peak[0] == 7e9
