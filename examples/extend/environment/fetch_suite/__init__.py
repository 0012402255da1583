"""Tasks of Gymnasium-Robotics as a suite of vla_eval; importing this registers them."""

import gymnasium

from vla_eval import Cost, Suite, Task

__all__ = ["suites"]

TASKS = tuple(
    Task(
        name=name,
        env_id=f"fetch_suite:fetch/{name}-v0",
        instruction=instruction,
        init_states=200,
        max_steps=50,
        entry_point="fetch_suite.env:Fetch",
        kwargs={"env_id": f"Fetch{name}-v4", "instruction": instruction},
        development_states=100,
    )
    for name, instruction in (
        ("Reach", "move the gripper to the red ball"),
        ("Push", "push the block to the red ball"),
        ("PickAndPlace", "lift the block to the red ball"),
    )
)

for task in TASKS:
    gymnasium.register(
        task.env_id.partition(":")[2],
        entry_point=task.entry_point,
        max_episode_steps=task.max_steps,
        kwargs=dict(task.kwargs),
    )


def suites():
    """Return what `vlaeval list suites` shows; no simulator is imported for it."""
    return (
        Suite(
            name="fetch",
            description="a Fetch arm of Gymnasium-Robotics, with displacements as actions",
            tasks=TASKS,
            extra="",
            cost=Cost(build_s=1.0, reset_s=0.01, advance_s=0.002, observe_s=0.02),
            control_hz=25,
        ),
    )
