"""Our physics loop against robosuite's: which is the same to the last bit, and which is nearly."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.libero import opened
from fakes.motion import smooth_actions

pytestmark = pytest.mark.usefixtures("libero_assets")


STEPS = 40
KEY = {"seed": 7, "options": {"init_state": 3}}
HARD = [("spatial", 4, "relative"), ("object", 1, "absolute")]
"""Many contacts and a drawer; the task in which rounding grows fastest."""
EVERY = [
    (suite, task, ("relative", "absolute")[task % 2])
    for suite, tasks in (
        ("spatial", range(10)),
        ("object", range(10)),
        ("goal", range(10)),
        ("10", range(10)),
        ("90", range(0, 90, 9)),
    )
    for task in tasks
]


def episode(env, mode: str) -> dict[str, np.ndarray]:
    """Return all that an episode shows and all that it leaves in MuJoCo's model and data."""
    first, info = env.reset(**KEY)
    actions = smooth_actions(STEPS, seed=1)
    if mode == "absolute":
        actions = env.hold_action() + actions * np.float32([0.1] * 6 + [0.9])
    sim = env._simulator._env.sim
    model, data = sim.model._model, sim.data._data
    qpos, scores = [data.qpos.copy()], []
    for action in actions:
        info_now = env.advance(action)[3]
        qpos.append(data.qpos.copy())
        scores.append([info_now["score"], *info_now["subgoals"].values()])
    last = env.observe()
    seen = {
        f"{name} {when}": picture
        for when, observation in (("first", first), ("last", last))
        for name, picture in {**observation["pixels"], "state": observation["agent_pos"]}.items()
    }
    left = {
        name: np.array(getattr(data, name))
        for name in ("qvel", "ctrl", "qacc_warmstart", "time", "xpos", "site_xpos")
    }
    compiled = {
        name: value.copy()
        for name in dir(model)
        if isinstance(value := getattr(model, name), np.ndarray)
    }
    return {
        **{f"model.{name}": value for name, value in compiled.items()},
        **{f"data.{name}": value for name, value in left.items()},
        **seen,
        "hash": np.array(info["scene_hash"]),
        "qpos": np.array(qpos),
        "score": np.array(scores),
    }


def episodes(suite: str, task: int, mode: str, physics: str):
    """Return the episode in robosuite's loop, and the third one of an environment in ours."""
    with opened(suite, task, control_mode=mode, physics="reference") as env:
        reference = episode(env, mode)
    with opened(suite, task, control_mode=mode, physics=physics) as env:
        for seed in (1, 2):
            env.reset(seed=seed, options={"init_state": seed})
            env.advance(np.ones(7, dtype=np.float32))
        return reference, episode(env, mode)


def check_exact(suite: str, task: int, mode: str) -> None:
    reference, ours = episodes(suite, task, mode, "exact")
    assert reference.keys() == ours.keys()
    different = [
        name
        for name, value in reference.items()
        if not np.array_equal(value, ours[name], equal_nan=value.dtype.kind == "f")
    ]
    assert different == []


@pytest.mark.parametrize(("suite", "task", "mode"), HARD)
def test_exact_is_robosuite_bit_for_bit(suite: str, task: int, mode: str):
    """Scene, physics, pictures, scores, and every array of the model equal the reference's."""
    check_exact(suite, task, mode)


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task", "mode"), EVERY)
def test_exact_is_robosuite_everywhere(suite: str, task: int, mode: str):
    """The same for all 40 standard tasks and ten of libero_90."""
    check_exact(suite, task, mode)


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task", "mode"), EVERY[::5])
def test_fast_starts_from_the_same_scene(suite: str, task: int, mode: str):
    """With one solution a physics step the scene is the same before it settles.

    How far contacts take it from there is measured in benchmarks/, not asserted: a grazing contact
    may be made in one and missed in the other.
    """
    reference, ours = episodes(suite, task, mode, "fast")
    assert reference["hash"] == ours["hash"]
    assert np.isfinite(ours["qpos"]).all()


def test_quick_torques_are_robosuites_but_for_rounding():
    """Over an episode without contacts the fast path stays within rounding of the exact one."""
    paths = []
    for physics in ("exact", "fast"):
        with opened("90", 40, physics=physics) as env:
            env.reset(**KEY)
            qpos = env._simulator._env.sim.data.qpos
            path = [
                env.advance(action) and np.array(qpos) for action in smooth_actions(STEPS, seed=1)
            ]
        paths.append(np.array(path))
    np.testing.assert_allclose(paths[0], paths[1], rtol=0, atol=1e-10)


def test_contacts_are_robosuites():
    """The query by geom masks answers like robosuite's query by names, for every pair of things."""
    with opened("spatial", 4) as env:
        env.reset(**KEY)
        libero = env._simulator._env
        stock = type(libero).check_contact
        things = [*libero.objects_dict.values(), *libero.fixtures_dict.values()]
        things += [libero.robots[0].gripper, "table_collision", ["table_collision", "nothing"]]
        answers = [
            (libero.check_contact(a, b), stock(libero, a, b)) for a in things for b in things
        ]
        answers += [(libero.check_contact(a), stock(libero, a)) for a in things]
    assert all(ours == theirs for ours, theirs in answers)
    assert {ours for ours, _ in answers} == {True, False}


def test_the_fixtures_compiled_place_is_remembered():
    """The exactness test can fail: a wrong compiled state is a state that never was."""
    with opened("spatial", 4) as env:
        before = env.reset(**KEY)[1]["scene_hash"]
        env._simulator._compiled["body_pos"][-1] += 0.01
        assert env.reset(**KEY)[1]["scene_hash"] != before
