"""Expert for so101/PickJump: plans again when it sees that the block is elsewhere."""

from __future__ import annotations

from vla_eval_envs.so101.pick_jump import PickJump
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert

__all__ = ["PickJumpExpert"]


class PickJumpExpert(PickPlaceExpert):
    """Puts the block into the box, wherever it has jumped to."""

    task = PickJump
