"""The catalogue of LeKiwi tasks: those of every task class, listed without a simulator."""

from __future__ import annotations

import functools

from vla_eval.catalog import Cost, Suite
from vla_eval_envs.manipulation.tasks import task_classes

__all__ = ["suites"]

# As for SO-101: building includes the import of MuJoCo; the first picture of a process takes 0.3 s more.
_COST = Cost(build_s=0.3, reset_s=0.010, advance_s=0.0006, observe_s=0.008)


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return the suite ``lekiwi``."""
    kinds = task_classes("vla_eval_envs.lekiwi")
    return (
        Suite(
            name="lekiwi",
            description="shopping with a simulated LeKiwi, an SO-101 arm on wheels, at LeRobot's interface",
            tasks=tuple(task for kind in kinds for task in kind.tasks()),
            extra="so101",
            cost=_COST,
            control_hz=kinds[0].metadata["render_fps"],
            doctor="vla_eval_envs.lekiwi.doctor:checks",
            actions="vla_eval_envs.lekiwi.features:action_fields",
        ),
    )
