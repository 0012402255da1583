"""SmolVLA, pi0 and pi0.5 as velocity fields: the prefix is encoded once, each evaluation reuses it.

All three use this project's convention (see ``methods.field``): noise at t = 1, v = ε − a. A
:class:`Prefix` holds the encoded observation for the evaluations of the action expert.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vla_eval_policies.lerobot_policy.extra_time import Branch
from vla_eval_policies.lerobot_policy.token_times import TokenTimes
from vla_eval_policies.methods import ExtraTime

__all__ = ["FLOW_TYPES", "Expert", "LeRobotField", "Prefix", "encode"]

FLOW_TYPES = ("smolvla", "pi0", "pi05")
_TOKENS = "observation.language.tokens"
_MASK = "observation.language.attention_mask"


@dataclass(frozen=True)
class Prefix:
    """An encoded batch of observations, as the action expert reads it."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values of each layer, (B, heads, P, width) each."""
    present: Tensor
    """bool (B, P): False where a token is padding."""
    state: Tensor | None
    """(B, state) for pi0, whose expert reads it; None for policies whose prefix holds the state."""

    def repeat(self, copies: int) -> Prefix:
        """Return the prefix with each observation ``copies`` times in a row."""
        return Prefix(
            tuple(
                (keys.repeat_interleave(copies, 0), values.repeat_interleave(copies, 0))
                for keys, values in self.keys_values
            ),
            self.present.repeat_interleave(copies, 0),
            None if self.state is None else self.state.repeat_interleave(copies, 0),
        )


class Expert:
    """The action expert: computes velocities from encoded observations.

    Args:
        model: the model of LeRobot's SmolVLA, pi0 or pi0.5, or any object with its ``denoise_step``.
        branch: the second time of the expert.
        token_times: lets it take one time for each token; None: one for each chunk only.
        compiled: compile an evaluation with ``torch.compile``: one program for a batch of one, and one
            for all larger batches and all lengths of the prefix. The first call compiles; on a GPU, the
            second call records a CUDA graph.
    """

    def __init__(
        self,
        model: Any,
        branch: Branch | None = None,
        *,
        token_times: TokenTimes | None = None,
        compiled: bool = False,
    ) -> None:
        from transformers import DynamicCache

        self._cache: Any = DynamicCache
        self._model = model
        self._branch = branch
        self._token_times = token_times
        self._compiled = (
            torch.compile(self._evaluate, fullgraph=True, dynamic=True, mode="reduce-overhead")
            if compiled
            else None
        )

    @property
    def extra_time(self) -> ExtraTime:
        """Second time that the expert takes besides t."""
        return ExtraTime.NONE if self._branch is None else self._branch.extra_time

    def __call__(self, prefix: Prefix, x: Tensor, t: Tensor, extra: Tensor | None) -> Tensor:
        """Return v, (B, H, D), for x (B, H, D), and t and extra, each (B,) or (B, H)."""
        if self._branch is None and extra is not None:
            raise ValueError("this checkpoint knows no second time")
        if self._token_times is None and t.dim() == 2:
            raise ValueError("this checkpoint takes one time for each chunk")
        if self._compiled is None:
            return self._evaluate(prefix.keys_values, prefix.present, prefix.state, x, t, extra)
        # The next call of a CUDA graph overwrites the tensor that this call returned.
        return self._compiled(prefix.keys_values, prefix.present, prefix.state, x, t, extra).clone()

    def _evaluate(
        self,
        keys_values: tuple[tuple[Tensor, Tensor], ...],
        present: Tensor,
        state: Tensor | None,
        x: Tensor,
        t: Tensor,
        extra: Tensor | None,
    ) -> Tensor:
        # SmolVLA's step writes into the cache, and does not undo this after an exception or with
        # gradients. So each evaluation gets its own cache over the same keys and values.
        arguments: dict[str, Any] = {
            "prefix_pad_masks": present,
            "past_key_values": self._cache(keys_values),
            "x_t": x,
            "timestep": t if t.dim() == 1 else t[:, 0],
        }
        if state is not None:
            arguments["state"] = state
        second = nullcontext() if self._branch is None else self._branch.given(extra)
        times = (
            nullcontext()
            if self._token_times is None or t.dim() == 1
            else self._token_times.given(t)
        )
        with second, times:
            velocity: Tensor = self._model.denoise_step(**arguments)
        return velocity


class LeRobotField:
    """A ``methods.Field``: the action expert, bound to encoded observations."""

    def __init__(self, expert: Expert, prefix: Prefix) -> None:
        self._expert = expert
        self._prefix = prefix
        self.evaluations = 0
        """Number of calls so far; a batch counts as one call."""

    @property
    def extra_time(self) -> ExtraTime:
        """Second time that the expert takes besides t."""
        return self._expert.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return v, (B, H, D), for x (B, H, D), and t and extra, each (B,) or (B, H)."""
        self.evaluations += 1
        return self._expert(self._prefix, x, t, extra)

    def repeat(self, copies: int) -> LeRobotField:
        """Return the field with each observation ``copies`` times in a row, without encoding again."""
        return LeRobotField(self._expert, self._prefix.repeat(copies))


def encode(policy: Any, batch: Mapping[str, Any]) -> Prefix:
    """Encode a preprocessed batch of observations.

    Args:
        policy: LeRobot's SmolVLA, pi0 or pi0.5.
        batch: output of its preprocessor.
    """
    if policy.config.type == "smolvla":
        return _encode_smolvla(policy, batch)
    return _encode_pi(policy, batch)


def _encode_smolvla(policy: Any, batch: Mapping[str, Any]) -> Prefix:
    from lerobot.policies.common.vla_utils import make_att_2d_masks

    model = policy.model
    images, masks = policy.prepare_images(batch)
    tokens, present, attention = model.embed_prefix(
        images, masks, batch[_TOKENS], batch[_MASK], state=policy.prepare_state(batch)
    )
    _, cache = model.vlm_with_expert.forward(
        attention_mask=make_att_2d_masks(present, attention),
        position_ids=torch.cumsum(present, dim=1) - 1,
        past_key_values=None,
        inputs_embeds=[tokens, None],
        use_cache=True,
    )
    return Prefix(_pairs(cache), present, None)


def _encode_pi(policy: Any, batch: Mapping[str, Any]) -> Prefix:
    from lerobot.policies.common.vla_utils import make_att_2d_masks, prepare_attention_masks_4d

    model = policy.model
    images, masks = policy._preprocess_images(batch)  # noqa: SLF001  LeRobot is pinned
    tokens, present, attention = model.embed_prefix(images, masks, batch[_TOKENS], batch[_MASK])
    backbone = model.paligemma_with_expert
    backbone.paligemma.model.language_model.config._attn_implementation = "eager"  # noqa: SLF001
    _, cache = backbone.forward(
        attention_mask=prepare_attention_masks_4d(make_att_2d_masks(present, attention)),
        position_ids=torch.cumsum(present, dim=1) - 1,
        past_key_values=None,
        inputs_embeds=[tokens, None],
        use_cache=True,
    )
    state = policy.prepare_state(batch) if policy.config.type == "pi0" else None
    return Prefix(_pairs(cache), present, state)


def _pairs(cache: Any) -> tuple[tuple[Tensor, Tensor], ...]:
    return tuple((layer.keys, layer.values) for layer in cache.layers)
