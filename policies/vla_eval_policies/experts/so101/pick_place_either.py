"""Expert for so101/PickPlaceEither: draws one of the two boxes."""

from __future__ import annotations

import numpy as np

from vla_eval.environment import EvalEnv
from vla_eval_envs.so101.objects import Box
from vla_eval_envs.so101.pick_place_either import PickPlaceEither
from vla_eval_policies.experts.motion import PACES, Pace
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert

__all__ = ["PickPlaceEitherExpert"]


class PickPlaceEitherExpert(PickPlaceExpert):
    """Puts the block into one box, drawn once an episode with probability 1/2 each."""

    task = PickPlaceEither
    boxes = PickPlaceEither.boxes

    def __init__(
        self,
        env: EvalEnv,
        *,
        pace: Pace = PACES["normal"],
        generator: np.random.Generator | None = None,
    ) -> None:
        super().__init__(env, pace=pace, generator=generator)
        self._side = int(self._generator.integers(len(self.boxes)))

    def _box(self) -> Box:
        return self.boxes[self._side]
