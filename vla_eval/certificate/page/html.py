"""The page: one self-contained HTML file. Jinja2 escapes all values that come from a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vla_eval.certificate import Certificate, Evidence
from vla_eval.certificate.page import commands
from vla_eval.certificate.page.figures import draw_forest, draw_interval
from vla_eval.certificate.page.looks import draw_looks
from vla_eval.certificate.page.meaning import signs, standins
from vla_eval.certificate.page.timelines import draw_latency, draw_order
from vla_eval.certificate.page.view import Order, Strips, discordant, reasons, span
from vla_eval.certificate.virtual import virtual_lines
from vla_eval.certificate.wording import Words
from vla_eval.drawing.curves import SolvedByTime, draw_solved
from vla_eval.drawing.svg import NARROW, STYLES, WIDE
from vla_eval.drawing.templating import render
from vla_eval.judging.curves import Within, curves_of, differences_within
from vla_eval.judging.timings import Inferences
from vla_eval.runs.folder import identity_sha256

__all__ = ["html_report"]

_LISTED = 300
"""Most discordant or missing episodes that are listed."""


def html_report(
    certificate: Certificate,
    evidence: Evidence,
    *,
    run: Path,
    file: Path,
    strips: Strips | None = None,
) -> str:
    """Return the page; equal certificates, records and pictures give equal bytes.

    Args:
        certificate: the reported certificate.
        evidence: the records behind it.
        run: the run folder, as the user typed it.
        file: the certificate's file.
        strips: pictures of discordant episodes.
    """
    episodes = _episodes(evidence, run)
    return render(
        "report.html.j2",
        Path(__file__).parent / "templates",
        certificate=certificate,
        comparison=certificate.comparison,
        words=Words.of(certificate),
        protocol=evidence.protocol,
        meaning=signs(certificate.verdict),
        standins=standins(certificate),
        virtual_lines=list(virtual_lines(certificate.virtual, Words.of(certificate))),
        figures=_figures(certificate, evidence, episodes["orders"], episodes["spread"]),
        within=_within(certificate, evidence),
        strips=strips or Strips(),
        **episodes,
        **_provenance(certificate, evidence, run, file),
    )


def _figures(
    certificate: Certificate,
    evidence: Evidence,
    order_of: Mapping[str, Order],
    spread_of: Mapping[str, Inferences],
) -> dict[str, Markup]:
    """Draw each figure that has data, wide and narrow."""
    orders = {arm.name: (arm.role, order_of[arm.name]) for arm in certificate.arms}
    spread = {arm.name: (arm, spread_of[arm.name]) for arm in certificate.arms}
    drawn = {"interval": [draw_interval(certificate, width) for width in (WIDE, NARROW)]}
    drawn["order"] = [draw_order(orders, width) for width in (WIDE, NARROW)]
    if certificate.sequential is not None:
        drawn["looks"] = [draw_looks(certificate.sequential, width) for width in (WIDE, NARROW)]
    if (curves := _curves(certificate, evidence)) is not None:
        looks = {arm.name: STYLES[arm.role] for arm in certificate.arms}
        drawn["curves"] = [draw_solved(curves, looks, width) for width in (WIDE, NARROW)]
    if len(certificate.comparison.tasks) > 1:
        drawn["forest"] = [draw_forest(certificate, width) for width in (WIDE, NARROW)]
    if any(inferences.total_ms.size for _, inferences in spread.values()):
        drawn["latency"] = [draw_latency(spread, width) for width in (WIDE, NARROW)]
    # matplotlib escapes the labels that it writes.
    return {name: Markup("".join(parts)) for name, parts in drawn.items()}  # noqa: S704


def _curves(certificate: Certificate, evidence: Evidence) -> SolvedByTime | None:
    """Return the curves of solved episodes, where time is judged or goes on during inference."""
    if certificate.measured is not None and certificate.measured.time is not None:
        return certificate.measured.time
    return curves_of(evidence.protocol, evidence.arms.values())


def _within(certificate: Certificate, evidence: Evidence) -> tuple[Within, ...]:
    """Return the differences of candidate and reference along the curves, in virtual time."""
    arms, comparison = evidence.arms, certificate.comparison
    ours, theirs = arms[comparison.candidate], arms[comparison.reference]
    return differences_within(evidence.protocol, evidence.keys, ours, theirs)


def _episodes(evidence: Evidence, run: Path) -> dict[str, Any]:
    records = {name: list(evidence.finals[name].values()) for name in evidence.roles.names}
    pairs = discordant(evidence)
    missing = [(arm, key) for arm, keys in evidence.missing.items() for key in keys]
    homes = {key: part.path for part in evidence.parts for key in part.keys}
    return {
        "orders": {name: Order.of(records[name]) for name in records},
        "spread": {name: Inferences.of(records[name]) for name in records},
        "reasons": {name: reasons(records[name]) for name in records},
        "discordant": pairs[:_LISTED],
        "discordant_total": len(pairs),
        "missing": missing[:_LISTED],
        "missing_total": len(missing),
        "planned": len(evidence.keys),
        "view": commands.view(list(dict.fromkeys(homes.values())) or [run]),
        "replay": lambda key, arm: commands.replay(homes.get(key, run), key, arm),
    }


def _provenance(
    certificate: Certificate, evidence: Evidence, run: Path, file: Path
) -> dict[str, Any]:
    hashes = {
        "protocol": certificate.protocol_sha256,
        "records": certificate.records_sha256,
        "timings": certificate.timings_sha256,
    }
    for arm in certificate.arms:
        hashes[f"policy of {arm.name}"] = identity_sha256(arm.identity)
        if weights := arm.identity.get("weights_sha256"):
            hashes[f"weights of {arm.name}"] = str(weights)
    return {
        "commands": commands.reproduce(certificate, evidence, run, file),
        "shipped": commands.is_shipped(evidence.protocol),
        "hashes": hashes,
        "span": span(evidence),
        "run": str(run),
        "protocol_json": _pretty(json.loads(evidence.protocol.canonical_json())),
        "identities": {arm.name: _pretty(dict(arm.identity)) for arm in certificate.arms},
    }


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
