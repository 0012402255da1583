"""ODE solvers for dx/dt = v(x, t), from t = 1 down to t = 0 in equal steps.

The velocity is not defined at t = 0 and never evaluated there: Heun's last step is an Euler step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from vla_eval.errors import UsageError
from vla_eval_policies.methods.method import at

__all__ = ["SOLVERS", "Solver", "Velocity", "solve", "steps_of"]

Velocity = Callable[[Tensor, Tensor], Tensor]
"""v(x, t): x (B, H, D), t (B,) → (B, H, D)."""
Solver = Literal["euler", "heun", "midpoint"]


def euler(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """Step x ← x − h·v(x, t). NFE = steps."""
    h = 1 / steps
    for k in range(steps):
        x = x - h * velocity(x, at(1 - k * h, x))
    return x


def midpoint(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """Step x ← x − h·v(x − h/2·v(x, t), t − h/2). NFE = 2·steps."""
    h = 1 / steps
    for k in range(steps):
        t = 1 - k * h
        middle = x - h / 2 * velocity(x, at(t, x))
        x = x - h * velocity(middle, at(t - h / 2, x))
    return x


def heun(velocity: Velocity, x: Tensor, steps: int) -> Tensor:
    """Step x ← x − h/2·(v(x, t) + v(x − h·v(x, t), t − h)), at last by Euler. NFE = 2·steps − 1."""
    h = 1 / steps
    for k in range(steps):
        t = 1 - k * h
        slope = velocity(x, at(t, x))
        if k < steps - 1:
            slope = (slope + velocity(x - h * slope, at(t - h, x))) / 2
        x = x - h * slope
    return x


SOLVERS: dict[Solver, Callable[[Velocity, Tensor, int], Tensor]] = {
    "euler": euler,
    "heun": heun,
    "midpoint": midpoint,
}


def steps_of(solver: Solver, nfe: int) -> int:
    """Return the number of steps that a solver takes with ``nfe`` evaluations.

    Raises:
        UsageError: the solver cannot use exactly ``nfe`` evaluations.
    """
    steps, rest = {
        "euler": (nfe, 0),
        "midpoint": divmod(nfe, 2),
        "heun": ((nfe + 1) // 2, (nfe + 1) % 2),
    }[solver]
    if rest or steps < 1:
        kind = "even" if solver == "midpoint" else "odd"
        raise UsageError(f"solver '{solver}' needs an {kind} nfe of at least 1, not {nfe}")
    return steps


def solve(solver: Solver, velocity: Velocity, x: Tensor, nfe: int) -> Tensor:
    """Integrate from noise x (B, H, D) to actions with exactly ``nfe`` evaluations."""
    return SOLVERS[solver](velocity, x, steps_of(solver, nfe))
