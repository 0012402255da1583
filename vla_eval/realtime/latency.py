"""Latency: how long an inference takes in virtual time, in whole microseconds and in ticks.

No wall clock is read. A delay is ceil(latency × control rate), in integers: an observation at the start of
tick k can change the action of tick k + d at the earliest. Papers that take the floor hide up to a tick.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.keys import EpisodeKey
from vla_eval.realtime.merges import Merge, average, crossfade, ensemble, replacing
from vla_eval.realtime.schedule import Schedule
from vla_eval.realtime.settings import Profile, Realtime

__all__ = ["Latency", "VirtualTime", "check_arms", "microseconds_of", "ticks_of", "virtual_time"]

_MICROSECONDS = 1_000_000


def ticks_of(latency_us: int, rate_hz: float) -> int:
    """Return the delay in control steps: ceil(latency × rate), exact.

    Args:
        latency_us: latency in µs.
        rate_hz: control rate in Hz.
    """
    rate = Fraction(rate_hz).limit_denominator(1000)
    return -(-latency_us * rate.numerator // (_MICROSECONDS * rate.denominator))


def microseconds_of(ticks: int, rate_hz: float) -> int:
    """Return the longest latency in µs whose delay is this many control steps."""
    rate = Fraction(rate_hz).limit_denominator(1000)
    return ticks * _MICROSECONDS * rate.denominator // rate.numerator


@dataclass(frozen=True)
class Latency:
    """The inference times of one arm."""

    expected_us: int
    """Time that an inference is expected to take: the constant, or the profile's median."""
    profile: Profile | None = None
    """Distribution of the times; None: all are equal."""

    def inference_us(self, key: EpisodeKey, number: int) -> int:
        """Return the time of an episode's inference ``number`` (from 0), in µs.

        The random number depends on key and inference alone. So arms share it, and an arm with a faster
        profile is never slower in any inference.
        """
        if self.profile is None:
            return self.expected_us
        place = 100 * key.generator(number, "latency").random()
        low = int(place)
        at, after = self.profile.quantiles_us[low : low + 2]
        return round(at + (place - low) * (after - at))

    def identity(self) -> dict[str, Any]:
        """Return the facts that the arm's identity holds."""
        if self.profile is None:
            return {"expected_us": self.expected_us}
        table = json.dumps(self.profile.quantiles_us).encode()
        return {
            "expected_us": self.expected_us,
            "quantiles_sha256": hashlib.sha256(table).hexdigest(),
        }


@dataclass(frozen=True)
class VirtualTime:
    """The virtual time of one arm: its mode and its latency."""

    settings: Realtime
    latency: Latency

    def schedule(self, horizon: int, rate_hz: float, switches: tuple[int, ...]) -> Schedule:
        """Return the schedule of one episode.

        Args:
            horizon: execution horizon.
            rate_hz: control rate in Hz.
            switches: dimensions of the action that know two values only.
        """
        return Schedule(
            horizon,
            asynchronous=self.settings.mode == "async",
            expected_delay=ticks_of(self.latency.expected_us, rate_hz),
            merge=self._merge(switches),
        )

    def _merge(self, switches: tuple[int, ...]) -> Merge:
        settings = self.settings
        match settings.merge:
            case "average":
                weight = 0.3 if settings.old_weight is None else settings.old_weight
                return average(weight, switches)
            case "ensemble":
                decay = 0.01 if settings.coefficient is None else settings.coefficient
                return ensemble(decay, switches)
            case "crossfade":
                return crossfade(switches)
            case _:
                return replacing

    def delay(self, key: EpisodeKey, number: int, rate_hz: float) -> int:
        """Return the delay of an inference in ticks."""
        return ticks_of(self.latency.inference_us(key, number), rate_hz)


class Billed(Protocol):
    """The metadata of a policy that its inference time follows from."""

    @property
    def passes(self) -> int | None:
        """Consecutive forward passes of the action expert."""

    @property
    def samples(self) -> int:
        """Samples drawn in each pass."""

    @property
    def privileged(self) -> bool:
        """Whether the policy reads the simulator's state."""


def check_arms(settings: Realtime | None, arms: Iterable[str]) -> None:
    """Raise UsageError if the protocol gives a latency to an arm that the run does not have.

    Such a name is most often misspelt, and the arm that was meant would run with the machine's latency.
    """
    known = list(arms)
    for name in () if settings is None else settings.arms:
        if name not in known:
            raise UsageError(
                f"run.realtime.arms gives a latency to arm '{name}', which this run does not have"
                f"{did_you_mean(name, known)}"
            )


def virtual_time(settings: Realtime | None, arm: str, metadata: Billed) -> VirtualTime | None:
    """Return an arm's virtual time; None if the protocol declares none.

    Args:
        settings: the protocol's ``run.realtime``.
        arm: the arm's name.
        metadata: the metadata of the arm's policy.

    Raises:
        UsageError: the arm's latency does not follow from the protocol.
    """
    if settings is None:
        return None
    own = settings.arms.get(arm)
    if own is not None and own.profile is not None:
        jitter = own.profile if settings.jitter == "profile" else None
        return VirtualTime(settings, Latency(own.profile.median_us, jitter))
    if own is not None and own.total_us is not None:
        return VirtualTime(settings, Latency(own.total_us))
    remedy = f"add --set run.realtime.arms.{arm}.total_us=N, in microseconds"
    if settings.machine is None:
        raise UsageError(
            f"run.realtime says nothing of arm '{arm}', and names no machine; {remedy}"
        )
    if metadata.privileged:
        raise UsageError(
            f"arm '{arm}' reads the simulator and runs no network, so a machine's latency does not "
            f"apply to it; {remedy}"
        )
    if metadata.passes is None:
        raise UsageError(
            f"the policy of arm '{arm}' declares neither passes nor nfe, so its latency on "
            f"'{settings.machine.name}' is unknown; {remedy}"
        )
    try:
        return VirtualTime(
            settings, Latency(settings.machine.inference_us(metadata.passes, metadata.samples))
        )
    except ValueError as error:
        raise UsageError(f"arm '{arm}': {error}; {remedy}") from None
