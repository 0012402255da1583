"""What a model's validation finds wrong with somebody's file, in sentences that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vla_eval.errors import did_you_mean
from vla_eval.files.plain import shown

__all__ = ["all_complaints", "complaint", "first_complaint"]


def complaint(item: ErrorDetails, place: str, known: Sequence[str] = ()) -> str:
    """Return one thing that is wrong as a sentence.

    Args:
        item: the finding.
        place: the path of its key; empty for what concerns the whole.
        known: the keys that would have been right there, for a hint beside an unknown one.
    """
    if item["type"] == "extra_forbidden":
        return f"unknown key '{place}'{did_you_mean(str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"'{place}' is missing"
    where = f"{place}: " if place else ""
    if item["type"] == "value_error":
        return f"{where}{item['ctx']['error']}"
    if "url" not in item:  # a sentence of ours, which says what it was given
        return f"{where}{item['msg']}"
    return f"{where}{item['msg']} (got {shown(item['input'])})"


def first_complaint(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return what is wrong first; with the model, an unknown key has the nearest known one beside it."""
    item = error.errors()[0]
    return complaint(item, *_place(item["loc"], model))


def all_complaints(error: ValidationError, model: type[BaseModel]) -> str:
    """Return all that is wrong with a file, joined to one sentence."""
    found = []
    for item in error.errors():
        place, known = _place(item["loc"], model)
        found.append(complaint(item, place or "the file", known))
    return "; ".join(dict.fromkeys(found))


def _place(loc: tuple[int | str, ...], model: type[BaseModel] | None) -> tuple[str, list[str]]:
    """Return the path of a key, and the keys that are known where it is.

    Between the keys pydantic names the member of a union that it tried; nobody wrote that one.
    """
    models = set() if model is None else {model}
    parts, known = list[str](), list[str]()
    for part in map(str, loc):
        if "[" in part or part in {each.__name__ for each in models}:
            continue
        parts.append(part if part.isprintable() and len(part) <= 60 else shown(part))
        fields = [each.model_fields for each in models]
        known = [name for each in fields for name in each]
        inside = [each[part].annotation for each in fields if part in each]
        models = {found for each in inside for found in _models_in(each)} or models
    return ".".join(parts), known


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a field's annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for each in get_args(annotation) for found in _models_in(each)]
