"""Expert for so101/PickPush: plans again when it has lost the block."""

from __future__ import annotations

from vla_eval_envs.so101.pick_push import PickPush
from vla_eval_policies.experts.so101.pick_place import PickPlaceExpert

__all__ = ["PickPushExpert"]


class PickPushExpert(PickPlaceExpert):
    """Puts the block into the box, and fetches it again if a push took it."""

    task = PickPush
