"""Virtual time in sentences and numbers, for all readers of a run: its mode, and each arm's delays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from vla_eval.catalog import control_hz
from vla_eval.protocol import Protocol
from vla_eval.record import EpisodeRecord

__all__ = ["VIRTUAL_HEAD", "VirtualArm", "virtual_sentence"]

VIRTUAL_HEAD = ("delay", "latency", "stalled", "late", "age", "oldest", "largest jump")
"""Head of the columns of `VirtualArm.cells`."""


@dataclass(frozen=True)
class VirtualArm:
    """Delays of one arm in virtual time, and their consequences; ticks are control steps."""

    latency_us: int | None
    """Expected time of an inference; None if the arm was never identified."""
    expected_delay: int
    """The same in ticks; the largest over tasks."""
    delay_mean: float
    delay_max: int
    stalled_share: float
    """Share of the ticks without a policy action."""
    late: int
    """Inferences whose chunk arrived at a stalled robot, each episode's first one apart."""
    discarded: int
    """Inferences that were in flight when their episode ended."""
    age_mean: float
    """Mean age of the executed actions in ticks: the time since their observation."""
    age_max: int
    switch_jump_max: float
    """Largest change of the action at a change of chunk, in units of the action's range."""
    ticks_per_inference: float

    @classmethod
    def of(
        cls, records: Iterable[EpisodeRecord], identity: Mapping[str, Any] | None
    ) -> Self | None:
        """Return the numbers of an arm's results; None without any in virtual time."""
        parts = [(record.steps, record.realtime) for record in records]
        known = [(steps, part) for steps, part in parts if part is not None]
        delays = [delay for _, part in known for delay in part.delays]
        if not delays:
            return None
        ticks = sum(steps for steps, _ in known)
        ages = [pair for _, part in known for pair in enumerate(part.ages)]
        return cls(
            latency_us=((identity or {}).get("realtime") or {}).get("expected_us"),
            expected_delay=max(part.expected_delay for _, part in known),
            delay_mean=sum(delays) / len(delays),
            delay_max=max(delays),
            stalled_share=sum(part.stalled_ticks for _, part in known) / max(1, ticks),
            late=sum(part.late for _, part in known),
            discarded=sum(part.discarded for _, part in known),
            age_mean=sum(age * count for age, count in ages)
            / max(1, sum(count for _, count in ages)),
            age_max=max(part.age_max for _, part in known),
            switch_jump_max=max(part.switch_jump_max for _, part in known),
            ticks_per_inference=ticks / len(delays),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the form that scripts rely on."""
        return asdict(self)

    def cells(self) -> list[str]:
        """Return the columns of `VIRTUAL_HEAD`."""
        slowest = "" if self.delay_max == self.expected_delay else f" to {self.delay_max}"
        return [
            f"{self.expected_delay}{slowest}",
            "-" if self.latency_us is None else f"{self.latency_us / 1e3:.1f} ms",
            f"{self.stalled_share:.1%}",
            str(self.late),
            f"{self.age_mean:.1f}",
            str(self.age_max),
            f"{self.switch_jump_max:.3f}",
        ]


def virtual_sentence(protocol: Protocol) -> str:
    """Return mode, machine and time limit of a protocol in virtual time; empty if it is paused."""
    settings = protocol.run.realtime
    if settings is None:
        return ""
    merge = f", merge {settings.merge or 'replace'}" if settings.mode == "async" else ""
    machine = "latencies given by arm" if settings.machine is None else settings.machine.name
    own = ", ".join(settings.arms) if settings.machine is not None else ""
    limits = dict.fromkeys(_limit(block.suite, block.max_steps) for block in protocol.blocks)
    parts = [
        f"virtual time: {settings.mode}{merge}",
        machine,
        *([f"own latencies: {own}"] if own else []),
        *(["jitter by profile"] if settings.jitter == "profile" else []),
        f"limit {' or '.join(limits)}",
    ]
    return " · ".join(parts)


def _limit(suite: str, steps: int) -> str:
    rate = control_hz(suite)
    return f"{steps} ticks" if rate is None else f"{steps / rate:.1f} s"
