"""Offline errors on held-out demonstrations beside success: do they rank policies alike?

    python benchmarks/offline_metrics.py

generates the demonstrations, takes the arms of results/nfe.json, and writes results/offline_metrics.json
and .md, a table of docs/one-step.md. Held out are episodes of the experts with noise and places of another
seed than the training's; certification states are not among them. Everything is in normalised actions,
over the real entries of a chunk, with K samples for each observation:

- mse, p95: squared error of one sample against the one demonstration; mean and 95th percentile over frames.
- variance: variance of the samples of an observation.
- calibration: that variance over the squared error of the samples' mean; 1 for the demonstrations' own
  distribution, 0 for a regressor (vla_eval_policies.methods.spread_to_error).
- energy: the energy score E|x - y| - E|x - x'|/2, least for the demonstrations' own distribution.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from common.results import load, save, write_table
from common.script import parser, run
from torch import Tensor
from tqdm import tqdm

from vla_eval.benchmarking.latency import with_options
from vla_eval.spec import PolicySpec, build_policy
from vla_eval_policies.flow.checkpoint import load_checkpoint
from vla_eval_policies.flow.shipped import checkpoint_path
from vla_eval_policies.methods import spread_to_error
from vla_eval_policies.training.data import Frames, draw_batch
from vla_eval_policies.training.expert_data import ExpertData, generate

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
    if not parser(__doc__, measures=True).parse_args().table:
        save("offline_metrics", measure_all(load("nfe")["arms"]))
    write_table("offline_metrics", table)


def measure_all(arms: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics and success of every arm, and the data that they were measured on."""
    torch.set_num_threads(1)
    frames = demonstrations()
    rows = {}
    for name, arm in arms.items():
        rows[name] = {**measure(arm["spec"], frames), **_success(arm)}
        print(name, rows[name], file=sys.stderr, flush=True)
    return {
        "data": frames.describe(),
        "data_sha256": frames.sha256(),
        "frames": FRAMES,
        "samples": SAMPLES,
        "arms": rows,
    }


def demonstrations() -> Frames:
    """Let the experts act in the held-out episodes."""
    _, card, _ = load_checkpoint(checkpoint_path("so101/fm"))
    network = card.network
    episodes = len(HELD_OUT.tasks) * HELD_OUT.init_states * HELD_OUT.repeats
    with tqdm(total=episodes, unit="episode") as bar:
        return generate(
            HELD_OUT,
            network.cameras,
            network.image_size,
            network.chunk_size,
            on_episode=lambda _done, _total: bar.update(),
        )


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
    samples, actions, real = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return {key: round(value, 4) for key, value in metrics(samples, actions, real).items()}


def metrics(samples: Tensor, actions: Tensor, real: Tensor) -> dict[str, float]:
    """Return the metrics of samples (B, K, H, D) against actions (B, H, D) where ``real``."""
    entries = real.flatten(1).sum(1)
    errors = (samples - actions[:, None]) * real[:, None]
    squared = errors.square().flatten(2).sum(2) / entries[:, None]
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
    """Return the Markdown: arms by success, and how the metrics rank them."""
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
    rows = [row for _, row in arms]
    for title, function in (("Spearman", spearmanr), ("Kendall", kendalltau)):
        cells = [_correlation(function, rows, metric) for metric in METRICS]
        lines.append(f"| **{title} with failures** | | | {' | '.join(cells)} |")
    note = (
        f"{len(arms)} arms; {results['frames']} frames of {results['data'].partition(':')[0]}, "
        f"{results['samples']} samples each. +1: the better offline, the fewer failures. Of the "
        "calibration its distance from 1, by ratio."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def _correlation(function: Any, rows: list[Mapping[str, Any]], metric: str) -> str:
    """Return the rank correlation of a metric with failures; of the variance, which has no best, none."""
    if metric == "variance":
        return "–"
    values = [row[metric] for row in rows]
    if metric == "calibration":  # best at 1
        values = [abs(np.log(max(value, 1e-6))) for value in values]
    failures = [1 - row["success"] for row in rows]
    return f"{function(values, failures).statistic:+.2f}"


if __name__ == "__main__":
    run(main)
