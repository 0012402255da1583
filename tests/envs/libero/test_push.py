"""The push: while the object is carried only, strong enough or not, and that without it the task is LIBERO's."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fakes.libero import arrays, differing, opened, wait
from vla_eval.errors import UsageError
from vla_eval_envs.libero.env import LiberoEnv
from vla_eval_envs.libero.push import CARRIED_STEPS, Push, Pusher
from vla_eval_policies.experts.libero.expert import LiberoExpert
from vla_eval_policies.experts.motion import PACES

small = functools.partial(opened, image_size=16)
KEY = {"seed": 7, "init_state": 3}
MOVING_NONE = [("goal", 0), ("goal", 7)]
NEVER_CARRIED = [("goal", 5)]  # a plate, which the expert drags
EVERY = [
    (suite, task)
    for suite in ("spatial", "object", "goal", "10")
    for task in range(10)
    if (suite, task) not in MOVING_NONE + NEVER_CARRIED
]


@dataclass(frozen=True)
class Step:
    """What is known after a control step."""

    info: dict
    carried: bool
    """Whether robosuite says that both fingers touch the object, and that nothing but the robot does."""
    gap_m: float
    height_m: float
    speed_mps: float
    forced: bool
    action: np.ndarray


def pusher(env) -> Pusher:
    (pusher,) = env._events.begun
    return pusher


def carried(env, name: str) -> bool:
    """Say it with names of geoms, as robosuite does."""
    scene = env.robosuite_env
    thing, robot = scene.objects_dict[name], scene.robots[0]
    fingers = [robot.gripper.important_geoms[f"{side}_finger"] for side in ("left", "right")]
    touching = scene.get_contacts(thing) - {*robot.gripper.contact_geoms}
    return scene._check_grasp(fingers, thing.contact_geoms) and not touching


def observed(env, name: str, action: np.ndarray) -> Step:
    info = env.advance(action)[3]
    scene = env.robosuite_env
    data = scene.sim.data._data
    joint = data.joint(scene.objects_dict[name].joints[0])
    fingers = [data.joint(each) for each in scene.robots[0].gripper.joints]
    return Step(
        info,
        carried(env, name),
        abs(float(fingers[0].qpos[0] - fingers[1].qpos[0])),
        float(joint.qpos[2]),
        float(np.linalg.norm(joint.qvel[:3])),
        bool(data.qfrc_applied.any()),
        action,
    )


def attempt(env, limit: int = 250) -> Iterator[Step]:
    """Let the expert act until it succeeds."""
    expert, step = LiberoExpert(env, pace=PACES["normal"], generator=np.random.default_rng(0)), 0
    scene = env.robosuite_env
    name = next(
        part[1] for part in scene.parsed_problem["goal_state"] if part[1] in scene.objects_dict
    )
    while step < limit:
        for action in expert.actions(step, 5):
            yield (done := observed(env, name, action))
            step += 1
            if done.info["is_success"]:
                return


def until_pushed(env, more: int, limit: int = 250) -> list[Step]:
    """Let the expert act until some control steps after the push has begun."""
    steps: list[Step] = []
    for step in attempt(env, limit):
        steps.append(step)
        if len(steps) == step.info.get("events", {}).get("push", limit) + more:
            break
    return steps


@pytest.fixture(scope="module")
def env(libero_assets):
    with small("goal", 1, physics="fast", push_n=40) as env:
        yield env


@pytest.mark.parametrize("state", [3, *(pytest.param(i, marks=pytest.mark.slow) for i in (0, 6))])
def test_a_strong_push_opens_the_hand_once(env, state: int):
    """At its control step of carrying, for its length; the bowl falls at once, and the expert fetches it again."""
    env.start(seed=7, init_state=state)
    push, steps = pusher(env)._push, list(attempt(env))
    shown = steps[-1].info["events"]["push"]
    due = CARRIED_STEPS + push.after_ticks
    assert all(step.carried for step in steps[shown - 1 - due : shown - 1])
    assert not steps[shown - 2 - due].carried
    assert [i for i, step in enumerate(steps, 1) if step.forced] == [
        *range(shown, shown + push.ticks)
    ]
    assert all(step.info.get("events") == {"push": shown} for step in steps[shown - 1 :])
    assert "events" not in steps[shown - 2].info
    before, after = steps[shown - 2], steps[shown - 1 : shown + 9]
    assert max(step.gap_m for step in after) > before.gap_m + 0.03
    assert not any(step.carried for step in after)
    assert min(step.height_m for step in after) < before.height_m - 0.02
    assert steps[-1].info["is_success"]


def test_nothing_explodes(env):
    """What falls is not thrown: it rises no higher than it was carried, and is as fast as a fall of 15 cm."""
    env.start(seed=7, init_state=5)
    steps = until_pushed(env, 30)
    shown = steps[-1].info["events"]["push"]
    assert max(step.height_m for step in steps[shown:]) < steps[shown - 2].height_m + 0.01
    assert max(step.speed_mps for step in steps) < np.sqrt(2 * 9.81 * 0.15)


def test_a_weak_push_is_told_and_changes_little(libero_assets):
    """A bottle between the fingers is held by 17 N: 10 N move the fingers by less than half a millimetre."""
    with small("object", 4, physics="fast", push_n=10) as env:
        env.start(**KEY)
        steps = until_pushed(env, 10)
        shown = steps[-1].info["events"]["push"]
        assert any(step.forced for step in steps)
        assert all(step.carried for step in steps[shown - 1 :])
        assert max(step.gap_m for step in steps[shown - 1 :]) < steps[shown - 2].gap_m + 5e-4


def test_the_range_of_the_fingers_is_opened_wholly(env):
    """The longest push takes the fingers to their ends, 8 cm apart, and not through them."""
    env.start(**KEY)
    event = pusher(env)
    event._push = replace(event._push, ticks=6)
    widest = max(step.gap_m for step in until_pushed(env, 6))
    assert widest == pytest.approx(0.08, abs=4e-3)


def test_who_carries_nothing_is_not_pushed(env):
    """A hand that stands still, and one that has not lifted the bowl off the table."""
    env.start(**KEY)
    assert "events" not in wait(env, 40)
    env.start(**KEY)
    grasped = 0
    for step in attempt(env):
        if step.carried:
            break
        geoms = pusher(env)._handled.contacts()[0]
        grasped += pusher(env)._handled.held(geoms)
        assert pusher(env)._carried == 0
        assert not step.forced
    assert grasped > 0


def test_carrying_that_is_interrupted_counts_from_the_beginning(env, monkeypatch):
    """The push waits for so many control steps in a row."""
    env.start(**KEY)
    event = pusher(env)
    due = CARRIED_STEPS + event._push.after_ticks
    seen = iter([True] * (due - 1) + [False] + [True] * due)
    monkeypatch.setattr(event, "_is_carried", lambda: next(seen))
    assert "events" not in wait(env, 2 * due - 1)
    assert wait(env, 1)["events"] == {"push": 2 * due}


def test_level_zero_is_the_task(env):
    """Until the push begins, and at level 0 for ever, model and data are those of the task, bit for bit."""
    with small("goal", 1, physics="fast") as plain:
        assert plain._events.begun == []
        task, pushed = plain.start(**KEY), env.start(**KEY)
        assert task["scene_hash"] != pushed["scene_hash"]
        event = pusher(env)
        event._push = replace(event._push, force_n=0.0)
        actions = [step.action for step in until_pushed(env, 2)]
        assert len(actions) > 40
        for action in actions:
            assert "events" not in plain.advance(action)[3]
        assert differing(arrays(plain), arrays(env)) == []
        event._push = replace(event._push, force_n=40.0)
        for each in (plain, env):
            each.advance(actions[-1])
        assert "data.qpos" in differing(arrays(plain), arrays(env))


def test_the_loops_agree(env):
    """With the same actions `exact` is robosuite's loop bit for bit, and `fast` opens the hand as far."""
    env.start(**KEY)
    actions = [step.action for step in until_pushed(env, 8)]
    ends = {}
    for physics in ("reference", "exact", "fast"):
        with small("goal", 1, physics=physics, push_n=40) as other:
            hash_ = other.start(**KEY)["scene_hash"]
            steps = [observed(other, "akita_black_bowl_1", action) for action in actions]
            gaps_m = [step.gap_m for step in steps[-8:]]
            ends[physics] = (hash_, steps[-1].info["events"], arrays(other), gaps_m)
    reference, exact, fast = ends.values()
    assert reference[:2] == exact[:2] == fast[:2]
    assert differing(reference[2], exact[2]) == []
    np.testing.assert_allclose(fast[3], exact[3], atol=1e-3)


@pytest.mark.parametrize("physics", [pytest.param("exact", marks=pytest.mark.slow), "fast"])
def test_a_reset_forgets_a_push_half_done(libero_assets, physics: str):
    """An episode after one that ended in mid-push is that of a fresh environment, bit for bit."""
    with small("goal", 1, physics=physics, push_n=40) as env:
        env.start(**KEY)
        steps = until_pushed(env, 10)
        fresh = arrays(env)
    with small("goal", 1, physics=physics, push_n=40) as env:
        env.start(seed=7, init_state=4)
        assert until_pushed(env, 0)[-1].forced
        env.start(**KEY)
        again = until_pushed(env, 10)
        assert again[-1].info["events"] == steps[-1].info["events"]
        assert differing(fresh, arrays(env)) == []


def test_the_hash_covers_the_push(env, monkeypatch):
    """Another level, tick or length is another scene; the same one is the same."""
    drawn = Push.drawn(7, 3, 40)
    hashes = {env.start(**KEY)["scene_hash"] for _ in range(2)}
    assert len(hashes) == 1
    others = ({"after_ticks": drawn.after_ticks + 1}, {"ticks": drawn.ticks + 1}, {"force_n": 15})
    for change in others:
        other = replace(drawn, **change)
        monkeypatch.setattr(Push, "drawn", lambda *_, other=other: other)
        hashes.add(env.start(**KEY)["scene_hash"])
    assert len(hashes) == 4


def test_pushes_follow_from_seed_and_state():
    """0 to 9 control steps after the grasp counts, 2 to 6 long; each key its own, whatever the level."""
    pushes = [Push.drawn(7, state, 40) for state in (None, *range(300))]
    assert pushes == [Push.drawn(7, state, 40) for state in (None, *range(300))]
    assert {push.after_ticks for push in pushes} == set(range(10))
    assert {push.ticks for push in pushes} == set(range(2, 7))
    assert len(set(pushes)) > 45
    assert [replace(push, force_n=5) for push in pushes[1:]] == [
        Push.drawn(7, state, 5) for state in range(300)
    ]
    assert pushes[1:] != [Push.drawn(8, state, 40) for state in range(300)]


def test_an_object_can_be_shifted_and_later_be_pushed(libero_assets):
    """Both options together: each event is that of its own option, both are in the hash and told."""
    with small("goal", 1, physics="fast", push_n=40, shift_cm=4) as env:
        both = env.start(**KEY)["scene_hash"]
        steps = until_pushed(env, 9)
    with small("goal", 1, physics="fast", shift_cm=4) as env:
        assert env.start(**KEY)["scene_hash"] != both
        shifted = wait(env, 45)["events"]
    assert steps[-1].info["events"] == {**shifted, "push": len(steps) - 9}
    assert max(step.gap_m for step in steps[-10:]) > steps[-11].gap_m + 0.02


@pytest.mark.parametrize("level", [-1, 41, "40"])
def test_other_levels_are_refused(level):
    """Before anything is loaded, with the levels that there are."""
    with pytest.raises(UsageError, match=r"push_n is .*; it can be 0 to 40"):
        LiberoEnv("libero_goal", 1, push_n=level)


def test_a_task_that_moves_no_object_is_refused(libero_assets):
    """One that turns on a stove; one whose bowl stands on a box is not, since nothing tips."""
    message = "push_n needs a task that moves an object, not: turn on the stove"
    with small("goal", 7, push_n=40) as env, pytest.raises(UsageError, match=message):
        env.start(**KEY)
    with small("spatial", 3, push_n=40) as env:
        env.start(**KEY)


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task"), EVERY)
def test_the_strongest_push_opens_every_hand(libero_assets, suite: str, task: int):
    """Rims, bottles, books and cans: each is carried and let go, and nothing is thrown."""
    with small(suite, task, physics="fast", push_n=40) as env:
        for state in range(2):
            env.start(seed=7, init_state=state)
            steps = until_pushed(env, 20)
            shown = steps[-1].info["events"]["push"]
            after = steps[shown - 1 :]
            assert max(step.gap_m for step in after) > steps[shown - 2].gap_m + 0.01
            assert not any(step.carried for step in after[:3])
            assert max(step.speed_mps for step in after) < 2.5
