"""Checks of this installation: Python, packages, and each suite's own checks."""

from __future__ import annotations

import pkgutil
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
    """The result of one check."""

    group: str
    """``core``, or the extra that the check belongs to."""
    name: str
    ok: bool
    """Whether the check passed; also true if an optional part is not installed."""
    detail: str
    remedy: str
    """The user's next step; empty if none is needed."""


def check_installation() -> list[Check]:
    """Return the results of all checks; a suite whose extra is not installed passes."""
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
    problem = collision()
    return [
        Check("core", "python", new_enough, platform.python_version(), remedy),
        *(Check("core", name, *_version(name)) for name in _PACKAGES),
        Check(
            "core", "no collision", problem is None, "no other vla_eval installed", problem or ""
        ),
    ]


def _version(package: str) -> tuple[bool, str, str]:
    try:
        return True, version(package), ""
    except PackageNotFoundError:
        return False, "not installed", "install again: pip install vla-eval-suite"


def _suite_checks(extra: str, reference: str) -> list[Check]:
    """Run a suite's own checks; an exception counts as a failed check."""
    if absent := _absent(extra):
        return [_optional(extra, MissingExtraError(f"{extra} ({', '.join(absent)})", extra))]
    try:
        function: Callable[[], list[tuple[str, bool, str, str]]] = pkgutil.resolve_name(reference)
        return [Check(extra, *check) for check in function()]
    except MissingExtraError as error:
        return [_optional(extra, error)]
    except Exception as error:  # noqa: BLE001 - a broken suite is a finding
        detail = f"{type(error).__name__}: {error}"
        return [Check(extra, "checks", ok=False, detail=detail, remedy="see the message")]


def _optional(extra: str, error: MissingExtraError) -> Check:
    return Check(extra, "installed", ok=True, detail="no (optional)", remedy=str(error))


def _absent(extra: str) -> list[str]:
    """Return the packages of one of our extras that are not installed."""
    pattern = rf"^([\w.-]+).*extra == ['\"]{re.escape(extra)}['\"]"
    matches = [re.match(pattern, requirement) for requirement in requires("vla-eval-suite") or []]
    return [match[1] for match in matches if match and not _version(match[1])[0]]
