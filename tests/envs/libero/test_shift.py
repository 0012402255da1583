"""The shift: when, how far, by forces alone, and that without it the task is LIBERO's."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from fakes.libero import arrays, differing, opened, wait
from vla_eval.errors import UsageError
from vla_eval_envs.libero.env import LiberoEnv
from vla_eval_envs.libero.shift import SHIFT_STEPS, Mover, Shift
from vla_eval_policies.experts.libero.expert import LiberoExpert
from vla_eval_policies.experts.motion import PACES

small = functools.partial(opened, image_size=16)
KEY = {"seed": 7, "init_state": 3}
REFUSED = [("goal", 0), ("goal", 7), ("spatial", 3), ("spatial", 5)]
WALLED = [("spatial", 4), ("10", 3)]
EVERY = [
    (suite, task)
    for suite in ("spatial", "object", "goal", "10")
    for task in range(10)
    if (suite, task) not in REFUSED
]
EVERY += [("90", 36), ("90", 37)]  # a bowl on a microwave


@pytest.fixture(scope="module")
def env(libero_assets):
    with small("goal", 1, shift_cm=4) as env:
        yield env


def moving(env) -> Mover:
    (mover,) = env._events.begun
    return mover


def way(shift: Shift) -> np.ndarray:
    return shift.length_m * np.array([np.cos(shift.direction_rad), np.sin(shift.direction_rad)])


def tilt_deg(env, before: np.ndarray) -> float:
    after = env.robosuite_env.sim.data._data.xmat[moving(env)._body].reshape(3, 3)
    return float(np.degrees(np.arccos(np.clip(before.reshape(3, 3)[2] @ after[2], -1, 1))))


@pytest.mark.parametrize("state", range(0, 8, 2))
def test_the_object_is_shifted_once_at_its_tick_by_its_amount(env, state: int):
    """Nothing before the tick, the drawn way within 3 mm in 13 steps, then rest; it stays upright."""
    env.start(seed=7, init_state=state)
    mover, shift = moving(env), moving(env)._shift
    data = env.robosuite_env.sim.data._data
    place, upright = mover._place.copy(), data.xmat[mover._body].copy()
    assert "events" not in wait(env, shift.tick)
    np.testing.assert_allclose(mover._place, place, atol=1e-4)
    info = wait(env, SHIFT_STEPS)
    assert info["events"] == {"shift": shift.tick + 1}
    np.testing.assert_allclose(mover._place - place, way(shift), atol=3e-3)
    there = mover._place.copy()
    assert wait(env, 30)["events"] == {"shift": shift.tick + 1}
    np.testing.assert_allclose(mover._place, there, atol=1e-3)
    assert not data.qfrc_applied.any()
    assert tilt_deg(env, upright) < 5


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task"), EVERY)
def test_nothing_tips_or_falls(libero_assets, suite: str, task: int):
    """Bowls, bottles, books and bowls on furniture: all go their way within 3 mm, upright, on the same level.

    A drawer's side or a cabinet may be in the way.
    """
    with small(suite, task, shift_cm=4) as env:
        for state in range(5):
            env.start(seed=7, init_state=state)
            mover, data = moving(env), env.robosuite_env.sim.data._data
            place, upright = data.xpos[mover._body].copy(), data.xmat[mover._body].copy()
            wait(env, mover._shift.tick + SHIFT_STEPS + 20)
            moved, drawn = data.xpos[mover._body] - place, way(mover._shift)
            if (suite, task) not in WALLED:
                np.testing.assert_allclose(moved[:2], drawn, atol=3e-3)
            assert np.linalg.norm(moved[:2]) < mover._shift.length_m + 3e-3
            assert abs(moved[2]) < 3e-3
            assert tilt_deg(env, upright) < 10


def test_level_zero_is_the_task(env):
    """Until the shift begins, and at level 0 for ever, model and data are those of the task, bit for bit."""
    with small("goal", 1) as plain:
        assert plain._events.begun == []
        task, shifted = plain.start(**KEY), env.start(**KEY)
        steps = moving(env)._shift.tick
        assert "events" not in wait(plain, steps)
        assert "events" not in wait(env, steps)
        assert differing(arrays(plain), arrays(env)) == []
        wait(plain, 3)
        wait(env, 3)
        assert differing(arrays(plain), arrays(env)) != []
        assert task["scene_hash"] != shifted["scene_hash"]


def test_an_explicit_level_zero_has_the_same_hash_and_bits(libero_assets):
    """`shift_cm=0` and `push_n=0` say what leaving them out says, in both compiled loops."""
    for physics in ("exact", "fast"):
        ends, hashes = [], []
        for options in ({}, {"shift_cm": 0, "push_n": 0}):
            with small("object", 4, physics=physics, **options) as env:
                hashes.append(env.start(**KEY)["scene_hash"])
                assert "events" not in wait(env, 45)
                ends.append(arrays(env))
        assert hashes[0] == hashes[1]
        assert differing(*ends) == []


def test_the_loops_agree(libero_assets):
    """Over a whole shift, `exact` is robosuite's loop bit for bit, and `fast` reaches the same place."""
    ends = {}
    for physics in ("reference", "exact", "fast"):
        with small("goal", 1, physics=physics, shift_cm=4) as env:
            hash_ = env.start(**KEY)["scene_hash"]
            info = wait(env, moving(env)._shift.tick + SHIFT_STEPS + 5)
            ends[physics] = (hash_, info["events"], arrays(env), moving(env)._place.copy())
    reference, exact, fast = ends.values()
    assert reference[:2] == exact[:2] == fast[:2]
    assert differing(reference[2], exact[2]) == []
    np.testing.assert_allclose(fast[3], exact[3], atol=2e-3)


@pytest.mark.parametrize("physics", ["exact", "fast"])
def test_a_reset_forgets_a_shift_half_done(libero_assets, physics: str):
    """An episode after one that ended in mid-shift is that of a fresh environment, bit for bit."""
    steps = 45
    with small("goal", 1, physics=physics, shift_cm=4) as env:
        env.start(**KEY)
        wait(env, steps)
        fresh = arrays(env)
    with small("goal", 1, physics=physics, shift_cm=4) as env:
        env.start(seed=7, init_state=4)
        wait(env, moving(env)._shift.tick + 5)
        assert moving(env)._moving
        env.start(**KEY)
        wait(env, steps)
        assert differing(fresh, arrays(env)) == []


def test_what_the_hand_holds_is_not_shifted(env):
    """Where the tick comes while the expert grasps the bowl, nothing happens, then or later, and nothing is told."""
    env.start(**KEY)
    mover = moving(env)
    mover._shift = replace(mover._shift, tick=10**6)
    expert = LiberoExpert(env, pace=PACES["normal"], generator=np.random.default_rng(0))
    held_at = None
    for step in range(100):
        env.advance(expert.actions(step, 1)[0])
        if held_at is None and mover._handled.held(mover._handled.contacts()[0]):
            held_at = step
            mover._shift = replace(mover._shift, tick=mover._tick)
        if held_at is not None and step == held_at + 10:
            break
    assert held_at is not None
    assert mover._tick > mover._shift.tick
    assert mover.shown is None
    assert not mover._force.any()


def test_a_touch_ends_the_shift(env, monkeypatch):
    """What the gripper touches on the way is pushed no further, and the event stays told."""
    env.start(**KEY)
    mover = moving(env)
    wait(env, mover._shift.tick + 4)
    assert mover._force.any()
    monkeypatch.setattr(mover._handled, "held", lambda geoms: True)
    info = wait(env, 1)
    assert not mover._force.any()
    np.testing.assert_array_equal(mover._damping, mover._own_damping)
    monkeypatch.undo()
    wait(env, 5)
    assert not mover._force.any()
    assert info["events"] == {"shift": mover._shift.tick + 1}


def test_what_falls_is_not_shifted(env):
    """An object that is on its way down at the tick, as after a drop, is left alone."""
    env.start(**KEY)
    mover, data = moving(env), env.robosuite_env.sim.data._data
    wait(env, mover._shift.tick)
    mover._velocity[2] = -0.5
    assert "events" not in wait(env, 1)
    assert not data.qfrc_applied.any()


def test_the_hash_covers_the_shift(env):
    """Another level, tick or direction is another scene; the same one is the same."""
    drawn = Shift.drawn(7, 3, 0.04)
    hashes = {env.start(**KEY)["scene_hash"] for _ in range(2)}
    assert len(hashes) == 1
    others = [
        Shift(drawn.tick + 1, drawn.direction_rad, drawn.length_m),
        Shift(drawn.tick, drawn.direction_rad + 0.1, drawn.length_m),
        Shift.drawn(7, 3, 0.02),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for other in others:
            patch.setattr(Shift, "drawn", lambda *_, other=other: other)
            hashes.add(env.start(**KEY)["scene_hash"])
    assert len(hashes) == 4


def test_shifts_follow_from_seed_and_state():
    """Ticks 10 to 29, half to all of the level, every direction; each key its own."""
    shifts = [Shift.drawn(7, state, 0.04) for state in (None, *range(200))]
    assert shifts == [Shift.drawn(7, state, 0.04) for state in (None, *range(200))]
    assert len(set(shifts)) == len(shifts)
    assert Shift.drawn(8, 3, 0.04) != Shift.drawn(7, 3, 0.04)
    assert {shift.tick for shift in shifts} == set(range(10, 30))
    assert min(shift.length_m for shift in shifts) >= 0.02
    assert max(shift.length_m for shift in shifts) <= 0.04
    quarters = [int((shift.direction_rad + np.pi) // (np.pi / 2)) for shift in shifts]
    assert min(quarters.count(quarter) for quarter in range(4)) > 30


def test_checker(env):
    """Gymnasium's checker finds nothing in a task that is shifted, not even a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)


def test_a_new_scene_is_shifted_too(env):
    """Scenes to train on have a shift of their own, which their hash covers."""
    one = env.new_scene(seed=8)["scene_hash"]
    assert wait(env, 45)["events"]
    assert env.new_scene(seed=8)["scene_hash"] == one


@pytest.mark.parametrize("level", [-1, 6, "4"])
def test_other_levels_are_refused(level):
    """Before anything is loaded, with the levels that there are."""
    with pytest.raises(UsageError, match=r"shift_cm is .*; it can be 0 to 5"):
        LiberoEnv("libero_goal", 1, shift_cm=level)


@pytest.mark.parametrize(
    ("suite", "task", "message"),
    [
        ("goal", 7, "needs a task that moves an object, not: turn on the stove"),
        ("spatial", 3, "would tip akita_black_bowl_1, which stands on cookies_1, in: pick the"),
    ],
)
def test_tasks_without_such_an_object_are_refused(libero_assets, suite, task, message):
    """One that turns on a stove, and one whose bowl would tip over with its box."""
    with small(suite, task, shift_cm=4) as env, pytest.raises(UsageError, match=message):
        env.start(**KEY)
