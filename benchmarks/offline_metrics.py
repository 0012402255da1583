"""Offline errors on held-out demonstrations beside success: do they rank policies alike?

    python benchmarks/offline_metrics.py        # some minutes; demonstrations are made on the spot

takes the arms of ``results/nfe.json`` and writes ``results/offline_metrics.json`` and ``.md`` (a table of
docs/one-step.md). Held out are the experts' episodes with noise and places of another seed than the
training's; certification states are not among them. Everything is in normalised actions, over a chunk's
real entries, with K samples for each observation:

- ``mse``, ``p95``: of one sample against the one demonstration; its mean and 95th percentile over frames.
- ``variance``: of the samples of an observation.
- ``calibration``: that variance over the squared error of the samples' mean; 1 for the demonstrations'
  own distribution, 0 for a regressor (vla_eval_policies.methods.spread_to_error).
- ``energy``: the energy score E|x - y| - E|x - x'|/2, least for the demonstrations' own distribution.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vla_eval.benchmarking.latency import with_options
from vla_eval.spec import PolicySpec, build_policy
from vla_eval_policies.flow.checkpoint import load_checkpoint
from vla_eval_policies.flow.shipped import checkpoint_path
from vla_eval_policies.methods import spread_to_error
from vla_eval_policies.training.data import Frames, draw_batch
from vla_eval_policies.training.expert_data import ExpertData, generate

RESULTS = Path(__file__).with_name("results")
FILE = RESULTS / "offline_metrics.json"
HELD_OUT = ExpertData(
    tasks=("so101/PickPlace", "so101/PickPlaceEither"),
    init_states=15,
    repeats=2,
    look_every=3,
    action_noise=0.006,
    scatter_m=0.015,
    seed=1,  # training's is 0
)
FRAMES = 384
SAMPLES = 8
BATCH = 64
METRICS = ("mse", "p95", "variance", "calibration", "energy")


def main() -> None:
    """Measure all arms, correlate, write."""
    torch.set_num_threads(1)
    arms = json.loads((RESULTS / "nfe.json").read_text(encoding="utf-8"))["arms"]
    _, card, _ = load_checkpoint(checkpoint_path("so101/fm"))
    network = card.network
    frames = generate(HELD_OUT, network.cameras, network.image_size, network.chunk_size)
    rows = {}
    for name, arm in arms.items():
        rows[name] = {**measure(arm["spec"], frames), **_success(arm)}
        print(name, rows[name], flush=True)
    results = {
        "data": frames.describe(),
        "data_sha256": frames.sha256(),
        "frames": FRAMES,
        "samples": SAMPLES,
        "arms": rows,
    }
    FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    FILE.with_suffix(".md").write_text(table(results), encoding="utf-8")


def _success(arm: Mapping[str, Any]) -> dict[str, float]:
    """Return an arm's success rate over both tasks, and its mean score."""
    tasks = arm["tasks"].values()
    outcomes = "".join(row for task in tasks for row in task["successes"])
    score = sum(task["mean_score"] for task in tasks) / len(arm["tasks"])
    return {"success": outcomes.count("1") / len(outcomes), "score": round(score, 4)}


@torch.inference_mode()
def measure(spec: str, frames: Frames) -> dict[str, float]:
    """Return a policy's offline metrics; all policies get the same frames and the same noise."""
    policy: Any = build_policy(with_options(spec, keystone=SAMPLES))
    network, _, _ = load_checkpoint(checkpoint_path(str(PolicySpec.parse(spec).target)))
    generator = torch.Generator().manual_seed(0)
    parts = []
    for first in range(0, FRAMES, BATCH):
        inputs, batch = draw_batch(frames, network, BATCH, generator)
        noise = [np.random.default_rng((first, i)) for i in range(BATCH)]
        parts.append((policy.sample(inputs, noise).chunks, batch.actions, batch.real))
    samples, actions, real = (torch.cat(each) for each in zip(*parts, strict=True))
    return {key: round(value, 4) for key, value in metrics(samples, actions, real).items()}


def metrics(samples: Tensor, actions: Tensor, real: Tensor) -> dict[str, float]:
    """Return the metrics of samples (B, K, H, D) against actions (B, H, D) where ``real``."""
    entries = real.flatten(1).sum(1)
    apart = (samples - actions[:, None]) * real[:, None]
    squared = apart.square().flatten(2).sum(2) / entries[:, None]
    count = samples.shape[1]
    masked = (samples * real[:, None]).flatten(2)
    between = torch.cdist(masked, masked).sum((1, 2)) / (count * (count - 1))
    energy = squared.sqrt().mean(1) - between / entries.sqrt() / 2
    variance = (samples.var(1, correction=1) * real).flatten(1).sum(1) / entries
    return {
        "mse": float(squared[:, 0].mean()),
        "p95": float(squared[:, 0].quantile(0.95)),
        "variance": float(variance.mean()),
        "calibration": spread_to_error(samples, actions, real),
        "energy": float(energy.mean()),
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the Markdown: arms by success, and how each metric ranks them."""
    from scipy.stats import kendalltau, spearmanr

    arms = sorted(results["arms"].items(), key=lambda item: -item[1]["success"])
    lines = [
        "| arm | success | score | MSE | P95 | sample variance | calibration | energy score |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in arms:
        cells = [f"{row['success']:.1%}", f"{row['score']:.3f}"]
        cells += [f"{row[metric]:.3f}" for metric in METRICS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    failed = [1 - row["success"] for _, row in arms]
    for title, function in (("Spearman", spearmanr), ("Kendall", kendalltau)):
        cells = []
        for metric in METRICS:
            values = [row[metric] for _, row in arms]
            if metric == "calibration":  # best at 1
                values = [abs(np.log(max(each, 1e-6))) for each in values]
            cells.append(
                "–" if metric == "variance" else f"{function(values, failed).statistic:+.2f}"
            )
        lines.append(f"| **{title} with failures** | | | {' | '.join(cells)} |")
    note = (
        f"{len(arms)} arms; {results['frames']} frames of {results['data'].partition(':')[0]}, "
        f"{results['samples']} samples each. +1: the better offline, the fewer failures. Of the "
        "calibration its distance from 1, by ratio."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


if __name__ == "__main__":
    main()
