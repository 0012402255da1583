"""Expert for so101/PickBelt: meets the block where the belt will have brought it, and moves along."""

from __future__ import annotations

from vla_eval_envs.manipulation.driven import Track
from vla_eval_envs.so101.pick_belt import PickBelt
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert

__all__ = ["PickBeltExpert"]


class PickBeltExpert(PickPlaceExpert):
    """Puts the block from the belt into the box."""

    task = PickBelt
    _env: PickBelt

    def _object_track(self, name: str) -> Track | None:
        return self._env.track(name)
