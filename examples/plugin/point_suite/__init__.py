"""A suite of one task, as another package offers it: importing registers the task with Gymnasium."""

import gymnasium

from vla_eval import Cost, Suite, Task

__all__ = ["suites"]

REACH = Task(
    name="Reach",
    env_id="point_suite:point/Reach-v0",
    instruction="move the point to the goal",
    init_states=20,
    max_steps=60,
    entry_point="point_suite.env:Reach",
    development_states=10,
)

gymnasium.register(
    "point/Reach-v0", entry_point=REACH.entry_point, max_episode_steps=REACH.max_steps
)


def suites():
    """Return what `vlaeval list suites` shows; no simulator is imported for it."""
    return (
        Suite(
            name="point",
            description="a point on a line that has to reach a goal",
            tasks=(REACH,),
            extra="",
            cost=Cost(build_s=0.01, reset_s=0.001, advance_s=0.001, observe_s=0.001),
            control_hz=10,
        ),
    )
