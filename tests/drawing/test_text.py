"""Words, numbers and bars for terminals."""

from __future__ import annotations

import pytest

from vla_eval.drawing import bar as module
from vla_eval.drawing.bar import Bar
from vla_eval.drawing.terminal import fold
from vla_eval.drawing.words import p_value


def test_a_long_sentence_goes_on_two_columns_further_in():
    """80 columns, also of a sentence that is indented itself."""
    words = " ".join(["word"] * 40)
    first, *others = fold(f"   {words}")
    assert first.startswith("   word")
    assert all(line.startswith("     word") for line in others)
    assert max(map(len, [first, *others])) <= 80


@pytest.mark.parametrize(
    ("value", "words"), [(0.0123, "= 0.012"), (1e-4, "= 0.0001"), (9.9e-5, "< 0.0001"), (1, "= 1")]
)
def test_a_p_value_has_two_digits_down_to_the_last_one_shown(value, words):
    """Below one in ten thousand only that is said."""
    assert p_value(value) == words


def test_a_bar_asks_for_words_when_it_shows_them(monkeypatch, capsys):
    """On a terminal with every step; in a log file only as often as a line is written."""
    asked = []

    def status() -> str:
        asked.append(1)
        return "3 of 4 solved"

    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    with Bar(10, "ep") as shown:
        shown.show(4, "4/10 episodes", status)
        shown.say("a sentence")
    assert "3 of 4 solved" in (printed := capsys.readouterr().err)
    assert "40%" in printed
    assert "a sentence" in printed
    asked.clear()
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: False, raising=False)
    with Bar(10, "ep") as silent:
        silent.show(4, "4/10 episodes", status)
        assert not asked
        monkeypatch.setattr(module, "_LINE_EVERY_S", -1.0)
        silent.show(5, "5/10 episodes", status)
    assert "5/10 episodes · 3 of 4 solved" in capsys.readouterr().err
