"""What is handed out next: the present block, then the next one; and what lay ahead of a stop."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

import vla_eval
from fakes.crew import ScriptedCrew
from vla_eval.engine import runner
from vla_eval.engine import supervisor as supervisor_module
from vla_eval.engine.agenda import Agenda, Block
from vla_eval.engine.cluster import Engine
from vla_eval.engine.messages import WorkItem
from vla_eval.keys import EpisodeKey, PlannedEpisode
from vla_eval.summary.text import report_text


def item(state: int) -> WorkItem:
    return WorkItem("a", PlannedEpisode(EpisodeKey("s", "t", state, 0, 0), "env", {}, 100), 1)


def state(taken: WorkItem | None) -> int | None:
    return taken and taken.episode.key.init_state


def test_the_next_block_waits_for_the_last_item_of_the_present_one():
    """Without items ahead a worker gets none meanwhile."""
    agenda = Agenda([Block([item(0)]), Block([item(1)])])
    assert agenda.go_on()
    first = agenda.take(None, [])
    assert agenda.take(None, []) is None
    agenda.close(first)
    assert agenda.go_on()
    assert state(agenda.take(None, [])) == 1


def test_items_ahead_come_after_the_present_ones_and_once():
    """The next block holds them too: under way they are not handed out again, and it waits for them."""
    agenda = Agenda([Block([item(0)], [item(1), item(2)]), Block([item(1), item(2)])])
    agenda.go_on()
    first, second = agenda.take(None, []), agenda.take(None, [])
    assert (state(first), state(second)) == (0, 1)
    agenda.close(first)
    assert agenda.go_on()
    third = agenda.take(None, [])
    assert (state(third), agenda.take(None, [])) == (2, None)
    agenda.close(third)
    assert agenda.go_on(), "the item that began ahead is still under way"
    agenda.close(second)
    assert not agenda.go_on()


def test_an_item_that_was_lost_on_a_node_goes_elsewhere_where_it_can():
    """The worker on that node gets the next one; if it is alone it gets the lost one."""
    agenda = Agenda([Block([item(0), item(1)])])
    agenda.go_on()
    agenda.put_back(agenda.take(None, []), "n1")
    assert len(agenda) == 2
    assert state(agenda.take(None, [], node="n1", is_elsewhere=lambda: True)) == 1
    assert agenda.take(None, [], node="n1", is_elsewhere=lambda: True) is None
    assert state(agenda.take(None, [], node="n1", is_elsewhere=lambda: False)) == 0


@pytest.fixture
def run(tmp_path, protocol_file, monkeypatch):
    """Run a sequential protocol with scripted workers, on a cluster or not."""
    monkeypatch.setattr(supervisor_module, "_POLL_S", 0.0)
    protocol = protocol_file(count=50, run='order = "round-robin"')
    text = protocol.read_text().replace("margin = 0.1", "margin = 0.4")
    protocol.write_text(text + 'stopping = "obrien-fleming-5"\n')

    def go(name, about):
        def make_crew(folder, session, slots):
            crew = ScriptedCrew(arms=("new", "old"), slots=slots)
            crew.protocol_sha256 = folder.header.protocol_sha256
            return crew

        @contextmanager
        def opened(engine):
            yield Engine(make_crew, workers=30, about=about)

        monkeypatch.setattr(runner, "opened", opened)
        arms = {"new": "fakes.policies:InWorker", "old": "fakes.policies:InWorker?version=2"}
        return vla_eval.run(str(protocol), arms, tmp_path / name)

    return go


def looks(folder):
    return [
        json.loads(file.read_text()) | {"taken_at": ""}
        for file in sorted((folder / "looks").iterdir())
    ]


@pytest.mark.long
def test_results_beyond_a_stop_are_named_and_not_used(tmp_path, run):
    """Looks and counts are those of a run that waits at each look."""
    strict, ahead = run("strict", None), run("ahead", {"kind": "scripted"})
    assert strict.complete
    assert ahead.complete
    assert (strict.beyond, ahead.beyond > 0) == (0, True)
    assert looks(tmp_path / "strict") == looks(tmp_path / "ahead")
    sentence = f"{ahead.beyond} results beyond the stop, not used"
    assert sentence in report_text(ahead)
    assert "beyond" not in report_text(strict)
    one, other = strict.to_json(), ahead.to_json()
    assert other.pop("beyond_the_stop") == ahead.beyond
    for summary in (one, other):
        for arm in summary["arms"].values():
            arm.pop("seconds")
    assert one == other
