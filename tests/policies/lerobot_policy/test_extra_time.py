"""Second times in LeRobot's action experts: nothing at first, and kept by saving and loading."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from fakes.lerobot import builders
from fakes.lerobot.loading import FLOWS, context, load, observation
from vla_eval.errors import PolicySpecError

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

METHODS = ("snapflow", "meanflow", "shortcut")
ODD_SCENES = """{"format": 1, "periods": [0.5, 4], "method": "fm", "hyperparameters": {},
 "training": {"trained_on": ["all"]}}"""


def student(folder, to, method, *, scale=0.0):
    """Give a checkpoint the second time of a method, its last layer drawn with this spread."""
    import torch

    from vla_eval_policies.lerobot_policy.extra_time import Student, attach, write_student
    from vla_eval_policies.methods import make_method

    policy = load(folder).loaded.policy
    made = make_method(method)
    torch.manual_seed(1)
    branch = attach(policy, made.extra_time)
    if scale:
        last = branch.second if method == "shortcut" else branch.second[-1]
        torch.nn.init.normal_(last.weight, std=scale)
    shutil.copytree(folder, to)
    policy.save_pretrained(to)
    write_student(to, Student(made))
    return to


@pytest.fixture(scope="module")
def flow_folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("flows")
    return {
        "smolvla": builders.smolvla(root / "smolvla", builders.LIBERO),
        "pi0": builders.pi(root / "pi0", builders.LIBERO, kind="pi0"),
        "pi05": builders.pi(root / "pi05", builders.LIBERO, kind="pi05"),
    }


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("method", METHODS)
def test_identity_at_initialisation(flow_folders, tmp_path, kind, method):
    """Saved, loaded and sampled along its velocity, a fresh student is its teacher bit for bit."""
    path = student(flow_folders[kind], tmp_path / "student", method)
    for nfe in (1, 4):
        teacher = load(flow_folders[kind], f"nfe={nfe}")
        fresh = load(path, f"method=fm&nfe={nfe}")
        (a,), (b,) = (each.infer([observation()], [context()]) for each in (teacher, fresh))
        np.testing.assert_array_equal(a.actions, b.actions)
    jump = load(path)
    assert (jump.metadata.method, jump.metadata.nfe) == (method, 1)
    (own,) = jump.infer([observation()], [context()])
    (one,) = load(flow_folders[kind], "nfe=1").infer([observation()], [context()])
    np.testing.assert_array_equal(own.actions, one.actions)


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("method", ["snapflow", "meanflow"])
def test_a_trained_branch_is_kept_and_used(flow_folders, tmp_path, kind, method):
    """After saving and loading, the second time changes what the student does, and only then."""
    path = student(flow_folders[kind], tmp_path / "student", method, scale=0.5)
    (jump,) = load(path).infer([observation()], [context()])
    (walk,) = load(path, "method=fm&nfe=1").infer([observation()], [context()])
    assert not np.array_equal(jump.actions, walk.actions)
    again = load(path)
    np.testing.assert_array_equal(
        again.infer([observation()], [context()])[0].actions, jump.actions
    )
    assert again.metadata.weights_sha256 != load(flow_folders[kind]).metadata.weights_sha256


@pytest.mark.parametrize("kind", FLOWS)
def test_a_compiled_expert_rounds_otherwise_and_no_more(flow_folders, tmp_path, kind):
    """Its chunks are those of the eager one, second time included; the warm-up compiles it all."""
    from torch._dynamo.utils import counters

    path = student(flow_folders[kind], tmp_path / "student", "snapflow", scale=0.5)
    eager, compiled = load(path), load(path, "compile=true")
    assert eager.metadata.options["compile"] is False
    assert compiled.metadata.options["compile"] is True
    compiled.warm_up([observation()] * 3, [context()] * 3)
    programs = counters["stats"]["unique_graphs"]
    for batch, words in ((1, "go"), (2, "push the plate to the front of the stove"), (4, "")):
        seen = [observation(i) for i in range(batch)]
        whose = [replace(context(1, i), instruction=words) for i in range(batch)]
        made = zip(compiled.infer(seen, whose), eager.infer(seen, whose), strict=True)
        for close, exact in made:
            np.testing.assert_allclose(close.actions, exact.actions, atol=2e-5, rtol=0)
    assert counters["stats"]["unique_graphs"] == programs
    (walked,) = load(path, "method=fm&nfe=1").infer([observation()], [context(1)])
    (jumped,) = eager.infer([observation()], [context(1)])
    assert np.abs(walked.actions - jumped.actions).max() > 1e-2


def test_what_cannot_be_compiled_is_said(flow_folders, monkeypatch):
    """Where there is no compiler, the warm-up ends with a sentence."""
    import torch

    def broken(*_):
        raise RuntimeError("No working C++ compiler found\nfurther lines")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    policy = load(flow_folders["smolvla"], "compile=true&nfe=1")
    says = r"torch\.compile failed \(RuntimeError: No working C\+\+ .* found\); leave the option"
    with pytest.raises(PolicySpecError, match=says):
        policy.warm_up([observation()], [context()])


def test_branch_without_its_weights(flow_folders, tmp_path):
    """A student's file beside weights that hold no branch is refused by the missing names."""
    from vla_eval_policies.lerobot_policy.extra_time import Student, write_student
    from vla_eval_policies.methods import make_method

    path = tmp_path / "student"
    shutil.copytree(flow_folders["smolvla"], path)
    write_student(path, Student(make_method("snapflow")))
    with pytest.raises(PolicySpecError, match=r"lacks 'model\.extra_time\.second\.1\.weight'"):
        load(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ('{"format": 2}', "another format than 1"),
        ('{"format": 1, "periods": [0.5, 4], "method": "snap", "hyperparameters": {}}', "snapflow"),
        ('{"format": 1}', "cannot be read: KeyError: 'periods'"),
        (ODD_SCENES, "trained_on must be shortened scene hashes"),
    ],
)
def test_unreadable_student(flow_folders, tmp_path, content, says):
    """A damaged file is named."""
    from vla_eval_policies.lerobot_policy.checkpoint import SIDECAR
    from vla_eval_policies.lerobot_policy.extra_time import read_student

    (tmp_path / SIDECAR).write_text(content)
    with pytest.raises(PolicySpecError, match=says):
        read_student(tmp_path)


def test_lerobots_own_sampler_is_stopped(flow_folders, tmp_path):
    """Sampled without its second time a student would be something else: that raises."""
    from vla_eval_policies.lerobot_policy.batch import raw_batch

    path = student(flow_folders["smolvla"], tmp_path / "student", "snapflow")
    policy = load(path)
    binding = policy.binding(observation(), context())
    batch = policy.loaded.preprocess(raw_batch(binding, [observation()], [context()]))
    with pytest.raises(ValueError, match="takes a second time"):
        policy.loaded.policy.predict_action_chunk(batch)


def test_drift_is_pinned_to_the_noise(flow_folders):
    """Drift asks the expert once, at t = 1."""
    policy = load(flow_folders["pi05"], "method=drift")
    model, times = policy.loaded.policy.model, []
    step = model.denoise_step
    model.denoise_step = lambda **arguments: (
        times.append(arguments["timestep"].tolist()) or step(**arguments)
    )
    (chunk,) = policy.infer([observation()], [context()])
    assert times == [[1.0]]
    assert chunk.nfe == policy.metadata.nfe == 1
