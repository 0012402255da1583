"""The push: after the grasp only, strong enough or not, and that without it the task is PickPlace."""

from __future__ import annotations

import pytest

from vla_eval_envs.so101.pick_push import PickPush
from vla_eval_policies.experts.so101.pick_push import PickPushExpert

FORCES = (0, 10, 20, 30)


def made(push_n: int) -> PickPush:
    env = PickPush(image_size=8, push_n=push_n)
    env._cameras.picture = lambda data, camera: None
    env.reset(options={"init_state": 3})
    return env


def attempt(env: PickPush, state: int) -> list[dict]:
    """Let the expert act; return the infos of all control steps."""
    env.reset(options={"init_state": state})
    expert, infos = PickPushExpert(env), []
    for step in range(0, 600, 10):
        for action in expert.actions(step, 10):
            _, over, _, info = env.advance(action)
            infos.append({**info, "height": float(env.data.body("block").xpos[2])})
            if over:
                return infos
    return infos


@pytest.mark.parametrize("state", range(0, 20, 4))
def test_a_strong_push_drops_the_block_after_the_grasp(state):
    """At the state's tick after the grasp, once; the block falls, and the expert fetches it again."""
    env = made(30)
    infos = attempt(env, state)
    grasped = next(step for step, info in enumerate(infos, 1) if info["subgoals"]["grasped"])
    shown = grasped + int(env._states[state]["push_after_ticks"]) + 1
    assert "events" not in infos[shown - 2]
    assert infos[-1]["events"] == infos[shown - 1]["events"] == {"push": shown}
    assert min(info["height"] for info in infos[shown : shown + 15]) < 0.03
    assert infos[-1]["is_success"]
    assert max(info["height"] for info in infos) < 0.15
    env.close()


def test_a_weak_push_changes_little():
    """10 N are less than the servo's 18: the block stays in the hand."""
    env = made(10)
    infos = attempt(env, 3)
    shown = infos[-1]["events"]["push"]
    assert min(info["height"] for info in infos[shown : shown + 10]) > 0.05
    assert infos[-1]["is_success"]
    env.close()


def test_who_grasps_nothing_is_not_pushed():
    """Ten seconds of standing still."""
    env = made(30)
    action = env.hold_action()
    for _ in range(300):
        _, _, _, info = env.advance(action)
    assert "events" not in info
    assert not env.data.qfrc_applied.any()
    env.close()


def test_the_hash_covers_the_push():
    """Other tick, other length, other force: other scenes of the same pose."""
    env = made(30)
    row = dict(env._states[3])
    later = {"push_after_ticks": row["push_after_ticks"] + 1}
    env._states = [{**row, **change} for change in ({}, later, {"push_ticks": 3.0})]
    hashes = {env.reset(options={"init_state": state})[1]["scene_hash"] for state in range(3)}
    env.close()
    weaker = made(20)
    hashes.add(weaker.reset(options={"init_state": 3})[1]["scene_hash"])
    weaker.close()
    assert len(hashes) == 4
