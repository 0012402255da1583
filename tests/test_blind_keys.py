"""``run.blind_keys``: what a policy is told of an episode, and that its noise is as good as ever."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

import vla_eval
from vla_eval.errors import ProtocolError
from vla_eval.keys import BlindKey, EpisodeKey
from vla_eval.plan import expand
from vla_eval.recording.replay import replay
from vla_eval.released import load_protocol
from vla_eval.runs.store import read_records

KEY = EpisodeKey("so101", "PickPlace", 7, 1, 2)
HIDDEN = BlindKey.of(KEY, "a" * 64)
WORKER, HOST = "fakes.policies:InWorker", "fakes.policies:InHost"

# Numbers that are no steps' or chunks', so that they stand nowhere else in what a policy is told.
CHANGES = (
    "run.env_seeds=[7001]",
    "run.policy_seeds=[8001, 8002]",
    "analysis.cluster=initial-state",
    "blocks.0.init_states=[17, 23, 31]",
)
SECRETS = {"Point", "7001", "8001", "8002", "17", "23", "31"}


@pytest.fixture
def run(tmp_path, protocol_file):
    def go(arms, *, out="run", workers=1, shard=None, blind=True):
        changes = [*CHANGES, *(["run.blind_keys=true"] if blind else [])]
        protocol = load_protocol(str(protocol_file()), overrides=changes)
        folder = tmp_path / out
        return vla_eval.run(
            protocol, arms, folder, workers=workers, shard=shard, notify=lambda _: None
        )

    return go


def notes(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "notes").read_text().splitlines()]


def reproducible(folder: Path) -> list[str]:
    final = read_records([folder / "episodes"]).final
    return [json.dumps(final[slot].reproducible(), sort_keys=True) for slot in sorted(final)]


def test_the_field_is_absent_or_true(protocol_file):
    """Absent, the canonical form does not name it; false is refused; true is another protocol."""
    path = str(protocol_file())
    plain, blind = load_protocol(path), load_protocol(path, overrides=["run.blind_keys=true"])
    assert "blind_keys" not in plain.canonical_json()
    assert blind.run.blind_keys is True
    assert blind.sha256 != plain.sha256
    for value in ("false", "1", '"yes"'):
        with pytest.raises(ProtocolError, match=r"run\.blind_keys: is true, or left out \(got"):
            load_protocol(path, overrides=[f"run.blind_keys={value}"])
    assert all(each.policy_key is each.key for each in expand(plain))
    told = [each.policy_key for each in expand(blind)]
    assert told == [BlindKey.of(each.key, blind.sha256) for each in expand(blind)]


def test_a_token_tells_episodes_apart_and_nothing_else():
    """Every part of the key and the protocol change it; it holds none of them but the suite."""
    digits = "b7d6c8a76f241b5db8213a83f525892135f2f32db375be51e1f0aeedf3a6f04b"
    assert BlindKey("so101", digits) == HIDDEN
    others = {
        BlindKey.of(dataclasses.replace(KEY, **change), "a" * 64)
        for change in (
            {"suite": "lekiwi"},
            {"task": "Stacking"},
            {"init_state": 8},
            {"env_seed": 0},
            {"policy_seed": 0},
        )
    } | {BlindKey.of(KEY, "b" * 64)}
    assert len({each.token for each in others} - {digits}) == 6
    assert {each.name for each in dataclasses.fields(HIDDEN)} == {"suite", "token"}


def test_noise_of_a_token():
    """A pure function of token, chunk and stream, today as ever; other than the open key's."""
    assert HIDDEN.generator(3).integers(2**32, size=3).tolist() == [
        2418090466,
        1073907786,
        3686722820,
    ]
    draw = HIDDEN.generator(3).random(4).tolist()
    others = [
        KEY.generator(3),
        HIDDEN.generator(2),
        HIDDEN.generator(3, "side"),
        BlindKey.of(dataclasses.replace(KEY, policy_seed=3), "a" * 64).generator(3),
    ]
    assert all(each.random(4).tolist() != draw for each in others)


def test_a_changed_key_has_another_token(protocol_file):
    """``vlaeval record --policy-seed`` replaces the key of a planned episode, and so its noise."""
    (episode, *_) = expand(load_protocol(str(protocol_file(run="blind_keys = true"))))
    changed = dataclasses.replace(episode.key, policy_seed=5)
    assert dataclasses.replace(episode, key=changed).policy_key != episode.policy_key


@pytest.mark.long
@pytest.mark.parametrize("spec", [WORKER, HOST])
@pytest.mark.parametrize("blind", [True, False])
def test_a_policy_hears_of_no_key(tmp_path, run, spec, blind):
    """Warming up, inferring, ending: the same token from the first chunk to the end, and no number.

    Without the field the same spy finds every part of the key.
    """
    assert run({"a": f"{spec}?spied={tmp_path}"}, blind=blind).complete
    told = notes(tmp_path)
    assert {each["when"] for each in told} == {"warm_up", "infer", "end"}
    assert len({each["key"] for each in told}) == 6  # three states, two seeds
    ended = [each["key"] for each in told if each["when"] == "end"]
    assert sorted(ended) == sorted({each["key"] for each in told if each["when"] == "infer"})
    words = set(re.split(r"\W+[iep]?", " ".join(each["all"] + each["key"] for each in told)))
    assert words & SECRETS == (set() if blind else SECRETS)


@pytest.mark.long
def test_records_do_not_depend_on_workers_and_arms_share_noise(tmp_path, run):
    """One worker, three, or two shards: equal records, with the open keys; twins act alike."""
    arms = {"a": f"{WORKER}?skill=0.7", "b": f"{HOST}?skill=0.7"}
    run(arms, out="one")
    expected = reproducible(tmp_path / "one")
    assert len(expected) == 12
    run(arms, out="three", workers=3)
    for i in (1, 2):
        run(arms, out="shards", shard=f"{i}/2")
    assert reproducible(tmp_path / "three") == expected
    assert reproducible(tmp_path / "shards") == expected
    final = read_records([tmp_path / "one/episodes"]).final
    assert {key.init_state for _, key in final} == {17, 23, 31}
    acted = {slot: record.actions_sha256 for slot, record in final.items()}
    assert all(acted["a", key] == acted["b", key] for _, key in acted)
    assert len(set(acted.values())) == 6


@pytest.mark.long
def test_an_episode_is_replayed(tmp_path, run):
    """By its open key, with the noise that its token gave."""
    run({"a": f"{WORKER}?skill=0.7"})
    again = replay(tmp_path / "run", "fake/Point/i23/e7001/p8001", "a", trust=True)
    assert again.record.inferences > 1
    assert again.differences == {}
