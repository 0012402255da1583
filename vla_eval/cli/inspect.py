"""The output of ``vlaeval doctor --policy SPEC``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.cli.common import print_json, say_folded
from vla_eval.drawing.terminal import table
from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_REFUTED,
    InfrastructureError,
    PolicySpecError,
    UsageError,
)
from vla_eval.inspection import Inspection, draw, inspect_policy, representatives
from vla_eval.policy import Finding, PolicyMetadata
from vla_eval.spec import build_policy

__all__ = ["doctor_policy"]


def doctor_policy(spec: str, names: Sequence[str], *, json: bool, folder: Path) -> int:
    """Let a policy act once in each kind of suite, and print its inputs and outputs.

    Returns:
        EXIT_COMPLETE if the policy fits a suite and nothing looks like a mistake, else EXIT_REFUTED.
    """
    policy = build_policy(spec)
    results: list[dict[str, Any]] = []
    if not json:
        say_folded(_identity(policy.metadata))
    for suite, others in representatives(names):
        result: dict[str, Any] = {"suite": suite.name, "stands_for": others}
        try:
            inspection = inspect_policy(policy, suite)
        except (PolicySpecError, UsageError, InfrastructureError) as error:
            fits = None if not isinstance(error, PolicySpecError) else False
            result |= {"fits": fits, "reason": str(error)}
            if not json:
                problem = "does not fit" if fits is False else "could not be checked"
                say_folded(["", f"{suite.name}: {problem}: {error}"])
        else:
            picture = folder / f"doctor-{suite.name}.png"
            if inspection.pixels:
                folder.mkdir(parents=True, exist_ok=True)
                draw(inspection, picture)
            result |= _as_json(inspection, picture)
            if not json:
                say_folded(_text(inspection, others, picture))
        results.append(result)
    fitting = [result for result in results if result["fits"]]
    ok = bool(fitting) and all(result["ok"] for result in fitting)
    if json:
        print_json({"policy": spec, "ok": ok, "suites": results})
    elif not fitting:
        say_folded(["", "The policy fits none of these suites."])
    return EXIT_COMPLETE if ok else EXIT_REFUTED


def _identity(metadata: PolicyMetadata) -> list[str]:
    weights = metadata.weights_sha256[:12] if metadata.weights_sha256 else "none"
    how = f"method {metadata.method}, nfe {metadata.nfe}, solver {metadata.solver}"
    what = f"chunk of {metadata.chunk_size}, {metadata.n_action_steps} executed"
    where = f"{metadata.dtype} on {metadata.device}, weights {weights}"
    return [f"{metadata.name} · {how}", f"{what} · {where}"]


def _text(inspection: Inspection, others: Sequence[str], picture: Path) -> list[str]:
    stands = f" (also represents: {', '.join(others)})" if others else ""
    lines = [
        "",
        f"{inspection.suite}/{inspection.task}{stands}",
        f"  '{inspection.instruction}'",
        "  what goes in",
        *_pictures(inspection),
    ]
    lines += _findings(inspection.findings)
    lines += ["  what comes out", *_actions(inspection)]
    lines += ["  how it behaves", *_findings(inspection.behaviour)]
    if inspection.pixels:
        lines.append(f"  Look at the pictures, up must be up: {picture}")
    return lines


def _findings(findings: Sequence[Finding]) -> list[str]:
    width = max((len(finding.name) for finding in findings), default=0)
    return [
        f"    {'ok ' if finding.ok else '!! '} {finding.name.ljust(width)}  {finding.detail}"
        for finding in findings
    ]


def _pictures(inspection: Inspection) -> list[str]:
    return [
        f"    {name}: {picture.shape[1]}x{picture.shape[0]}, {picture.min()} to {picture.max()}, "
        f"mean {picture.mean():.0f}, upper half {picture[: len(picture) // 2].mean():.0f}, "
        f"lower half {picture[len(picture) // 2 :].mean():.0f}"
        for name, picture in inspection.pixels.items()
    ]


def _actions(inspection: Inspection) -> list[str]:
    rows = [["action", "low", "high", "first", "min", "mean", "max", "outside"]]
    actions = inspection.actions
    for i, name in enumerate(inspection.action_names):
        low, high, column = inspection.low[i], inspection.high[i], actions[:, i]
        outside = float(np.mean((column < low) | (column > high)))
        numbers = (low, high, column[0], column.min(), column.mean(), column.max())
        rows.append([str(name), *(f"{number:.3g}" for number in numbers), f"{outside:.0%}"])
    size = f"{len(actions)} steps of {len(inspection.action_names)} numbers"
    return [
        f"    {size}, nfe {inspection.nfe}",
        *(f"    {line}" for line in table(rows, numbers=True)),
    ]


def _as_json(inspection: Inspection, picture: Path) -> dict[str, Any]:
    return {
        "fits": True,
        "ok": inspection.ok,
        "task": inspection.task,
        "instruction": inspection.instruction,
        "pixels": {name: list(pixels.shape) for name, pixels in inspection.pixels.items()},
        "findings": [vars(finding) for finding in inspection.findings],
        "behaviour": [vars(finding) for finding in inspection.behaviour],
        "action_names": list(inspection.action_names),
        "low": inspection.low.tolist(),
        "high": inspection.high.tolist(),
        "actions": inspection.actions.tolist(),
        "nfe": inspection.nfe,
        "picture": str(picture) if inspection.pixels else None,
    }
