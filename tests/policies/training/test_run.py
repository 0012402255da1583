"""Training: the same bits however often it is stopped, and refusals that say what to do."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from fakes.training import fake_frames
from vla_eval.cli import main
from vla_eval.errors import InterruptedRunError, RunFolderError, UsageError
from vla_eval.trainedon import seen
from vla_eval_policies.flow.checkpoint import load_checkpoint
from vla_eval_policies.flow.network import FlowNetwork
from vla_eval_policies.training import run
from vla_eval_policies.training.data import (
    draw_batch,
    fit_scales,
    network_for,
    read_frames,
)
from vla_eval_policies.training.loop import Optimisation, step_generator
from vla_eval_policies.training.run import train


def stop_at(step: int):
    def on_step(now, _logs):
        if now == step:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    return on_step


@pytest.mark.parametrize("method", ["fm", "shortcut", "drift"])
def test_interrupted_run_has_the_same_bits(method, recipe, tmp_path):
    """Stopped twice, once between saved states, a run ends with the file and log of an unstopped one."""
    whole = train(recipe(method), tmp_path / "whole")
    for step in (2, 5):
        with pytest.raises(InterruptedRunError, match=f"step {step}"):
            train(recipe(method), tmp_path / "parts", on_step=stop_at(step))
    parts = train(recipe(method), tmp_path / "parts")
    first, second = (load_checkpoint(path)[0].state_dict() for path in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    logs = [(path.parent / "log.jsonl").read_text() for path in (whole, parts)]
    assert logs[0] == logs[1]
    other, _, _ = load_checkpoint(train(recipe(method, "seed=1"), tmp_path / "other"))
    assert not torch.equal(first["action_out.weight"], other.state_dict()["action_out.weight"])


def test_killed_run_repeats_what_was_not_saved(recipe, tmp_path):
    """After a kill the steps since the saved state come again, with the same bits and one log."""

    class Killed(BaseException):
        pass

    def kill(step, _logs):
        if step == 5:
            raise Killed

    whole = train(recipe(), tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe(), tmp_path / "parts", on_step=kill)
    with (tmp_path / "parts" / "log.jsonl").open("a") as log:
        log.write('{"step": 5, "lo')
    parts = train(recipe(), tmp_path / "parts")
    first, second = (load_checkpoint(path)[0].state_dict() for path in (whole, parts))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert (whole.parent / "log.jsonl").read_text() == (parts.parent / "log.jsonl").read_text()


def test_known_first_actions(recipe, tmp_path):
    """max_delay changes the weights and is in the card and the recipe, which else have no such entry."""
    (known, card, _), (plain, other, _) = (
        load_checkpoint(train(recipe("snapflow", *change), tmp_path / str(len(change))))
        for change in (("training.max_delay=2",), ())
    )
    assert card.max_delay == card.recipe["training"]["max_delay"] == 2
    assert "max_delay" not in other.recipe["training"]
    assert not torch.equal(known.action_out.weight, plain.action_out.weight)
    with pytest.raises(UsageError, match="max_delay = 4 leaves nothing to learn of chunks of 4"):
        recipe("fm", "training.max_delay=4")


def test_card_and_curves(recipe, frames, tmp_path):
    """The result says what it is made of; training again does nothing; curves are a picture."""
    path = train(recipe("meanflow:one-step-vla"), tmp_path / "run")
    _, card, _ = load_checkpoint(path)
    assert card.method == "meanflow"
    assert card.hyperparameters["flow_ratio"] == 0.2
    assert card.data_sha256 == frames.sha256()
    assert card.data == "2 episodes, 60 frames: reach; grasp it"
    assert (card.steps, card.seed) == (8, 0)
    assert card.recipe["training"]["steps"] == 8
    assert card.versions["python"]
    before = path.stat().st_mtime_ns
    assert train(recipe("meanflow:one-step-vla"), tmp_path / "run") == path
    assert path.stat().st_mtime_ns == before
    assert (tmp_path / "run" / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_loss_falls(recipe, tmp_path):
    """Forty steps on sixty frames lower the loss."""
    losses = []
    train(
        recipe("mse", "training.steps=40", "training.lr=0.005"),
        tmp_path / "run",
        on_step=lambda _, logs: losses.append(logs["loss"]),
    )
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_student_starts_from_its_teacher(recipe, tmp_path):
    """With a start, the first weights are the teacher's; a frozen prefix stays as it was."""
    teacher = train(recipe("fm"), tmp_path / "teacher")
    changes = (f"training.start='{teacher}'", "training.freeze_prefix=true")
    student = train(recipe("snapflow", *changes), tmp_path / "student")
    first, _, digest = load_checkpoint(teacher)
    second, card, _ = load_checkpoint(student)
    assert card.start_sha256 == digest
    frozen = {id(each) for each in second.prefix_parameters()}
    changed = {True: 0, False: 0}
    for (name, new), old in zip(
        ((n, p) for n, p in second.named_parameters() if "time.second" not in n),
        first.parameters(),
        strict=True,
    ):
        del name
        changed[id(new) in frozen] += not torch.equal(new, old)
    assert changed[True] == 0
    assert changed[False] > 10
    assert torch.equal(first.action_std, second.action_std)


def test_start_serves_another_chunk_size(recipe, frames, monkeypatch, tmp_path):
    """The encoder is the teacher's; scales and places of the chunk's steps are the data's and new."""
    teacher = train(recipe("fm"), tmp_path / "teacher")
    shorter = dataclasses.replace(frames, chunks=2 * frames.chunks[:, :2])
    monkeypatch.setattr(run, "read_frames", lambda *_: shorter)
    changes = (f"training.start='{teacher}'", "training.freeze_prefix=true", "network.chunk_size=2")
    student = train(recipe("meanflow", *changes), tmp_path / "student")
    first, second = load_checkpoint(teacher)[0], load_checkpoint(student)[0]
    for old, new in zip(first.prefix_parameters(), second.prefix_parameters(), strict=True):
        assert torch.equal(old, new)
    assert torch.equal(first.state_std, second.state_std)
    spread = (shorter.chunks - shorter.states[:, None]).std(0)
    assert np.allclose(second.action_std, spread)
    assert second.steps.shape == (2, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["training.freeze_prefix=true"], "freeze_prefix needs a start"),
        (["training.start='nowhere.safetensors'"], "there is no checkpoint nowhere"),
        (["network.layers='many'"], "layers: Input should be a valid integer"),
        (["network.layer=3"], "unknown key 'network.layer'; did you mean 'layers'"),
        (["network.state_size=3"], "the data and the method decide that"),
        (["network.width=18"], "width 18 must be a multiple of twice the 2 heads"),
        (["network.padded_actions=2"], "need padded_actions of at least that, not 2"),
        (["training.stepz=3"], "unknown key 'training.stepz'; did you mean 'steps'"),
        (["method.name=snapflo"], "did you mean 'snapflow'"),
        (["method.alpha=1"], "method 'fm' has no hyperparameter 'alpha'"),
        (["data.datasets=[]"], "needs 'datasets', or a section \\[data.expert\\]"),
        (
            ["data.expert.task=['so101/PickPlace']"],
            "did you mean 'tasks'|'data.expert.tasks' is missing",
        ),
        (["training.batch=0"], "training.batch: Input should be greater"),
        (["training"], "expected KEY.PATH=VALUE"),
        (["seed.x=1"], "'seed' is a value|seed"),
    ],
)
def test_refusals(changes, message, recipe, tmp_path):
    """A recipe that cannot be carried out is refused with a sentence."""
    with pytest.raises(UsageError, match=message):
        train(recipe("fm", *changes), tmp_path / "run")


def test_start_of_another_size_is_refused(recipe, tmp_path):
    """A student's network must be its teacher's, apart from the second time."""
    teacher = train(recipe("fm"), tmp_path / "teacher")
    with pytest.raises(UsageError, match="its network has width = 16, the recipe's 32"):
        train(
            recipe("snapflow", f"training.start='{teacher}'", "network.width=32"),
            tmp_path / "student",
        )


def test_folder_belongs_to_its_recipe(recipe, tmp_path):
    """Another recipe on the same folder is refused, naming the difference; so is a foreign folder."""
    train(recipe("fm"), tmp_path / "run")
    with pytest.raises(RunFolderError, match="another seed \\(0\\)"):
        train(recipe("fm", "seed=1"), tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(RunFolderError, match="no training run"):
        train(recipe("fm"), tmp_path / "mine")


def test_command_line(recipe, tmp_path, capsys):
    """`vlaeval train` prints what to do next; a bad recipe is one sentence and exit code 4."""
    recipe("fm")
    arguments = ["train", str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "run")]
    assert main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["card"]["method"] == "fm"
    assert main(arguments) == 0
    assert "flow:" in capsys.readouterr().out
    assert main([*arguments, "--set", "sead=1"]) == 4
    captured = capsys.readouterr()
    assert "unknown key 'sead'; did you mean 'seed'" in captured.err
    assert main(["train", str(tmp_path / "no.toml"), "--out", str(tmp_path / "run")]) == 4


def test_chunks_end_with_their_episode():
    """Steps beyond an episode's end are padding, and repeat its last action; dimensions too."""
    frames = fake_frames()
    network = FlowNetwork(
        network_for({"image_size": 16, "chunk_size": 4, "relative_actions": False}, frames, ["top"])
    )
    _, batch = draw_batch(frames, network, 512, step_generator(0, 0))
    steps = batch.real[:, :, 0]
    assert (steps[:, 0]).all()
    assert 0 < int((~steps).sum()) < 0.2 * steps.numel()
    assert not batch.real[..., 3:].any()
    for chunk, real in zip(batch.actions, steps, strict=True):
        last = chunk[real][-1]
        assert (chunk[~real] == last).all()


def test_scales_give_unit_spread():
    """After fitting, what is learned has mean 0 and spread 1 at every step of a chunk."""
    frames = fake_frames()
    network = FlowNetwork(network_for({"image_size": 16, "chunk_size": 4}, frames, ["top"]))
    fit_scales(network, frames)
    _, batch = draw_batch(frames, network, 4096, step_generator(0, 0))
    learned = batch.actions[..., :3]
    assert learned.mean(0).abs().max() < 0.1
    assert (learned.std(0) - 1).abs().max() < 0.1
    assert (network.action_std[3] > network.action_std[0]).all()


def test_some_dimensions_are_relative():
    """With relative_actions = 2 the first two are learned relative to the state, the third is not."""
    frames = fake_frames()
    sizes = {"image_size": 16, "chunk_size": 4, "relative_actions": 2}
    network = FlowNetwork(network_for(sizes, frames, ["top"]))
    chunks, states = torch.from_numpy(frames.chunks[:5]), torch.from_numpy(frames.states[:5])
    learned = network.normalise(chunks, states)
    assert torch.equal(learned[..., :2], chunks[..., :2] - states[:, None, :2])
    assert torch.equal(learned[..., 2], chunks[..., 2])
    fit_scales(network, frames)
    back = network.actions(network.normalise(chunks, states), states)
    assert torch.allclose(back, chunks, atol=1e-5)
    with pytest.raises(UsageError, match="relative_actions = 4"):
        network_for({**sizes, "relative_actions": 4}, frames, ["top"])


def test_learning_rate():
    """It rises, then falls along a cosine to its end."""
    how = Optimisation(steps=100, lr=1.0, lr_end=0.1, warmup=10)
    assert how.lr_at(0) == pytest.approx(0.1)
    assert how.lr_at(10) == 1.0
    assert how.lr_at(55) == pytest.approx(0.55)
    assert how.lr_at(100) == pytest.approx(0.1)


def test_steps_draw_independently():
    """The numbers of a step depend on seed and step alone."""
    draws = [
        torch.rand(3, generator=step_generator(s, i)) for s, i in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def test_data_is_refused(tmp_path):
    """No folder, or one that is still being written, is said to be that."""
    with pytest.raises(UsageError, match="is no dataset"):
        read_frames([tmp_path], ["top"], 16, 4)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "vla_eval.json").write_text('{"closed": false}')
    with pytest.raises(UsageError, match="still being recorded"):
        read_frames([tmp_path], ["top"], 16, 4)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("images", ["video", "png"])
def test_from_demonstrations_to_actions(images, tmp_path):
    """Recorded episodes are read as LeRobot reads them; what is trained on them acts in the task."""
    pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
    pytest.importorskip("mujoco", reason="needs the extra 'so101'")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    from vla_eval_policies.flow.inputs import shrink

    demos = tmp_path / "demos"
    record = (
        "record",
        "so101",
        "--policy",
        "expert",
        "--tasks",
        "PickPlace",
        "--init-states",
        "0-1",
    )
    assert main([*record, "--out", str(demos), "--images", images, "--env", "image_size=128"]) == 0
    found = read_frames([demos], ["top", "wrist"], 64, 16)
    dataset = LeRobotDataset("x", root=demos, video_backend="pyav")
    assert len(found.states) == len(dataset)
    for index in (0, 3, len(dataset) - 1):
        row = dataset[index]
        for i, camera in enumerate(("top", "wrist")):
            picture = (row[f"observation.images.{camera}"].permute(1, 2, 0) * 255).round()
            expected = shrink(picture.numpy().astype(np.uint8), 64).transpose(2, 0, 1)
            assert np.abs(found.pictures[index, i].astype(int) - expected).max() <= 1
        assert np.array_equal(found.states[index], row["observation.state"].numpy())
        assert np.array_equal(found.chunks[index, 0], row["action"].numpy())
        assert found.instructions[found.instruction[index]] == row["task"]
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f'data.datasets = ["{demos}"]\nmethod.name = "fm"\ntraining.steps = 3\n')
    assert main(["train", str(recipe), "--out", str(tmp_path / "run")]) == 0
    policy = f"flow:{tmp_path / 'run' / 'policy.safetensors'}?nfe=2"
    changes = ("--set", "blocks.0.init_states.count=1", "--set", "blocks.0.max_steps=8")
    protocol = ("run", "so101-quickstart", *changes, "--policy", policy)
    rollout = tmp_path / "rollout"
    assert main([*protocol, "--out", str(rollout)]) == 0
    files = rollout.glob("episodes/*.jsonl")
    lines = [line for file in files for line in file.read_text().splitlines()]
    (record,) = [json.loads(line)["record"] for line in lines]
    assert record["outcome"] == "failure"
    assert record["steps"] == 8
    (arm,) = json.loads((rollout / "run.json").read_text())["arms"]
    assert len(arm["identity"]["trained_on"]) == 2
    assert seen(arm["identity"], [record["scene_hash"]]) == [record["scene_hash"]]
