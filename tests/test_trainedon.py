"""What an identity says of a policy's training and weights, and what is concluded from it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fakes.policies import Options, Walker
from vla_eval.errors import PolicySpecError, RunFolderError
from vla_eval.files.differences import name_differences
from vla_eval.identity import weights_are_hashed
from vla_eval.keys import EpisodeKey
from vla_eval.policy import PolicyMetadata
from vla_eval.recording.folder import Demonstration, Demonstrations, scenes_of
from vla_eval.runs.folder import RunFolder
from vla_eval.spec import build_policy
from vla_eval.trainedon import is_short, seen, shorten, together
from vla_eval_policies.impaired import ImpairedPolicy, Impairment

ROOT = Path(__file__).resolve().parents[1]
A, B, C = (letter * 64 for letter in "abc")


def identity(policy) -> dict:
    """What ``run.json`` holds of a policy."""
    return json.loads(json.dumps(dataclasses.asdict(policy.metadata)))


def test_scenes_are_shortened():
    """Sorted, each once, 16 digits; an environment that says no hash makes the whole unknown."""
    assert shorten([B, A, B]) == ("a" * 16, "b" * 16)
    assert shorten([]) == ()
    assert shorten([A, ""]) is None
    assert shorten(["not a hash, although it is long enough"]) is None


@pytest.mark.parametrize(
    "wrong",
    [["a" * 16], ("a" * 15,), ("A" * 16,), ("b" * 16, "a" * 16), ("a" * 16, "a" * 16), (1,), "a"],
)
def test_only_shortened_scenes_identify_a_policy(wrong):
    """Anything else could not be compared with scenes, and is refused where the policy is built."""
    assert not is_short(wrong)
    with pytest.raises(PolicySpecError, match=r"'x': trained_on must be .*16 hex digits"):
        PolicyMetadata("x", "fm", 1, 1, trained_on=wrong)


def test_sources_add_up():
    """A student has seen what its teacher has; one unknown source makes the whole unknown."""
    one, two = shorten([A, B]), shorten([B, C])
    assert together([one, two]) == shorten([A, B, C])
    assert together([one, ()]) == one
    assert together([]) == ()
    assert together([one, None]) is None


def test_overlap_is_found():
    """Full hashes in the order of the question, each once; from nothing, nothing."""
    trained = {"trained_on": ["a" * 16, "b" * 16]}
    assert seen(trained, [B, C, A, B]) == [B, A]
    assert seen(trained, [C]) == []
    assert seen({"trained_on": []}, [A, ""]) == []
    assert seen(trained, []) == []


@pytest.mark.parametrize(
    "said", [{}, {"trained_on": None}, {"trained_on": "a" * 16}, {"trained_on": ["a"]}]
)
def test_who_says_nothing_is_unknown(said):
    """Identities of before there was the entry, and entries that are no scenes."""
    assert seen(said, [A]) is None


def test_a_missing_hash_hides_an_overlap_but_undoes_none():
    """Where a record has no scene's hash, no overlap is not known; one that is found stands."""
    trained = {"trained_on": ["a" * 16]}
    assert seen(trained, [C, ""]) is None
    assert seen(trained, [A, ""]) == [A]


def test_a_committed_run_stays_readable():
    """The identities of a run of before have no such entry: unknown."""
    folder = RunFolder.open(ROOT / "benchmarks/results/one_step/so101-one-step")
    for arm in folder.header.arms:
        assert "trained_on" not in arm.identity
        assert seen(arm.identity, [A]) is None
        assert weights_are_hashed(arm.identity)


@pytest.mark.parametrize("spec", ["expert", "hold", "random", "impaired:expert?stale=0.1"])
def test_who_has_no_weights(spec):
    """Scripted experts and controls learned nothing, and so there is nothing to hash; wrapped too."""
    said = identity(build_policy(spec))
    assert said["weights_sha256"] is None
    assert weights_are_hashed(said)
    assert said["trained_on"] == []
    assert seen(said, [A]) == []


def test_who_has_weights_and_hashes_them_or_not():
    """A hash says it; a policy of somebody's that says nothing is unhashed, and so is its wrapper."""
    walker = Walker(Options())
    wrapped = ImpairedPolicy(walker, Impairment(stale=0.1))
    for policy in (walker, wrapped):
        assert not weights_are_hashed(identity(policy))
        assert identity(policy)["trained_on"] is None
    walker.metadata = dataclasses.replace(
        walker.metadata, weights_sha256=A, trained_on=shorten([B])
    )
    for policy in (walker, ImpairedPolicy(walker, Impairment())):
        assert weights_are_hashed(identity(policy))
        assert seen(identity(policy), [A, B]) == [B]
    assert not weights_are_hashed({"method": "remote"})
    assert not weights_are_hashed({})


@pytest.fixture
def dataset(tmp_path):
    """Writes what a recording leaves, without its frames: scenes, and whether each was kept."""

    def write(*episodes: tuple[str, bool], total: int | None = None) -> Path:
        found, kept = [], 0
        for i, (scene, keep) in enumerate(episodes):
            key = EpisodeKey("so101", "PickPlace", i, 0, 0)
            number = kept if keep else None
            found.append(
                Demonstration(
                    key=key,
                    success=keep,
                    score=1.0,
                    steps=3,
                    reason=None,
                    scene_hash=scene,
                    episode_index=number,
                )
            )
            kept += keep
        content = Demonstrations(closed=True, request={}, episodes=tuple(found))
        (tmp_path / "meta").mkdir(exist_ok=True)
        (tmp_path / "meta/vla_eval.json").write_text(content.model_dump_json())
        info = {"total_episodes": kept if total is None else total}
        (tmp_path / "meta/info.json").write_text(json.dumps(info))
        return tmp_path

    return write


def test_scenes_of_a_dataset(dataset):
    """Of the episodes that were kept; unknown where somebody added episodes, or recorded otherwise."""
    assert scenes_of(dataset((B, True), (C, False), (A, True))) == shorten([A, B])
    assert scenes_of(dataset((B, True), total=2)) is None
    assert scenes_of(dataset((B, True), ("", True))) is None
    file = dataset((B, True)) / "meta/vla_eval.json"
    file.write_text("{}")
    with pytest.raises(RunFolderError, match=r"vla_eval\.json: is damaged"):
        scenes_of(file.parents[1])
    file.unlink()
    assert scenes_of(file.parents[1]) is None


def test_a_sentence_about_other_scenes_stays_short():
    """A policy with hundreds of scenes more is named as another, without their list."""
    many = [f"{i:016x}" for i in range(400)]
    said = name_differences({"trained_on": None}, {"trained_on": many})
    assert said.startswith("trained_on: None before, ['0000000000000000', ")
    assert len(said) < 250
    assert name_differences({"nfe": 1}, {"nfe": 10}) == "nfe: 1 before, 10 now"
