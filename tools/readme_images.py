"""Render the pictures of README, docs/tasks.md and docs/libero.md anew.

    .venv/bin/python tools/readme_images.py

SO-101 is shown in the middle of an expert's episode; a task of every LIBERO suite in its first initial state
(these need VLA_EVAL_LIBERO_ASSETS, or the assets in the hub's cache).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_eval.environment import EvalEnv, make_env
from vla_eval.errors import VlaEvalError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval.spec import build_policy

FOLDER = Path(__file__).parent.parent / "docs" / "images"
HEIGHT = 240
LIBERO_TASKS = ("spatial-0", "object-3", "goal-0", "10-3", "90-40")
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


def run_expert(env: EvalEnv, suite: str, task: str, steps: int) -> None:
    """Let the scripted expert work for some control steps from initial state 0."""
    key = EpisodeKey(suite, task, 0, 0, 0)
    policy = build_policy("expert")
    observation, _ = env.reset(seed=0, options={"init_state": 0})
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    done = chunks = 0
    while done < steps:
        context = Context(key, done, chunks, env.task_description, low, high, env)
        (chunk,) = policy.infer([observation], [context])
        for action in chunk.actions[: min(10, steps - done)]:
            env.advance(action)
            done += 1
        chunks += 1


def at_work(suite: str, task: str, steps: int, cameras: tuple[str, ...]) -> list[Picture]:
    """Return the side view and some cameras in the middle of an expert's episode."""
    options = {"image_size": 480, "render_mode": "rgb_array"}
    env = make_env(f"vla_eval_envs:{suite}/{task}-v0", options)
    run_expert(env, suite, task, steps)
    pixels = env.observe()["pixels"]
    pictures = [np.asarray(env.render()), *(pixels[camera] for camera in cameras)]
    env.close()
    return pictures


def so101_tasks() -> Picture:
    """Return Stacking, Sorting and PickPlaceEither from the side."""
    moments = (("Stacking", 110), ("Sorting", 190), ("PickPlaceEither", 100))
    return strip([at_work("so101", task, steps, ())[0] for task, steps in moments])


def libero(task: str) -> Picture:
    """Return the agentview of a task's first initial state."""
    env = make_env(f"vla_eval_envs:libero/{task}-v0", {"image_size": 480})
    observation, _ = env.reset(seed=7, options={"init_state": 0})
    env.close()
    picture: Picture = observation["pixels"]["agentview"]
    return picture


def main() -> None:
    """Render all pictures."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    pick_place = at_work("so101", "PickPlace", 70, ("top", "wrist"))
    imageio.imwrite(FOLDER / "so101.png", strip(pick_place))
    imageio.imwrite(FOLDER / "so101-tasks.png", so101_tasks())
    imageio.imwrite(FOLDER / "libero.png", strip([libero(task) for task in LIBERO_TASKS]))


if __name__ == "__main__":
    try:
        main()
    except VlaEvalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
