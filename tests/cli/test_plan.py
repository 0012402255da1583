"""``vlaeval plan``: the looks of a sequential protocol."""

from __future__ import annotations

import pytest

from vla_eval.cli import main

LOOKED = {
    "analysis.stopping": "obrien-fleming-5",
    "run.order": "round-robin",
    "run.limits.error_cap": "0.0",
}


@pytest.mark.long
def test_every_look_is_shown_with_its_pairs_and_its_bound(capsys):
    """Five looks, the last one at the end of the plan; each bound is lower than the one before."""
    changes = [word for key, value in LOOKED.items() for word in ("--set", f"{key}={value}")]
    assert main(["plan", "so101-pick-place", *changes]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("look "))
    looks, pairs, bounds = (line.split() for line in lines[at : at + 3])
    assert looks[1:] == ["1", "2", "3", "4", "5"]
    assert pairs[1:] == ["20", "40", "60", "80", "100"]
    heights = [float(each) for each in bounds[-5:]]
    assert heights == sorted(heights, reverse=True)
