"""The supervisor's rules, each with a scripted crew and without a process."""

from __future__ import annotations

from collections import Counter

import pytest

from fakes.crew import ScriptedCrew
from vla_eval.engine import supervisor as module
from vla_eval.engine.agenda import Block
from vla_eval.engine.deaths import IN_A_ROW
from vla_eval.engine.dispatch import pending_items
from vla_eval.engine.session import RunSession
from vla_eval.engine.supervisor import Supervisor
from vla_eval.errors import InfrastructureError
from vla_eval.plan import Shard, expand
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import Records, RecordWriter


def fate_of(script):
    """Return a fate: a state's list, one entry an attempt; all else ends."""

    def fate(state, attempt):
        fates = script.get(state, [])
        return fates[attempt - 1] if attempt <= len(fates) else "end"

    return fate


def in_blocks(items, size, _folder):
    """Return the items in blocks of a size."""
    return [Block(items[start : start + size]) for start in range(0, len(items), size)]


@pytest.fixture
def play(tmp_path, protocol_file, monkeypatch):
    monkeypatch.setattr(module, "_POLL_S", 0.0)
    said: list[str] = []

    def go(crew, *, blocks=1, count=8, limits="", made=in_blocks):
        protocol = load_protocol(str(protocol_file(count=count, limits=limits)))
        folder, lock = RunFolder.enter(
            tmp_path / "run", protocol, dict.fromkeys(crew.arms, "fakes.policies:InWorker"),
            Shard(1, 1),
        )  # fmt: skip
        crew.protocol_sha256 = protocol.sha256
        items = pending_items(expand(protocol), list(crew.arms), Records())
        with lock:
            Supervisor(
                folder,
                made(items, len(items) // blocks, folder),
                session=RunSession(folder.episodes),
                crew=crew,
                ended=0,
                errors=[],
                on_record=lambda record: None,
                notify=said.append,
            ).run()
            return folder.records()

    go.said = said
    return go


def reasons(records: Records) -> Counter[str]:
    return Counter(each.reason for each in records.attempts if each.outcome == "error")


def test_every_item_ends_once_and_idle_workers_close_in_order(play):
    """Both arms of eight episodes on two workers: 16 records, and an orderly end."""
    crew = ScriptedCrew(arms=("a", "b"))
    assert len(play(crew).attempts) == 16
    assert {slot for slot, _ in crew.given} == {0, 1}
    assert crew.closed_idle == 2


def test_records_that_came_together_are_written_together(play, monkeypatch):
    """Three workers end at once: their records share one write, so one fsync."""
    sizes, extend = [], RecordWriter.extend

    def spied(writer, records):
        records = list(records)
        sizes.extend([len(records)] * bool(records))
        extend(writer, records)

    monkeypatch.setattr(RecordWriter, "extend", spied)
    play(ScriptedCrew(slots=3), count=6)
    assert sizes == [3, 3]


@pytest.mark.parametrize(
    ("fate", "reason"),
    [("die", "worker_died"), ("hang", "env_timeout"), ("broken", "env_error")],
)
def test_what_an_attempt_itself_loses_is_recorded_charged_and_repeated(play, fate, reason):
    """With one retry the second attempt counts; with none the episode is missing."""
    records = play(ScriptedCrew(fate_of({3: [fate]})), limits="retries = 1")
    assert reasons(records) == {reason: 1}
    assert Counter(each.outcome for each in records.final.values()) == {"success": 8}


@pytest.mark.parametrize("fate", ["die", "hang", "broken"])
def test_without_retries_a_charged_attempt_is_the_last(play, fate):
    """The episode is missing then, and never a failure."""
    records = play(ScriptedCrew(fate_of({3: [fate]})), limits="retries = 0")
    assert Counter(each.outcome for each in records.final.values()) == {"success": 7, "error": 1}


def test_a_machine_s_death_is_recorded_and_not_charged(play):
    """The record names the machine; even without retries the episode is tried again."""
    records = play(ScriptedCrew(fate_of({3: ["node"] * 5})), limits="retries = 0")
    assert reasons(records) == {"worker_died": 5}
    assert {each.error.message for each in records.attempts if each.error} == {
        "worker died with node n7"
    }
    assert len([each for each in records.final.values() if each.outcome == "success"]) == 8


def test_a_machine_that_always_dies_does_not_repeat_an_episode_for_ever(play):
    """The number of repeats that are charged to others is bounded."""
    records = play(ScriptedCrew(fate_of({3: ["node"] * 99})), limits="retries = 0")
    assert reasons(records) == {"worker_died": 21}


@pytest.mark.parametrize("fate", ["host dies", "lost"])
def test_only_the_episodes_in_the_batch_are_charged_for_their_host(play, fate):
    """The attempt whose inference killed the host is charged; one that only lost it is repeated."""
    crew = ScriptedCrew(fate_of({3: [fate]}), hosted=["a"])
    records = play(crew, limits="retries = 0")
    assert reasons(records) == {"host_lost": 1}
    missing = [slot[1].init_state for slot, each in records.final.items() if each.reason]
    assert missing == ([3] if fate == "host dies" else [])


def test_a_host_that_hangs_is_stopped_and_its_batch_is_told(play):
    """The workers of the batch hear that it was stopped on purpose, and another host starts."""
    crew = ScriptedCrew(fate_of({3: ["host hangs"]}), hosted=["a"], slots=1)
    play(crew)
    assert crew.told_to_stop == [0]
    assert any("was stopped: 'infer'" in sentence for sentence in play.said)


def test_a_late_answer_of_a_removed_worker_counts_for_nothing(play):
    """A frozen machine that thaws has no second record: one error, one result."""
    records = play(ScriptedCrew(fate_of({3: ["late"]}), slots=1))
    attempts = [each.attempt for each in records.attempts if each.init_state == 3]
    assert attempts == [1, 2]
    assert reasons(records) == {"env_timeout": 1}


def test_a_block_begins_when_all_items_of_the_last_have_ended(play):
    """A look after a block must see all of it, repeats included."""
    crew = ScriptedCrew(fate_of({3: ["die"]}))
    play(crew, blocks=2)
    states = [item.episode.key.init_state for _, item in crew.given]
    last_of_first = max(index for index, state in enumerate(states) if state < 4)
    assert min(index for index, state in enumerate(states) if state >= 4) == last_of_first + 1


def test_a_refusal_ends_the_run_with_its_sentence(play):
    """No retry: the member says what the user has to do."""
    with pytest.raises(InfrastructureError, match=r"^the disk is full$"):
        play(ScriptedCrew(fate_of({0: ["refuse"]})))


def test_the_same_exception_twice_is_the_policy_s_failure(play):
    """It ends the episode, whatever the retries."""
    records = play(ScriptedCrew(fate_of({3: ["raise"] * 9})), limits="retries = 5")
    assert reasons(records) == {"policy_error": 2}
    assert [each.reason for each in records.final.values() if each.outcome == "failure"] == [
        "policy_raised"
    ]


def test_a_replica_s_death_touches_its_own_workers_only(play):
    """The other replica goes on; the dead one has a successor."""
    crew = ScriptedCrew(fate_of({3: ["host dies"]}), hosted=["a"], slots=4, replicas=2)
    records = play(crew, limits="retries = 1")
    assert reasons(records) == {"host_lost": 1}
    assert sum("starting another" in sentence for sentence in play.said) == 1
    assert len(records.final) == 8


def test_an_episode_that_ends_clears_its_host(play):
    """A host that dies after every second episode is replaced each time: no two deaths are in a row."""
    everywhere = {state: ["host leaves"] for state in range(20)}
    crew = ScriptedCrew(fate_of(everywhere), hosted=["a"], slots=1)
    records = play(crew, count=20)
    assert Counter(each.outcome for each in records.attempts) == {"success": 20}
    assert sum("starting another" in sentence for sentence in play.said) > IN_A_ROW


def test_a_lost_item_goes_to_another_node(play):
    """The bad node does not get it again, though its worker is free first."""
    crew = ScriptedCrew(fate_of({3: ["n1 die"] * 9}), slots=2, nodes=("n0", "n1"))
    records = play(crew, limits="retries = 1")
    assert sum(reasons(records).values()) <= 1
    assert len([each for each in records.final.values() if each.outcome == "success"]) == 8
    assert crew.avoided == []


def test_three_losses_in_a_row_put_a_node_out_of_use(play):
    """It is said once, the crew starts no worker there again, and the run ends elsewhere."""
    everywhere = {state: ["n1 die"] * 9 for state in range(40)}
    crew = ScriptedCrew(fate_of(everywhere), slots=3, nodes=("n0", "n1", "n2"))
    records = play(crew, count=40, limits="retries = 9")
    assert crew.avoided == ["n1"]
    assert reasons(records) == {"worker_died": 3}
    assert sum("node n1 lost 3 processes in a row" in sentence for sentence in play.said) == 1
    assert len([each for each in records.final.values() if each.outcome == "success"]) == 40


def test_an_episode_that_ends_clears_a_node(play):
    """Deaths far apart are bad luck, or bad episodes."""
    script = {state: ["die"] for state in range(1, 40, 4)}
    crew = ScriptedCrew(fate_of(script), slots=2, nodes=("n0", "n1"))
    play(crew, count=40)
    assert crew.avoided == []


def test_the_last_node_stays_in_use(play):
    """Then the run goes on as on one machine, and its own limits end it."""
    crew = ScriptedCrew(fate_of({state: ["die"] * 2 for state in range(8)}), nodes=("n0",))
    records = play(crew, limits="retries = 2")
    assert crew.avoided == []
    assert len([each for each in records.final.values() if each.outcome == "success"]) == 8


def test_a_cell_that_waits_delays_no_other(play):
    """The cluster has room for one of two cells: the workers of the other one are not started."""
    crew = ScriptedCrew(hosted=["a"], slots=4, replicas=2, waiting=[1])
    assert len(play(crew).final) == 8
    assert {slot % 2 for slot, _ in crew.given} == {0}


def ahead(items, size, folder):
    """Yield the open items in blocks of a size, each of which offers the next one's items too."""

    def still_open(start):
        plan = [item.episode for item in items[start : start + size]]
        return pending_items(plan, ["a"], folder.records())

    for start in range(0, len(items), size):
        yield Block(still_open(start), still_open(start + size))


def test_idle_workers_begin_the_next_block(play):
    """The present block's items go first, and nothing runs twice."""
    crew = ScriptedCrew(slots=3)
    records = play(crew, blocks=2, made=ahead)
    states = [item.episode.key.init_state for _, item in crew.given]
    assert sorted(states) == list(range(8))
    assert max(states.index(state) for state in range(4)) < 4
    assert len(records.attempts) == 8


def test_an_item_that_was_lost_ahead_of_its_block_is_repeated_in_it(play):
    """Its block waits for it, and it keeps its number of attempts."""
    crew = ScriptedCrew(fate_of({4: ["die"]}), slots=5)
    records = play(crew, blocks=2, made=ahead, limits="retries = 1")
    assert len(records.final) == 8
    assert [each.attempt for each in records.attempts if each.init_state == 4] == [1, 2]


def test_what_runs_ahead_of_a_stop_is_dropped(play):
    """After the last block nothing is waited for: the episode beyond it has no record."""

    def stops(*arguments):
        yield next(ahead(*arguments))

    crew = ScriptedCrew(fate_of({4: ["nothing"]}), slots=5)
    records = play(crew, blocks=2, made=stops)
    assert {each.init_state for each in records.attempts} >= {0, 1, 2, 3}
    assert 4 not in {each.init_state for each in records.attempts}
    assert crew.members == []
