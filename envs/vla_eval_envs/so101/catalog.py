"""The SO-101 tasks, known without a simulator."""

from __future__ import annotations

import functools

from vla_eval.catalog import Cost, Suite, Task

__all__ = ["suites"]

# Building includes the import of MuJoCo; the first reset of a process takes 0.2 s more, for GL. A step
# takes 0.22 ms in PickPlace, 0.27 in Sorting and 0.42 in Stacking, with the grasp.
_COST = Cost(build_s=0.3, reset_s=0.005, advance_s=0.0003, observe_s=0.003)

_TASKS = (
    # Class, module, instruction, time limit in steps of 1/30 s.
    ("PickPlace", "pick_place", "grasp the red block and put it in the box", 600),
    ("PickPlaceEither", "pick_place_either", "put the red block in either box", 600),
    ("Stacking", "stacking", "put the orange toy on the coloured blocks", 600),
    (
        "Sorting",
        "sorting",
        "put the red cube in the left box and the green cube in the right box",
        900,
    ),
)


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return the suite ``so101``."""
    return (
        Suite(
            name="so101",
            description="table-top tasks of a simulated SO-101 arm at LeRobot's interface",
            tasks=tuple(_task(*row) for row in _TASKS),
            extra="so101",
            cost=_COST,
            doctor="vla_eval_envs.so101.doctor:checks",
        ),
    )


def _task(name: str, module: str, instruction: str, max_steps: int) -> Task:
    return Task(
        name=name,
        env_id=f"vla_eval_envs:so101/{name}-v0",
        instruction=instruction,
        init_states=200,
        max_steps=max_steps,
        entry_point=f"vla_eval_envs.so101.{module}:{name}",
        development_states=100,
    )
