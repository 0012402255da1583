"""The catalogue of SO-101 tasks: every task class of this package, listed without a simulator."""

from __future__ import annotations

import functools

from vla_eval.catalog import Cost, Suite
from vla_eval_envs.manipulation.tasks import task_classes

__all__ = ["suites"]

# Building includes the import of MuJoCo; the first reset of a process takes 0.2 s more, for GL. A step
# with a grasp takes 0.22 ms with one loose object, and 0.42 ms with five.
_COST = Cost(build_s=0.3, reset_s=0.005, advance_s=0.0003, observe_s=0.003)


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return the suite ``so101``."""
    # Sorted by seed, the order in which tasks were added, so that a new task comes last.
    kinds = sorted(task_classes("vla_eval_envs.so101"), key=lambda kind: kind.frozen.seed)
    return (
        Suite(
            name="so101",
            description="table-top tasks of a simulated SO-101 arm at LeRobot's interface",
            tasks=tuple(task for kind in kinds for task in kind.tasks()),
            extra="so101",
            cost=_COST,
            control_hz=kinds[0].metadata["render_fps"],
            doctor="vla_eval_envs.so101.doctor:checks",
            actions="vla_eval_envs.so101.units:action_fields",
        ),
    )
