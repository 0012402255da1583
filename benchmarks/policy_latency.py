"""Measures what a chunk costs for each kind of LeRobot policy, by number of steps and batch.

Run: python benchmarks/policy_latency.py [--full] [--policies act smolvla …] [--compile] [--device cuda]

Writes results/NAME.json and .md (policy_latency, with --full policy_latency_full, unless told otherwise);
each takes some minutes. Checkpoints are random and made on the spot: tiny ones, or with --full those of
the published sizes (SmolVLA takes 6 GB of memory, pi0.5 20 GB). What one step can save depends on how
prefix and step compare, and that depends on sizes: a tiny model says nothing of a full one.

smolvla-deep has the published number of layers, each as narrow as the tiny one's: there is hardly any
arithmetic in it, and what is left is what the interpreter and the library cost at each step.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from machine import in_words, machine

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
sys.path.insert(0, str(ROOT / "tests" / "lerobot"))

KINDS = ("act", "smolvla", "smolvla-deep", "pi0", "pi05", "diffusion")
FLOWS = ("smolvla", "smolvla-deep", "pi0", "pi05")


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--policies", nargs="+", choices=KINDS)
    parser.add_argument("--compile", action="store_true", help="flow VLAs also by torch.compile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on the processor")
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--nfes", nargs="+", type=int, default=[1, 2, 5, 10])
    parser.add_argument("--batches", nargs="+", type=int)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out")
    asked = parser.parse_args()
    asked.policies = asked.policies or (("smolvla",) if asked.full else KINDS)
    asked.batches = asked.batches or ([1] if asked.full else [1, 4])
    if asked.full and not set(asked.policies) <= {"smolvla", "pi0", "pi05"}:
        parser.error("--full is for smolvla, pi0 and pi05")
    name = asked.out or ("policy_latency_full" if asked.full else "policy_latency")
    found: dict[str, Any] = {"machine": machine(), "full": asked.full, "results": []}
    for kind in asked.policies:
        with tempfile.TemporaryDirectory() as folder:
            spec = build(kind, Path(folder), asked)
            for compiled in (False, True) if asked.compile and kind in FLOWS else (False,):
                print(f"{kind}{', compiled' if compiled else ''}", file=sys.stderr)
                found["results"].append(measure(kind, spec, compiled, asked))
                (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
                (RESULTS / f"{name}.md").write_text(markdown(found))


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keep the lines of the module's docstring."""


def build(kind: str, folder: Path, asked: Any) -> str:
    """Write a random checkpoint of a kind, and return the spec that loads it."""
    import builders

    if kind in ("pi0", "pi05"):
        builders.pi(folder, builders.LIBERO, kind=kind, full=asked.full)
    elif kind in FLOWS:
        deep = kind == "smolvla-deep"
        builders.smolvla(folder, builders.LIBERO, full=asked.full, deep=deep)
    else:
        getattr(builders, kind)(folder, builders.LIBERO)
    if asked.full:
        return f"lerobot:{folder}?device={asked.device}"
    return f"tiny_lerobot:factory?checkpoint={folder}&device={asked.device}"


def measure(kind: str, spec: str, compiled: bool, asked: Any) -> dict[str, Any]:  # noqa: FBT001
    """Return the latencies of one kind of checkpoint."""
    import torch

    from vla_eval.benchmarking.policy import measure_policy

    torch.set_num_threads(asked.threads)
    result = measure_policy(
        f"{spec}&compile=true" if compiled else spec,
        nfes=asked.nfes if kind != "act" else (),
        batches=asked.batches,
        dtypes=asked.dtypes if kind in FLOWS else (),
        repeats=asked.repeats,
    )
    return result | {"policy": kind + (", compiled" if compiled else "")}


def markdown(found: dict[str, Any]) -> str:
    """Return the page."""
    first = found["results"][0]["hardware"]
    where = first["accelerator"] or f"the processor with {first['threads']} thread(s)"
    size = "published sizes" if found["full"] else "tiny sizes"
    made = f"Random checkpoints of {size} on {where}, torch {first['torch']}"
    return "\n".join(
        [
            "# Latency of LeRobot policies",
            "",
            f"{made}; machine: {in_words(found['machine'])}.",
            "",
            "Milliseconds of one `infer`, LeRobot's processors included, warm-up apart.",
            "",
            *_latencies(found["results"]),
            "",
            "T(N) = p + e N through the medians:",
            "",
            *_fits(found["results"]),
            "",
            "What others have published, by the same line (see [the audit](../../docs/audit.md)):",
            "",
            *_published(),
            "",
        ]
    )


def _latencies(results: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| policy | dtype | batch | NFE | p50 | p95 | p99 | prefix p50 | steps p50 | first | repeats |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        for each in result["latencies"]:
            total = " | ".join(f"{value:.1f}" for value in each["total_ms"])
            lines.append(
                f"| {result['policy']} | {each['dtype']} | {each['batch']} | {each['nfe']} | {total} | "
                f"{each['prefix_ms'][0]:.1f} | {each['denoise_ms'][0]:.1f} | "
                f"{each['warm_up_ms']:.0f} | {each['repeats']} |"
            )
    return lines


def _fits(results: list[dict[str, Any]]) -> list[str]:
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
    main()
