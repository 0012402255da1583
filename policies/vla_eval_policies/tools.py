"""The tools that this package offers to the core, see :mod:`vla_eval.tools`; cheap to import."""

from __future__ import annotations

from collections.abc import Callable

from vla_eval.errors import MissingExtraError
from vla_eval.recording.writer import DatasetWriterFactory
from vla_eval.tools import (
    PolicyServer,
    ServeOptions,
    Serving,
    Trainer,
    Training,
    TrainingRequest,
)
from vla_eval_policies.lerobot.writer import LeRobotWriter

__all__ = ["dataset_writer", "policy_server", "trainer"]


def _serve(spec: str, options: ServeOptions, ready: Callable[[Serving], None]) -> None:
    try:
        from vla_eval_policies.remote.server import serve_policy
    except ImportError as error:
        raise MissingExtraError(f"vlaeval serve ({error.name})", "remote") from None
    serve_policy(spec, options, ready)


def _read_training(request: TrainingRequest) -> Training:
    try:
        from vla_eval_policies.training.start import read_training
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        extra = "flow" if request.base is None else "lerobot"
        raise MissingExtraError("vlaeval train", extra) from None
    return read_training(request)


dataset_writer: DatasetWriterFactory = LeRobotWriter
policy_server: PolicyServer = _serve
trainer: Trainer = _read_training
