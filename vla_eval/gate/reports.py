"""The gate's finding for CI systems: JUnit XML, a step summary, annotations."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree as ET

from vla_eval.files.atomic import write_atomically
from vla_eval.files.plain import code, printable, xml_text
from vla_eval.files.plain import markdown as markdown_text
from vla_eval.gate.baseline import Baseline
from vla_eval.gate.compare import GateResult, Status
from vla_eval.stats import wilson_interval

__all__ = ["annotation", "junit_xml", "markdown", "notes", "write_reports"]


def notes(*arms: Baseline) -> list[str]:
    """Return remarks on arms whose server does not identify its policy."""
    return [
        f"{arm.arm}: its server does not say which policy it serves; {arm.declared}"
        for arm in arms
        if arm.declared is not None
    ]


_SIGNS = {
    Status.HOLDS: "✅",
    Status.REGRESSED: "❌",
    Status.INCONCLUSIVE: "❔",
    Status.MISSING: "⚠️",
}


def write_reports(
    result: GateResult,
    now: Baseline,
    before: Baseline,
    *,
    junit: Path | None = None,
    markdown_file: Path | None = None,
) -> None:
    """Write the finding into files, and under GitHub Actions into the step summary.

    Args:
        result: the finding.
        now: the checked run.
        before: its baseline.
        junit: file for JUnit XML; its folder is created.
        markdown_file: file for the finding in a pull request; its folder is created.
    """
    text = markdown(result, now, before)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(junit, junit_xml(result, now))
    if markdown_file is not None:
        markdown_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(markdown_file, text)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)


def junit_xml(result: GateResult, now: Baseline) -> str:
    """Return a JUnit suite: one case for the claim, one a task; missing episodes are errors."""
    suite = ET.Element(
        "testsuite",
        name=xml_text(now.protocol),
        tests=str(1 + len(result.tasks)),
        failures=str(int(result.status is Status.REGRESSED)),
        errors=str(int(result.missing > 0)),
        skipped=str(int(result.status is Status.INCONCLUSIVE)),
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("protocol_sha256", now.protocol_sha256),
        ("policy_sha256", now.policy_sha256),
        ("difference", f"{result.difference:.6f}"),
        ("interval", f"{result.interval[0]:.6f} {result.interval[1]:.6f}"),
        ("paired", str(result.paired).lower()),
    ):
        ET.SubElement(properties, "property", name=name, value=xml_text(value))
    claim = ET.SubElement(suite, "testcase", classname=xml_text(now.protocol), name="no regression")
    if result.status is Status.REGRESSED:
        ET.SubElement(claim, "failure", message=result.sentence)
    elif result.status is Status.INCONCLUSIVE:
        ET.SubElement(claim, "skipped", message=result.sentence)
    if result.missing:
        message = f"{result.missing} episodes are missing after infrastructure errors"
        ET.SubElement(claim, "error", message=message)
    for change in result.tasks:
        case = ET.SubElement(
            suite, "testcase", classname=xml_text(now.protocol), name=xml_text(change.task)
        )
        before, after = f"{change.before[0]}/{change.before[1]}", f"{change.now[0]}/{change.now[1]}"
        ET.SubElement(case, "system-out").text = f"baseline {before}, now {after}"
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def markdown(result: GateResult, now: Baseline, before: Baseline) -> str:
    """Return the finding for a pull request or a GitHub step summary."""
    sign = _SIGNS[result.status]
    how = "paired by episode" if result.paired else f"not paired: {result.unpaired_because}"
    lines = [
        f"### {sign} {markdown_text(now.protocol)}: {result.status}",
        "",
        result.sentence,
        "",
        f"{_arm(now)} against {_arm(before)}, {how}.",
        *(f"\n{markdown_text(note)}." for note in notes(now, before)),
        "",
        "| task | baseline | now | now, 95 % Wilson |",
        "|---|---|---|---|",
    ]
    for change in result.tasks:
        low, high = wilson_interval(*change.now)
        lines.append(
            f"| {markdown_text(change.task)} | {change.before[0]}/{change.before[1]} | "
            f"{change.now[0]}/{change.now[1]} | {low:.1%} to {high:.1%} |"
        )
    if result.missing:
        lines += ["", f"{result.missing} episodes are missing after infrastructure errors."]
    if result.retried:
        lines += [
            "",
            f"{result.retried} results came after a lost attempt; counted at their worst.",
        ]
    return "\n".join(lines) + "\n"


def _arm(arm: Baseline) -> str:
    return f"{code(arm.arm)} ({code(arm.spec)})"


def annotation(result: GateResult, now: Baseline) -> str | None:
    """Return a GitHub workflow command for a verdict that needs attention, else None."""
    if result.status is Status.HOLDS:
        return None
    level = "warning" if result.status is Status.INCONCLUSIVE else "error"
    title = _encoded(f"vlaeval check {now.protocol}").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_encoded(result.sentence)}"


def _encoded(text: str) -> str:
    """Escape a text for a workflow command: one line only, so it cannot contain a second command."""
    flat = printable(text.replace("\r", "\n"))
    return flat.replace("%", "%25").replace("\n", "%0A")
