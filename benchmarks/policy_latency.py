"""Measures the time of a chunk for all kinds of LeRobot policies, by number of steps and batch.

    python benchmarks/policy_latency.py
    python benchmarks/policy_latency.py --full --compile
    python benchmarks/policy_latency.py --full --policies smolvla pi05 --device cuda --dtypes bfloat16

writes results/policy_latency.json and .md, with --full results/policy_latency_full.json and .md, or the
files that --out names; docs/bring-your-policy.md cites them. Checkpoints are random and made during the
measurement: tiny ones, or with --full those of the published sizes (SmolVLA takes 6 GB of memory, pi0.5 20
GB). What one step can save depends on how prefix and step compare, and that depends on sizes: a tiny model
says nothing about a full one.

smolvla-deep has the published number of layers, all as narrow as the tiny one's: there is hardly any
arithmetic in it, and what is left is what the interpreter and the library cost at every step.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.checkpoints import FLOWS, FULL, KINDS, random_checkpoint
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run

from vla_eval.errors import UsageError


def main() -> None:
    """Measure the policies, and write the tables."""
    chosen = _options()
    name = chosen.out or ("policy_latency_full" if chosen.full else "policy_latency")
    if not chosen.table:
        measure_all(name, chosen)
    write_table(name, markdown)


def _options() -> argparse.Namespace:
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--full", action="store_true", help="published sizes, not tiny ones")
    arguments.add_argument("--policies", nargs="+", choices=KINDS)
    arguments.add_argument("--compile", action="store_true", help="flow VLAs also by torch.compile")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--threads", type=count, default=1, help="of torch, on the processor")
    arguments.add_argument("--dtypes", nargs="+", default=["float32"])
    arguments.add_argument("--nfes", nargs="+", type=count, default=[1, 2, 5, 10])
    arguments.add_argument("--batches", nargs="+", type=count)
    arguments.add_argument("--repeats", type=count, default=30)
    arguments.add_argument("--out", help="name of the results")
    chosen = arguments.parse_args()
    chosen.policies = chosen.policies or (("smolvla",) if chosen.full else KINDS)
    chosen.batches = chosen.batches or ([1] if chosen.full else [1, 4])
    if chosen.full and not set(chosen.policies) <= set(FULL):
        raise UsageError(f"--full is for {', '.join(FULL)}")
    return chosen


def measure_all(name: str, chosen: argparse.Namespace) -> None:
    """Measure all policies, and save the latencies after every policy: the next may be too large."""
    about = machine()
    results: list[dict[str, Any]] = []
    for kind in chosen.policies:
        with tempfile.TemporaryDirectory() as folder:
            spec = random_checkpoint(kind, Path(folder), full=chosen.full, device=chosen.device)
            for compiled in (False, True) if chosen.compile and kind in FLOWS else (False,):
                policy = kind + (", compiled" if compiled else "")
                print(policy, file=sys.stderr, flush=True)
                asked = f"{spec}&compile=true" if compiled else spec
                results.append(measure(kind, asked, chosen) | {"policy": policy})
                save(name, {"machine": about, "full": chosen.full, "results": results})


def measure(kind: str, spec: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Return the latencies of one checkpoint."""
    import torch

    from vla_eval.benchmarking.policy import measure_policy

    torch.set_num_threads(chosen.threads)
    return measure_policy(
        spec,
        nfes=chosen.nfes if kind != "act" else (),
        batches=chosen.batches,
        dtypes=chosen.dtypes if kind in FLOWS else (),
        repeats=chosen.repeats,
    )


def markdown(measured: Mapping[str, Any]) -> str:
    """Return the page."""
    first = measured["results"][0]["hardware"]
    where = first["accelerator"] or f"the processor with {first['threads']} thread(s)"
    size = "published sizes" if measured["full"] else "tiny sizes"
    made = f"Random checkpoints of {size} on {where}, torch {first['torch']}"
    return "\n".join(
        [
            "# Latency of LeRobot policies",
            "",
            f"{made}; machine: {in_words(measured['machine'])}.",
            "",
            "Milliseconds of one `infer`, LeRobot's processors included, warm-up apart.",
            "",
            *_latencies(measured["results"]),
            "",
            "T(N) = p + e N through the medians:",
            "",
            *_fits(measured["results"]),
            "",
            "What others have published, by the same line (see [the audit](../../docs/audit.md)):",
            "",
            *_published(),
            "",
        ]
    )


def _latencies(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of times."""
    lines = [
        "| policy | dtype | batch | NFE | p50 | p95 | p99 | prefix p50 | steps p50 | first | repeats |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for row in result["latencies"]:
            total = " | ".join(f"{value:.1f}" for value in row["total_ms"])
            lines.append(
                f"| {result['policy']} | {row['dtype']} | {row['batch']} | {row['nfe']} | {total} | "
                f"{row['prefix_ms'][0]:.1f} | {row['denoise_ms'][0]:.1f} | "
                f"{row['warm_up_ms']:.0f} | {row['repeats']} |"
            )
    return lines


def _fits(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of prefix and step."""
    lines = [
        "| policy | dtype | batch | prefix p, ms | step e, ms | off by | one step for ten, at most | 95 % interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for fit in result["fits"]:
            low, high = fit["speedup_interval"] or (None, None)
            top = "∞" if high is None else f"{high:.2f}"
            interval = "" if low is None else f"{low:.2f} to {top}"
            lines.append(
                f"| {result['policy']} | {fit['dtype']} | {fit['batch']} | {fit['prefix_ms']:.1f} | "
                f"{fit['step_ms']:.2f} | {fit['residual_ms']:.2f} | {fit['speedup_10_to_1']:.2f} | "
                f"{interval} |"
            )
    return lines


def _published() -> list[str]:
    """Return the table of published latencies."""
    from vla_eval.audit import shipped_claims
    from vla_eval.audit.latency import line
    from vla_eval.audit.schema import LatencyClaim

    file = shipped_claims()
    lines = [
        "| source | what it prints | prefix p, ms | step e, ms | one step for ten |",
        "|---|---|---|---|---|",
    ]
    for claim in file.claims:
        if not isinstance(claim, LatencyClaim) or claim.speedup_of == "solver":
            continue
        fit = line(claim)
        if fit is not None and len(claim.chunk) > 1:
            lines.append(
                f"| {file.sources[claim.source].short} | {claim.says} | {fit.prefix_ms:.1f} | "
                f"{fit.step_ms:.1f} | {fit.speedup(10):.2f} |"
            )
    return lines


if __name__ == "__main__":
    run(main)
