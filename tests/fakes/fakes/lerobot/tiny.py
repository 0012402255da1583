"""The policy kind ``lerobot`` for tiny checkpoints of pi0 and pi0.5, whose sizes no file can say.

``fakes.lerobot.tiny:factory?checkpoint=FOLDER&nfe=1``, or ``fakes.lerobot.tiny:in_worker``
"""

from __future__ import annotations

from typing import Any

from fakes.lerobot import builders
from vla_eval_policies.lerobot_policy.factory import LeRobotFactory


class TinyFactory(LeRobotFactory):
    def __call__(self, target: str | None, options: Any) -> Any:
        rest = dict(options)
        with builders.tiny_gemma():
            return super().__call__(rest.pop("checkpoint"), rest)

    def shared_key(self, target: str | None, options: Any) -> str | None:
        rest = dict(options)
        return super().shared_key(rest.pop("checkpoint"), rest)


class InWorker(TinyFactory):
    """The same without a process of its own: the arms of a worker share what LeRobot costs to load."""

    def placement(self, target: str | None) -> str:
        return "worker"


factory = TinyFactory()
in_worker = InWorker()
