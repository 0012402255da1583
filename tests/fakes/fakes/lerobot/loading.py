"""Loading tiny checkpoints, and something for them to look at."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from fakes.lerobot import builders
from vla_eval.environment import EvalEnv
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context, Policy
from vla_eval.spec import build_policy

FLOWS = ("smolvla", "pi0", "pi05")


def sizes(kind: str) -> Any:
    """Return what has to surround loading a tiny checkpoint."""
    return builders.tiny_gemma() if kind in ("pi0", "pi05") else nullcontext()


def load(path: Path, options: str = "") -> Policy:
    with sizes(json.loads((path / "config.json").read_text())["type"]):
        return build_policy(f"lerobot:{path}" + (f"?{options}" if options else ""))


def observation(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 255, (2, 256, 256, 3), dtype=np.uint8)
    state = rng.normal(builders.LIBERO.state_mean, builders.LIBERO.state_std)
    return {
        "pixels": {"agentview": picture[0], "wrist": picture[1]},
        "agent_pos": state.astype(np.float32),
    }


def context(chunk: int = 0, state: int = 0) -> Context:
    key = EpisodeKey("libero_spatial", "0", state, 7, 3)
    bound = np.ones(7, np.float32)
    return Context(key, 10 * chunk, chunk, "pick up the black bowl", -bound, bound)


class LiberoLike(EvalEnv):
    """Observations of LIBERO's shapes, another one at every step."""

    task_description = "pick up the black bowl"

    def __init__(self) -> None:
        self.action_space = Box(-1, 1, (7,), np.float32)
        self._step = 0

    def reset(self, *, seed=None, options=None):
        del seed
        self._step = 1000 * (options or {}).get("init_state", 0)
        return self.observe(), {}

    def advance(self, action):
        del action
        self._step += 1
        return 0.0, False, False, {"is_success": False}

    def observe(self) -> dict:
        return observation(self._step)

    def hold_action(self):
        return np.zeros(7, np.float32)
