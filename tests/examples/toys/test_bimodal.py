"""Toy A's gates: methods that recover two modes do, and those that cannot are seen to fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "toys"))

import bimodal
import toy_bimodal
from toy_bimodal import CASES

from fakes.closed_forms import OracleField
from vla_eval_policies.methods import make_method

pytestmark = pytest.mark.usefixtures("one_thread")
SEED = 0


@pytest.fixture(scope="module")
def teacher():
    torch.set_num_threads(1)
    return bimodal.train_method(make_method("fm"), seed=SEED)[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.gates])
def test_gate(name: str, teacher):
    """The energy distance is within the case's bounds."""
    case = CASES[name]
    start = teacher if case.from_fm else None
    network = (
        teacher
        if name == "fm"
        else bimodal.train_method(case.build(), seed=SEED, start=start, **case.training)[0]
    )
    for nfe, (low, high) in case.gates.items():
        distance = bimodal.evaluate(network, case.build(), nfe)["energy_distance"]
        assert low <= distance <= high


def test_measure_tells_the_truth_from_the_mean():
    """Of the exact flow: ten steps are near the truth, two are not, one is the mean."""

    class Exact:
        def __init__(self, observation):
            self.oracle = bimodal.oracle(observation)

        def bind(self, _):
            return OracleField(lambda x, t, _: self.oracle.velocity(x, t))

    distances = []
    for nfe in (1, 2, 10):
        samples = bimodal.sample(
            Exact(0.3), make_method("fm"), torch.zeros(1024, 1), nfe, seed=0, shape=(1, 2)
        )
        row = bimodal._compare(samples, bimodal.oracle(0.3), seed=1)
        distances.append(row["energy_distance"])
    assert distances[0] > 1.2
    assert 0.1 < distances[1] < 0.3
    assert distances[2] < 0.02
    assert row["ghost"] < 0.01


def test_gates_can_fail():
    """A row outside its bounds is reported, in both directions."""
    good = {"case": "fm", "seed": 0, "nfe": 10, "energy_distance": 0.01}
    assert toy_bimodal.failures([good]) == []
    assert toy_bimodal.failures([{**good, "energy_distance": 0.03}])
    assert toy_bimodal.failures([{**good, "nfe": 1, "energy_distance": 0.5}])
    better = {"case": "snapflow", "seed": 0, "nfe": 1, "energy_distance": 0.06}
    two = {"case": "fm", "seed": 0, "nfe": 2, "energy_distance": 0.19}
    assert "better than two steps" in toy_bimodal.failures([two, better])[0]
