"""``vlaeval run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import Changes, OptionalWorkers, ProtocolName, parse_arms, print_json, say
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from vla_eval.summary.model import RunSummary

__all__ = ["run"]


def run(
    protocol: ProtocolName,
    *,
    arm: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="NAME=SPEC")
    ] = (),
    policy: Annotated[str | None, tyro.conf.arg(metavar="SPEC")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None,
    workers: OptionalWorkers = None,
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None,
    policy_devices: Annotated[str | None, tyro.conf.arg(metavar="DEVICE,…")] = None,
    hosts_per_device: Annotated[int, tyro.conf.arg(metavar="N")] = 1,
    set_: Changes = (),
    json: bool = False,
) -> int:
    r"""Run policies under a protocol, or continue the run that the folder holds.

    Example: vlaeval run so101-pick-place --out runs/first \
        --arm 'student=impaired:expert?action_noise=0.1' --arm teacher=expert

    The same command on the same folder continues: finished episodes are kept. The candidate comes
    first, then the reference: a sequential protocol compares these two and may stop early. Specs
    are KIND[:TARGET][?key=value&...]; see: vlaeval list policies

    Args:
        protocol: Name of a shipped protocol (see: vlaeval list protocols) or path of a .toml file.
        arm: One policy; repeat for each arm.
        policy: Short for a single arm, named 'policy'.
        out: The run folder; default runs/PROTOCOL.
        workers: Environments at a time; default one per usable core.
        shard: i/n runs the i-th of n parts, for n machines or jobs on one folder.
        policy_devices: Devices of this machine for the policies, for example cuda:0,cuda:1: each
            policy has a host on each, which serves its part of the workers. A host sees its own
            device only, as 'cuda'. At max_batch 1 the records do not depend on it.
        hosts_per_device: Policy hosts on each device.
        set_: Change a field of the protocol; the run is marked as modified. Repeatable.
        json: Print the summary as JSON.
    """
    from vla_eval.engine.devices import Fleet, parse_devices
    from vla_eval.engine.runner import run as run_protocol
    from vla_eval.released import load_protocol
    from vla_eval.summary.text import report_text
    from vla_eval.trust import foreign_code, tell_code

    loaded = load_protocol(protocol, overrides=set_)
    tell_code(protocol, foreign_code(loaded, []))
    folder = out or Path("runs") / loaded.protocol
    devices = parse_devices(policy_devices) if policy_devices else ()
    summary = run_protocol(
        loaded,
        parse_arms(arm, policy),
        folder,
        workers=workers,
        shard=shard,
        fleet=Fleet(devices, hosts_per_device),
    )
    if json:
        print_json(summary.to_json())
    else:
        say(report_text(summary))
    say(f"run folder: {folder}", file=sys.stderr)
    return _outcome(summary, shard=bool(shard), sequential=loaded.analysis.stopping != "fixed")


def _outcome(summary: RunSummary, *, shard: bool, sequential: bool) -> int:
    """Print the remaining work, and return the exit code."""
    if summary.complete:
        return EXIT_COMPLETE
    if missing := sum(arm.errors for arm in summary.arms.values()):
        say(
            f"{missing} episodes are missing after infrastructure errors; "
            "repeat the command to try them again",
            file=sys.stderr,
        )
        return EXIT_INFRASTRUCTURE
    if shard and sequential:
        say(
            "this shard has done its part of the look; when all shards have, repeat the command",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    if shard:
        say("this shard is done; the run is complete when all shards are", file=sys.stderr)
        return EXIT_COMPLETE
    return EXIT_INTERRUPTED
