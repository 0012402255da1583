"""``vlaeval check``."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import print_json, say
from vla_eval.errors import (
    EXIT_COMPLETE,
    EXIT_INCONCLUSIVE,
    EXIT_INFRASTRUCTURE,
    EXIT_REFUTED,
    UsageError,
)
from vla_eval.summary.text import fold

if TYPE_CHECKING:
    from vla_eval.gate import Baseline, GateResult

__all__ = ["check"]

OptionalFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


def check(
    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")],
    *,
    baseline: Annotated[Path | None, tyro.conf.arg(metavar="FILE|RUN")] = None,
    arm: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    baseline_arm: Annotated[str | None, tyro.conf.arg(metavar="ARM")] = None,
    margin: float | None = None,
    allow_missing: bool = False,
    junit: OptionalFile = None,
    markdown: OptionalFile = None,
    write_baseline: OptionalFile = None,
    json: bool = False,
) -> int:
    """Gate a checkpoint in CI: has it become worse than the baseline?

    Example: vlaeval check runs/nightly --baseline baselines/student.json --junit junit.xml

    Exit code 0 when it is not worse by the margin, 1 when it is worse, 6 when these episodes cannot
    tell, 3 when episodes are missing after infrastructure errors. Episodes are paired when protocol
    and scenes are the same. A run that is not done is refused. A policy whose server does not
    say what it serves is refused, unless its spec declared it with identity=. Under GitHub Actions
    the finding also goes to the step summary, and a regression becomes an annotation.

    Args:
        run: The run folder of the new checkpoint.
        baseline: A baseline file, or another run folder.
        arm: Which arm of the run; default its first.
        baseline_arm: Which arm of a baseline run; default its first.
        margin: Another margin than the protocol's.
        allow_missing: Judge all the same where episodes are missing, as if they had gone against the
            checkpoint.
        junit: Write JUnit XML.
        markdown: Write the finding for a pull request.
        write_baseline: Write the run as a new baseline, to be committed.
        json: Print for machines.
    """
    from vla_eval.certificate.page.commands import run_command
    from vla_eval.gate import baseline_of, compare, read_baseline
    from vla_eval.gate.reports import notes
    from vla_eval.runs.folder import RunFolder

    now = baseline_of(run, arm)
    if write_baseline is not None:
        _refuse_gaps(run, now)
        _write(write_baseline, now.model_dump_json(indent=1, exclude_none=True) + "\n")
        say(f"baseline of arm '{now.arm}': {write_baseline}", file=sys.stderr)
        if baseline is None:
            return EXIT_COMPLETE
    if baseline is None:
        raise UsageError(
            "check against what? give --baseline FILE|RUN, or make one with --write-baseline FILE"
        )
    before = read_baseline(baseline, baseline_arm)
    folder = RunFolder.open(run).header
    result = compare(
        now, before, protocol=folder.protocol, margin=margin, allow_missing=allow_missing
    )
    _publish(result, now, before, junit, markdown)
    if json:
        print_json({**dataclasses.asdict(result), "notes": notes(now, before)})
    else:
        say(f"{result.status.upper()}: {result.sentence}")
        for note in notes(now, before):
            say("\n".join(fold(f"! {note}")))
        if result.status == "missing":
            say(f"  {run_command(folder, str(run))}")
            say("  or judge the worst case: --allow-missing")
    codes = {
        "holds": EXIT_COMPLETE,
        "regressed": EXIT_REFUTED,
        "inconclusive": EXIT_INCONCLUSIVE,
        "missing": EXIT_INFRASTRUCTURE,
    }
    return codes[result.status]


def _refuse_gaps(run: Path, now: Baseline) -> None:
    """Refuse to write a baseline of a run that is not complete."""
    from vla_eval.judging.ledger import Mark

    gaps = now.count(Mark.MISSING) + (now.count(Mark.PENDING) if now.due is None else 0)
    if gaps:
        raise UsageError(
            f"{run}: {gaps} planned episodes of arm '{now.arm}' have no result, so this is no "
            "baseline; repeat the run command to finish it"
        )


def _publish(
    result: GateResult,
    now: Baseline,
    before: Baseline,
    junit: Path | None,
    markdown_file: Path | None,
) -> None:
    from vla_eval.gate.reports import annotation, junit_xml, markdown

    text = markdown(result, now, before)
    if junit is not None:
        _write(junit, junit_xml(result, now))
    if markdown_file is not None:
        _write(markdown_file, text)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(text)
    command = annotation(result, now)
    if command is not None and os.environ.get("GITHUB_ACTIONS"):
        say(command, file=sys.stderr)


def _write(path: Path, text: str) -> None:
    from vla_eval.runs.store import write_atomically

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
