"""What reaches a tracker, whichever it is: sinks and clients that keep what they get."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from vla_eval.errors import MissingExtraError
from vla_eval.sinks import send as module
from vla_eval.sinks.facts import gather_facts
from vla_eval.sinks.mlflow import _Mlflow
from vla_eval.sinks.send import send
from vla_eval.sinks.sink import Table
from vla_eval.sinks.trackio import TrackioFactory


class Kept:
    """A sink that keeps what it gets, and may fail in the end."""

    def __init__(self, facts, *, fails=False) -> None:
        self.facts, self.fails = facts, fails
        self.points, self.finished, self.closed = [], [], 0

    def point(self, step, numbers):
        self.points.append((step, numbers))

    def finish(self, facts):
        if self.fails:
            raise OSError("the disk is full")
        self.finished.append(facts)

    def close(self):
        self.closed += 1


def test_every_arm_is_sent_with_its_points_and_closed(finished, monkeypatch):
    """Each number once, then tables and report; the names of the arms come back."""
    sinks = []

    def make(text, facts):
        assert text == "kept:there"
        sinks.append(Kept(facts))
        return sinks[-1]

    monkeypatch.setattr(module, "make_sink", make)
    assert send(finished, "kept:there") == ["walker", "teacher"]
    for sink, facts in zip(sinks, gather_facts(finished), strict=True):
        assert sink.points == [*facts.points]
        assert sink.finished == [sink.facts] == [facts]
        assert sink.closed == 1


def test_a_sink_that_fails_is_closed_all_the_same(finished, monkeypatch):
    """A tracker's file is not left open; the error is the caller's."""
    sink = Kept(None, fails=True)
    monkeypatch.setattr(module, "make_sink", lambda text, facts: sink)
    with pytest.raises(OSError, match="the disk is full"):
        send(finished, "kept")
    assert sink.closed == 1


def test_mlflow_gets_a_table_by_columns_also_without_a_row():
    """A run in which the arms never differ has an empty table of discordant episodes."""
    logged = {}
    client = SimpleNamespace(
        log_dict=lambda run, data, name: logged.update({name: data}),
        log_text=lambda *_: None,
        log_artifact=lambda *_: None,
    )
    tables = (
        Table("two", ("", "n"), (("walker", 1), ("teacher", 2))),
        Table("none", ("key", "walker", "teacher"), ()),
    )
    _Mlflow(client, "run").finish(SimpleNamespace(tables=tables, report="", videos=()))
    assert logged["tables/two.json"] == {"arm": ["walker", "teacher"], "n": [1, 2]}
    assert "tables/none.json" in logged


def test_without_trackio_the_way_to_it_is_said(monkeypatch, finished):
    """The sentence names the extra."""
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(MissingExtraError, match="trackio"):
        TrackioFactory()(None, {}, gather_facts(finished)[0])
