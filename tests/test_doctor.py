"""What `vlaeval doctor` finds of suites: their own checks, broken ones, and extras that are not there."""

from __future__ import annotations

import pytest

from vla_eval import doctor as module
from vla_eval.catalog import Cost, Suite
from vla_eval.doctor import check_installation
from vla_eval.errors import MissingExtraError


def own_checks():
    return [("scenes", True, "48 scenes", ""), ("renderer", False, "no GL", "install EGL")]


def broken_checks():
    raise OSError("no such device")


def checks_of_what_is_missing():
    raise MissingExtraError("the simulator", "sim")


@pytest.fixture
def checked(monkeypatch):
    """The checks of one suite, whose extra `sim` is two packages and beside which there are others."""
    requires = [
        "numpy>=2",
        'gymnasium>=1 ; extra == "sim"',
        'no-such-simulator==3 ; extra == "wanting"',
        'another_one ; extra == "wanting"',
        'nor-this ; extra == "others"',
    ]
    monkeypatch.setattr(module, "requires", lambda _: requires)

    def check(function, extra="sim"):
        suite = Suite("mine", "", (), extra, Cost(0, 0, 0, 0), doctor=f"{__name__}:{function}")
        monkeypatch.setattr(module, "suites", lambda: [suite, suite])
        return [check for check in check_installation() if check.group != "core"]

    return check


def test_a_suites_own_checks_are_asked_once(checked):
    """Two suites of one package have them together; they stand under the extra's name."""
    scenes, renderer = checked("own_checks")
    assert scenes == ("sim", "scenes", True, "48 scenes", "")
    assert renderer == ("sim", "renderer", False, "no GL", "install EGL")


def test_a_broken_suite_is_a_finding(checked):
    """Its error does not hide the other checks."""
    (found,) = checked("broken_checks")
    assert found == ("sim", "checks", False, "OSError: no such device", "see the message")


@pytest.mark.parametrize(
    ("function", "extra", "missing"),
    [
        ("own_checks", "wanting", "no-such-simulator, another_one"),
        ("checks_of_what_is_missing", "sim", "the simulator"),
    ],
)
def test_an_extra_that_is_not_installed_is_no_fault(checked, function, extra, missing):
    """It is optional; the remedy names what is missing and how it is installed."""
    (found,) = checked(function, extra)
    assert (found.group, found.name, found.ok) == (extra, "installed", True)
    assert found.detail == "no (optional)"
    assert missing in found.remedy
    assert f"[{extra}]" in found.remedy or f"{extra}'" in found.remedy
