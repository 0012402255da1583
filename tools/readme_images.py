"""Render the README's pictures anew.

Run: .venv/bin/python tools/readme_images.py

SO-101 in the middle of an expert's episode from its three views; the first initial state of one task
of each LIBERO suite (these need VLA_EVAL_LIBERO_ASSETS, or the assets in the hub's cache).
"""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_eval.environment import EvalEnv, make_env
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy

FOLDER = Path(__file__).parent.parent / "docs" / "images"
HEIGHT = 240
LIBERO_TASKS = ("spatial-0", "object-3", "goal-0", "10-3", "90-40")
EXPERT_STEPS = 70

Picture = NDArray[np.uint8]


def scaled(picture: Picture) -> Picture:
    """Return an (H, W, 3) picture at the strip's height."""
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.LANCZOS))


def strip(pictures: list[Picture]) -> Picture:
    """Put pictures side by side with white gaps."""
    gap = np.full((HEIGHT, 6, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (scaled(picture), gap)]
    return np.concatenate(parts[:-1], axis=1)


def run_expert(env: EvalEnv, steps: int) -> None:
    """Let the scripted expert work for some control steps from initial state 0."""
    key = EpisodeKey("so101", "PickPlace", 0, 0, 0)
    policy = build_policy("expert")
    observation, _ = env.reset(seed=0, options={"init_state": 0})
    box = env.action_space
    done = chunks = 0
    while done < steps:
        context = Context(key, done, chunks, env.task_description, box.low, box.high, env)
        (chunk,) = policy.infer([observation], [context])
        for action in chunk.actions[: min(10, steps - done)]:
            env.advance(action)
            done += 1
        chunks += 1


def so101() -> Picture:
    """Return the side view, the top and the wrist camera."""
    options = {"image_size": 480, "render_mode": "rgb_array"}
    env = make_env("vla_eval_envs:so101/PickPlace-v0", options)
    run_expert(env, EXPERT_STEPS)
    pixels = env.observe()["pixels"]
    side = env.render()
    env.close()
    return strip([np.asarray(side), pixels["top"], pixels["wrist"]])


def libero(task: str) -> Picture:
    """Return the agentview of a task's first initial state."""
    env = make_env(f"vla_eval_envs:libero/{task}-v0", {"image_size": 480})
    observation, _ = env.reset(seed=7, options={"init_state": 0})
    env.close()
    picture: Picture = observation["pixels"]["agentview"]
    return picture


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    imageio.imwrite(FOLDER / "so101.png", so101())
    imageio.imwrite(FOLDER / "libero.png", strip([libero(task) for task in LIBERO_TASKS]))
