"""The methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.files.complaints import first_complaint
from vla_eval_policies.methods.diffusion import DDIM, DDPM
from vla_eval_policies.methods.drift import Drift
from vla_eval_policies.methods.fm import FlowMatching, HighNoiseFlowMatching
from vla_eval_policies.methods.meanflow import MeanFlow
from vla_eval_policies.methods.method import Method
from vla_eval_policies.methods.mse import Regression
from vla_eval_policies.methods.presets import PRESETS
from vla_eval_policies.methods.shortcut import Shortcut
from vla_eval_policies.methods.snapflow import SnapFlow

__all__ = ["METHODS", "make_method"]

METHODS: Final[Mapping[str, type[Method]]] = {
    each.name: each
    for each in (
        FlowMatching,
        HighNoiseFlowMatching,
        Regression,
        SnapFlow,
        MeanFlow,
        Shortcut,
        Drift,
        DDPM,
        DDIM,
    )
}


def make_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """Return the method of a name, or of a preset's name, with some hyperparameters changed.

    Args:
        name: ``fm``, ``snapflow`` … or a preset such as ``meanflow:one-step-vla``.
        options: hyperparameters by name.

    Raises:
        UsageError: no such method, preset or hyperparameter, or a value out of range.
    """
    given = dict(options or {})
    if ":" in name:
        if name not in PRESETS:
            raise UsageError(f"there is no preset '{name}'{did_you_mean(name, PRESETS)}")
        preset = PRESETS[name].method
        kind, given = type(preset), {**preset.model_dump(), **given}
    elif name in METHODS:
        kind = METHODS[name]
    else:
        raise UsageError(f"there is no method '{name}'{did_you_mean(name, METHODS)}")
    for option in given:
        if option not in kind.model_fields:
            hint = did_you_mean(option, kind.model_fields) or "; it has none"
            raise UsageError(f"method '{name}' has no hyperparameter '{option}'{hint}")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise UsageError(f"method '{name}', hyperparameters: {first_complaint(error)}") from None
