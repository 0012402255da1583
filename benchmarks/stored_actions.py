"""What it costs to keep the executed actions of an episode: time, and bytes on disk.

    python benchmarks/stored_actions.py
    python benchmarks/stored_actions.py --steps 130 --dims 6 --folder /scratch

appends the same records with and without actions to files in a temporary folder, in turn, each waited for until it is
on disk, and reads the actions back. The actions are noise, which compresses worst. Nothing else is written.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from common.script import count, parser, run

from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.traces import Attempt, AttemptWriter, Trace, Traces


def main() -> None:
    """Write and read, and print the result."""
    arguments = parser(__doc__)
    arguments.add_argument("--episodes", type=count, default=200, help="episodes (200)")
    arguments.add_argument("--steps", type=count, default=280, help="of an episode (280)")
    arguments.add_argument("--dims", type=count, default=7, help="entries of an action (7)")
    arguments.add_argument("--folder", type=Path, help="on the disk to measure; default: TMPDIR")
    chosen = arguments.parse_args()
    generator = np.random.default_rng(0)
    kept = [_attempt(generator, n, chosen.steps, chosen.dims) for n in range(chosen.episodes)]
    bare = [Attempt(each.record, None) for each in kept]
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        (folder / "episodes").mkdir()
        with (
            AttemptWriter(folder / "episodes" / "bare.jsonl") as without,
            AttemptWriter(folder / "episodes" / "kept.jsonl") as with_actions,
        ):
            before = [_appended(without, each) for each in bare]
            after = [_appended(with_actions, each) for each in kept]
        size = (folder / "actions" / "kept.jsonl").stat().st_size
        traces, began = Traces(folder), perf_counter()
        for each in kept:
            traces.get(each.record)
        read_ms = 1e3 * (perf_counter() - began) / chosen.episodes
    for what, times in (("without actions", before), ("with actions", after)):
        print(f"{what}: {statistics.median(times):.2f} ms an episode (median)")
    print(f"{size / chosen.episodes / 1e3:.1f} kB an episode, read in {read_ms:.2f} ms")


def _appended(writer: AttemptWriter, attempt: Attempt) -> float:
    began = perf_counter()
    writer.extend([attempt])
    return 1e3 * (perf_counter() - began)


def _attempt(generator: np.random.Generator, number: int, steps: int, dims: int) -> Attempt:
    actions = generator.uniform(-1, 1, (steps, dims)).astype(np.float32)
    source = np.arange(steps, dtype=np.int32) // 10
    trace = Trace(actions, actions[:, 0] > 0.9, source, 10 * np.unique(source))
    record = EpisodeRecord(
        arm="student",
        suite="s",
        task="t",
        init_state=number,
        env_seed=0,
        policy_seed=0,
        env_id="m:n/t-v0",
        outcome="success",
        steps=steps,
        actions_sha256=trace.actions_sha256,
        protocol_sha256="0" * 64,
        policy_sha256="0" * 64,
        timing=Timing(started_at="2026-01-01T00:00:00+00:00", infer_ms=(5.0,) * (steps // 10)),
    )
    return Attempt(record, trace)


if __name__ == "__main__":
    run(main)
