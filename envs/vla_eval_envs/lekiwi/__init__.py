"""Simulated LeKiwi: an SO-101 arm on three omni wheels, in MuJoCo, at LeRobot's interface.

Frames: the floor is z = 0. The robot's frame has its origin on the floor under the middle of the base,
x forward, y left. The world frame is the robot's frame at its mean start. Lengths are in metres.
Actions and ``agent_pos`` are in LeRobot's units, see :mod:`vla_eval_envs.lekiwi.features`.

Importing this package loads no simulator.
"""
