"""Pictures drawn without what cannot be seen equal those of the whole scene, pixel by pixel."""

from __future__ import annotations

from functools import cache

import gymnasium
import numpy as np
import pytest

from fakes.motion import smooth_actions
from vla_eval_envs.libero.simulator import CAMERAS

pytestmark = pytest.mark.usefixtures("libero_assets")

# A stove that mirrors, seen by both cameras; seven cans and cartons; a stove in another kitchen.
HARD = [("spatial", 4), ("object", 1), ("10", 2)]
EVERY = [(suite, task) for suite in ("spatial", "object", "goal", "10") for task in range(10)]
EVERY += [("90", task) for task in range(0, 90, 6)]


def compare(suite: str, task: int, steps: int, every: int) -> tuple[int, int]:
    """Return how many pictures of an episode differ, and from how many something was left out."""
    env = gymnasium.make(f"vla_eval_envs:libero/{suite}-{task}-v0", image_size=128).unwrapped
    try:
        env.reset(seed=5, options={"init_state": task % 50})
        simulator = env._simulator
        view = simulator._view
        different = spared = 0
        for i, action in enumerate(smooth_actions(steps, seed=task)):
            env.advance(action)
            if i % every:
                continue
            sparing = simulator.render(128)
            view._sparing = False
            whole = simulator.render(128)
            view._sparing = True
            different += sum(not np.array_equal(whole[name], sparing[name]) for name in whole)
            spared += sum(
                view._visibility.drawing(simulator._env.sim, name, 128).hidden.size > 0
                for name in CAMERAS.values()
            )
    finally:
        env.close()
    return different, spared


@pytest.mark.parametrize(("suite", "task"), HARD)
def test_nothing_is_missing(suite: str, task: int):
    """Both cameras, over an episode of smooth random motion."""
    assert compare(suite, task, steps=60, every=20) == (0, 6)


def test_plain_drawing_is_a_choice_of_its_own():
    """With the same physics the same pictures, of everything; the record says so, of the default it does not."""
    shown, said = {}, {}
    for drawing in ("exact", "plain"):
        env = gymnasium.make(
            "vla_eval_envs:libero/spatial-4-v0", image_size=128, drawing=drawing
        ).unwrapped
        try:
            observation, info = env.reset(seed=5, options={"init_state": 0})
            shown[drawing], said[drawing] = observation["pixels"], info["provenance"]
            assert env._simulator._view._sparing == (drawing == "exact")
        finally:
            env.close()
    for name, picture in shown["plain"].items():
        np.testing.assert_array_equal(picture, shown["exact"][name])
    assert said["plain"] == {**said["exact"], "drawing": "plain"}
    assert "drawing" not in said["exact"]


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "task"), EVERY)
def test_nothing_is_missing_anywhere(suite: str, task: int):
    """The same for all standard tasks and 15 of libero_90, in more pictures."""
    different, spared = compare(suite, task, steps=160, every=8)
    assert different == 0
    assert spared > 0


def test_a_missing_geom_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    """The comparison can fail: leaving out what a narrower picture shows is noticed."""
    from vla_eval_envs.libero.drawing import visible

    meets = visible._meets
    monkeypatch.setattr(
        visible, "_meets", lambda corners, bounds: meets(corners, tuple(b / 2 for b in bounds))
    )
    assert compare("spatial", 4, steps=20, every=20)[0] > 0


def test_a_missing_triangle_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    """Where OpenGL looks within a pixel matters: a wrong place loses triangles, and is noticed."""
    from vla_eval_envs.libero.drawing import triangles

    if not _in_software():
        pytest.skip("this OpenGL draws whole meshes")
    monkeypatch.setattr(
        triangles.Triangles, "_where_samples_are", lambda *_: np.array([[0.01, 0.01]])
    )
    assert compare("spatial", 4, steps=20, every=20)[0] > 0


def test_batches_matter(monkeypatch: pytest.MonkeyPatch):
    """Cutting regardless of llvmpipe's batches shows at an edge in one of these two pictures."""
    from vla_eval_envs.libero.drawing import triangles

    def careless(chosen, amounts, corners, order):
        faces = np.flatnonzero(chosen)
        order[: len(faces)] = faces
        return len(faces)

    assert compare("object", 9, steps=1, every=1) == (0, 2)
    if not _in_software():
        pytest.skip("this OpenGL draws whole meshes")
    monkeypatch.setattr(triangles, "arrange", careless)
    assert compare("object", 9, steps=1, every=1)[0] > 0


@cache
def _in_software() -> bool:
    env = gymnasium.make("vla_eval_envs:libero/spatial-4-v0", image_size=128).unwrapped
    try:
        env.reset(seed=5, options={"init_state": 0})
        env._simulator.render(128)
        return env._simulator._view._visibility._cutter is not None
    finally:
        env.close()
