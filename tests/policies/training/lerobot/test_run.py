"""Students of LeRobot's flow VLAs: what is trained, what stays, and that a stop changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from fakes.lerobot import builders
from fakes.lerobot.loading import FLOWS, context, load, observation, sizes
from vla_eval.cli import main
from vla_eval.errors import InterruptedRunError, RunFolderError, UsageError
from vla_eval.recording.folder import scenes_of

pytest.importorskip("torch", reason="needs the extra 'lerobot'")

from vla_eval_policies.training.lerobot import data

FAST = ("training.steps=40", "training.lr=1e-3", "training.threads=1")
FROZEN = ("model.vlm_with_expert.vlm.", "model.paligemma_with_expert.paligemma.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tiny teacher of each kind, whose chunks have 8 actions, and demonstrations for them."""
    root = tmp_path_factory.mktemp("teachers")
    sized = {"chunk_size": 8, "n_action_steps": 8}
    return {
        "data": builders.demonstrations(root / "data", builders.LIBERO),
        "smolvla": builders.smolvla(root / "smolvla", builders.LIBERO, **sized),
        "pi0": builders.pi(root / "pi0", builders.LIBERO, kind="pi0", **sized),
        "pi05": builders.pi(root / "pi05", builders.LIBERO, kind="pi05", **sized),
    }


@pytest.fixture
def student(folders):
    """Trains one; returns its checkpoint and the logs of all steps."""
    from vla_eval_policies.training.lerobot.recipe import make_recipe
    from vla_eval_policies.training.lerobot.run import train_lerobot

    def train(out: Path, kind: str, method: str, *changes: str, on_step=lambda *_: None):
        base = str(folders.get(kind, kind))
        recipe = make_recipe(
            None,
            base=f"lerobot:{base}",
            method=method,
            dataset=str(folders["data"]),
            changes=[*FAST, *changes],
        )
        logs = []

        def keep(step, found):
            logs.append(found)
            on_step(step, found)

        folder, _, _ = base.partition("?")
        with sizes(json.loads((Path(folder) / "config.json").read_text())["type"]):
            return train_lerobot(recipe, out, on_step=keep), logs

    return train


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def mean(logs: list, name: str, part: slice) -> float:
    return float(np.mean([each[name] for each in logs[part]]))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("method", ["fm", "snapflow", "meanflow", "drift"])
def test_loss_falls_and_the_encoder_stays(folders, student, tmp_path, kind, method):
    """What is trained learns; what encodes observations keeps its bits; the result acts in one step."""
    import torch

    path, logs = student(tmp_path / "run", kind, method)
    first, last = slice(0, 10), slice(-10, None)
    if (
        method == "drift"
    ):  # the value of its loss says nothing: its samples come to the demonstrations
        assert mean(logs, "spread", last) < mean(logs, "spread", first)
    else:
        assert mean(logs, "loss", last) < 0.9 * mean(logs, "loss", first)
    before, after = weights(folders[kind]), weights(path)
    frozen = [name for name in before if name.startswith(FROZEN)]
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(frozen) > 10
    assert not set(frozen) & set(changed)
    assert len(changed) > 0.5 * (len(before) - len(frozen))
    added = {name for name in after if name not in before}
    assert all(name.startswith("model.extra_time.") for name in added)
    assert bool(added) == (method in ("snapflow", "meanflow"))
    policy = load(path, "nfe=1")
    assert (policy.metadata.method, policy.metadata.nfe) == (method, 1)
    (chunk,) = policy.infer([observation()], [context()])
    assert chunk.actions.shape == (8, 7)
    assert chunk.nfe == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["smolvla", "pi05"])
def test_snapflow_without_its_shortcut_begins_as_flow_matching(student, tmp_path, kind):
    """With α = 1 the first step's loss, and what it does to the teacher's weights, are fm's, bit for bit."""
    import torch

    one = ("training.steps=1", "training.clip=1e9")
    plain, logs = student(tmp_path / "fm", kind, "fm", *one)
    snap, same = student(tmp_path / "snap", kind, "snapflow", "method.alpha=1.0", *one)
    assert same[0]["loss"] == logs[0]["loss"]
    after = weights(snap)
    for name, each in weights(plain).items():
        assert torch.equal(each, after[name]), name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_stop_changes_nothing(student, tmp_path, monkeypatch):
    """Stopped twice and continued, with pictures decoded ahead or not: the same bytes and log.

    The process that decodes ahead is spawned, as on macOS, and Linux from Python 3.14 on: what it needs is pickled.
    """

    def stop_at(when):
        def on_step(step, _):
            if step == when:
                os.kill(os.getpid(), signal.SIGINT)

        return on_step

    how = ("training.steps=40", "training.save_every=15", "training.ema=0.9")
    whole, _ = student(tmp_path / "whole", "smolvla", "snapflow", *how, "training.workers=0")
    for when in (7, 22):
        with pytest.raises(InterruptedRunError, match=f"interrupted at step {when}"):
            student(tmp_path / "parts", "smolvla", "snapflow", *how, on_step=stop_at(when))
    parts, logs = student(tmp_path / "parts", "smolvla", "snapflow", *how)
    assert len(logs) == 40 - 22
    for file in ("model.safetensors", "vla_eval_method.json", "../log.jsonl"):
        assert (whole / file).read_bytes() == (parts / file).read_bytes(), file
    spawned = functools.partial(data.DataLoader, multiprocessing_context="spawn")
    monkeypatch.setattr(data, "DataLoader", spawned)
    ahead, _ = student(tmp_path / "ahead", "smolvla", "snapflow", *how, "training.workers=1")
    assert (whole / "model.safetensors").read_bytes() == (ahead / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="another seed"):
        student(tmp_path / "parts", "smolvla", "snapflow", *how, "seed=1")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", FLOWS)
def test_memory_for_time_changes_no_bit_and_bfloat16_little(student, tmp_path, kind):
    """Gradient checkpointing computes twice what it would have kept; bfloat16 rounds."""
    few = ("training.steps=3",)
    plain, logs = student(tmp_path / "plain", kind, "snapflow", *few)
    twice, _ = student(
        tmp_path / "twice", kind, "snapflow", *few, "training.gradient_checkpointing=true"
    )
    files = [(each / "model.safetensors").read_bytes() for each in (plain, twice)]
    assert hashlib.sha256(files[0]).digest() == hashlib.sha256(files[1]).digest()
    _, rounded = student(tmp_path / "bf16", kind, "snapflow", *few, "training.dtype=bfloat16")
    assert rounded[-1]["loss"] != logs[-1]["loss"]
    assert rounded[-1]["loss"] == pytest.approx(logs[-1]["loss"], rel=0.02)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", FLOWS)
def test_a_copy_has_weights_of_its_own(folders, student, tmp_path, kind):
    """The moving average evaluates the shared policy with its own weights, and changes nothing of it."""
    import torch

    from vla_eval_policies.lerobot_policy.batch import raw_batch
    from vla_eval_policies.training.lerobot.network import ExpertNetwork, Precision

    policy = load(folders[kind])
    batch = policy.loaded.preprocess(
        raw_batch(policy.binding(observation(), context()), [observation()], [context()])
    )
    network = ExpertNetwork(policy.loaded, Precision())
    other = copy.deepcopy(network)
    x, t = torch.randn(1, 8, 32), torch.full((1,), 0.5)
    with torch.no_grad():
        before = network.bind(batch)(x, t)
        assert torch.equal(other.bind(batch)(x, t), before)
        for each in other.weights:
            each.mul_(1.1)
        assert not torch.allclose(other.bind(batch)(x, t), before)
        assert torch.equal(network.bind(batch)(x, t), before)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_lerobot_loads_a_student_of_flow_matching(student, tmp_path):
    """A checkpoint without a second time is LeRobot's own, processors included."""
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    path, _ = student(tmp_path / "run", "smolvla", "fm", "training.steps=2")
    policy = get_policy_class("smolvla").from_pretrained(path, strict=True)
    make_pre_post_processors(policy.config, str(path))
    ours = load(path).loaded.policy.state_dict()
    for name, each in policy.state_dict().items():
        assert each.equal(ours[name]), name


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_does_not_fit_is_said(folders, student, tmp_path):
    """One sentence each: other cameras, another robot, no dataset, another second time."""
    other = builders.smolvla(tmp_path / "other", builders.SO101)
    with pytest.raises(UsageError, match=r"no observation\.images\.top, .* it has image, image2"):
        student(tmp_path / "a", str(other), "fm")
    with pytest.raises(UsageError, match=r"state of 6 numbers, the dataset 8 numbers"):
        student(tmp_path / "b", f"{other}?cameras=image:top,image2:wrist", "fm")
    with pytest.raises(UsageError, match=r"no dataset: it has no meta/info\.json"):
        student(tmp_path / "c", "smolvla", "fm", f"data.datasets=['{tmp_path}']")
    with pytest.raises(UsageError, match="there is no such folder"):
        student(tmp_path / "d", "smolvla", "fm", "data.datasets=['/nowhere']")
    act = builders.act(tmp_path / "act", builders.LIBERO)
    with pytest.raises(UsageError, match="of type 'act'; students are trained of smolvla"):
        student(tmp_path / "e", str(act), "fm")
    path, _ = student(tmp_path / "f", "smolvla", "snapflow", "training.steps=1")
    with pytest.raises(UsageError, match="a student with the second time 'target'"):
        student(tmp_path / "g", str(path), "meanflow")
    again, _ = student(tmp_path / "h", str(path), "snapflow", "training.steps=1")
    assert load(again).metadata.method == "snapflow"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_from_demonstrations_to_a_student(tmp_path, capsys):
    """What `vlaeval record` wrote is learned from by `vlaeval train --base`, by flags or by a recipe."""
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    demos, teacher = tmp_path / "demos", builders.smolvla(tmp_path / "teacher", builders.SO101)
    record = "record so101 --policy expert --tasks PickPlace --init-states 0 --env image_size=64"
    assert main([*record.split(), "--out", str(demos)]) == 0
    flags = ["--base", f"lerobot:{teacher}", "--method", "snapflow", "--dataset", str(demos)]
    few = ["--set", "training.steps=2", "--set", "training.batch=2"]
    capsys.readouterr()
    assert main(["train", *flags, *few, "--out", str(tmp_path / "one"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["card"]["data"].startswith("1 episodes, ")
    assert (tmp_path / "one" / "curves.png").stat().st_size > 5000
    assert json.loads((tmp_path / "one" / "results.json").read_text())["memory_mb"] > 100
    recipe = Path(__file__).resolve().parents[4] / "examples/recipes/lerobot/smolvla_snapflow.toml"
    changes = [*few, "--set", f"base='lerobot:{teacher}'", "--set", f"data.datasets=['{demos}']"]
    for each in ("device=cpu", "dtype=float32", "workers=0"):
        changes += ["--set", f"training.{each}"]
    assert main(["train", str(recipe), *changes, "--out", str(tmp_path / "two")]) == 0
    assert f"'lerobot:{tmp_path / 'two' / 'pretrained_model'}'" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_student_saw_what_its_base_saw(tmp_path, capsys):
    """Scenes of the demonstrations and of the base go into the student's file and its identity.

    Of a base that says nothing, and of a dataset that nobody recorded here, nothing is known.
    """
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    from vla_eval_policies.lerobot_policy.extra_time import Student, write_student
    from vla_eval_policies.methods import make_method

    demos, base = tmp_path / "demos", builders.smolvla(tmp_path / "base", builders.SO101)
    record = "record so101 --policy expert --tasks PickPlace --init-states 0 --env image_size=64"
    assert main([*record.split(), "--out", str(demos)]) == 0
    (shown,) = scenes_of(demos)
    few = ["--set", "training.steps=1", "--set", "training.batch=2", "--json"]
    flags = ["train", "--base", f"lerobot:{base}", "--method", "fm", "--dataset", str(demos), *few]
    capsys.readouterr()
    assert main([*flags, "--out", str(tmp_path / "one")]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["trained_on"] is None
    assert load(tmp_path / "one/pretrained_model").metadata.trained_on is None
    write_student(base, Student(make_method("fm"), training={"trained_on": ["0" * 16]}))
    assert main([*flags, "--out", str(tmp_path / "two")]) == 0
    known = sorted({"0" * 16, shown})
    assert json.loads(capsys.readouterr().out)["card"]["trained_on"] == known
    assert load(tmp_path / "two/pretrained_model").metadata.trained_on == tuple(known)
    (demos / "meta" / "vla_eval.json").unlink()
    assert main([*flags, "--out", str(tmp_path / "three")]) == 0
    assert load(tmp_path / "three/pretrained_model").metadata.trained_on is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to train: give a RECIPE.toml"),
        (["--method", "fm"], "nothing to train"),
        (["--base", "lerobot:x"], "'method' is missing; give --method"),
        (["--base", "lerobot:x", "--method", "fm"], "'data' is missing; give --dataset"),
        (["--base", "flow:x", "--method", "fm", "--dataset", "d"], "expected lerobot:FOLDER"),
        (["--base", "lerobot:x?nfe=1", "--method", "fm", "--dataset", "d"], "'nfe' has no meaning"),
        (["--base", "lerobot:x", "--method", "snap", "--dataset", "d"], "did you mean 'snapflow'"),
        (["--base", "lerobot:x", "--method", "ddpm", "--dataset", "d"], "learns noise, which no"),
        (["--base", "lerobot:./x", "--method", "fm", "--dataset", "d"], "there is no such folder"),
        (
            [
                "--base",
                "lerobot:x",
                "--method",
                "fm",
                "--dataset",
                "d",
                "--set",
                "training.epochs=1",
            ],
            "unknown key 'training.epochs'",
        ),
        (
            [
                *("--base", "lerobot:x", "--method", "meanflow:mp1", "--dataset", "d"),
                *("--set", "training.gradient_checkpointing=true"),
            ],
            "differentiates forwards, which gradient_checkpointing does not allow",
        ),
    ],
)
def test_flags_that_make_no_recipe(arguments, says, tmp_path, capsys):
    """Exit code 4 and one sentence, before anything is loaded."""
    assert main(["train", *arguments, "--out", str(tmp_path / "run")]) == 4
    assert says in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("kind", "method"), [("smolvla", "snapflow"), ("pi0", "meanflow"), ("pi05", "fm")]
)
def test_known_first_actions_are_learned(student, tmp_path, kind, method):
    """max_delay changes the weights, and is in the student's file; the student continues queued actions."""
    few = ("training.steps=3",)
    plain, _ = student(tmp_path / "plain", kind, method, *few)
    known, logs = student(tmp_path / "known", kind, method, *few, "training.max_delay=3")
    assert (plain / "model.safetensors").read_bytes() != (known / "model.safetensors").read_bytes()
    assert all(np.isfinite(each["loss"]) for each in logs)
    files = [json.loads((path / "vla_eval_method.json").read_text()) for path in (plain, known)]
    assert [file.get("max_delay") for file in files] == [None, 3]
    assert "max_delay" not in files[0]["training"]["recipe"]["training"]
    queue = np.full((5, 7), 0.25, np.float32)
    told = dataclasses.replace(context(), left_over=queue, expected_delay=2)
    (chunk,) = load(known).infer([observation()], [told])
    assert np.array_equal(chunk.actions[:2], queue[:2])


@pytest.mark.slow
def test_known_actions_leave_something_to_learn(student, tmp_path):
    """A chunk of eight has at most seven known ones."""
    with pytest.raises(UsageError, match="max_delay = 8 leaves nothing to learn of chunks of 8"):
        student(tmp_path / "run", "smolvla", "fm", "training.max_delay=8")
