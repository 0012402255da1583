"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vla_eval.errors import MissingExtraError
from vla_eval.sinks.sink import Facts, Sink, take_options

__all__ = ["WandbFactory"]


class WandbFactory:
    """``wandb[:PROJECT][?mode=offline&entity=TEAM&dir=DIR]``; default project ``vla_eval``."""

    help = "Weights & Biases; wandb[:PROJECT][?mode=offline&entity=TEAM&dir=DIR]"

    def __call__(self, target: str | None, options: Mapping[str, str], facts: Facts) -> Sink:
        """Begin a run, or continue the one with this identity."""
        chosen: dict[str, Any] = {**take_options("wandb", options, ("mode", "entity", "dir"))}
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "wandb") from None
        run = wandb.init(
            project=target or "vla_eval",
            id=facts.identity,
            name=facts.arm,
            group=facts.group,
            job_type="eval",
            config=dict(facts.config),
            resume="allow",
            settings=wandb.Settings(silent=True),
            **chosen,
        )
        # An evaluation arrives late, and wandb's own steps may not go back.
        run.define_metric("train_step")
        for name in ("eval/*", "paired/*", "time/*"):
            run.define_metric(name, step_metric="train_step")
        return _Wandb(wandb, run)


class _Wandb:
    def __init__(self, wandb: Any, run: Any) -> None:
        self._wandb, self._run = wandb, run

    def point(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({**numbers, "train_step": step})

    def finish(self, facts: Facts) -> None:
        step, numbers = facts.points[-1]
        shown: dict[str, Any] = {"train_step": step}
        for table in facts.tables:
            rows = [list(row) for row in table.rows]
            shown[table.name] = self._wandb.Table(columns=list(table.columns), data=rows)
        for video in facts.videos:
            shown[f"failures/{video.stem}"] = self._wandb.Video(str(video), format="mp4")
        self._run.log(shown)
        self._run.summary.update({**numbers, "report": facts.report})

    def close(self) -> None:
        self._run.finish()
