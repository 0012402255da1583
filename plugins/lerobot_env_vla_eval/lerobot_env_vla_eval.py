"""Registers the environment type ``vla_eval`` with LeRobot, by being imported."""

from vla_eval_policies.lerobot.environments import VlaEvalEnv

__all__ = ["VlaEvalEnv"]
