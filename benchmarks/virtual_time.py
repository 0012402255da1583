"""Measures what virtual time costs, and how much faster than real time it runs.

    python benchmarks/virtual_time.py
    python benchmarks/virtual_time.py --libero      # the overlap on LIBERO too; needs its assets

Three ratios, each of one run in which the two sides take turns:

- cost: CPU time of an episode with a latency of 0 over that of the paused episode, SO-101, the same actions;
- real time: virtual seconds over wall seconds of an asynchronous SO-101 episode without pictures between looks;
- overlap: wall time of an asynchronous episode whose policy takes 50 ms in another thread, simulated while it
  thinks, over the same without overlap. The records are compared: they are equal.

Writes results/virtual_time.json and .md, which docs/real-time.md cites.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import parser, run

from vla_eval.environment import EvalEnv, Observation, make_env
from vla_eval.episode import EpisodeResult, PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import ActionChunk, Context, Policy, PolicyMetadata
from vla_eval.realtime.latency import virtual_time
from vla_eval.realtime.settings import Realtime
from vla_eval.spec import build_policy

NAME = "virtual_time"
PAIRS, HORIZON = 7, 10
THINKS_S = 0.05
BARS = {"cost": "at most 1.03", "real time": "at least 5", "overlap": "at least 1.3"}


class Slow:
    """Holds the robot still, and takes 50 ms for it."""

    metadata = PolicyMetadata("slow", "benchmark", 16, HORIZON, nfe=1)

    def __init__(self, hold: np.ndarray[Any, Any]) -> None:
        self._chunk = np.repeat(hold[None].astype(np.float32), 16, axis=0)

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Sleep, then answer."""
        time.sleep(THINKS_S)
        return [ActionChunk(self._chunk, nfe=1) for _ in contexts]


class Elsewhere(Slow):
    """The same in another thread, as a policy host would be."""

    _threads = ThreadPoolExecutor(1)

    def submit(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> Callable[[], list[ActionChunk]]:
        """Begin, and return the function that waits."""
        return self._threads.submit(self.infer, observations, contexts).result


def episode(
    env: EvalEnv, policy: Policy, suite: str, *, steps: int, latency_us: int | None
) -> EpisodeResult:
    """Run one episode of development state 1; without a latency time stands still."""
    settings = None
    if latency_us is not None:
        arms = {"a": {"total_us": latency_us}}
        settings = Realtime.model_validate({"mode": "async", "arms": arms})
    return run_episode(
        env,
        policy,
        PlannedEpisode(EpisodeKey(suite, "task", 1, 0, 0), "", {}, steps),
        n_action_steps=HORIZON,
        clock=PhaseClock(),
        virtual=virtual_time(settings, "a", policy.metadata),
    )


def timed(work: Callable[[], EpisodeResult], clock: Callable[[], float]) -> tuple[float, str, int]:
    """Return time in s, hash of the actions, and steps of an episode."""
    start = clock()
    result = work()
    return clock() - start, result.actions_sha256, result.steps


def turns(
    first: Callable[[], EpisodeResult],
    second: Callable[[], EpisodeResult],
    clock: Callable[[], float],
) -> dict[str, Any]:
    """Run both in turns; return the median ratio, first over second, with its range."""
    ratios = []
    for pair in range(PAIRS + 1):
        ours, theirs = timed(first, clock), timed(second, clock)
        if ours[1:] != theirs[1:]:
            raise RuntimeError("the two sides executed different actions")
        if pair:  # the first pair warms up
            ratios.append(ours[0] / theirs[0])
    return {"ratio": median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def measure(*, libero: bool) -> dict[str, Any]:
    """Return all ratios."""
    env = make_env("vla_eval_envs:so101/PickPlace-v0", {"image_size": 256})
    teacher = build_policy("flow:so101/fm?nfe=10")

    def so101(latency_us: int | None) -> EpisodeResult:
        return episode(env, teacher, "so101", steps=450, latency_us=latency_us)

    print("cost", file=sys.stderr, flush=True)
    rows = {"cost": turns(lambda: so101(0), lambda: so101(None), time.process_time)}
    print("real time", file=sys.stderr, flush=True)
    speeds = []
    for _ in range(PAIRS):
        wall_s, _, steps = timed(lambda: so101(274_000), time.perf_counter)
        speeds.append(steps / env.metadata["render_fps"] / wall_s)
    rows["real time"] = {"ratio": median(speeds), "lowest": min(speeds), "highest": max(speeds)}
    rows["overlap, so101, 9 steps"] = overlap(env, "so101", 274_000)
    if libero:
        options = {"image_size": 256, "rotate_180": True, "axis_angle": "lerobot"}
        spatial = make_env("vla_eval_envs:libero/spatial-0-v0", options)
        rows["overlap, libero, 6 steps"] = overlap(spatial, "libero_spatial", 274_000)
    return {"machine": machine(), "rows": rows}


def overlap(env: EvalEnv, suite: str, latency_us: int) -> dict[str, Any]:
    """Return the ratio of wall times without and with overlap."""
    print(f"overlap, {suite}", file=sys.stderr, flush=True)
    env.reset(seed=0, options={"init_state": 1})
    alone, together = Slow(env.hold_action()), Elsewhere(env.hold_action())
    return turns(
        lambda: episode(env, alone, suite, steps=200, latency_us=latency_us),
        lambda: episode(env, together, suite, steps=200, latency_us=latency_us),
        time.perf_counter,
    )


def table(results: dict[str, Any]) -> str:
    """Return the Markdown."""
    lines = ["| what | ratio | range | bar |", "|---|--:|---|---|"]
    for name, row in results["rows"].items():
        bar = BARS[name.partition(",")[0]]
        span = f"{row['lowest']:.2f} to {row['highest']:.2f}"
        lines.append(f"| {name} | {row['ratio']:.2f} | {span} | {bar} |")
    return "\n".join([*lines, "", f"{in_words(results['machine'])}."]) + "\n"


def main() -> None:
    """Measure, and write the table."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument(
        "--libero", action="store_true", help="measure the overlap on LIBERO too"
    )
    chosen = arguments.parse_args()
    if not chosen.table:
        save(NAME, measure(libero=chosen.libero))
    write_table(NAME, table)


if __name__ == "__main__":
    run(main)
