"""A small recipe, and frames for it that no dataset has to be read for."""

from __future__ import annotations

import numpy as np

from vla_eval_policies.training.data import Frames, chunks_of

RECIPE = """
[data]
datasets = ["demos"]
[network]
image_size = 16
chunk_size = 4
width = 16
layers = 1
heads = 2
[method]
name = "{method}"
[training]
steps = 8
batch = 8
draws = 2
save_every = 3
warmup = 2
"""


def fake_frames(count: int = 60) -> Frames:
    rng = np.random.default_rng(0)
    ends = np.where(np.arange(count) < 25, 25, count)
    states = np.cumsum(rng.normal(size=(count, 3)), 0).astype(np.float32)
    actions = 1.5 * states + 0.1 * rng.normal(size=(count, 3)).astype(np.float32)
    chunks, lengths = chunks_of(actions, ends.astype(np.int64), 4)
    return Frames(
        pictures=rng.integers(0, 256, (count, 1, 3, 16, 16), dtype=np.uint8),
        states=states,
        chunks=chunks,
        lengths=lengths,
        episode=(np.arange(count) >= 25).astype(np.int64),
        instructions=("reach", "grasp it"),
        instruction=(np.arange(count) >= 25).astype(np.int64),
    )
