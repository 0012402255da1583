"""Turns the validation errors of a file into sentences that name the place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vla_eval.errors import did_you_mean
from vla_eval.files.plain import shown

__all__ = ["all_complaints", "complaint", "first_complaint"]


def complaint(item: ErrorDetails, place: str, known: Sequence[str] = ()) -> str:
    """Return one validation error as a sentence.

    Args:
        item: the validation error.
        place: the path of its key; empty for an error of the whole file.
        known: the valid keys at that place, for a hint beside an unknown key.
    """
    if item["type"] == "extra_forbidden":
        return f"unknown key '{place}'{did_you_mean(str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"'{place}' is missing"
    where = f"{place}: " if place else ""
    if item["type"] == "value_error":
        return f"{where}{item['ctx']['error']}"
    if "url" not in item:  # our own sentence, which shows the value
        return f"{where}{item['msg']}"
    return f"{where}{item['msg']} (got {shown(item['input'])})"


def first_complaint(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return the first error as a sentence; the model adds the nearest known key to an unknown one."""
    item = error.errors()[0]
    return complaint(item, *_place(item["loc"], model))


def all_complaints(error: ValidationError, model: type[BaseModel]) -> str:
    """Return all errors of a file, joined to one sentence."""
    complaints = []
    for item in error.errors():
        place, known = _place(item["loc"], model)
        complaints.append(complaint(item, place or "the file", known))
    return "; ".join(dict.fromkeys(complaints))


def _place(loc: tuple[int | str, ...], model: type[BaseModel] | None) -> tuple[str, list[str]]:
    """Return the path of a key, and the known keys at its place.

    Between the keys pydantic names the member of a union that it tried; that name is not in the file.
    """
    models = set() if model is None else {model}
    parts, known = list[str](), list[str]()
    for part in map(str, loc):
        if "[" in part or part in {model.__name__ for model in models}:
            continue
        parts.append(part if part.isprintable() and len(part) <= 60 else shown(part))
        fields = [model.model_fields for model in models]
        known = [name for names in fields for name in names]
        annotations = [names[part].annotation for names in fields if part in names]
        models = {model for inside in annotations for model in _models_in(inside)} or models
    return ".".join(parts), known


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
