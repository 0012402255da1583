"""A plug-in of LeRobot's with a policy type of its own; LeRobot imports it where it is installed."""

from lerobot_policy_straight.configuration_straight import StraightConfig

__all__ = ["StraightConfig"]
