"""A time for each action token in LeRobot's experts, and students that continue queued actions."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from fakes.lerobot import builders
from fakes.lerobot.loading import FLOWS, context, load, observation
from vla_eval.errors import PolicySpecError

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHUNK = 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A tiny checkpoint of each kind."""
    root = tmp_path_factory.mktemp("flows")
    sized = {"chunk_size": CHUNK, "n_action_steps": CHUNK}
    return {
        "smolvla": builders.smolvla(root / "smolvla", builders.LIBERO, **sized),
        "pi0": builders.pi(root / "pi0", builders.LIBERO, kind="pi0", **sized),
        "pi05": builders.pi(root / "pi05", builders.LIBERO, kind="pi05", **sized),
    }


@pytest.fixture(scope="module")
def completing(folders, tmp_path_factory):
    """The same checkpoints, with a file that says they were trained with up to two known actions."""
    made = {}
    for kind, folder in folders.items():
        made[kind] = tmp_path_factory.mktemp("students") / kind
        shutil.copytree(folder, made[kind])
        told = {"format": 1, "method": "fm", "hyperparameters": {}, "periods": [0.5, 4]}
        (made[kind] / "vla_eval_method.json").write_text(json.dumps(told | {"max_delay": 2}))
    return made


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("second", ["none", "interval"])
def test_equal_times_are_one_time(folders, kind, second):
    """For every expert, with a second time and without; other times give another velocity."""
    import torch

    from vla_eval_policies.lerobot_policy.extra_time import attach
    from vla_eval_policies.lerobot_policy.flow import Expert, LeRobotField, encode
    from vla_eval_policies.lerobot_policy.token_times import TokenTimes
    from vla_eval_policies.methods import ExtraTime

    policy = load(folders[kind])
    loaded = policy.loaded
    torch.manual_seed(0)
    branch = None if second == "none" else attach(loaded.policy, ExtraTime.INTERVAL)
    if branch is not None:
        torch.nn.init.normal_(branch.second[-1].weight, std=0.5)
    expert = Expert(loaded.policy.model, branch, token_times=TokenTimes(loaded.policy))
    seen, told = [observation(0), observation(1)], [context(), context()]
    from vla_eval_policies.lerobot_policy.batch import raw_batch

    with torch.no_grad():
        batch = loaded.preprocess(raw_batch(policy.binding(seen[0], told[0]), seen, told))
        field = LeRobotField(expert, encode(loaded.policy, batch))
        x = torch.randn(2, CHUNK, int(loaded.policy.config.max_action_dim))
        t, extra = torch.tensor([0.25, 0.75]), torch.tensor([0.1, 0.6])
        r = None if branch is None else extra
        by_chunk = field(x, t, r)
        every = t[:, None].repeat(1, CHUNK)
        r_every = None if r is None else r[:, None].repeat(1, CHUNK)
        torch.testing.assert_close(field(x, every, r_every), by_chunk)
        every[:, :3] = 0.0
        assert (field(x, every, r_every) - by_chunk).abs().max() > 1e-4
        assert torch.equal(field(x, t, r), by_chunk), "nothing stays behind"


def test_an_expert_without_token_times_says_so(folders):
    """Instead of an error of LeRobot's."""
    import torch

    from vla_eval_policies.lerobot_policy.flow import Expert

    expert = Expert(load(folders["smolvla"]).loaded.policy.model)
    with pytest.raises(ValueError, match="one time for each chunk"):
        expert(None, torch.zeros(1, CHUNK, 32), torch.zeros(1, CHUNK), None)


QUEUE = np.full((3, 7), 0.5, np.float32)
EMPTY = np.empty((0, 7), np.float32)


def chunk(policy, left_over=None, delay=0):
    told = dataclasses.replace(context(), left_over=left_over, expected_delay=delay)
    return policy.infer([observation()], [told])[0].actions


@pytest.mark.parametrize("kind", FLOWS)
def test_known_actions_are_returned_and_change_the_rest(completing, kind):
    """The first min(n, d) actions are the queue's, bit for bit; the others depend on them."""
    policy = load(completing[kind], "nfe=2")
    plain = chunk(policy)
    for nothing in (None, EMPTY):
        assert np.array_equal(chunk(policy, nothing, 2), plain)
    continued = chunk(policy, QUEUE, 2)
    assert np.array_equal(continued[:2], QUEUE[:2])
    assert np.abs(continued[2:] - plain[2:]).max() > 1e-4
    assert not np.array_equal(continued[2], QUEUE[2])
    naive = load(completing[kind], "nfe=2&naive=true")
    assert np.array_equal(chunk(naive, QUEUE, 3), plain)
    assert (policy.metadata.options["max_delay"], naive.metadata.options["naive"]) == (2, True)


def test_a_batch_of_some_with_a_queue_and_some_without(completing):
    """Each is as it is alone, but for the last bits."""
    policy = load(completing["smolvla"], "nfe=2&keystone=2")
    queued = dataclasses.replace(context(), left_over=QUEUE, expected_delay=2)
    both = policy.infer([observation(), observation()], [context(), queued])
    alone = [policy.infer([observation()], [each])[0] for each in (context(), queued)]
    for one, other in zip(both, alone, strict=True):
        np.testing.assert_allclose(one.actions, other.actions, atol=1e-4)


def test_what_it_cannot_continue_is_refused(completing, folders):
    """One sentence each, with the remedy."""
    with pytest.raises(PolicySpecError, match=r"trained to continue at most 2.*max_delay = 3"):
        chunk(load(completing["smolvla"]), QUEUE, 3)
    with pytest.raises(PolicySpecError, match="naive=true is for students trained with max_delay"):
        load(folders["smolvla"], "naive=true")
    with pytest.raises(PolicySpecError, match="leave the option compile out"):
        load(completing["smolvla"], "compile=true")


def test_other_students_keep_their_file_and_identity(folders):
    """Both say nothing of known actions."""
    from vla_eval_policies.lerobot_policy.extra_time import Student, read_student, write_student
    from vla_eval_policies.methods import make_method

    assert not {"max_delay", "naive"} & set(load(folders["smolvla"]).metadata.options)
    target = folders["smolvla"].parent / "file"
    target.mkdir()
    write_student(target, Student(make_method("fm")))
    assert "max_delay" not in (target / "vla_eval_method.json").read_text()
    assert read_student(target).max_delay == 0
