"""``vlaeval check``."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import print_json, say, say_folded
from vla_eval.errors import EXIT_COMPLETE, UsageError

if TYPE_CHECKING:
    from vla_eval.gate import GateResult

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
    r"""Gate a checkpoint in CI: has it become worse than the baseline?

    Example: vlaeval check runs/nightly --junit junit.xml \
        --baseline baselines/student.json

    Exit code 0 when it is not worse by the margin, 1 when it is worse, 6 when these episodes cannot
    tell, 3 when episodes are missing after infrastructure errors. Episodes are paired when protocol
    and scenes are the same. An incomplete run is refused. A policy that its server does not identify
    is refused, unless its spec declared it with identity=. Under GitHub Actions the finding also
    goes to the step summary, and a regression becomes an annotation.

    Args:
        run: The run folder of the new checkpoint.
        baseline: A baseline file, or another run folder.
        arm: The arm of the run; default its first.
        baseline_arm: The arm of a baseline run; default its first.
        margin: Replaces the protocol's margin.
        allow_missing: Judge even if episodes are missing; they count against the checkpoint.
        junit: Write JUnit XML.
        markdown: Write the finding for a pull request.
        write_baseline: Write the run as a new baseline, to be committed.
        json: Print for machines.
    """
    from vla_eval.certificate.page.commands import run_command
    from vla_eval.gate import baseline_of, compare, read_baseline
    from vla_eval.gate import write_baseline as write
    from vla_eval.gate.reports import annotation, notes, write_reports
    from vla_eval.runs.folder import RunFolder

    now = baseline_of(run, arm)
    if write_baseline is not None:
        write(now, run, write_baseline)
        say(f"baseline of arm '{now.arm}': {write_baseline}", file=sys.stderr)
        if baseline is None:
            return EXIT_COMPLETE
    if baseline is None:
        raise UsageError(
            "check against what? give --baseline FILE|RUN, or make one with --write-baseline FILE"
        )
    before, header = read_baseline(baseline, baseline_arm), RunFolder.open(run).header
    result = compare(
        now, before, protocol=header.protocol, margin=margin, allow_missing=allow_missing
    )
    write_reports(result, now, before, junit=junit, markdown_file=markdown)
    command = annotation(result, now)
    if command is not None and os.environ.get("GITHUB_ACTIONS"):
        say(command, file=sys.stderr)
    _print(result, notes(now, before), json=json)
    if result.status == "missing" and not json:
        say(f"  {run_command(header, str(run))}")
        say("  or judge the worst case: --allow-missing")
    return result.exit_code


def _print(result: GateResult, remarks: list[str], *, json: bool) -> None:
    if json:
        print_json({**dataclasses.asdict(result), "notes": remarks})
        return
    say(f"{result.status.upper()}: {result.sentence}")
    for remark in remarks:
        say_folded([f"! {remark}"])
