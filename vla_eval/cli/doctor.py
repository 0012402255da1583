"""``vlaeval doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import print_json, say, say_folded
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, EXIT_REFUTED, UsageError

if TYPE_CHECKING:
    from vla_eval.doctor import Check

__all__ = ["doctor"]


def doctor(
    *,
    policy: Annotated[str | None, tyro.conf.arg(metavar="SPEC")] = None,
    suite: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="SUITE")
    ] = (),
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path(),
    engine: Annotated[str | None, tyro.conf.arg(metavar="ENGINE")] = None,
    insecure_cluster: bool = False,
    env: Annotated[str | None, tyro.conf.arg(metavar="ID")] = None,
    json: bool = False,
) -> int:
    r"""Check this installation: Python, packages, GL with a test render, assets, name collisions.

    Example: vlaeval doctor --suite so101 \
        --policy 'lerobot:outputs/pretrained_model?nfe=1'

    Exit code 0 when everything that is installed works; suites whose extra is not installed are
    reported, but are no error. With --policy it checks a policy instead: it shows the inputs and
    outputs of one inference on a real observation of each suite that the policy fits. Then exit
    code 1 when something looks like a mistake, or when the policy fits no suite. With --env it checks
    an environment of another package: what the evaluator reads of it; exit code 1 if something is
    missing there.

    Args:
        policy: Check this policy instead of the installation.
        suite: With --policy, only this suite. Repeatable.
        out: With --policy, folder for the policy's pictures, doctor-SUITE.png.
        engine: Check every node of a cluster instead: ray or ray:HOST:PORT.
        insecure_cluster: Accept a cluster without a token.
        env: Check this environment instead, by its Gymnasium id: my_package:my/Reach-v0.
        json: Print for machines.
    """
    if policy is not None:
        from vla_eval.cli.inspect import doctor_policy

        return doctor_policy(policy, suite, json=json, folder=out)
    if suite:
        raise UsageError("--suite goes with --policy; without, every suite is checked")
    from vla_eval.doctor import check_installation
    from vla_eval.engine.cluster import check_nodes

    if env is not None:
        from vla_eval.env_check import check_environment

        checks = check_environment(env)
    elif engine:
        checks = check_nodes(engine, insecure=insecure_cluster)
    else:
        checks = check_installation()
    ok = all(check.ok for check in checks)
    if json:
        print_json({"ok": ok, "checks": [check._asdict() for check in checks]})
    else:
        _print(checks)
    return EXIT_COMPLETE if ok else EXIT_REFUTED if env else EXIT_INFRASTRUCTURE


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    current = ""
    groups = list(dict.fromkeys(check.group for check in checks))
    by_group = sorted(checks, key=lambda check: groups.index(check.group))
    for group, name, ok, detail, remedy in by_group:
        if group != current:
            say(f"{group}")
            current = group
        say_folded([f"  {'ok  ' if ok else 'FAIL'} {name.ljust(width)}  {detail}"])
        if remedy and (not ok or "optional" in detail):
            say_folded([f"       -> {remedy}"])
