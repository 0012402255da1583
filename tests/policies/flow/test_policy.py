"""The reference policy: what it computes once, what its noise depends on, what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from fakes.flow import card, contexts, observations, save, small_network
from vla_eval.errors import PolicySpecError
from vla_eval.keys import BlindKey
from vla_eval.spec import build_policy
from vla_eval_policies.flow.checkpoint import save_checkpoint
from vla_eval_policies.flow.inputs import inputs_of, shrink, word_numbers
from vla_eval_policies.methods import METHODS, ExtraTime, KeyStone
from vla_eval_policies.methods.keystone import Selection


@pytest.fixture
def checkpoint(tmp_path):
    return save(tmp_path / "fm.safetensors", "fm")


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs(name: str, tmp_path):
    """A checkpoint of each method yields chunks in the environment's units, with its cost counted."""
    path = save(tmp_path / "x.safetensors", name)
    policy = build_policy(f"flow:{path}" + ("?nfe=4" if name == "ddpm" else ""))
    chunks = policy.infer(observations(3), contexts(3))
    assert [each.actions.shape for each in chunks] == [(4, 3)] * 3
    assert all(each.actions.dtype == np.float32 for each in chunks)
    assert chunks[0].nfe == policy.metadata.nfe
    assert policy.metadata.method == name
    assert chunks[0].prefix_ms > 0
    assert chunks[0].denoise_ms > 0
    assert policy.metadata.weights_sha256


@pytest.mark.parametrize(
    ("query", "passes"), [("nfe=10", 10), ("nfe=3&solver=heun", 3), ("keystone=4&nfe=2", 2)]
)
def test_prefix_is_encoded_once(checkpoint, query: str, passes: int):
    """One encoding an inference, whatever the steps and samples; the expert runs ``passes`` times."""
    policy = build_policy(f"flow:{checkpoint}?{query}")
    count = {"encode": 0, "expert": 0}
    for name in count:
        inner = getattr(policy._network, name)

        def counted(*arguments, name=name, inner=inner):
            count[name] += 1
            return inner(*arguments)

        setattr(policy._network, name, counted)
    policy.infer(observations(2), contexts(2))
    assert count == {"encode": 1, "expert": passes}


def test_batch_changes_nothing_but_last_bits(checkpoint):
    """A chunk is the same alone, in a batch, and in another order."""
    policy = build_policy(f"flow:{checkpoint}")
    together = policy.infer(observations(4), contexts(4))
    for i in range(4):
        alone = policy.infer(observations(4)[i : i + 1], contexts(4)[i : i + 1])[0]
        assert np.allclose(alone.actions, together[i].actions, atol=1e-5)
    backwards = policy.infer(observations(4)[::-1], contexts(4)[::-1])
    assert np.allclose(backwards[3].actions, together[0].actions, atol=1e-5)
    assert not np.allclose(together[0].actions, together[1].actions, atol=1e-3)


def test_noise_is_the_keys(checkpoint):
    """Noise depends on the key and the chunk index; two policies with the same key share it."""
    policy = build_policy(f"flow:{checkpoint}")
    (first,) = policy.infer(observations(1), contexts(1))
    (again,) = build_policy(f"flow:{checkpoint}").infer(observations(1), contexts(1))
    assert np.array_equal(first.actions, again.actions)
    later = [dataclasses.replace(contexts(1)[0], chunk_index=1)]
    assert not np.allclose(
        policy.infer(observations(1), later)[0].actions, first.actions, atol=1e-3
    )


def test_hidden_keys_have_noise_of_their_own(checkpoint):
    """By the token: repeatable, shared by two policies, another for every episode and protocol."""
    seen = observations(1) * 4
    keys = [BlindKey.of(each.key, sha) for sha in ("a" * 64, "b" * 64) for each in contexts(2)]
    hidden = [dataclasses.replace(contexts(1)[0], key=key) for key in keys]
    one, two = (build_policy(f"flow:{checkpoint}").infer(seen, hidden) for _ in range(2))
    for first, again in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.actions, again.actions)
    (shown,) = build_policy(f"flow:{checkpoint}").infer(seen[:1], contexts(1))
    assert len({each.actions.tobytes() for each in [*one, shown]}) == 5


def test_first_sample_does_not_depend_on_k(checkpoint):
    """KeyStone's first candidate is the chunk of the policy without it."""
    one, eight = (build_policy(f"flow:{checkpoint}?keystone={k}") for k in (1, 8))
    inputs = inputs_of(observations(2), ["reach"] * 2, one._network.config)
    samples = [
        policy.sample(inputs, [each.generator() for each in contexts(2)]).chunks
        for policy in (one, eight)
    ]
    assert samples[1].shape == (2, 8, 4, 8)
    assert torch.allclose(samples[0][:, 0], samples[1][:, 0], atol=1e-5)
    assert not torch.allclose(samples[1][:, 0], samples[1][:, 1], atol=1e-2)


def test_two_pictures_show_what_moves(tmp_path):
    """A policy with ``n_obs_steps`` = 2 asks for two observations, and the earlier one changes its actions."""
    policy = build_policy(f"flow:{save(tmp_path / 'two.safetensors', 'fm', 2)}")
    assert policy.metadata.n_obs_steps == 2
    before, now = observations(2)
    (context,) = contexts(1)

    def chunk(*history) -> np.ndarray:
        return policy.infer([now], [dataclasses.replace(context, history=history)])[0].actions

    assert not np.allclose(chunk(before), chunk(now), atol=1e-3)
    assert np.array_equal(chunk(), chunk(now)), "before an episode nothing moved"
    assert np.array_equal(chunk(now, before), chunk(before)), "older ones are not seen"


def test_policies_of_one_picture_say_nothing_of_more(checkpoint):
    """Their cards are those of earlier versions, and a history changes nothing."""
    policy = build_policy(f"flow:{checkpoint}")
    before, now = observations(2)
    (context,) = contexts(1)
    assert policy.metadata.n_obs_steps == 1
    assert "n_obs_steps" not in card("fm").model_dump_json()
    with_history = policy.infer([now], [dataclasses.replace(context, history=(before,))])
    assert np.array_equal(with_history[0].actions, policy.infer([now], [context])[0].actions)


def test_keystone_counts(checkpoint):
    """K × n is the NFE that is recorded, and the guard's firing rate is kept."""
    policy = build_policy(f"flow:{checkpoint}?keystone=8&nfe=2")
    chunk = policy.infer(observations(1), contexts(1))[0]
    assert chunk.nfe == policy.metadata.nfe == 16
    assert policy.metadata.options["passes"] == 2
    assert policy.metadata.options["samples"] == 8
    assert chunk.counts["keystone_selected"] == 1
    always = build_policy(f"flow:{checkpoint}?keystone=8&nfe=2&guard=100")
    assert always.infer(observations(1), contexts(1))[0].counts["keystone_fired"] == 1
    never = build_policy(f"flow:{checkpoint}?keystone=8&nfe=2&guard=0")
    assert never.infer(observations(1), contexts(1))[0].counts["keystone_fired"] == 0


def test_the_selected_sample_is_what_is_executed(checkpoint, monkeypatch):
    """KeyStone sees the executed steps of the robot's dimensions; the chunk is the one that it names."""
    policy = build_policy(f"flow:{checkpoint}?keystone=4&n_action_steps=3")
    seen = []

    def select(_, candidates):
        seen.append(candidates)
        return Selection(2, 0.1, unimodal=True)

    monkeypatch.setattr(KeyStone, "select", select)
    (chunk,) = policy.infer(observations(1), contexts(1))
    inputs = inputs_of(observations(1), ["reach the point"], policy._network.config)
    samples = policy.sample(inputs, [contexts(1)[0].generator()]).chunks
    np.testing.assert_allclose(seen[0], samples[0, :, :3, :3])
    for index, sample in enumerate(samples[0]):
        actions = policy._network.actions(sample[None], inputs.state)[0].numpy()
        assert np.allclose(actions, chunk.actions, atol=1e-5) == (index == 2)
    assert chunk.counts == {"keystone_selected": 1, "keystone_fired": 1}


def test_prefix_and_solver_are_timed_apart_in_milliseconds(checkpoint, monkeypatch):
    """From a clock in seconds: 7 ms of encoding, then 23 ms of steps."""
    seconds = iter([1.5, 1.507, 1.53])
    policy = build_policy(f"flow:{checkpoint}")
    monkeypatch.setattr("vla_eval_policies.flow.policy.time.perf_counter", lambda: next(seconds))
    (chunk,) = policy.infer(observations(1), contexts(1))
    assert (chunk.prefix_ms, chunk.denoise_ms) == pytest.approx((7, 23))


@pytest.mark.parametrize("name", ["snapflow", "meanflow", "shortcut", "fm-high-noise"])
def test_method_fm_walks_other_networks(name: str, tmp_path):
    """Networks that know the local velocity can be sampled as flow matching, with many steps."""
    path = save(tmp_path / "x.safetensors", name)
    policy = build_policy(f"flow:{path}?method=fm&nfe=10")
    assert policy.metadata.method == "fm"
    assert policy.metadata.options["trained_with"] == name
    assert policy.infer(observations(1), contexts(1))[0].nfe == 10


@pytest.mark.parametrize(
    ("name", "query", "message"),
    [
        ("fm", "method=meanflow", "trained with 'fm', and can be sampled as that or as 'fm'"),
        ("drift", "method=fm", "trained with 'drift'"),
        ("snapflow", "nfe=2", "defined for nfe=1 only"),
        ("shortcut", "nfe=3", "power of two"),
        ("fm", "nfe=0", "greater than or equal to 1"),
        ("fm", "nfe=4&solver=heun", "odd nfe"),
        ("drift", "solver=heun", "no choice of solvers"),
        ("fm", "n_action_steps=5", "chunks have 4 actions"),
        ("fm", "steps=3", "no option 'steps'"),
        ("fm", "device=cude", "cude"),
    ],
)
def test_refusals(name: str, query: str, message: str, tmp_path):
    """What a checkpoint cannot do is refused before anything runs."""
    path = save(tmp_path / "x.safetensors", name)
    with pytest.raises(PolicySpecError, match=message):
        build_policy(f"flow:{path}?{query}")


def test_refuses_other_robots(checkpoint):
    """Another camera, state or picture size is refused with a sentence."""
    policy = build_policy(f"flow:{checkpoint}")
    good = observations(1)[0]
    bad = [
        (
            {"pixels": {"front": good["pixels"]["top"]}, "agent_pos": good["agent_pos"]},
            "cameras top",
        ),
        ({**good, "agent_pos": np.zeros(4, np.float32)}, "size 3"),
        ({**good, "pixels": {"top": np.zeros((24, 24, 3), np.uint8)}}, "24×24"),
        ({**good, "pixels": {"top": np.zeros((32, 16, 3), np.uint8)}}, "16×32"),
    ]
    for observation, message in bad:
        with pytest.raises(PolicySpecError, match=message):
            policy.infer([observation], contexts(1))


def test_poses_are_not_taken_for_displacements(tmp_path):
    """A policy that learned LIBERO's poses is refused where actions are displacements."""
    recipe = {"data": {"expert": {"absolute": True}}}
    learned = card("fm").model_copy(update={"recipe": recipe})
    path = tmp_path / "poses.safetensors"
    save_checkpoint(path, small_network(ExtraTime.NONE), learned)
    policy = build_policy(f"flow:{path}")
    (context,) = contexts(1)
    displacements = dataclasses.replace(context, action_high=np.ones(3, np.float32))
    with pytest.raises(PolicySpecError, match='control_mode="absolute"'):
        policy.infer(observations(1), [displacements])
    poses = dataclasses.replace(context, action_high=np.full(3, 2.0, np.float32))
    assert len(policy.infer(observations(1), [poses])) == 1


def test_shrink_averages_blocks():
    """A picture is averaged over whole blocks; one of the right size is left alone."""
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :2] = [[[0] * 3, [100] * 3], [[100] * 3, [200] * 3]]
    assert shrink(picture, 2)[0, 0].tolist() == [100] * 3
    assert shrink(picture, 2)[1, 1].tolist() == [0] * 3
    assert shrink(picture, 4) is picture
    for factor in (2, 3, 17):  # white sums to more than 16 bits at 17
        noise = np.random.default_rng(factor).integers(0, 256, (8 * factor, 8 * factor, 3))
        for large in (noise.astype(np.uint8), np.full_like(noise, 255, np.uint8)):
            blocks = large.reshape(8, factor, 8, factor, 3)
            assert np.array_equal(shrink(large, 8), np.rint(blocks.mean((1, 3), dtype=float)))


def test_words():
    """Case and punctuation do not matter; other words have other numbers; 0 is no word."""
    assert np.array_equal(word_numbers("Put it, there", 256), word_numbers("put it there", 256))
    assert not np.array_equal(word_numbers("put it here", 256), word_numbers("put it there", 256))
    numbers = word_numbers("put it there", 256)
    assert (numbers[:3] > 0).all()
    assert (numbers[3:] == 0).all()


def test_every_input_reaches_the_actions(checkpoint):
    """Pictures, instruction and state each change the chunk."""
    policy = build_policy(f"flow:{checkpoint}")
    (observation,), (context,) = observations(1), contexts(1)
    base = policy.infer([observation], [context])[0].actions
    picture = observation["pixels"]["top"].copy()
    picture[8:20, 8:20] = 255
    others = [
        ({**observation, "pixels": {"top": picture}}, context),
        ({**observation, "agent_pos": observation["agent_pos"] + 1}, context),
        (observation, dataclasses.replace(context, instruction="something else")),
    ]
    for seen, told in others:
        assert np.abs(policy.infer([seen], [told])[0].actions - base).max() > 1e-4


def test_normalisation_is_undone():
    """actions(normalise(a)) = a in the real dimensions; padding is zero before."""
    network = small_network(ExtraTime.NONE)
    network.action_mean.normal_()
    network.action_std.uniform_(0.5, 2)
    a, state = torch.randn(5, 4, 3), torch.randn(5, 3)
    scaled = network.normalise(a, state)
    assert scaled.shape == (5, 4, 8)
    assert (scaled[..., 3:] == 0).all()
    assert torch.allclose(network.actions(scaled, state), a, atol=1e-5)
