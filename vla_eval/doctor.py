"""Whether this installation works: Python, packages, and what every suite checks of itself."""

from __future__ import annotations

import importlib
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

from vla_eval.catalog import suites
from vla_eval.errors import MissingExtraError

__all__ = ["Check", "check_installation"]

_PACKAGES = ("vla-eval-suite", "gymnasium", "numpy", "pydantic", "scipy", "statsmodels")


class Check(NamedTuple):
    """One thing that was looked at."""

    group: str
    """``core``, or the extra that it belongs to."""
    name: str
    ok: bool
    """True of what is not installed and need not be."""
    detail: str
    remedy: str
    """What to do; empty where nothing is."""


def check_installation() -> list[Check]:
    """Return what works and what does not; a suite whose extra is not installed is no fault."""
    checks = _core_checks()
    seen: set[str] = set()
    for suite in suites():
        if suite.doctor is not None and suite.doctor not in seen:
            seen.add(suite.doctor)
            checks += _suite_checks(suite.extra, suite.doctor)
    return checks


def _core_checks() -> list[Check]:
    from vlaeval_launcher import collision

    new_enough = sys.version_info >= (3, 12)
    remedy = "" if new_enough else "make a new environment with Python 3.12"
    found = collision()
    return [
        Check("core", "python", new_enough, platform.python_version(), remedy),
        *(Check("core", name, *_version(name)) for name in _PACKAGES),
        Check("core", "no collision", found is None, "no other vla_eval installed", found or ""),
    ]


def _version(package: str) -> tuple[bool, str, str]:
    try:
        return True, version(package), ""
    except PackageNotFoundError:
        return False, "not installed", "install again: pip install vla-eval-suite"


def _suite_checks(extra: str, reference: str) -> list[Check]:
    """Run a suite's own checks; a suite that is broken is a finding."""
    if absent := _absent(extra):
        return [_optional(extra, MissingExtraError(f"{extra} ({', '.join(absent)})", extra))]
    module, _, name = reference.partition(":")
    try:
        function: Callable[[], list[tuple[str, bool, str, str]]]
        function = getattr(importlib.import_module(module), name)
        return [Check(extra, *check) for check in function()]
    except MissingExtraError as error:
        return [_optional(extra, error)]
    except Exception as error:  # noqa: BLE001 - a broken suite is a finding
        detail = f"{type(error).__name__}: {error}"
        return [Check(extra, "checks", ok=False, detail=detail, remedy="see the message")]


def _optional(extra: str, error: MissingExtraError) -> Check:
    return Check(extra, "installed", ok=True, detail="no (optional)", remedy=str(error))


def _absent(extra: str) -> list[str]:
    """Return the packages of an extra of ours that are not installed."""
    pattern = rf"^([\w.-]+).*extra == ['\"]{re.escape(extra)}['\"]"
    needed = [re.match(pattern, each) for each in requires("vla-eval-suite") or []]
    return [each[1] for each in needed if each and not _version(each[1])[0]]
