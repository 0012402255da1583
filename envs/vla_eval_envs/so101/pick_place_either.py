"""Pick and place with two equally good goals: the red block into either box."""

from __future__ import annotations

from dataclasses import replace

from vla_eval_envs.so101.frozen import FrozenStates
from vla_eval_envs.so101.pick_place import BOX, PickPlace

__all__ = ["LEFT_BOX", "RIGHT_BOX", "PickPlaceEither"]

LEFT_BOX = replace(BOX, name="left_box")
RIGHT_BOX = replace(BOX, name="right_box", centre=(BOX.centre[0], -BOX.centre[1]))


class PickPlaceEither(PickPlace):
    """An SO-101 arm picks a red block from a table and puts it into one of two equal boxes.

    ## Description
    The scene of :class:`~vla_eval_envs.so101.pick_place.PickPlace` with a second box, its mirror
    image, on the arm's right. Both goals are equally good, so that demonstrations are bimodal: a
    policy that averages them puts the block between the boxes.

    ## Action Space, Observation Space, Episode End, Arguments
    As in :class:`~vla_eval_envs.so101.pick_place.PickPlace`.

    ## Score
    0.5 for the grasp and 0.5 for the placement in either box, each as in
    :class:`~vla_eval_envs.so101.pick_place.PickPlace`.

    ## Starting State
    200 frozen poses of the block, drawn like those of
    :class:`~vla_eval_envs.so101.pick_place.PickPlace` with another seed.

    ## Version History
    * v0: first release.
    """

    task_description = "put the red block in either box"
    score_rule = "as PickPlace; two goals, equally good"
    frozen = FrozenStates(
        name="pick_place_either",
        seed=20260104,
        sha256="2261dc355845c3fc727e0d05ee195ea3dbed30d59385633e816823e9bba3cc42",
    )
    boxes = (LEFT_BOX, RIGHT_BOX)
