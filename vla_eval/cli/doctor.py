"""``vlaeval doctor``."""

from __future__ import annotations

import importlib
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

import tyro

from vla_eval.cli.common import print_json, say
from vla_eval.cli.inspect import doctor_policy
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, MissingExtraError, UsageError
from vla_eval.summary.text import fold

__all__ = ["doctor"]

Check = tuple[str, str, bool, str, str]
"""(group, name, ok, detail, remedy)"""


def doctor(
    *,
    policy: Annotated[str | None, tyro.conf.arg(metavar="SPEC")] = None,
    suite: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="SUITE")
    ] = (),
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path(),
    json: bool = False,
) -> int:
    """Check this installation: Python, packages, GL with a test render, assets, name collisions.

    Example: vlaeval doctor --policy 'lerobot:outputs/pretrained_model?nfe=1' --suite so101

    Exit code 0 when everything that is installed works; suites whose extra is not installed are
    reported, and are no fault. With --policy instead: what goes into the policy and what comes out,
    from one inference on a real observation of each suite that it fits; exit code 1 where
    something looks like a mistake, or where it fits none.

    Args:
        policy: Look at this policy instead of the installation.
        suite: With --policy, only this suite; may be given again.
        out: With --policy, where to write what it saw, as doctor-SUITE.png.
        json: Print for machines.
    """
    if policy is not None:
        return doctor_policy(policy, suite, json=json, folder=out)
    if suite:
        raise UsageError("--suite goes with --policy; without, every suite is checked")
    checks = [*_core_checks(), *_suite_checks()]
    ok = all(check[2] for check in checks)
    if json:
        names = ("group", "name", "ok", "detail", "remedy")
        print_json({"ok": ok, "checks": [dict(zip(names, each, strict=True)) for each in checks]})
    else:
        _print(checks)
    return EXIT_COMPLETE if ok else EXIT_INFRASTRUCTURE


def _core_checks() -> list[Check]:
    new_enough = sys.version_info >= (3, 12)
    remedy = "" if new_enough else "make a new environment with Python 3.12"
    checks: list[Check] = [("core", "python", new_enough, platform.python_version(), remedy)]
    packages = ("vla-eval-suite", "gymnasium", "numpy", "pydantic", "scipy", "statsmodels")
    checks += [("core", name, *_version_check(name)) for name in packages]
    launcher = importlib.import_module("vlaeval_launcher")
    collision: str | None = launcher.collision()
    checks.append(
        ("core", "no collision", collision is None, "no other vla_eval installed", collision or "")
    )
    return checks


def _version_check(name: str) -> tuple[bool, str, str]:
    try:
        return True, version(name), ""
    except PackageNotFoundError:
        return False, "not installed", "install again: pip install vla-eval-suite"


def _suite_checks() -> list[Check]:
    from vla_eval.catalog import suites

    checks: list[Check] = []
    seen: set[str] = set()
    for suite in suites():
        if suite.doctor is None or suite.doctor in seen:
            continue
        seen.add(suite.doctor)
        checks += _run_checks(suite.extra, suite.doctor)
    return checks


def _run_checks(group: str, reference: str) -> list[Check]:
    absent = _absent(group)
    if absent:
        error = MissingExtraError(f"{group} ({', '.join(absent)})", group)
        return [(group, "installed", True, "no (optional)", str(error))]
    module, _, name = reference.partition(":")
    try:
        function: Callable[[], list[Any]] = getattr(importlib.import_module(module), name)
        return [(group, *each) for each in function()]
    except MissingExtraError as error:
        return [(group, "installed", True, "no (optional)", str(error))]
    except Exception as error:  # noqa: BLE001 - a broken suite is a finding
        return [(group, "checks", False, f"{type(error).__name__}: {error}", "see the message")]


def _absent(extra: str) -> list[str]:
    """Return the packages of an extra of ours that are not installed."""
    pattern = rf"^([\w.-]+).*extra == ['\"]{re.escape(extra)}['\"]"
    needed = [re.match(pattern, each) for each in requires("vla-eval-suite") or []]
    return [each[1] for each in needed if each and not _version_check(each[1])[0]]


def _print(checks: list[Check]) -> None:
    width = max(len(name) for _, name, *_ in checks)
    current = ""
    for group, name, ok, detail, remedy in checks:
        if group != current:
            say(f"{group}")
            current = group
        said = f"  {'ok  ' if ok else 'FAIL'} {name.ljust(width)}  {detail}"
        hint = f"       -> {remedy}" if remedy and (not ok or "optional" in detail) else ""
        for line in (said, hint) if hint else (said,):
            say("\n".join(fold(line)))
