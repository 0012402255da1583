"""Measures what a chunk costs for each kind of LeRobot policy, by number of steps and batch.

Run: python benchmarks/policy_latency.py [--full | --policies act smolvla …] [--device cuda] [--out NAME]

Writes results/NAME.json and .md (policy_latency, with --full policy_latency_full, unless told otherwise);
each takes some minutes. Checkpoints are random and made on the spot: tiny ones, or with --full SmolVLA of
the published size, which takes 6 GB of memory. What one step can save depends on how prefix and step
compare, and that depends on sizes: a tiny model says nothing of a full one.
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

TINY = ("act", "smolvla", "pi0", "pi05", "diffusion")


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Plain)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--policies", nargs="+", choices=TINY, default=TINY)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--nfes", nargs="+", type=int, default=[1, 2, 5, 10])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out")
    asked = parser.parse_args()
    name = asked.out or ("policy_latency_full" if asked.full else "policy_latency")
    about, results = machine(), []
    for kind in ("smolvla",) if asked.full else asked.policies:
        with tempfile.TemporaryDirectory() as folder:
            print(kind, file=sys.stderr)
            results.append(measure(kind, Path(folder), asked))
    found = {"machine": about, "full": asked.full, "results": results}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / f"{name}.md").write_text(markdown(found))


class _Plain(argparse.RawDescriptionHelpFormatter):
    """Keep the lines of the module's docstring."""


def measure(kind: str, folder: Path, asked: Any) -> dict[str, Any]:
    """Return the latencies of one kind of checkpoint."""
    import builders

    from vla_eval.cli.bench_policy import measure_policy

    if kind in ("pi0", "pi05"):
        builders.pi(folder, builders.LIBERO, kind=kind)
    elif kind == "smolvla":
        builders.smolvla(folder, builders.LIBERO, full=asked.full)
    else:
        getattr(builders, kind)(folder, builders.LIBERO)
    spec = f"tiny_lerobot:factory?checkpoint={folder}&device={asked.device}"
    result = measure_policy(
        spec,
        nfes=asked.nfes if kind != "act" else (),
        batches=(1,) if asked.full else (1, 4),
        dtypes=asked.dtypes if kind in ("smolvla", "pi0", "pi05") else (),
        repeats=asked.repeats,
    )
    return result | {"policy": kind}


def markdown(found: dict[str, Any]) -> str:
    """Return the page."""
    first = found["results"][0]["hardware"]
    where = first["accelerator"] or f"the processor with {first['threads']} threads"
    size = "published sizes" if found["full"] else "tiny sizes"
    made = f"Random checkpoints of {size} on {where}, torch {first['torch']}"
    lines = [
        "# Latency of LeRobot policies",
        "",
        f"{made}; machine: {in_words(found['machine'])}.",
        "",
        "Milliseconds of one `infer`, LeRobot's processors included, warm-up apart.",
        "",
        "| policy | dtype | batch | NFE | p50 | p95 | p99 | prefix p50 | steps p50 | repeats |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in found["results"]:
        for each in result["latencies"]:
            total = " | ".join(f"{value:.1f}" for value in each["total_ms"])
            lines.append(
                f"| {result['policy']} | {each['dtype']} | {each['batch']} | {each['nfe']} | {total} | "
                f"{each['prefix_ms'][0]:.1f} | {each['denoise_ms'][0]:.1f} | {each['repeats']} |"
            )
    lines += [
        "",
        "| policy | dtype | batch | prefix p, ms | step e, ms | one step for ten, at most | 95 % interval |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in found["results"]:
        for fit in result["fits"]:
            low, high = fit["speedup_interval"] or (None, None)
            interval = (
                "" if low is None else f"{low:.2f} to {'∞' if high is None else f'{high:.2f}'}"
            )
            lines.append(
                f"| {result['policy']} | {fit['dtype']} | {fit['batch']} | {fit['prefix_ms']:.1f} | "
                f"{fit['step_ms']:.2f} | {fit['speedup_10_to_1']:.2f} | {interval} |"
            )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
