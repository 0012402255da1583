"""Which arm plays which part, as asked for or as the protocol says."""

from __future__ import annotations

import pytest

from fakes.by_hand import Run, small_protocol
from vla_eval.certificate import Roles
from vla_eval.certificate.certify import roles_asked
from vla_eval.certificate.evidence import gather
from vla_eval.errors import UsageError


def folder(path, *arms: str, **analysis):
    Run(small_protocol(1, 2, **analysis)).write(path / "run", *arms)
    return path / "run"


def test_the_protocol_fills_what_is_not_asked_for(tmp_path):
    """Its control only if the run has such an arm; what is asked for comes first."""
    planned = {"candidate": "a", "reference": "b", "negative_control": "c"}
    whole = folder(tmp_path / "whole", "a", "b", "c", "d", **planned)
    assert roles_asked(whole, None, None) == [Roles("a", "b", "c")]
    assert roles_asked(whole, "d", None, candidate="b") == [Roles("b", "d", "c")]
    assert roles_asked(whole, None, "d") == [Roles("a", "b", "d")]
    without = folder(tmp_path / "without", "a", "b", **planned)
    assert roles_asked(without, None, None) == [Roles("a", "b", None)]
    assert roles_asked(without, None, "x") == [Roles("a", "b", "x")]


def test_several_candidates(tmp_path):
    """One certificate each, which names the others; a name counts once, and one way to ask."""
    run = folder(tmp_path, "a", "b", "c", reference="c")
    found = roles_asked(run, None, None, candidates=("a", "b"))
    assert found == [Roles("a", "c", None, ("b",)), Roles("b", "c", None, ("a",))]
    assert roles_asked(run, None, None, candidate="a") == [Roles("a", "c", None)]
    with pytest.raises(UsageError, match="an arm twice"):
        roles_asked(run, None, None, candidates=("a", "a"))
    for asked in ({}, {"candidate": "a", "candidates": ("b",)}):
        with pytest.raises(UsageError, match="which arm is the candidate"):
            roles_asked(run, None, None, **asked)


def test_somebody_must_be_the_reference(tmp_path):
    """Neither asked for nor planned."""
    run = folder(tmp_path, "a", "b")
    with pytest.raises(UsageError, match="which arm is the reference"):
        roles_asked(run, None, None, candidate="a")


@pytest.mark.parametrize(
    ("roles", "fixed"),
    [
        (Roles("b", "r", "c"), "candidate as arm 'a', not 'b'"),
        (Roles("a", "b", "c"), "reference as arm 'r', not 'b'"),
        (Roles("a", "r", "b"), "negative control as arm 'c', not 'b'"),
    ],
)
def test_planned_roles_cannot_change(tmp_path, roles, fixed):
    """Each of them is refused by name, before any episode is read."""
    planned = {"candidate": "a", "reference": "r", "negative_control": "c"}
    with pytest.raises(UsageError, match=f"the protocol fixes the {fixed}"):
        gather(folder(tmp_path, "a", "r", "c", "b", **planned), roles)
