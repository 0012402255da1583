"""Simulated SO-101: a 5-joint arm with a gripper, in MuJoCo, at LeRobot's interface.

World frame: the origin is the arm's base, the table top is z = 0, the robot faces +x, and +y is to its
left. Lengths are in metres. Actions and ``agent_pos`` are in LeRobot's units, see
:mod:`vla_eval_envs.so101.units`; inside the simulation joint angles are in radians.

Importing this package loads no simulator.
"""
