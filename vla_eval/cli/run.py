"""``vlaeval run``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from vla_eval.cli.common import (
    Changes,
    OptionalWorkers,
    Profiles,
    ProtocolName,
    parse_arms,
    print_json,
    say,
)
from vla_eval.errors import EXIT_COMPLETE, EXIT_INFRASTRUCTURE, EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from vla_eval.engine.cluster import Cluster
    from vla_eval.engine.devices import Fleet
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
    hosts_per_device: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    engine: Annotated[str, tyro.conf.arg(metavar="ENGINE")] = "local",
    host_gpus: Annotated[float | None, tyro.conf.arg(metavar="SHARE")] = None,
    workers_per_host: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    insecure_cluster: bool = False,
    no_actions: bool = False,
    set_: Changes = (),
    profile: Profiles = (),
    log: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="TRACKER")
    ] = (),
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
        hosts_per_device: Policy hosts on each device; default 1.
        engine: Where it runs: local; ray (the cluster of this node), ray:HOST:PORT, or ray:local (a
            throw-away cluster). This process writes all records.
        host_gpus: On a cluster, the share of a GPU for each policy host; default 0.
        workers_per_host: On a cluster, the largest number of environments at one policy host;
            default 16.
        insecure_cluster: Accept a cluster without a token: all who reach it can run code on it.
        no_actions: Keep no executed actions beside the records; they take some 8 kB an episode, and with
            them an episode is shown again without its policy.
        set_: Change a field of the protocol; the run is marked as modified. Repeatable.
        profile: In virtual time, the measured inference times of an arm, from vlaeval bench policy
            --profile; the run is marked as modified. Repeatable.
        log: Show the run in a tracker while it goes on: tensorboard[:DIR], trackio[:PROJECT],
            wandb[:PROJECT][?mode=offline] or mlflow[:URI]. It cannot slow the run. Repeatable.
        json: Print the summary as JSON.
    """
    from vla_eval.engine.cluster import Cluster
    from vla_eval.engine.runner import run as run_protocol
    from vla_eval.judging.resizing import decides_by_pairs
    from vla_eval.realtime.profile import profile_change
    from vla_eval.released import load_protocol
    from vla_eval.sinks.live import followed
    from vla_eval.summary.text import report_text
    from vla_eval.trust import foreign_code, tell_code

    changes = [*set_, *(profile_change(text) for text in profile)]
    loaded = load_protocol(protocol, overrides=changes)
    tell_code(protocol, foreign_code(loaded, []))
    folder = out or Path("runs") / loaded.protocol
    where = _engine(engine, policy_devices, hosts_per_device, host_gpus, workers_per_host)
    if isinstance(where, Cluster):
        where = replace(where, insecure=insecure_cluster)
    with followed(folder, log, lambda sentence: say(sentence, file=sys.stderr)):
        summary = run_protocol(
            loaded,
            parse_arms(arm, policy),
            folder,
            workers=workers,
            shard=shard,
            engine=where,
            actions=not no_actions,
        )
    if json:
        print_json(summary.to_json())
    else:
        say(report_text(summary))
    say(f"run folder: {folder}", file=sys.stderr)
    return _outcome(summary, shard=bool(shard), waits=decides_by_pairs(loaded))


def _engine(
    name: str,
    policy_devices: str | None,
    hosts_per_device: int | None,
    host_gpus: float | None,
    workers_per_host: int | None,
) -> Fleet | Cluster:
    """Return the engine with what was asked of it; refuse what belongs to another engine."""
    from vla_eval.engine.cluster import engine_of
    from vla_eval.engine.devices import Fleet, parse_devices

    engine = engine_of(name)
    if isinstance(engine, Fleet):
        if host_gpus is not None or workers_per_host is not None:
            raise UsageError("--host-gpus and --workers-per-host are for clusters (--engine ray)")
        return Fleet(
            parse_devices(policy_devices) if policy_devices else (),
            1 if hosts_per_device is None else hosts_per_device,
        )
    if policy_devices is not None or hosts_per_device is not None:
        raise UsageError(
            f"--engine {name}: --policy-devices and --hosts-per-device are for one machine; on a "
            "cluster use --host-gpus and --workers-per-host"
        )
    return replace(
        engine,
        host_gpus=host_gpus or 0.0,
        workers_per_host=16 if workers_per_host is None else workers_per_host,
    )


def _outcome(summary: RunSummary, *, shard: bool, waits: bool) -> int:
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
    if shard and waits:
        say(
            "this shard has done its part so far; when all shards have, repeat the command",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    if shard:
        say("this shard is done; the run is complete when all shards are", file=sys.stderr)
        return EXIT_COMPLETE
    return EXIT_INTERRUPTED
