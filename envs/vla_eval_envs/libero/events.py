"""What happens to a scene during an episode, by declared levels: a shift, a push, both or nothing."""

from __future__ import annotations

from typing import Any, Protocol

from vla_eval_envs.libero.options import check_option
from vla_eval_envs.libero.push import MAX_PUSH_N, Push
from vla_eval_envs.libero.shift import MAX_SHIFT_CM, Shift

__all__ = ["Event", "Events"]


class Event(Protocol):
    """What happens once in an episode, in any of the physics loops: it acts between control steps only."""

    @property
    def name(self) -> str:
        """Its name in records."""

    @property
    def shown(self) -> int | None:
        """Control step of the first observation that can show it; None: it has not begun."""

    def prepare(self) -> None:
        """Set the forces of the next control step."""


class Events:
    """The events of an environment, drawn anew for each episode; at level 0 there are none."""

    def __init__(self, *, shift_cm: int, push_n: int) -> None:
        """Check the levels.

        Raises:
            UsageError: there is no such level.
        """
        check_option("shift_cm", shift_cm, range(MAX_SHIFT_CM + 1))
        check_option("push_n", push_n, range(MAX_PUSH_N + 1))
        self._shift_m, self._push_n = shift_cm / 100, push_n
        self._drawn: list[Shift | Push] = []
        self.begun: list[Event] = []
        """Those of the present episode."""

    def draw(self, seed: int, init_state: int | None) -> dict[str, float]:
        """Draw what will happen in an episode; return what belongs to the scene's hash."""
        self._drawn, self.begun = [], []
        if self._shift_m:
            self._drawn.append(Shift.drawn(seed, init_state, self._shift_m))
        if self._push_n:
            self._drawn.append(Push.drawn(seed, init_state, self._push_n))
        return {name: number for each in self._drawn for name, number in each.motion().items()}

    def begin(self, env: Any) -> None:
        """Begin the episode in LIBERO's environment, just reset.

        Raises:
            UsageError: the task has no object to which this could happen.
        """
        self.begun = [each.begin(env) for each in self._drawn]

    def prepare(self) -> None:
        """Set the forces of the next control step."""
        for event in self.begun:
            event.prepare()

    def shown(self) -> dict[str, int]:
        """Return, for each event that has begun, the control step of the first observation that can show it."""
        return {event.name: event.shown for event in self.begun if event.shown is not None}
