"""What a certificate says of virtual time: mode, machine, delays, and what latency costs the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vla_eval.certificate.comparison import Level, compare_arms
from vla_eval.certificate.evidence import Evidence
from vla_eval.certificate.model import Decomposition, Share, Virtually
from vla_eval.certificate.wording import Words
from vla_eval.judging.virtual import VirtualArm, virtual_sentence

__all__ = ["virtual_lines", "virtually"]


def virtually(evidence: Evidence, level: Level) -> Virtually | None:
    """Return a certificate's part about virtual time; None for a paused run."""
    protocol = evidence.protocol
    if protocol.run.realtime is None:
        return None
    found = {
        name: VirtualArm.of(evidence.arms[name].finals.values(), evidence.arm(name).identity)
        for name in evidence.roles.shown
    }
    arms = {name: arm for name, arm in found.items() if arm is not None}
    return Virtually(
        sentence=virtual_sentence(protocol),
        horizon=protocol.run.n_action_steps,
        arms=arms,
        decomposition=_decomposition(evidence, level),
    )


def _decomposition(evidence: Evidence, level: Level) -> Decomposition | None:
    roles = evidence.roles
    if roles.as_fast is None:
        return None
    against = replace(evidence, roles=replace(roles, reference=roles.as_fast, as_fast=None))
    method = compare_arms(against, roles.candidate, level)
    latency = compare_arms(evidence, roles.as_fast, level)
    return Decomposition(
        as_fast=roles.as_fast,
        method=Share(difference=method.difference, ci95=method.ci95),
        latency=Share(difference=latency.difference, ci95=latency.ci95),
    )


def virtual_lines(virtual: Virtually | None, words: Words) -> Iterator[str]:
    """Yield the sentences about virtual time: the conditions, each arm, and the two costs."""
    if virtual is None:
        return
    horizon = "each policy's own" if virtual.horizon is None else virtual.horizon
    yield f"{virtual.sentence} · execution horizon {horizon}"
    for name, arm in virtual.arms.items():
        latency = "" if arm.latency_us is None else f"{arm.latency_us / 1e3:.4g} ms = "
        yield (
            f"{name}: {latency}{arm.expected_delay} control steps; stalled in {arm.stalled_share:.1%} "
            f"of the steps; actions {arm.age_mean:.1f} steps old on average"
        )
    parts = virtual.decomposition
    if parts is not None:
        yield (
            f"of the difference, {_share(parts.method, words)} are left at equal latency (against "
            f"{parts.as_fast}), and {_share(parts.latency, words)} are what latency costs the reference"
        )


def _share(share: Share, words: Words) -> str:
    return f"{words.number(share.difference)} {words.unit}, 95 % {words.span(share.ci95)}"
