"""Shopping with a basket that goes to and fro: the base has to follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_eval.catalog import Task
from vla_eval_envs.lekiwi.arrival import BasketDetector
from vla_eval_envs.lekiwi.items import ITEMS
from vla_eval_envs.lekiwi.shopping import Shopping
from vla_eval_envs.lekiwi.states import ShoppingStates
from vla_eval_envs.lekiwi.world import BASKET, MEAN_INERTIA
from vla_eval_envs.manipulation.driven import (
    Ride,
    Shuttle,
    Track,
    check_level,
    make_carried,
    make_carrier,
    make_driven,
)
from vla_eval_envs.manipulation.frozen import DEVELOPMENT_STATES
from vla_eval_envs.manipulation.simulator import mujoco

__all__ = ["AMPLITUDE_M", "MAX_SPEED_CMPS", "ShoppingFollow"]

AMPLITUDE_M = 0.06
"""Largest distance of the basket from the middle of its track."""
MAX_SPEED_CMPS = 10
_ITEM = "salt"


class ShoppingFollow(Shopping):
    """A LeKiwi fetches the salt bottle and puts it in a basket that goes to and fro.

    ## Description
    The scene of :class:`~vla_eval_envs.lekiwi.shopping.Shopping`, whose basket goes to and fro along x by 6 cm
    to either side of its place, at constant speed. An item in it is carried along by friction. Nothing
    stops the basket: it pushes what is in its way.

    The levels are speeds of 0, 2, 4 and 8 cm/s; any whole number up to 10 can be chosen. At 0 this is
    ``lekiwi/ShoppingSalt``, bit for bit, pictures included.

    ## Action Space, Observation Space, Episode End
    As in :class:`~vla_eval_envs.lekiwi.shopping.Shopping`. One observation does not show in which direction the
    basket goes: a policy that needs it asks for two (``n_obs_steps``).

    ## Score
    As in :class:`~vla_eval_envs.lekiwi.shopping.Shopping`; the item has to be slow relative to the basket.

    ## Starting State
    200 frozen places of robot and items, drawn like those of
    :class:`~vla_eval_envs.lekiwi.shopping.Shopping` with another seed, and a phase of the basket's motion, drawn
    uniformly: 0 is the middle on the way to +x, 0.25 the turn. ``info["scene_hash"]`` covers speed and phase.

    ## Arguments
    Those of :class:`~vla_eval_envs.lekiwi.shopping.Shopping` but ``item``, and this one:

    | name | default | meaning |
    |---|---|---|
    | speed_cmps | 4 | speed of the basket in cm/s, an integer in 0..10 |

    ## Version History
    * v0: first release.
    """

    score_rule = "as ShoppingSalt; the basket goes to and fro"
    frozen: ClassVar[Mapping[str, ShoppingStates]] = {
        _ITEM: ShoppingStates(
            _ITEM,
            20260204,
            "2b97622dbe18198892ed8c0b3b0c595465f33c77b02f53bc2e8ad4bb6b92baaf",
            phase=True,
        )
    }

    @classmethod
    def tasks(cls) -> tuple[Task, ...]:
        """Return the row of this task in the catalogue."""
        return (
            Task(
                name=cls.__name__,
                env_id=f"vla_eval_envs:lekiwi/{cls.__name__}-v0",
                instruction="pick up the salt bottle and put it in the moving basket",
                init_states=cls.frozen[_ITEM].count,
                max_steps=cls.max_steps,
                entry_point=f"{cls.__module__}:{cls.__name__}",
                development_states=DEVELOPMENT_STATES,
            ),
        )

    def __init__(self, *, speed_cmps: int = 4, **options: Any) -> None:
        self.speed_mps = check_level("speed_cmps", speed_cmps, MAX_SPEED_CMPS) / 100
        super().__init__(item=_ITEM, **options)
        self.task_description = self.tasks()[0].instruction

    def _build(self, spec: mujoco.MjSpec) -> None:
        super()._build(spec)
        if self.speed_mps:
            make_driven(spec, spec.body("basket"), "x", MEAN_INERTIA)
            make_carrier(spec.geom("basket_bottom"))
            for name in ITEMS:
                make_carried(spec, name)

    def _bind(self) -> None:
        super()._bind()
        hertz = self.metadata["render_fps"]
        step_m = self.speed_mps / hertz
        self._basket = (
            Shuttle(self.model, "basket", AMPLITUDE_M, step_m, hertz) if self.speed_mps else None
        )

    def _basket_detector(self, name: str) -> BasketDetector:
        kind = _TravellingBasket if self.speed_mps else BasketDetector
        return kind(self.model, name, BASKET)

    def _motion(self) -> dict[str, float]:
        if self._basket is None:
            return {}
        return {"basket_mps": self.speed_mps, "basket_phase": self._basket.phase}

    def _arrange(self, state: Mapping[str, float]) -> None:
        super()._arrange(state)
        if self._basket is not None:
            self._basket.phase = state["basket_phase"]
            self._basket.run(self.data, 0)

    def _move_parts(self) -> None:
        if self._basket is not None:
            self._basket.run(self.data, self.tick)

    def basket_shift(self) -> NDArray[np.float64]:
        """Return how far the basket is from its place now, (3,), m."""
        offset = self._basket.offset(self.tick) if self._basket else 0.0
        return np.array([offset, 0.0, 0.0])

    def basket_track(self) -> Track | None:
        """Return how the basket will move; None if it stands still."""
        return self._basket.track(self.tick) if self._basket else None


class _TravellingBasket(BasketDetector):
    """Watches one item: it is in a basket that travels along x, and at rest relative to it."""

    def __init__(self, model: mujoco.MjModel, object_name: str, *_: object) -> None:
        super().__init__(model, object_name, BASKET)
        self._ride = Ride(model, "basket", BASKET.centre[0])

    def _velocity(self, data: mujoco.MjData) -> list[float]:
        return self._ride.velocity(data, super()._velocity(data))

    def _place(self, data: mujoco.MjData) -> list[float]:
        return self._ride.place(data, super()._place(data))
