"""The methods by name, collected from all modules of this package."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.files.complaints import first_complaint
from vla_eval_policies.methods.method import Method, Preset

__all__ = ["METHODS", "PRESETS", "make_method"]

_PACKAGE = "vla_eval_policies.methods"


def _kinds() -> Iterator[type[Method]]:
    """Import the package's modules and yield the methods in them: the classes with a name."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        for value in vars(importlib.import_module(f"{_PACKAGE}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Method) and hasattr(value, "name"):
                yield value


METHODS: Final[Mapping[str, type[Method]]] = {
    kind.name: kind for kind in sorted(_kinds(), key=lambda kind: kind.name)
}
PRESETS: Final[Mapping[str, Preset]] = {
    f"{name}:{whose}": preset
    for name, kind in METHODS.items()
    for whose, preset in kind.presets.items()
}
"""The papers' hyperparameters by name, ``METHOD:WHOSE``, such as ``meanflow:one-step-vla``.

A preset covers only the method; reproducing a paper's results also needs its network and its data.
"""


def make_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """Return a method by its own or a preset's name, with some hyperparameters changed.

    Args:
        name: ``fm``, ``snapflow`` … or a preset such as ``meanflow:one-step-vla``.
        options: hyperparameters by name.

    Raises:
        UsageError: no such method, preset or hyperparameter, or a value out of range.
    """
    given = dict(options or {})
    kind_name = name.partition(":")[0]
    if ":" in name:
        if name not in PRESETS:
            raise UsageError(f"there is no preset '{name}'{did_you_mean(name, PRESETS)}")
        given = {**PRESETS[name].options, **given}
    elif name not in METHODS:
        raise UsageError(f"there is no method '{name}'{did_you_mean(name, METHODS)}")
    kind = METHODS[kind_name]
    for option in given:
        if option not in kind.model_fields:
            hint = did_you_mean(option, kind.model_fields) or "; it has none"
            raise UsageError(f"method '{name}' has no hyperparameter '{option}'{hint}")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise UsageError(f"method '{name}', hyperparameters: {first_complaint(error)}") from None
