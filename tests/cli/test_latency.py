"""``vlaeval latency``: machines and profiles, in milliseconds and in ticks."""

from __future__ import annotations

import json

import pytest

from vla_eval.cli import main
from vla_eval.realtime.machines import shipped_machines


def test_every_shipped_machine_is_listed_with_its_source(capsys):
    """Times and ticks at three rates; a dash where the source gives no number."""
    assert main(["latency", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in shipped_machines():
        assert any(line.startswith(f"{name}: ") for line in lines), "its source"
    row = next(line.split() for line in lines if line.startswith("a800-pi05 "))
    assert "".join(row) == "a800-pi0583/274ms2/63/95/14"
    thesis = next(line.split() for line in lines if line.startswith("thesis-smolvla "))
    assert "".join(thesis) == "thesis-smolvla–/405ms–/9–/13–/21"


def test_list_for_machines(capsys):
    """One entry a machine."""
    assert main(["latency", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == shipped_machines().keys()
    one, ten = rows["h100-pi05"]["inferences"]
    assert (one["latency_us"], ten["latency_us"]) == (58_900, 175_396)
    assert ten["ticks_at_hz"] == {"20": 4, "30": 6, "50": 9}


def test_a_machine_is_shown_with_its_parts(capsys):
    """Prefix and pass, unless the source prints one total only."""
    assert main(["latency", "show", "lekiwi-laptop-smolvla"]) == 0
    assert "119.3 ms" in capsys.readouterr().out
    assert main(["latency", "show", "thesis-smolvla"]) == 0
    assert "prefix" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "a800-pi5"], "did you mean 'a800-pi05'"),
        (["show"], "show and from take one"),
        (["list", "a800-pi05"], "list takes no name"),
        (["show", "missing.json"], "there is no such file"),
        (["show", "a800-pi05", "--busy"], "belong to: vlaeval latency from"),
    ],
)
def test_a_wrong_call_gets_one_sentence(arguments, words, capsys):
    """With what was meant."""
    assert main(["latency", *arguments]) == 4
    assert words in capsys.readouterr().err
