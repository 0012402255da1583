"""How long a large record file takes to read, and how much memory.

    python benchmarks/read_records.py
    python benchmarks/read_records.py --mb 50 --inferences 45

writes a file of that size into a temporary folder (its records are those of one episode of SO-101 with
random numbers), reads it in a process of its own, and prints seconds and memory, also as a multiple of the
file. Nothing is written into the repository.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import resource
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from common.script import count, parser, run
from tqdm import tqdm


def main() -> None:
    """Write the file, read it, print the result."""
    arguments = parser(__doc__)
    arguments.add_argument("--mb", type=count, default=200, help="size of the file (200)")
    arguments.add_argument("--inferences", type=count, default=10, help="of an episode (10)")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "20260101T000000-0-0001-w0.jsonl"
        records = write(path, chosen.mb * 1_000_000, chosen.inferences)
        size = path.stat().st_size / 1e6
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, memory = pool.apply(read, (path,))
    print(f"{records:,} records of {chosen.inferences} inferences, {size:.0f} MB")
    print(f"read in {seconds:.2f} s, with {memory:.0f} MB: {memory / size:.2f} times the file")


def write(path: Path, size: int, inferences: int) -> int:
    """Write a file of about ``size`` bytes; return how many records it has."""
    rng, chain, records = random.Random(0), "", 0
    with path.open("wb") as file, tqdm(total=size, unit="B", unit_scale=True) as bar:
        while file.tell() < size:
            body = json.dumps(_record(rng, records, inferences), separators=(",", ":")).encode()
            chain = hashlib.sha256(b"%b\n%b" % (chain.encode(), body)).hexdigest()[:32]
            bar.update(file.write(b'{"chain":"%b","record":%b}\n' % (chain.encode(), body)))
            records += 1
    return records


def read(path: Path) -> tuple[float, float]:
    """Return how long reading took, s, and how much memory it took and kept, MB."""
    from vla_eval.runs.store import read_records

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = perf_counter()
    records = read_records([path])
    seconds = perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del records
    return seconds, (after - before) * 1024 / 1e6


def _record(rng: random.Random, number: int, inferences: int) -> dict[str, Any]:
    times = [[round(rng.uniform(5, 60), 4) for _ in range(inferences)] for _ in range(3)]
    won = rng.random() < 0.8
    return {
        "format": 2, "arm": ("student", "teacher")[number % 2], "suite": "so101", "task": "PickPlaceEither",
        "init_state": number // 2, "env_seed": 0, "policy_seed": 0,
        "env_id": "vla_eval_envs:so101/PickPlaceEither-v0", "instruction": "put the red block in either box",
        "attempt": 1, "outcome": "success" if won else "failure", "reason": None if won else "time_limit",
        "score": float(won), "subgoals": {"grasped": won, "placed": won}, "steps": 10 * inferences,
        "inferences": inferences, "nfe": 10 * inferences, "clipped_actions": 0, "counts": {},
        "scene_hash": f"{number // 2:064x}", "actions_sha256": rng.randbytes(32).hex(),
        "provenance": {"mujoco": "3.3.2", "gl": "egl", "model": "1d5ea228b7165010"},
        "protocol_sha256": "071cc50b" * 8, "policy_sha256": "92b9c4f9" * 8, "policy_known": True,
        "error": None,
        "timing": {
            "started_at": f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.070+00:00",
            "wall_s": 4.606008, "build_s": 0.0, "reset_s": 0.556008, "warm_up_s": 0.0, "advance_s": 0.205384,
            "observe_s": 0.647027, "infer_s": round(sum(times[0]) / 1e3, 6), "wait_s": 0.0,
            "infer_ms": times[0], "prefix_ms": times[1], "denoise_ms": times[2], "max_batch": 1,
            "machine": "machine", "worker": 0, "session": "0",
        },
    }  # fmt: skip


if __name__ == "__main__":
    run(main)
