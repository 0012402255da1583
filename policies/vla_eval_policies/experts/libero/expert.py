"""The expert for any LIBERO task: reads the goal and runs the necessary skills."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_eval.environment import EvalEnv
from vla_eval_policies.experts.libero.fixtures import close_up, open_up, turn, widen
from vla_eval_policies.experts.libero.motion import Script, Tracker
from vla_eval_policies.experts.libero.scene import LiberoScene
from vla_eval_policies.experts.libero.skills import Attempt, drag, pick, put_down
from vla_eval_policies.experts.motion import Pace

__all__ = ["LiberoExpert"]

# Order of the predicates: an open drawer is filled before it is closed; a burner is lit while it is
# free.
_ORDER = {"turnon": 0, "turnoff": 0, "open": 0, "on": 1, "in": 1, "close": 2}
_ROUNDS = 12
_FULL_SPEED_LINE_STEP_M = 0.008


class LiberoExpert:
    """Makes the predicates of the goal true, one after another, until all of them hold."""

    def __init__(self, env: EvalEnv, *, pace: Pace, generator: np.random.Generator) -> None:
        """Read the scene.

        Args:
            env: a LIBERO environment that has been reset.
            pace: a line step below the normal line step slows all motion down in proportion.
            generator: not used: LIBERO's tasks leave nothing open.
        """
        del generator
        scene = LiberoScene(env)
        speed = min(1.0, pace.line_step_m / _FULL_SPEED_LINE_STEP_M)
        self._tracker = Tracker(scene, _script(scene), speed=speed)

    def actions(self, step: int, count: int) -> NDArray[np.float32]:
        """Return 1 to ``count`` actions, float32 (n, 7), after ``step`` executed actions."""
        return self._tracker.actions(step, count)


def _script(scene: LiberoScene) -> Script:
    goals = sorted(scene.goals, key=lambda goal: _ORDER.get(goal[0], 1))
    for _ in range(_ROUNDS):
        for goal in goals:
            if scene.holds(goal):
                continue
            moved = False
            for moves in _achieve(scene, goal):
                moved = True
                yield moves
            if moved:
                break
        else:
            # All predicates hold, or no skill can change those that do not.
            return


def _achieve(scene: LiberoScene, goal: tuple[str, ...]) -> Attempt:
    predicate, *names = goal
    if predicate in {"turnon", "turnoff"}:
        return (yield from turn(scene, names[0], on=predicate == "turnon"))
    if predicate == "open":
        return (yield from open_up(scene, names[0]))
    if predicate == "close":
        return (yield from close_up(scene, names[0]))
    name, place = names
    if predicate == "in" and scene.is_site(place) and scene.joint(place) is not None:
        yield from open_up(scene, place)
        yield from widen(scene, place)
    held = yield from pick(scene, name, place)
    if not held:
        # An object that is too flat for the fingers can still be pushed.
        return predicate == "on" and (yield from drag(scene, name, place))
    return (yield from put_down(scene, name, place))
