"""The SO-101 tasks, known without a simulator."""

from __future__ import annotations

import functools

from vla_eval.catalog import Cost, Suite, Task

__all__ = ["suites"]

# Building includes the import of MuJoCo; the first reset of a process takes 0.2 s more, for GL.
_COST = Cost(build_s=0.3, reset_s=0.005, advance_s=0.00012, observe_s=0.003)


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return the suite ``so101``."""
    return (
        Suite(
            name="so101",
            description="table-top tasks of a simulated SO-101 arm at LeRobot's interface",
            tasks=(_pick_place(),),
            extra="so101",
            cost=_COST,
            doctor="vla_eval_envs.so101.doctor:checks",
        ),
    )


def _pick_place() -> Task:
    return Task(
        name="PickPlace",
        env_id="vla_eval_envs:so101/PickPlace-v0",
        instruction="grasp the red block and put it in the box",
        init_states=200,
        max_steps=600,
        entry_point="vla_eval_envs.so101.pick_place:PickPlace",
    )
