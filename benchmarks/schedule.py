"""How well many workers are used: a model of the schedule, with the engine's own dispatcher.

    python benchmarks/schedule.py
    python benchmarks/schedule.py --episodes 8000 --workers 400

simulates a run of 40 tasks with LIBERO's time limits, and prints the share of the workers' time in which
episodes advance (resets are no work), and the time to the end. Assumed: 45 ms a step, 0.2 s a reset, 1.25 s a change of task, 8 s to start a worker,
5 ms to hand out an episode; 88 % of the episodes succeed, at any step between 60 and 330. Policies are
free: what a GPU limits is not modelled. Nothing is measured, nothing is written into the repository.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from common.script import count, parser, run

from vla_eval.engine.dispatch import Dispatcher
from vla_eval.engine.messages import WorkItem
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode

STEP_S, RESET_S, CHANGE_S, START_S, DISPATCH_S = 0.045, 0.2, 1.25, 8.0, 0.005
LIMITS = (220, 280, 300, 520)
TASKS_A_LIMIT = 10
SUCCESS, FIRST_STEP, LAST_STEP = 0.88, 60, 330


@dataclass
class PlanOrder:
    """Hands out the episodes in the plan's order, whatever the worker has built."""

    items: list[WorkItem] = field(default_factory=list)

    def add(self, items: list[WorkItem]) -> None:
        """Add items at the end."""
        self.items += items[::-1]

    def take(self, current: object, others: list[object]) -> WorkItem | None:
        """Return the next item."""
        del current, others
        return self.items.pop() if self.items else None


def main() -> None:
    """Print a row for each number of workers."""
    arguments = parser(__doc__)
    arguments.add_argument("--episodes", type=count, default=2000, help="of the run (2000)")
    arguments.add_argument("--workers", type=count, nargs="+", default=[50, 100, 200, 400, 1000])
    chosen = arguments.parse_args()
    print(f"{chosen.episodes} episodes\nworkers  plan order        the engine's order")
    for workers in chosen.workers:
        columns = []
        for make in (PlanOrder, Dispatcher):
            share, end_s = simulate(chosen.episodes, workers, make)
            columns.append(f"{share:4.0%} in {end_s:6.1f} s")
        print(f"{workers:7}  {columns[0]}   {columns[1]}")


def simulate(
    episodes: int, workers: int, make: Callable[[], Dispatcher | PlanOrder]
) -> tuple[float, float]:
    """Return the share of the workers' time in which episodes advance, and the time to the end, s."""
    lengths = random.Random(0)
    queue = make()
    items = plan(episodes)
    length_of = {id(item): length(item.episode.max_steps, lengths) for item in items}
    queue.add(items)
    scenes: list[object] = [None] * workers
    ready = [(START_S, worker) for worker in range(workers)]
    heapq.heapify(ready)
    work, end_s = 0.0, 0.0
    while ready:
        now_s, worker = heapq.heappop(ready)
        item = queue.take(scenes[worker], scenes[:worker] + scenes[worker + 1 :])
        if item is None:
            continue
        change_s = CHANGE_S * (scenes[worker] != item.episode.scene)
        scenes[worker] = item.episode.scene
        seconds = length_of[id(item)]
        work += seconds - RESET_S
        free_s = now_s + DISPATCH_S + change_s + seconds
        end_s = max(end_s, free_s)
        heapq.heappush(ready, (free_s, worker))
    return work / (workers * end_s), end_s


def plan(episodes: int) -> list[WorkItem]:
    """Return the items, task by task."""
    tasks = len(LIMITS) * TASKS_A_LIMIT
    items = []
    for task in range(tasks):
        limit = LIMITS[task // TASKS_A_LIMIT]
        for state in range(episodes // tasks):
            key = EpisodeKey("libero", str(task), state, 0, 0)
            items.append(WorkItem("a", PlannedEpisode(key, str(task), {}, limit), 1))
    return items


def length(limit: int, rng: random.Random) -> float:
    """Return the duration of an episode, s."""
    succeeds = rng.random() < SUCCESS
    steps = rng.randint(FIRST_STEP, min(LAST_STEP, limit)) if succeeds else limit
    return RESET_S + STEP_S * steps


if __name__ == "__main__":
    run(main)
