"""What `vlaeval plan` says of a protocol in virtual time."""

from __future__ import annotations

import json

import pytest

from vla_eval.catalog import suites
from vla_eval.cli import main

VIRTUAL = [
    "--set",
    "run.latency=virtual",
    "--set",
    "run.realtime.mode=async",
    "--set",
    "run.realtime.machine=a800-pi05",
]


def test_limits_in_virtual_seconds_and_delays_in_ticks(capsys):
    """At the control rate of the suite, for one and ten passes and for arms of their own."""
    arm = ["--set", "run.realtime.arms.teacher-as-fast.total_us=83000"]
    assert main(["plan", "so101-pick-place", *VIRTUAL, *arm]) == 0
    out = capsys.readouterr().out
    assert "so101: 600 ticks at 30 Hz = 20.0 s" in out
    assert "async, merge replace" in out
    rows = [
        line.split()[-2:] for line in out.splitlines() if "pass  " in line or "passes  " in line
    ]
    assert rows == [["83.0", "3"], ["274.0", "9"]]
    assert "arm teacher-as-fast  83.0   3" in out


def test_a_suite_of_unknown_rate_is_planned_in_ticks(protocol_file, capsys):
    """Nothing is built to learn the rate."""
    assert main(["plan", str(protocol_file()), *VIRTUAL]) == 0
    assert "fake: 40 ticks (control rate unknown)" in capsys.readouterr().out
    assert main(["plan", str(protocol_file()), *VIRTUAL, "--json"]) == 0
    realtime = json.loads(capsys.readouterr().out)["realtime"]
    assert realtime["limits"][0]["virtual_s"] is None
    assert [row["ticks"] for row in realtime["delays"]] == [{"fake": None}] * 2


def test_a_paused_plan_says_nothing_of_virtual_time(capsys):
    """Its world stands still."""
    assert main(["plan", "so101-pick-place"]) == 0
    assert "virtual" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["so101", "lekiwi", "libero_spatial"])
def test_shipped_suites_have_a_control_rate(name):
    """LeRobot's robots 30 Hz, LIBERO 20 Hz."""
    (suite,) = (suite for suite in suites() if suite.name == name)
    assert suite.control_hz == (20 if name.startswith("libero") else 30)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["run.latency=virtual"], "go together"),
        (["run.realtime.mode=async", "run.realtime.machine=a800-pi05"], "go together"),
        (
            ["run.latency=virtual", "run.realtime.machine=a800-pi05"],
            "'run.realtime.mode' is missing",
        ),
        (["run.latency=virtual", "run.realtime.mode=async"], "machine is missing"),
    ],
)
def test_half_of_a_declaration_is_refused(changes, words, capsys):
    """One sentence says what is missing."""
    flags = [flag for change in changes for flag in ("--set", change)]
    assert main(["plan", "so101-pick-place", *flags]) == 4
    message = capsys.readouterr().err
    assert words in message
    assert message.count("\n") == 1
