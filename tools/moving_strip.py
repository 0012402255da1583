"""Render a film strip: the same episode by the same policy under several latencies, one row each.

    .venv/bin/python tools/moving_strip.py                          # the picture of docs/moving-tasks.md
    .venv/bin/python tools/moving_strip.py --policy flow:… --out strip.png

Every row runs in asynchronous virtual time, so the picture is the same on every machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from readme_images import FOLDER, Picture

from vla_eval.environment import EvalEnv, make_env
from vla_eval.episode import EpisodeResult, PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.realtime.latency import virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.spec import build_policy

WIDTH, HEIGHT, LABEL, GAP = 256, 192, 22, 4


def options() -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--policy", default="expert?chunk=16")
    parser.add_argument("--task", default="so101/PickBelt")
    parser.add_argument("--env", nargs="*", default=["speed_cmps=8"], help="NAME=INTEGER")
    parser.add_argument("--init-state", type=int, default=1)
    parser.add_argument("--ms", type=int, nargs="*", default=[83, 274])
    parser.add_argument("--every", type=float, default=0.8, help="seconds between pictures")
    parser.add_argument("--count", type=int, default=8, help="pictures in a row")
    parser.add_argument("--max-steps", type=int, default=450)
    parser.add_argument("--out", type=Path, default=FOLDER / "moving-strip.png")
    return parser.parse_args()


def filmed(asked: argparse.Namespace, latency_ms: int) -> tuple[list[Picture], EpisodeResult]:
    """Run the episode at a latency; return the side views at the wanted times, and the result."""
    suite, _, task = asked.task.partition("/")
    env_id = f"vla_eval_envs:{suite}/{task}-v0"
    levels = {name: int(value) for name, _, value in (each.partition("=") for each in asked.env)}
    env = make_env(env_id, {"image_size": 256, "render_mode": "rgb_array", **levels})
    policy = build_policy(asked.policy)
    settings = {"mode": "async", "arms": {"arm": {"total_us": 1000 * latency_ms}}}
    virtual = virtual_time(Realtime.model_validate(settings), "arm", policy.metadata)
    episode = PlannedEpisode(
        EpisodeKey(suite, task, asked.init_state, 0, 0), env_id, levels, asked.max_steps
    )
    pictures: list[Picture] = []
    _photograph(env, pictures, round(asked.every * env.metadata["render_fps"]))
    result = run_episode(
        env, policy, episode, n_action_steps=10, clock=PhaseClock(), virtual=virtual
    )
    pictures.append(_side(env))  # the end
    env.close()
    return pictures, result


def _side(env: EvalEnv) -> Picture:
    picture = Image.fromarray(np.asarray(env.render()))
    return np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))


def _photograph(env: EvalEnv, pictures: list[Picture], every: int) -> None:
    """Take a picture before every so many control steps."""
    advance, steps = env.advance, 0

    def photographed(action: Any) -> Any:
        nonlocal steps
        if steps % every == 0:
            pictures.append(_side(env))
        steps += 1
        return advance(action)

    env.advance = photographed  # type: ignore[method-assign]


def row_of(pictures: list[Picture], text: str, count: int) -> Picture:
    """Return a row of ``count`` pictures under a line of text; the last one is the episode's end."""
    shown = [*pictures[: count - 1], pictures[-1]]
    shown += [np.full_like(shown[0], 255)] * (count - len(shown))
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    line = np.concatenate([part for picture in shown for part in (picture, gap)][:-1], axis=1)
    label = Image.new("RGB", (line.shape[1], LABEL), "white")
    ImageDraw.Draw(label).text((4, 4), text, fill="black", font_size=14)
    return np.concatenate([np.asarray(label), line])


def main() -> None:
    """Render the strip."""
    asked = options()
    rows = []
    for latency_ms in asked.ms:
        pictures, result = filmed(asked, latency_ms)
        seconds = result.steps / 30
        end = f"{result.outcome} after {seconds:.1f} s, parts: " + ", ".join(
            f"{name} {'yes' if on else 'no'}" for name, on in result.subgoals.items()
        )
        rows.append(row_of(pictures, f"{latency_ms} ms: {end}", asked.count))
        print(f"{latency_ms} ms: {end}")
    Image.fromarray(np.concatenate(rows)).quantize(128).save(asked.out)


if __name__ == "__main__":
    main()
