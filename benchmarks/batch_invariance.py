"""Whether a policy's actions depend on the observations that share its batch.

    python benchmarks/batch_invariance.py
    python benchmarks/batch_invariance.py --full --policies smolvla pi05 --device cuda --dtypes bfloat16 float32
    python benchmarks/batch_invariance.py --table

A policy infers 32 observations one at a time, and in batches of ``--batch``; then each alone again, in a batch
that copies of it fill up to that size (padding to a fixed batch), and in that batch with other observations.
Every observation keeps its noise, so equal actions are expected. Checkpoints are random. It writes
``results/batch_invariance.json`` and its table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common.checkpoints import FULL, random_checkpoint
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run
from numpy.typing import NDArray
from tqdm import tqdm

OBSERVATIONS = 32


def main() -> None:
    """Measure, unless only the table is wanted."""
    chosen = _options()
    if not chosen.table:
        save("batch_invariance", measure_all(chosen))
    write_table("batch_invariance", table)


def _options() -> argparse.Namespace:
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--full", action="store_true", help="published sizes, not tiny ones")
    arguments.add_argument("--policies", nargs="+", choices=FULL, default=["smolvla"])
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--dtypes", nargs="+", default=["float32"])
    arguments.add_argument("--nfe", type=count, default=10)
    arguments.add_argument("--batch", type=count, default=8)
    return arguments.parse_args()


def measure_all(chosen: argparse.Namespace) -> dict[str, Any]:
    """Return how actions differ, for each policy and dtype."""
    from vla_eval.benchmarking.machine import hardware
    from vla_eval.spec import build_policy

    rows = []
    for kind in chosen.policies:
        with tempfile.TemporaryDirectory() as folder:
            spec = random_checkpoint(kind, Path(folder), full=chosen.full, device=chosen.device)
            for dtype in tqdm(chosen.dtypes, desc=kind):
                policy = build_policy(f"{spec}&dtype={dtype}&nfe={chosen.nfe}")
                rows.append({"policy": kind, "dtype": dtype, **measure(policy, chosen.batch)})
                del policy
    about = {"full": chosen.full, "nfe": chosen.nfe, "batch": chosen.batch}
    return {"machine": machine(), "hardware": hardware(), **about, "rows": rows}


def measure(policy: Any, batch: int) -> dict[str, Any]:
    """Return the comparisons of a policy's actions."""
    from vla_eval.benchmarking.policy import samples_of

    samples = samples_of(policy, None, OBSERVATIONS)
    alone = _actions(policy, [[sample] for sample in samples])
    groups = [samples[at : at + batch] for at in range(0, OBSERVATIONS, batch)]
    together = _actions(policy, groups)
    padded = np.array([policy_chunks(policy, [sample] * batch)[0] for sample in samples])
    return {
        "again": difference(_actions(policy, [[sample] for sample in samples]), alone),
        "together": difference(together, alone),
        "padded_alone": difference(padded, alone),
        "padded_together": difference(padded, together),
    }


def policy_chunks(policy: Any, samples: Sequence[tuple[Any, Any]]) -> list[NDArray[np.float32]]:
    """Return the actions of each member of one batch."""
    chunks = policy.infer([shown for shown, _ in samples], [context for _, context in samples])
    return [chunk.actions for chunk in chunks]


def _actions(policy: Any, groups: Sequence[Sequence[tuple[Any, Any]]]) -> NDArray[np.float32]:
    return np.array([chunk for group in groups for chunk in policy_chunks(policy, group)])


def difference(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> dict[str, float]:
    """Return how many chunks and numbers differ, and by how much at most and in the median of those.

    Args:
        ours: actions, (observations, T, D).
        theirs: actions of the same observations.
    """
    gap = np.abs(ours.astype(np.float64) - theirs)
    unequal = gap[gap > 0]
    return {
        "chunks": int(np.any(gap > 0, axis=(1, 2)).sum()),
        "numbers": float((gap > 0).mean()),
        "most": float(gap.max()),
        "median": float(np.median(unequal)) if unequal.size else 0.0,
        "scale": float(np.std(theirs)),
    }


COLUMNS = {
    "again": "each alone, twice",
    "together": "together, against alone",
    "padded_alone": "padded with copies, against alone",
    "padded_together": "padded with copies, against together",
}


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    size = "published sizes" if results["full"] else "tiny sizes"
    where = results["hardware"]["accelerator"] or "the processor"
    lines = [
        "# Actions and the batch that they are computed in",
        "",
        f"By `benchmarks/batch_invariance.py`: random checkpoints of {size} on {where}, {results['nfe']} evaluations,",
        f"{OBSERVATIONS} observations, batches of {results['batch']}; {in_words(results['machine'])}.",
        "",
        "Chunks with any differing number / share of the numbers that differ / largest difference, as a share of the",
        "actions' standard deviation. Where the last column is 0, padding to a fixed batch removes the dependence.",
        "",
        f"| policy | dtype | {' | '.join(COLUMNS.values())} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    for row in results["rows"]:
        cells = [_cell(row[name]) for name in COLUMNS]
        lines.append(f"| {row['policy']} | {row['dtype']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: Mapping[str, float]) -> str:
    if not found["chunks"]:
        return "0"
    return f"{found['chunks']} / {found['numbers']:.0%} / {found['most'] / found['scale']:.1e}"


if __name__ == "__main__":
    run(main)
