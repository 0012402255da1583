"""The chunkers: for each type of LeRobot policy, the code that makes its chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vla_eval.errors import PolicySpecError
from vla_eval.policy import Context
from vla_eval_policies.lerobot_policy.batch import Batch
from vla_eval_policies.lerobot_policy.checkpoint import Checkpoint
from vla_eval_policies.lerobot_policy.diffusion_chunker import DiffusionChunker
from vla_eval_policies.lerobot_policy.flow import FLOW_TYPES
from vla_eval_policies.lerobot_policy.flow_chunker import FlowChunker
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.lerobot_policy.policy import Chunker, Chunks

__all__ = ["chunker_for"]


def chunker_for(checkpoint: Checkpoint, loaded: Loaded, options: Options) -> Chunker:
    """Return the chunker of a policy.

    Raises:
        PolicySpecError: an option does not suit this type of policy.
    """
    kind, where = checkpoint.type, f"lerobot:{checkpoint.folder}"
    if kind in FLOW_TYPES:
        return FlowChunker(loaded, options, where)
    for name in ("method", "solver", "keystone", "compile"):
        if getattr(options, name) not in (None, False):
            raise PolicySpecError(
                f"{where}: option {name} is for {', '.join(FLOW_TYPES)}, not for '{kind}'"
            )
    if kind == "diffusion":
        return DiffusionChunker(loaded, options, where)
    if options.nfe not in (None, 1):
        raise PolicySpecError(f"{where}: a '{kind}' has no solver whose steps nfe could set")
    return _Regression(loaded, where) if kind == "act" else _Seeded(loaded, where)


class _Regression(Chunker):
    """ACT: one deterministic forward pass."""

    method = "regression"
    nfe = 1

    def __init__(self, loaded: Loaded, where: str) -> None:
        self._policy = loaded.policy
        self.chunk_size = int(self._policy.config.chunk_size)
        if self._policy.config.temporal_ensemble_coeff is not None:
            raise PolicySpecError(
                f"{where} ensembles chunks over time, which is not supported; set "
                "temporal_ensemble_coeff to null in config.json to execute its chunks"
            )

    def __call__(self, batch: Batch, contexts: Sequence[Context]) -> Chunks:
        """Return a chunk for every observation."""
        del contexts
        return Chunks(self._policy.predict_action_chunk(dict(batch)))


class _Seeded(Chunker):
    """A policy that draws from torch's global generator, which is seeded for each observation."""

    def __init__(self, loaded: Loaded, where: str) -> None:
        self._policy = loaded.policy
        config = self._policy.config
        self.method = str(config.type)
        if config.n_obs_steps != 1:
            raise PolicySpecError(
                f"{where}: a '{config.type}' looks back {config.n_obs_steps} observations, which is "
                "supported for 'diffusion' only"
            )
        size = getattr(config, "chunk_size", None) or getattr(config, "horizon", None)
        self.chunk_size = int(size or config.n_action_steps)

    def __call__(self, batch: Batch, contexts: Sequence[Context]) -> Chunks:
        """Return a chunk for every observation, one observation at a time."""
        policy = self._policy
        devices = [policy.config.device] if str(policy.config.device).startswith("cuda") else []
        actions = []
        for i, context in enumerate(contexts):
            with torch.random.fork_rng(devices):
                torch.manual_seed(int(context.generator().integers(2**63)))
                policy.reset()
                actions.append(policy.predict_action_chunk(_sample(batch, i)))
        return Chunks(torch.cat(actions), nfe=0)


def _sample(batch: Batch, i: int) -> dict[str, Any]:
    """Return sample i of a batch, as a batch of one."""
    return {
        key: value[i : i + 1] if isinstance(value, torch.Tensor | list) else value
        for key, value in batch.items()
    }
