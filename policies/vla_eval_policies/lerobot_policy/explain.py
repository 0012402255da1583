"""Explains how a checkpoint reads an observation, and points out likely mistakes of convention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vla_eval.environment import Observation
from vla_eval.policy import Context, Finding
from vla_eval_policies.lerobot_policy.batch import raw_batch
from vla_eval_policies.lerobot_policy.embodiment import STATE, Binding
from vla_eval_policies.lerobot_policy.loading import Loaded, statistics

__all__ = ["explain"]

_FAR = 5.0
"""Limit of a state normalised to unit standard deviation; beyond it, it is outside the training data."""
_WIDE = 3.0
"""The same limit for a state normalised to −1 to 1."""


def explain(
    loaded: Loaded, binding: Binding, observation: Observation, context: Context
) -> list[Finding]:
    """Return findings about the model's inputs, in reading order."""
    raw = raw_batch(binding, [observation], [context])
    batch = loaded.preprocess(dict(raw))
    return [
        *_pictures(loaded, binding, observation, batch),
        *_state(loaded, raw, batch),
        *_words(loaded, batch),
        *_gripper(loaded, binding, context),
    ]


def _pictures(
    loaded: Loaded, binding: Binding, observation: Observation, batch: Mapping[str, Any]
) -> Iterator[Finding]:
    for raw, camera in binding.images.items():
        feature = loaded.renamed.get(raw, raw)
        seen = batch[feature]
        _, _, height, width = seen.shape
        yield Finding(
            feature,
            f"from camera {camera}: {width}x{height}, {float(seen.min()):.2f} to "
            f"{float(seen.max()):.2f} after normalising",
        )
    unused = [name for name in observation["pixels"] if name not in binding.images.values()]
    if unused:
        yield Finding("unused", f"the checkpoint does not take {', '.join(unused)}")


def _state(loaded: Loaded, raw: Mapping[str, Any], batch: Mapping[str, Any]) -> Iterator[Finding]:
    if STATE not in raw:
        return
    mode = loaded.policy.config.normalization_mapping.get("STATE")
    name = getattr(mode, "value", "IDENTITY")
    feature = loaded.renamed.get(STATE, STATE)
    values = raw[STATE][0].tolist()
    yield Finding(feature, " ".join(f"{value:.3g}" for value in values))
    if name == "IDENTITY":
        return
    normalised = batch[feature][0].tolist()
    limit = _FAR if name == "MEAN_STD" else _WIDE
    far = [i for i, value in enumerate(normalised) if abs(value) > limit]
    listed = " ".join(f"{value:.2f}" for value in normalised)
    hint = (
        f"; number {far[0]} is far outside what it was trained on: other units, or another pose"
        if far
        else ""
    )
    yield Finding(f"normalised by {name.lower()}", listed + hint, ok=not far)


def _words(loaded: Loaded, batch: Mapping[str, Any]) -> Iterator[Finding]:
    mask = batch.get("observation.language.attention_mask")
    if mask is None:
        yield Finding("instruction", "not read: this kind of policy knows one task only")
        return
    used, length = int(mask[0].sum()), int(mask.shape[1])
    longest = int(getattr(loaded.policy.config, "tokenizer_max_length", length))
    cut = used >= longest
    yield Finding(
        "instruction",
        f"{used} tokens" + (f"; cut off, {longest} is the most" if cut else ""),
        ok=not cut,
    )


def _gripper(loaded: Loaded, binding: Binding, context: Context) -> Iterator[Finding]:
    """Compare the range of the checkpoint's gripper with the environment's."""
    i = binding.embodiment.gripper
    if i is None:
        return
    low, high = float(context.action_low[i]), float(context.action_high[i])
    known = statistics(loaded.postprocess)
    lower, upper = known.get("action.min"), known.get("action.max")
    if lower is None or upper is None:
        mean, std = known.get("action.mean"), known.get("action.std")
        trained = (
            ""
            if mean is None or std is None
            else f"trained on {float(mean[i]):.3g} ± {float(std[i]):.3g}; "
        )
        yield Finding("gripper", f"{trained}{binding.embodiment.gripper_says}")
        return
    least, most = float(lower[i]), float(upper[i])
    narrow = most - least < binding.embodiment.gripper_share * (high - low)
    yield Finding(
        "gripper",
        f"trained on {least:.3g} to {most:.3g}, of {low:.3g} to {high:.3g}; "
        f"{binding.embodiment.gripper_says}" + ("; other units?" if narrow else ""),
        ok=not narrow,
    )
