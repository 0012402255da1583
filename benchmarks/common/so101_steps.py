"""Times whole steps of one SO-101 simulator: physics and two pictures of 256 px, on one core.

    PYTHON benchmarks/common/so101_steps.py NAME SECONDS

prints one line of JSON, after at least three steps and so many seconds of processor time. The other packages live in an environment of their own, so nothing of this project is
imported, except where its own simulator is timed.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

os.environ.setdefault("MUJOCO_GL", "egl")

import gymnasium
import mujoco
import numpy as np

SIZE, HERTZ, SUBSTEPS = 256, 30, 10
WARM_UP, LEAST, MOST = 3, 3, 90
type Simulator = tuple[
    str, gymnasium.Env[Any, Any], Callable[[float], Any], Callable[[Any], list[Any]]
]
"""Distribution, environment, action at a phase in radians, and the pictures of an observation."""


def ours() -> Simulator:
    """Return this project's SO-101 task of picking and placing."""
    env = gymnasium.make("vla_eval_envs:so101/PickPlace-v0", image_size=SIZE)
    rest = np.array([0, -80, 70, 80, 0, 0], np.float32)
    swing = np.array([5, 0, 0, 0, 0, 0], np.float32)
    return "vla-eval-suite", env, lambda phase: rest + np.float32(math.sin(phase)) * swing, _pixels


def cube(*, alike: bool) -> Simulator:
    """Return lerobot-env-so101's task; it observes one camera, so its second picture is drawn beside it."""
    package: Any = import_module("lerobot_env_so101")
    clock: dict[str, Any] = (
        {"control_dt": 1.001 / HERTZ, "physics_dt": 1 / HERTZ / SUBSTEPS} if alike else {}
    )
    spec = package.GymRenderingSpec(SIZE, SIZE)
    env = gymnasium.make(package.ENV_ID, image_obs=True, render_spec=spec, **clock)
    inner: Any = env.unwrapped
    if alike:
        if inner._n_substeps != SUBSTEPS:  # noqa: SLF001 - no other way to ask
            raise SystemExit("a control step has another number of physics steps")
        inner.model.vis.quality.offsamples = 0
        env.reset(seed=0)  # makes the renderer
        flags = inner._viewer.scene.flags  # noqa: SLF001 - no other way to turn shadows off
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
    return (
        "lerobot-env-so101",
        env,
        lambda phase: np.array([0, 0.005 * math.sin(phase), 0, 0], np.float32),
        lambda seen: [*_pixels(seen), inner.render()],
    )


def nexus(*, alike: bool) -> Simulator:
    """Return so101-nexus' task of picking and placing, with a camera at the wrist and one above."""
    package: Any = import_module("so101_nexus")
    import_module("so101_nexus.mujoco")  # registers the tasks
    seen_by: Any = import_module("so101_nexus.observations")
    drawing: Any = import_module("so101_nexus.rendering")
    settings: dict[str, Any] = {}
    if alike:
        settings["physics"] = package.PhysicsConfig(1 / HERTZ / SUBSTEPS, 1 / HERTZ)
        settings["render"] = package.RenderConfig(
            quality=drawing.RenderingQuality(msaa_samples=0, shadows=False)
        )
    cameras = [seen_by.WristCamera(SIZE, SIZE), seen_by.OverheadCamera(SIZE, SIZE)]
    config = package.PickAndPlaceV2Config(
        obs_mode="visual", observations=[seen_by.JointPositions(), *cameras], **settings
    )
    env = gymnasium.make("MuJoCoPickAndPlace-v2", config=config, control_mode="pd_joint_delta_pos")
    names = [camera.name for camera in cameras]
    return (
        "so101-nexus",
        env,
        lambda phase: np.array([0.3 * math.sin(phase), 0, 0, 0, 0, 0], np.float32),
        lambda seen: [seen[name] for name in names],
    )


SIMULATORS: dict[str, Callable[[], Simulator]] = {
    "ours": ours,
    "lerobot-env-so101": lambda: cube(alike=False),
    "lerobot-env-so101, alike": lambda: cube(alike=True),
    "so101-nexus": lambda: nexus(alike=False),
    "so101-nexus, alike": lambda: nexus(alike=True),
}


def _pixels(seen: Any) -> list[Any]:
    return list(seen["pixels"].values())


def measure(name: str, seconds: float) -> dict[str, Any]:
    """Return whole steps a second of processor time and of the clock."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    distribution, env, act, pictures = SIMULATORS[name]()
    env.reset(seed=0)
    began, steps, shown = (0.0, 0.0), -WARM_UP, list[Any]()
    while steps < LEAST or (steps < MOST and time.process_time() - began[0] < seconds):
        if steps == 0:
            began = time.process_time(), time.perf_counter()
        seen, _, terminated, truncated, _ = env.step(act(steps / 5))
        shown = pictures(seen)
        steps += 1
        if terminated or truncated:
            raise SystemExit(f"{name}: the episode ended after {steps} steps")
    cpu, wall = time.process_time() - began[0], time.perf_counter() - began[1]
    if [picture.shape for picture in shown] != [(SIZE, SIZE, 3)] * 2:
        raise SystemExit(f"{name}: these are no two pictures of {SIZE} px")
    if min(picture.std() for picture in shown) < 1:
        raise SystemExit(f"{name}: a picture is empty")
    model: Any = env.get_wrapper_attr("model")
    env.close()
    return {
        "version": version(distribution),
        "mujoco": mujoco.__version__,
        "triangles": int(model.nmeshface),
        "steps": steps,
        "steps_per_cpu_s": round(steps / cpu, 1),
        "steps_per_s": round(steps / wall, 1),
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], float(sys.argv[2]))))
