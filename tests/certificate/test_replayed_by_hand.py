"""Replays without a run: an arm of which nothing was drawn, losses by reason, and the report in words."""

from __future__ import annotations

import pytest

from fakes.by_hand import Run, small_protocol
from vla_eval.certificate import replayed
from vla_eval.certificate.replayed import Differing, Lost, ReplayReport, excluded_share, sentence
from vla_eval.errors import PolicyLostError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import expand
from vla_eval.policy import PolicyMetadata
from vla_eval.recording.replay import Repeated
from vla_eval.runs.folder import Arm
from vla_eval.spec import identity_of

PROTOCOL = small_protocol(1, 6)
POLICY = PolicyMetadata("by-hand", "by-hand", chunk_size=1, n_action_steps=1)


class Repeating:
    """Takes the place of policies and simulators: what each state does when it is repeated."""

    def __init__(self, monkeypatch, outcomes) -> None:
        self.outcomes, self.built, self.closed = outcomes, [], 0
        monkeypatch.setattr(replayed, "build_policy", self.build)
        monkeypatch.setattr(replayed, "Recorder", lambda *_, **__: self)
        monkeypatch.setattr(replayed, "repeat", self.repeat)

    metadata = POLICY

    def build(self, spec):
        self.built.append(spec)
        return self

    def repeat(self, _recorder, episode, _record):
        found = self.outcomes[episode.key.init_state]
        if isinstance(found, Exception):
            raise found
        return Repeated({"steps": (1, 2)} if found == "other" else {}, {})

    def close(self) -> None:
        self.closed += 1


def session_of(repeating, *, episodes: int = 6, identity=None):
    """Repeat the first episodes of one arm; return the session and the order of the progress."""
    run, seen = Run(PROTOCOL), []
    planned = expand(PROTOCOL)[:episodes]
    for each in planned:
        run.attempt("a", each.key, "success")
    session = replayed._Session(seen.append)
    arm = Arm(name="a", spec="random", identity=identity or identity_of("random", POLICY, None))
    pairs = [(each, run.records.final["a", each.key]) for each in planned]
    session.run(arm, pairs, PROTOCOL.run)
    assert [key for _, key in seen] == [each.key for each in planned]
    return session


def test_a_policy_of_which_nothing_was_drawn_is_not_built(monkeypatch):
    """It may take long, or need weights that are not here."""
    repeating = Repeating(monkeypatch, {})
    assert session_of(repeating, episodes=0).reproduced == 0
    assert repeating.built == []


def test_what_comes_again_and_what_does_not(monkeypatch):
    """One differs, one raises, the others are reproduced; the recorder is closed after the one and at last."""
    repeating = Repeating(
        monkeypatch, ["same", "other", RuntimeError("x  y"), "same", "same", "same"]
    )
    session = session_of(repeating)
    assert session.reproduced == 4
    (differing,) = session.differing
    assert (differing.arm, differing.key.init_state) == ("a", 1)
    assert dict(session.lost) == {("a", "RuntimeError: x y"): 1}
    assert (repeating.built, repeating.closed) == (["random"], 2)


def test_what_is_left_is_lost_with_the_server(monkeypatch):
    """From the episode on in which it was lost, each once."""
    lost = PolicyLostError("the server is gone")
    session = session_of(Repeating(monkeypatch, ["same", "same", lost, "same", "same", "same"]))
    assert (session.reproduced, dict(session.lost)) == (2, {("a", "the server is gone"): 4})


def test_another_policy_is_not_run(monkeypatch):
    """All of its episodes are lost, with what differs."""
    identity = identity_of("random", POLICY, None) | {"nfe": 5}
    repeating = Repeating(monkeypatch, {})
    session = session_of(repeating, identity=identity)
    assert dict(session.lost) == {
        ("a", "its spec gives another policy now (nfe: 5 before, None now)"): 6
    }
    assert repeating.closed == 0


@pytest.mark.parametrize(
    ("differing", "hint"), [({"steps": (1, 2)}, True), ({"outcome": ("success", "failure")}, False)]
)
def test_other_hardware_explains_other_actions_and_no_other_outcome(differing, hint):
    """Said only where no outcome differs."""
    key = EpisodeKey("s", "t", 1, 0, 0)
    text = sentence(ReplayReport(10, 2, 1, (Differing("a", key, differing),)))
    assert ("other hardware" in text) == hint
    assert "excludes" not in text


@pytest.mark.parametrize(("lost", "words"), [(1, "1 record of arm"), (2, "2 records of arm")])
def test_lost_records_count_as_forged(lost, words):
    """The share that is excluded is that with these records forged, and the sentence says so."""
    report = ReplayReport(100, 60, 60 - lost, lost=(Lost("a", lost, "gone"),))
    share = excluded_share(100, 60, lost)
    assert report.excluded == share > excluded_share(100, 60)
    text = sentence(report)
    assert words in text
    assert f"{share:.1%} of the records or more are forged, even if all are that could" in text
    assert "Nor could" not in text
    assert "even if" not in sentence(ReplayReport(100, 60, 60))


def test_long_messages_are_shown_up_to_80_characters():
    """A message is no hash: more of it is needed."""
    key = EpisodeKey("s", "t", 1, 0, 0)
    text = str(Differing("a", key, {"error": ("x" * 100, "y" * 80)}))
    assert text == f"a s/t/i1/e0/p0: error {'x' * 80} in the record, {'y' * 80} now"
