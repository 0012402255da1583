"""From Python what the command line does: run a protocol, read its records, certify, verify."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import vla_eval
from vla_eval.certificate import Certificate, Roles, issue, verify
from vla_eval.record import EpisodeRecord
from vla_eval.runs.store import Records, read_records
from vla_eval.stats import Verdict

OUT = Path("runs/mine")


def run() -> int:
    protocol = vla_eval.load_protocol("so101-quickstart", overrides=["blocks.0.max_steps=100"])
    assert_type(protocol, vla_eval.Protocol)
    arms = {"student": "flow:so101/one-step", "teacher": "flow:so101/teacher?nfe=10"}
    try:
        summary = vla_eval.run(protocol, arms, OUT, workers=2, shard="1/2")
    except vla_eval.VlaEvalError as error:
        return error.exit_code
    assert_type(summary, vla_eval.RunSummary)
    print(vla_eval.report_text(summary), summary.arms["student"].successes)  # noqa: T201
    return 0


def read() -> list[float]:
    records = read_records([OUT / "episodes"])
    assert_type(records, Records)
    found: list[EpisodeRecord] = [each for each in records.final.values() if each.task == "Sorting"]
    return [sum(record.timing.infer_ms) for record in found]


def certify() -> bool:
    certificate = issue(OUT, Roles("student", "teacher"), margin=0.05)
    assert_type(certificate, Certificate)
    assert_type(certificate.verdict, Verdict)
    assert_type(verify(certificate, OUT), list[str])
    return certificate.verdict is Verdict.NON_INFERIOR


def plan() -> list[str]:
    return [str(episode.key) for episode in vla_eval.expand(vla_eval.load_protocol("libero-smoke"))]
