"""The benchmarks' own arithmetic: repeats of a scene, offline metrics, training seeds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import offline_metrics
import training_seeds
from common import grid

from vla_eval.stats import wilson_interval

pytestmark = pytest.mark.usefixtures("one_thread")


def arm(*rows: str, deterministic: bool = False) -> dict:
    return {"deterministic": deterministic, "tasks": {"t": {"successes": list(rows)}}}


def test_a_repeated_answer_is_no_second_answer():
    """Repeats that always agree give one repeat's interval; independent ones a shorter one."""
    once = "1" * 80 + "0" * 20
    *_, low, high = grid.rate(grid.by_state(arm(once, once), "t"))
    assert (low, high) == pytest.approx(wilson_interval(80, 100), abs=0.003)
    other = "0" * 20 + "1" * 80
    *_, low2, high2 = grid.rate(grid.by_state(arm(once, other), "t"))
    assert high2 - low2 < 0.8 * (high - low)


@pytest.mark.parametrize("digit", ["0", "1"])
def test_who_never_varies_counts_once_a_state(digit: str):
    """200 of 200 over 100 states is not sharper than 100 of 100."""
    won, n, *interval = grid.rate(grid.by_state(arm(digit * 100, digit * 100), "t"))
    assert (won, n) == (200 * int(digit), 200)
    assert interval == pytest.approx(wilson_interval(100 * int(digit), 100))


def test_deterministic_arms_count_once():
    """Of repeats with the same actions the first stands for all, in pairs too."""
    rows = grid.by_state(arm("1100", "1100", deterministic=True), "t")
    assert rows.tolist() == [[1, 1, 0, 0]]
    noisy = grid.by_state(arm("1000", "1110"), "t")
    middle, low, high = grid.difference(rows, noisy)
    assert middle == 0.0
    assert low < 0 < high


def test_offline_metrics_know_the_truth():
    """Samples from the truth are calibrated and have the least energy; a regressor has less error."""
    generator = torch.Generator().manual_seed(0)
    actions = torch.randn((1500, 4, 3), generator=generator)
    real = torch.ones_like(actions, dtype=torch.bool)
    real[:, 3] = False
    samples = torch.randn((1500, 8, 4, 3), generator=generator)
    found = {
        scale: offline_metrics.metrics(scale * samples, actions * real, real)
        for scale in (0.0, 1.0, 2.0)
    }
    assert found[1.0]["energy"] < min(found[0.0]["energy"], found[2.0]["energy"])
    assert found[1.0]["calibration"] == pytest.approx(1.0, abs=0.05)
    assert found[0.0]["calibration"] == 0.0
    assert found[1.0]["mse"] == pytest.approx(2 * found[0.0]["mse"], rel=0.1)
    assert found[1.0]["variance"] == pytest.approx(1.0, abs=0.05)


def test_training_seeds_are_what_the_interval_is_over():
    """Three students that differ among themselves give a wide interval, whatever the episodes."""

    def seed(student: int) -> dict:
        def of(won: int) -> dict:
            return {"n11": won, "n10": 0, "n01": 1000 - won, "n00": 0}

        names = dict.fromkeys(training_seeds.ARMS, 1000) | {"snapflow": student}
        return {"arms": {name: {"tasks": {"t": of(won)}} for name, won in names.items()}}

    text = training_seeds.table({"0": seed(990), "1": seed(900), "2": seed(810)})
    (line,) = (each for each in text.splitlines() if each.startswith("| snapflow"))
    assert "990 / 900 / 810" in line
    assert "-10.0 [-32.4, +12.4]" in line  # 4.303 * 9 / sqrt(3) = 22.4 points
