"""The LeKiwi tasks, known without a simulator."""

from __future__ import annotations

import functools

from vla_eval.catalog import Cost, Suite, Task

__all__ = ["suites"]

# As for SO-101: the import of MuJoCo counts as building, the first look of a process costs 0.3 s more.
_COST = Cost(build_s=0.3, reset_s=0.010, advance_s=0.0006, observe_s=0.008)
_PHRASES = {"salt": "salt bottle", "matcha": "matcha tin", "chocolate": "chocolate bar"}


@functools.cache
def suites() -> tuple[Suite, ...]:
    """Return the suite ``lekiwi``: one task for each item that can be asked for."""
    return (
        Suite(
            name="lekiwi",
            description="shopping with a simulated LeKiwi, an SO-101 arm on wheels, at LeRobot's interface",
            tasks=tuple(_task(item, phrase) for item, phrase in _PHRASES.items()),
            extra="so101",
            cost=_COST,
            doctor="vla_eval_envs.lekiwi.doctor:checks",
        ),
    )


def _task(item: str, phrase: str) -> Task:
    name = f"Shopping{item.capitalize()}"
    return Task(
        name=name,
        env_id=f"vla_eval_envs:lekiwi/{name}-v0",
        instruction=f"pick up the {phrase} and put it in the basket",
        init_states=200,
        max_steps=900,
        entry_point="vla_eval_envs.lekiwi.shopping:Shopping",
        kwargs={"item": item},
        development_states=100,
    )
