"""Against the real packages of openpi and of AllenAI, in environments of their own, both ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vla_eval
from fakes.servers import peer, peer_server, serving
from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.record import EpisodeRecord
from vla_eval.runs.store import read_records
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import WireError
from vla_eval_policies.remote.layouts import resize_with_pad

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ONE = np.ones(7, np.float32)


def context(key: EpisodeKey, index: int, instruction: str = "move", size: int = 7) -> Context:
    bounds = ONE[:size]
    return Context(key, 4 * index, index, instruction, -bounds, bounds)


def picture_and_state(index: int, size: int):
    """Return what the peers' clients draw from the same generator."""
    generator = np.random.default_rng(index)
    picture = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return picture, generator.normal(size=size).astype(np.float32)


def test_openpi_s_client_on_our_server():
    """Chunks are those of the policy in process; openpi's way of reporting errors is kept."""
    key = EpisodeKey("openpi", "", 0, 0, 5)
    with serving("random?chunk_size=3", "--layout", "libero", "--seed", "5") as said:
        found = peer("openpi", "client_openpi.py", said["url"], "libero", "3")
    policy = build_policy("random?chunk_size=3")
    for index, actions in enumerate(found["actions"]):
        (chunk,) = policy.infer([{}], [context(key, index)])
        assert np.array_equal(np.array(actions, np.float32), chunk.actions)
    assert found["metadata"] == ["vla_eval"]
    assert found["dtype"] == "float32"
    assert found["timing"][1:] == [["infer_ms", "prev_total_ms"]] * 2
    assert "'observation/image' is missing; what came is: prompt" in found["error"]
    assert found["numpy"].startswith("1.")


def test_our_client_on_a_server_of_openpi_s_codec():
    """What goes in and comes out is what the server's own recipe says, resized as theirs is."""
    with peer_server("openpi", "server_openpi.py") as port:
        url = f"openpi:ws://127.0.0.1:{port}"
        for spec, match in (
            (url, "add .layout=libero"),
            (f"{url}?layout=libero", "n_action_steps"),
        ):
            with pytest.raises(PolicySpecError, match=match):
                build_policy(spec)
        policy = build_policy(f"{url}?layout=libero&n_action_steps=5&nfe=10")
        assert policy.metadata.options["server_metadata_sha256"]
        key = EpisodeKey("libero_spatial", "0", 0, 0, 0)
        picture, state = picture_and_state(0, 8)
        observation = {"pixels": {"agentview": picture, "wrist": picture}, "agent_pos": state}
        policy.warm_up([observation], [context(key, 0)])
        for index in range(2):
            (chunk,) = policy.infer([observation], [context(key, index)])
            assert chunk.actions.shape == (10, 7)
            assert (chunk.nfe, chunk.actions.flags.writeable) == (10, True)
        small = resize_with_pad(picture, 224)
        seed = [int(small.sum())] * 2 + [4, int(1e3 * abs(state).sum())]
        expected = np.random.default_rng(seed).uniform(-1, 1, (10, 7)).astype(np.float32)
        assert np.array_equal(chunk.actions, expected)
        broken = {**observation, "pixels": {"agentview": picture, "wrist": picture[:, :, 0]}}
        with pytest.raises((WireError, IndexError)):
            policy.infer([broken], [context(key, 2)])


def test_harness_client_on_our_server():
    """One action a step, a chunk at a time, the same in each episode; errors as messages."""
    with serving("random?chunk_size=3", "--dialect", "harness", "--seed", "5") as said:
        found = peer("harness", "client_harness.py", said["url"], "5")
    policy = build_policy("random?chunk_size=3")
    key = EpisodeKey("libero_spatial", "3", 7, 0, 5)
    chunks = [policy.infer([{}], [context(key, index)])[0].actions for index in range(2)]
    for episode in found["episodes"]:
        assert np.array_equal(np.array(episode, np.float32), np.concatenate(chunks)[:5])
    hello = found["hello"]
    assert hello["capabilities"]["vla_eval"]["policy"]["name"] == "random"
    assert hello["observation_params"]["send_wrist_image"] is True
    assert "is missing" in found["error"]


def test_our_client_on_a_harness_server():
    """Their server's actions arrive, one a step; its errors are its own words; its wishes are kept."""
    with peer_server("harness", "server_harness.py") as url:
        policy = build_policy(f"harness:{url}?nfe=10")
        assert (policy.metadata.name, policy.metadata.n_action_steps) == ("Fake", 1)
        key = EpisodeKey("libero_spatial", "0", 0, 0, 0)
        picture, state = picture_and_state(0, 8)
        observation = {"pixels": {"agentview": picture, "wrist": picture}, "agent_pos": state}
        policy.warm_up([observation], [context(key, 0)])
        got = [policy.infer([observation], [context(key, index)])[0].actions for index in range(5)]
        policy.end_episode(key, "success")
        expected = []
        for step in (0, 4):
            seed = [int(picture.sum())] * 2 + [int(1e3 * abs(state.astype(float)).sum()), step]
            expected.append(np.random.default_rng(seed).uniform(-1, 1, (4, 7)).astype(np.float32))
        expected = np.concatenate(expected)[:5]
        expected[:, 6] = np.where(expected[:, 6] < 0, -1, 1)
        assert np.array_equal(np.concatenate(got), expected)
        with pytest.raises(WireError, match="CUDA out of memory"):
            policy.infer([observation], [context(key, 0, "fail")])


def assets() -> str:
    """Return where LIBERO's assets are, or skip."""
    pytest.importorskip("libero", reason="needs the extra 'libero'")
    from vla_eval.errors import UsageError
    from vla_eval_envs.libero.assets import find_assets

    try:
        return str(find_assets(None).path)
    except UsageError as error:
        pytest.skip(str(error))


def test_harness_s_libero_on_our_server(tmp_path):
    """Their LIBERO benchmark runs two episodes of a task of its own to their ends with our policy."""
    where = assets()
    with serving("random?chunk_size=3", "--dialect", "harness") as said:
        found = peer("harness", "libero_harness.py", said["url"], str(tmp_path), where)
    (result,) = found
    (task,) = result["tasks"]
    assert [each["steps"] for each in task["episodes"]] == [8, 8]
    assert not any(each.get("failure_reason") for each in task["episodes"])


def run_libero(spec: str, folder: Path) -> list[EpisodeRecord]:
    """Run six steps of the two episodes of libero-smoke; return their records."""
    summary = vla_eval.run(
        "libero-smoke",
        {"fake": spec},
        folder,
        workers=1,
        overrides=["blocks.0.max_steps=6", "blocks.1.max_steps=6"],
    )
    assert summary.complete
    return read_records([folder / "episodes"]).attempts


def test_our_libero_on_a_harness_server(tmp_path):
    """Our LIBERO under one of our protocols, each step's action from their server."""
    assets()
    with peer_server("harness", "server_harness.py") as url:
        records = run_libero(f"harness:{url}?nfe=10", tmp_path / "run")
    assert [(each.steps, each.inferences, each.nfe) for each in records] == [(6, 6, 60)] * 2
    assert all(each.timing.warm_up_s > 0 for each in records[:1])


def test_our_libero_on_a_server_of_openpi_s_codec(tmp_path):
    """Our LIBERO in openpi's layout: two chunks an episode, executed as far as asked."""
    assets()
    with peer_server("openpi", "server_openpi.py") as port:
        spec = f"openpi:ws://127.0.0.1:{port}?layout=libero&n_action_steps=5&nfe=10"
        records = run_libero(spec, tmp_path / "run")
    assert [(each.steps, each.inferences, each.nfe) for each in records] == [(6, 2, 20)] * 2
    assert not any(each.policy_known for each in records)
