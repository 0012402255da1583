"""Every field of a protocol is read by somebody: what binds nothing must not stand in a hashed file."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import vla_eval
from vla_eval.analysis import Analysis
from vla_eval.blocks import Block, Limits, Range, RunSettings
from vla_eval.errors import ProtocolError
from vla_eval.protocol import Protocol, parse_protocol

ROOT = Path(vla_eval.__file__).parent
OWNERS = {
    Protocol: {"protocol", "loaded"},
    Block: {"block", "self"},
    Range: {"self"},
    RunSettings: {"run", "_run"},
    Limits: {"limits"},
    Analysis: {"analysis", "planned"},
}
"""What a variable or attribute of each model is called where its fields are read."""
BY_THE_SCHEMA = {"schema_version"}
"""Read by pydantic: another version is refused."""


@functools.cache
def reads(source: str) -> set[tuple[str, str]]:
    """Return (owner, attribute) of every `owner.attribute` and `something.owner.attribute`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(ast.Name(owner) | ast.Attribute(attr=owner), attribute):
                found.add((owner, attribute))
    return found


def readers(model: type[BaseModel], field: str, sources: dict[str, str]) -> list[str]:
    """Return the files that read a field, by `owner.field` or `something.owner.field`."""
    found = []
    for name, source in sources.items():
        if name.endswith(".j2"):
            owners = "|".join(OWNERS[model])
            read = bool(re.search(rf"\b(?:{owners})\.{field}\b", source))
        else:
            read = any((owner, field) in reads(source) for owner in OWNERS[model])
        found += [name] if read else []
    return found


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    files = [*ROOT.rglob("*.py"), *ROOT.rglob("*.j2")]
    return {str(each.relative_to(ROOT)): each.read_text() for each in files}


@pytest.mark.parametrize(
    ("model", "field"), [(model, name) for model in OWNERS for name in model.model_fields]
)
def test_every_field_has_a_reader(model, field, sources):
    """A field that no code reads would promise something that nothing keeps."""
    if field not in BY_THE_SCHEMA:
        assert readers(model, field, sources), f"{model.__name__}.{field} is read by nobody"


def test_a_field_without_a_reader_is_found(sources):
    """The walk can fail: a name that nobody reads has no reader."""
    assert readers(Analysis, "nobody_reads_this", sources) == []
    assert "judging/methods.py" in readers(Analysis, "strata", sources)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secondary": ["throughput"]}, "analysis.secondary.0"),
        ({"cluster_test": "bets"}, "analysis.cluster_test needs analysis.cluster"),
        ({"cluster_test": "tango", "cluster": "initial-state"}, "analysis.cluster_test"),
    ],
)
def test_what_nobody_could_keep_is_refused(change, message):
    """A secondary endpoint that is not computed, and a test of repeats without repeats."""
    analysis = {"estimand": "x", "margin": 0.1, "margin_reason": "x", **change}
    block = {
        "suite": "fake",
        "env_id": "fakes:fakes/{task}-v0",
        "tasks": ["Point"],
        "init_states": {"count": 3},
        "max_steps": 5,
    }
    data = {
        "schema_version": 1,
        "protocol": "fake",
        "version": 1,
        "title": "x",
        "source": "x",
        "blocks": [block],
        "analysis": analysis,
    }
    with pytest.raises(ProtocolError, match=message):
        parse_protocol(data, "here")
