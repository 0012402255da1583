"""Simulated SO-101: a 5-joint arm with a gripper, in MuJoCo, at LeRobot's interface.

Frames: the arm's base is the world's origin, the table top is z = 0, the robot faces +x, +y is its
left. Lengths are metres. Actions and ``agent_pos`` are in LeRobot's units, see
:mod:`vla_eval_envs.so101.units`; inside the simulation joints are radians.

Importing this package loads no simulator.
"""
