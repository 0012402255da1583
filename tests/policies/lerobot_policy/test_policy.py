"""LeRobot's checkpoints in process do what LeRobot itself does with them, and nothing silently else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.lerobot import builders
from fakes.lerobot.loading import FLOWS, LiberoLike, context, load, observation, sizes
from vla_eval.errors import PolicySpecError
from vla_eval.policy_check import policy_findings
from vla_eval.spec import build_policy

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
# Importing LeRobot's policies takes 20 s of CPU.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KINDS = ("act", "diffusion", "smolvla", "pi0", "pi05")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Callable[[str], Path]:
    """Builds each kind of checkpoint once."""
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            path = tmp_path_factory.mktemp("checkpoints") / kind
            if kind in ("pi0", "pi05"):
                made[kind] = builders.pi(path, builders.LIBERO, kind=kind)
            else:
                made[kind] = getattr(builders, kind)(path, builders.LIBERO)
        return made[kind]

    return make


def lerobots_actions(
    path: Path, seen: dict | list[dict], noise: Any, *, count: int, changes: dict[str, Any]
) -> np.ndarray:
    """Return the first actions of LeRobot's own evaluation loop, its noise replaced by ``noise``."""
    import torch
    from lerobot.configs import PreTrainedConfig
    from lerobot.envs.utils import preprocess_observation
    from lerobot.policies.factory import get_policy_class, make_pre_post_processors

    config = PreTrainedConfig.from_pretrained(path)
    for name, value in changes.items():
        setattr(config, name, value)
    with sizes(config.type):
        policy = get_policy_class(config.type).from_pretrained(path, config=config)
    before, after = make_pre_post_processors(config, str(path))
    many = seen if isinstance(seen, list) else [seen] * count
    arguments = {}
    if config.type in ("smolvla", "diffusion"):
        arguments["noise"] = noise
    elif config.type in ("pi0", "pi05"):
        policy.model.sample_noise = lambda *_: noise
    policy.reset()
    actions = []
    with torch.inference_mode():
        for each in many:
            pixels = {"image": each["pixels"]["agentview"], "image2": each["pixels"]["wrist"]}
            raw = {
                "pixels": {name: picture[None] for name, picture in pixels.items()},
                "agent_pos": each["agent_pos"][None],
            }
            batch = preprocess_observation(raw) | {"task": [context().instruction]}
            actions.append(after(policy.select_action(before(batch), **arguments)).numpy()[0])
    return np.stack(actions)


@pytest.mark.parametrize("kind", KINDS)
def test_same_actions_as_lerobot(folder, kind):
    """A chunk is, bit for bit, what LeRobot's select_action hands out for the same noise."""
    import torch

    shape = {"diffusion": (1, 16, 7)}.get(kind, (1, 50, 32))
    noise = torch.from_numpy(context().generator().standard_normal(shape, np.float32))
    steps = 8 if kind == "diffusion" else 10
    theirs = lerobots_actions(
        folder(kind), observation(), noise, count=steps, changes={"n_action_steps": steps}
    )
    (chunk,) = load(folder(kind)).infer([observation()], [context()])
    assert chunk.actions.dtype == np.float32
    np.testing.assert_array_equal(chunk.actions[:steps], theirs)
    assert np.ptp(theirs) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_the_contract_is_kept(folder, kind):
    """Whatever LeRobot keeps inside, episodes do not disturb each other, and noise is their own."""
    policy = load(folder(kind))
    findings = policy_findings(policy, LiberoLike(), "libero_spatial", "0")
    assert [each for each in findings if not each.ok] == []


@pytest.mark.parametrize("kind", KINDS)
def test_batch_changes_nothing_but_the_last_bits(folder, kind):
    """Noise belongs to an episode's chunk: neighbours in a batch and their order do not matter."""
    policy = load(folder(kind))
    seen = [observation(i) for i in range(3)]
    contexts = [context(state=i) for i in range(3)]
    together = policy.infer(seen, contexts)
    for i in (2, 0):
        (alone,) = policy.infer([seen[i]], [contexts[i]])
        np.testing.assert_allclose(together[i].actions, alone.actions, atol=2e-4)
    if kind != "act":
        same = policy.infer([seen[0], seen[0]], contexts[:2])
        assert not np.allclose(same[0].actions, same[1].actions)


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize(("options", "nfe"), [("nfe=1", 1), ("nfe=10", 10), ("", 10)])
def test_function_evaluations_are_counted(folder, kind, options, nfe):
    """The expert is called exactly as often as the chunk and the identity say."""
    policy = load(folder(kind), options)
    model = policy.loaded.policy.model
    calls, step = [], model.denoise_step
    model.denoise_step = lambda **arguments: calls.append(1) or step(**arguments)
    (chunk,) = policy.infer([observation()], [context()])
    assert len(calls) == chunk.nfe == policy.metadata.nfe == nfe
    assert chunk.prefix_ms > 0
    assert chunk.denoise_ms > 0
    assert policy.metadata.method == "fm"


def test_one_step_shares_its_noise_with_ten(folder):
    """Arms that differ in the number of steps start from the same noise, chunk by chunk."""
    starts = {}
    for nfe in (1, 10):
        policy = load(folder("smolvla"), f"nfe={nfe}")
        model = policy.loaded.policy.model
        step = model.denoise_step
        seen = starts.setdefault(nfe, [])
        model.denoise_step = lambda step=step, seen=seen, **arguments: (
            seen.append(arguments["x_t"].numpy().copy()) or step(**arguments)
        )
        for chunk in (0, 1):
            policy.infer([observation()], [context(chunk)])
    np.testing.assert_array_equal(starts[1][0], starts[10][0])
    np.testing.assert_array_equal(starts[1][1], starts[10][10])
    assert not np.array_equal(starts[1][0], starts[1][1])


@pytest.mark.parametrize("kind", FLOWS)
def test_other_solvers(folder, kind):
    """Heun asks at the times of its steps' ends, and spends an odd number of evaluations."""
    policy = load(folder(kind), "solver=heun&nfe=3")
    model, times = policy.loaded.policy.model, []
    step = model.denoise_step
    model.denoise_step = lambda **arguments: (
        times.append(float(arguments["timestep"][0])) or step(**arguments)
    )
    (chunk,) = policy.infer([observation()], [context()])
    assert times == [1.0, 0.5, 0.5]
    assert chunk.nfe == 3
    assert policy.metadata.solver == "heun"


def test_keystone_executes_one_of_its_samples(folder):
    """KeyStone's chunk is one of the K that single draws would give; it costs K evaluations."""
    policy = load(folder("smolvla"), "nfe=1&keystone=4")
    encoded = []
    forward = policy.loaded.policy.model.embed_prefix
    policy.loaded.policy.model.embed_prefix = lambda *a, **k: encoded.append(1) or forward(*a, **k)
    (chunk,) = policy.infer([observation()], [context()])
    assert chunk.nfe == policy.metadata.nfe == 4
    assert (policy.metadata.nfe, policy.metadata.passes, policy.metadata.samples) == (4, 1, 4)
    assert chunk.counts["keystone_selected"] == 1
    assert chunk.counts["keystone_fired"] in (0, 1)
    assert len(encoded) == 1
    one = load(folder("smolvla"), "nfe=1")
    (first,) = one.infer([observation()], [context()])
    repeated = one.infer([observation()] * 2, [context()] * 2)
    np.testing.assert_allclose(first.actions, repeated[0].actions, atol=1e-5)
    import torch

    from vla_eval_policies.lerobot_policy.noise import Noise

    drawn = Noise([context()], (50, 32), copies=4, device=torch.device("cpu"))()
    candidates = []
    for noise in drawn:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Noise, "__call__", lambda _, noise=noise: noise[None])
            candidates.append(one.infer([observation()], [context()])[0].actions)
    np.testing.assert_allclose(candidates[0], first.actions, atol=1e-5)
    distances = [np.abs(each - chunk.actions).max() for each in candidates]
    assert min(distances) < 1e-4
    assert max(distances) > 1e-2


def test_bfloat16_is_recorded_and_close(folder):
    """dtype=bfloat16 changes actions by rounding only, and the identity says so."""
    exact = load(folder("smolvla"), "nfe=10")
    rounded = load(folder("smolvla"), "nfe=10&dtype=bfloat16")
    assert rounded.metadata.dtype == "bfloat16"
    a, b = (each.infer([observation()], [context()])[0].actions for each in (exact, rounded))
    assert a.dtype == b.dtype == np.float32
    assert 0 < np.abs(a - b).max() < 0.1


def test_diffusion_looks_back_as_lerobot_does(folder):
    """In mid-episode it is conditioned on the control step before, as in LeRobot's own loop."""
    import dataclasses

    import torch

    steps = 8
    noise = torch.from_numpy(context().generator().standard_normal((1, 16, 7), np.float32))
    seen = [observation(i) for i in range(steps + 1)]
    theirs = lerobots_actions(
        folder("diffusion"), seen, noise, count=steps + 1, changes={"n_action_steps": steps}
    )
    policy = load(folder("diffusion"))
    assert policy.metadata.n_obs_steps == 2
    later = dataclasses.replace(context(), step=steps, history=(seen[-2],))
    (chunk,) = policy.infer([seen[-1]], [later])
    np.testing.assert_array_equal(chunk.actions[0], theirs[-1])
    (blind,) = policy.infer([seen[-1]], [context()])
    assert not np.allclose(chunk.actions, blind.actions)
    with pytest.raises(PolicySpecError, match="looks back 1 control steps, but whoever drives it"):
        policy.infer([seen[-1]], [context(1)])


def test_diffusion_one_step_starts_where_the_noise_is(folder):
    """With nfe=1 the network is asked at the last training timestep, not at 0."""
    policy = load(folder("diffusion"), "nfe=1")
    times = []
    policy.loaded.policy.diffusion.unet.register_forward_pre_hook(
        lambda _, inputs: times.append(int(inputs[1][0]))
    )
    (chunk,) = policy.infer([observation()], [context()])
    assert times == [99]
    assert chunk.nfe == 1
    assert policy.metadata.solver == "ddim-trailing"
    assert chunk.actions.shape == (15, 7)


def test_what_it_says_of_an_observation(folder):
    """Everything that goes in is listed; a state in other units, and a long instruction, stand out."""
    import dataclasses

    policy = load(folder("smolvla"))
    found = {each.name: each for each in policy.explain(observation(), context())}
    assert "from camera wrist: 256x256" in found["observation.images.image2"].detail
    assert all(each.ok for each in found.values())
    assert "-1 opens, +1 closes" in found["gripper"].detail
    degrees = observation()
    degrees["agent_pos"] = degrees["agent_pos"] * 57.3
    wrong = {each.name: each for each in policy.explain(degrees, context())}
    assert not wrong["normalised by mean_std"].ok
    long = dataclasses.replace(context(), instruction="and then " * 60)
    assert not {each.name: each for each in policy.explain(observation(), long)}["instruction"].ok


def test_a_gripper_of_another_convention_stands_out(folder, tmp_path):
    """LIBERO's gripper is -1 or 1; a checkpoint trained on 0 to 1 never opens it."""
    from safetensors.torch import load_file, save_file

    path = copy(folder("act"), tmp_path / "copy")
    (file,) = path.glob("policy_postprocessor_*.safetensors")
    statistics = load_file(file)
    statistics["action.min"][6], statistics["action.max"][6] = 0.0, 1.0
    save_file(statistics, file)
    found = {each.name: each for each in load(path).explain(observation(), context())}
    assert not found["gripper"].ok
    assert "trained on 0 to 1, of -1 to 1" in found["gripper"].detail


def test_an_observation_made_up_for_measuring(folder):
    """It fits the checkpoint, whatever its cameras are called."""
    for kind in ("act", "smolvla"):
        policy = load(folder(kind))
        observation, context = policy.example(3)
        (chunk,) = policy.infer([observation], [context])
        assert chunk.actions.shape == (policy.metadata.chunk_size, 7)


def copy(path: Path, to: Path) -> Path:
    shutil.copytree(path, to)
    return to


def change_weights(path: Path, change: Callable[[dict], object]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors")


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("act", lambda w: w.pop("model.action_head.bias"), "lacks 'model.action_head.bias'"),
        ("pi05", lambda w: w.pop("model.time_mlp_in.bias"), "lacks 'model.time_mlp_in.bias'"),
        ("smolvla", lambda w: w.pop("model.state_proj.bias"), "lacks 'model.state_proj.bias'"),
        ("act", lambda w: w.update(extra=w["model.action_head.bias"].clone()), "no place for: 'ex"),
        (
            "act",
            lambda w: w.update({"normalize_inputs.buffer_x.mean": w["model.action_head.bias"] + 0}),
            "migrate_policy_normalization",
        ),
        (
            "pi05",
            lambda w: w.update({"model.time_mlp_in.bias": w["model.time_mlp_in.bias"][:3].clone()}),
            r"'model.time_mlp_in.bias' is \(3,\) in model.safetensors, but \(32,\) in the model",
        ),
        ("act", lambda w: w["model.action_head.bias"].fill_(float("nan")), "is not a number"),
    ],
)
def test_incomplete_weights(folder, tmp_path, kind, change, says):
    """What LeRobot logs or prints before going on with random numbers is refused."""
    path = copy(folder(kind), tmp_path / "copy")
    change_weights(path, change)
    with pytest.raises(PolicySpecError, match=says):
        load(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("observation.state.std"), "no 'std' of observation.state is stored"),
        (lambda s: s["observation.state.std"].fill_(float("inf")), "is not finite"),
    ],
)
def test_incomplete_statistics(folder, tmp_path, change, says):
    """Without statistics LeRobot passes numbers on as they are; here the feature is named."""
    from safetensors.torch import load_file, save_file

    path = copy(folder("act"), tmp_path / "copy")
    (file,) = path.glob("policy_preprocessor_*.safetensors")
    statistics = load_file(file)
    change(statistics)
    save_file(statistics, file)
    with pytest.raises(PolicySpecError, match=says):
        load(path)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("act", "nfe=3", "no solver whose steps nfe could set"),
        ("act", "method=snapflow", "option method is for smolvla, pi0, pi05, not for 'act'"),
        ("act", "dtype=bfloat16", "dtype=bfloat16 is for smolvla, pi0 and pi05"),
        ("act", "compile=true", "option compile is for smolvla, pi0, pi05, not for 'act'"),
        ("act", "n_action_steps=11", "n_action_steps=11, but a chunk has 10 actions"),
        ("act", "device=cuda:77", "device 'cuda:77' is not here"),
        ("act", "tokenizer=x", "it has no tokenizer"),
        ("diffusion", "nfe=101", "trained on 100 timesteps"),
        ("smolvla", "method=snapflow", "needs a network with the second time 'target'"),
        ("smolvla", "method=drift&nfe=4", "method 'drift' is defined for nfe=1 only"),
        ("smolvla", "solver=heun&nfe=4", "solver 'heun' needs an odd nfe"),
        ("smolvla", "method=ddim", "needs a network that predicts noise,"),
        ("smolvla", "method=slowflow", "did you mean"),
        ("smolvla", "vlm=nowhere/at-all", "cannot build this smolvla"),
    ],
)
def test_options_that_do_not_suit(folder, kind, options, says, monkeypatch):
    """An option that a checkpoint cannot honour is refused, never ignored."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PolicySpecError, match=says):
        load(folder(kind), options)


def test_unknown_type(folder, tmp_path):
    """A type that LeRobot does not know is named, with the nearest one."""
    path = copy(folder("act"), tmp_path / "copy")
    config = json.loads((path / "config.json").read_text()) | {"type": "smolvlaa"}
    (path / "config.json").write_text(json.dumps(config))
    with pytest.raises(PolicySpecError, match="did you mean 'smolvla'"):
        build_policy(f"lerobot:{path}")
