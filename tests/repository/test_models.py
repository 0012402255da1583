"""Every model of a file or a record: what cannot be changed, and which content is refused."""

from __future__ import annotations

import importlib
import math
import types
import typing
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

ROOT = Path(__file__).parents[2]
MODELS = [
    model
    for file in sorted((ROOT / "vla_eval").rglob("*.py"))
    if "ConfigDict(" in file.read_text(encoding="utf-8")
    for name in [".".join(file.relative_to(ROOT).with_suffix("").parts)]
    for model in vars(importlib.import_module(name)).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == name
]
OPEN = {"vla_eval.claims.uses", "vla_eval.watching.journal"}
"""Lines of files that later versions also write: what they add is passed over."""
WRITTEN_BY_HAND = (
    "vla_eval.analysis",
    "vla_eval.blocks",
    "vla_eval.claims",
    "vla_eval.protocol",
    "vla_eval.realtime.profile",
    "vla_eval.realtime.settings",
    "vla_eval.recipes",
)
"""Modules of the files in which a number in quotes is a mistake of the writer."""


def complaints(model: type[BaseModel], content: dict[str, object]) -> dict[str, str]:
    """Return the kinds of complaints about a content, by the outermost field."""
    try:
        model.model_validate(content)
    except ValidationError as error:
        return {str(entry["loc"][0]): entry["type"] for entry in error.errors() if entry["loc"]}
    return {}


def fields_of(model: type[BaseModel], kind: type) -> list[str]:
    """Return the fields that take this kind, or this kind or nothing."""

    def holds(annotation: object) -> bool:
        if typing.get_origin(annotation) is typing.Annotated:
            return holds(typing.get_args(annotation)[0])
        if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
            kinds = [one for one in typing.get_args(annotation) if one is not type(None)]
            return all(map(holds, kinds))
        return annotation is kind

    return [name for name, field in model.model_fields.items() if holds(field.annotation)]


def test_there_are_many():
    """So that the tests below do not pass for want of a model."""
    assert len(MODELS) > 80


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_what_is_read_stays_and_has_no_more_than_is_known(model):
    """A field is never set again, an unknown one is refused, and a number is finite."""
    for name in list(model.model_fields)[:1]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(model.model_construct(), name, None)
    found = complaints(model, {"no_such_field": 1})
    assert (found.get("no_such_field") == "extra_forbidden") == (model.__module__ not in OPEN)
    floats = fields_of(model, float)
    for number in (math.nan, math.inf, -math.inf):
        found = complaints(model, dict.fromkeys(floats, number))
        assert [name for name in floats if found.get(name, "missing") == "missing"] == []


@pytest.mark.parametrize(
    "model",
    [model for model in MODELS if model.__module__.startswith(WRITTEN_BY_HAND)],
    ids=lambda model: f"{model.__module__}.{model.__name__}",
)
def test_a_number_in_quotes_is_none(model):
    """It would be silently read as the number; a whole number is not true, either."""
    for kind, wrong in ((int, "1"), (int, True), (float, "0.5"), (bool, 1)):
        names = fields_of(model, kind)
        found = complaints(model, dict.fromkeys(names, wrong))
        assert [name for name in names if not found.get(name, "").endswith("_type")] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_what_a_field_is_without_being_given_is_allowed(model):
    """Otherwise what we write with a default could not be read again."""

    class Checked(model):
        model_config = ConfigDict(validate_default=True)

    kinds = complaints(Checked, {})
    given = {name for name, field in model.model_fields.items() if not field.is_required()}
    assert {name: kind for name, kind in kinds.items() if name in given} == {}
