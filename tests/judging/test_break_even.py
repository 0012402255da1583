"""Break-even: what the two fixed sequences of tests show, and where they end."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from vla_eval.errors import ProtocolError, RunFolderError
from vla_eval.judging.break_even import bracket
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.plan import expand
from vla_eval.record import EpisodeRecord
from vla_eval.released import load_protocol

DECLARED = (
    'analysis.break_even={ candidate = "one", candidate_ticks = 3, reference = "ten", '
    "reference_ticks = [0, 3, 6, 9] }"
)
N = 100


@pytest.fixture
def load(protocol_file):
    path = str(protocol_file(count=N))
    return lambda *changes: load_protocol(path, overrides=[DECLARED, *changes])


def arm(protocol, successes, *, scene="s"):
    """Return an arm that succeeds in its first episodes."""
    finals = {
        episode.key: EpisodeRecord(
            arm="a",
            **asdict(episode.key),
            env_id="fake",
            outcome="success" if number < successes else "failure",
            steps=10,
            scene_hash=scene,
            protocol_sha256="",
            policy_sha256="",
            timing={"started_at": "2026-11-29T00:00:00+00:00"},
        )
        for number, episode in enumerate(expand(protocol))
    }
    return ArmEpisodes("a", finals)


def judged(protocol, candidate, *references, **changes):
    keys = [episode.key for episode in expand(protocol)]
    ours = arm(protocol, candidate)
    theirs = {
        ticks: arm(protocol, successes)
        for ticks, successes in zip((0, 3, 6, 9), references, strict=True)
    }
    return bracket(protocol, keys, replace(ours, **changes), theirs)


@pytest.mark.parametrize(
    ("references", "not_worse_to", "superior_from"),
    [
        ((90, 90, 60, 50), 3, 6),
        ((90, 88, 60, 50), 3, 6),
        ((90, 90, 90, 90), 9, None),
        ((50, 50, 50, 50), None, 0),
        ((90, 50, 90, 50), 0, 9),
        ((50, 90, 90, 90), None, None),
        ((90, 90, 50, 90), 3, None),
    ],
)
def test_the_statements_end_at_the_first_test_that_does_not_reject(
    load, references, not_worse_to, superior_from
):
    """So a delay beyond a gap is never claimed, however clear it is by itself."""
    found = judged(load(), 90, *references)
    assert (found.not_worse_to, found.superior_from) == (not_worse_to, superior_from)


def test_each_sequence_has_half_of_the_level(load):
    """Four pairs won and none lost pass at 5 %, and two statements at 5 % together need 2.5 % each."""
    found = judged(load(), 90, 86, 86, 86, 86)
    (p,) = {each.p_superior for each in found.delays}
    assert 0.025 < p <= 0.05
    assert found.superior_from is None
    assert judged(load("analysis.alpha=0.1"), 90, 86, 86, 86, 86).superior_from == 0


def test_missing_episodes_count_against_each_statement(load):
    """Of the candidate they are failures where it is to be better, successes where it is not."""
    protocol = load()
    whole = judged(protocol, 90, 82, 82, 82, 82)
    keys = list(arm(protocol, 90).finals)
    kept = {key: each for key, each in arm(protocol, 90).finals.items() if key != keys[0]}
    part = judged(protocol, 90, 82, 82, 82, 82, finals=kept, missing=(keys[0],))
    assert part.delays[0].p_superior > whole.delays[0].p_superior
    assert part.delays[0].p_not_worse >= whole.delays[0].p_not_worse


def test_other_scenes_are_no_pairs(load):
    """They are refused with the delay."""
    protocol = load()
    keys = [episode.key for episode in expand(protocol)]
    theirs = dict.fromkeys((0, 3, 6, 9), arm(protocol, 90, scene="other"))
    with pytest.raises(RunFolderError, match="break-even, 0 control steps: the scenes of 100"):
        bracket(protocol, keys, arm(protocol, 90), theirs)


def test_the_sentences_name_delays_and_latencies(load):
    """At 10 Hz, three control steps are latencies above 200 and up to 300 ms."""
    protocol = load()
    shown = " ".join(judged(protocol, 90, 90, 90, 60, 50).sentences(protocol, 10.0))
    assert "up to 3 control steps, above 200 and up to 300 ms" in shown
    assert "from 6 control steps on, above 500 and up to 600 ms" in shown
    nothing = " ".join(judged(protocol, 90, 50, 90, 90, 90).sentences(protocol, 10.0))
    assert "at no declared delay from the smallest up" in nothing
    assert "at no declared delay from the largest down" in nothing


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[0, 3, 6, 9]", "[3, 0]"), "must rise"),
        (("[0, 3, 6, 9]", "[3]"), "2 items"),
        (('"ten"', '"one"'), "two arms"),
    ],
)
def test_a_wrong_declaration_is_refused(protocol_file, change, words):
    """It is part of the protocol, and of its hash."""
    path = str(protocol_file(count=4))
    with pytest.raises(ProtocolError, match=words):
        load_protocol(path, overrides=[DECLARED.replace(*change)])
    changed = load_protocol(path, overrides=[DECLARED])
    assert '"reference_ticks":[0,3,6,9]' in changed.canonical_json()


def test_runs_whose_size_is_decided_on_the_way_are_refused(load):
    """Two of them need not have the same episodes."""
    with pytest.raises(ProtocolError, match="break_even compares runs of one size"):
        load("analysis.stopping=obrien-fleming-5", "run.order=round-robin")
