"""``vlaeval plan``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from vla_eval.cli.common import (
    Changes,
    OptionalWorkers,
    Profiles,
    ProtocolName,
    print_json,
    print_table,
    say,
    say_folded,
)
from vla_eval.errors import EXIT_COMPLETE

if TYPE_CHECKING:
    from vla_eval.protocol import Protocol

__all__ = ["plan"]


def plan(
    protocol: ProtocolName,
    *,
    arms: int | None = None,
    workers: OptionalWorkers = None,
    infer_ms: float | None = None,
    set_: Changes = (),
    profile: Profiles = (),
    measured: Annotated[
        tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(metavar="FILE")
    ] = (),
    engine: Annotated[str | None, tyro.conf.arg(metavar="ENGINE")] = None,
    insecure_cluster: bool = False,
    json: bool = False,
) -> int:
    r"""Show the episodes of a protocol, and about how long they take.

    Example: vlaeval plan libero-spatial --arms 2 --infer-ms 120

    Example: vlaeval plan libero-spatial --engine ray --measured one.json \
        --measured ten.json

    The time assumes that every episode runs to its limit, at the cost per step measured on the
    developers' machine (2 quiet cores, software GL). It excludes loading policies and the first
    compilation of scenes. Successful episodes end earlier; a GPU renders faster.

    Args:
        protocol: Name of a shipped protocol, or path of a .toml file.
        arms: Number of policies; default those that the protocol names, at least 2.
        workers: Environments at a time; default one per usable core.
        infer_ms: Time of one inference of your policy; without it, inferences take no time.
        set_: Change a field of the protocol. Repeatable.
        profile: In virtual time, the measured inference times of an arm. Repeatable.
        measured: What vlaeval bench policy SPEC --batch 1 2 4 8 16 --json printed, in a file: shows how
            many simulators a host of this policy can serve. Repeatable.
        engine: Show which part of a cluster this run can use: ray or ray:HOST:PORT.
        insecure_cluster: Accept a cluster without a token.
        json: Print for machines.
    """
    from vla_eval.planning.outlook import outlook
    from vla_eval.realtime.profile import profile_change
    from vla_eval.released import load_protocol

    changes = [*set_, *(profile_change(text) for text in profile)]
    loaded = load_protocol(protocol, overrides=changes)
    value = outlook(loaded, arms=arms, workers=workers, infer_ms=infer_ms)
    if measured or engine:
        value["fleet"] = _fleet(loaded, measured, engine, value["arms"], insecure=insecure_cluster)
    if json:
        print_json(value)
    else:
        _print(value, loaded)
    return EXIT_COMPLETE


def _fleet(
    protocol: Protocol, measured: Sequence[Path], engine: str | None, arms: int, *, insecure: bool
) -> dict[str, Any]:
    """Return the sizes of a fleet, for the cluster's processors and GPUs if there is an engine."""
    from vla_eval.engine.cluster import size_of
    from vla_eval.planning.fleet import fleet_outlook, read_curves

    curves = [curve for file in measured for curve in read_curves(file)]
    processors, gpus = size_of(engine, insecure=insecure) if engine else (None, None)
    return fleet_outlook(protocol, curves, arms=arms, processors=processors, gpus=gpus)


def _print(value: dict[str, Any], protocol: Protocol) -> None:
    say_folded([f"{protocol.label} · {protocol.title}"])
    say(f"hash {protocol.sha256}\n")
    columns = ["suite", "tasks", "init_states", "repeats", "episodes", "max_steps"]
    print_table([columns, *([str(block[name]) for name in columns] for block in value["blocks"])])
    say()
    _print_rules(protocol)
    if value["realtime"]:
        _print_realtime(value["realtime"])
    if value["sequential"]:
        _print_sequential(value["sequential"])
    if value["resized"]:
        from vla_eval.cli.resizing import print_resizing

        say()
        print_resizing(value["resized"])
    if value["clustered"]:
        _print_clustered(value["clustered"], protocol.analysis.margin)
    if value["means"]:
        _print_means(value["means"])
    if value["recipes"]:
        from vla_eval.cli.recipes import print_recipe_plan

        print_recipe_plan(value["recipes"])
    if "fleet" in value:
        from vla_eval.cli.fleet import print_fleet

        print_fleet(value["fleet"])
    infer_ms = value["infer_ms"]
    inferring = (
        "without your policy's time (--infer-ms)"
        if infer_ms is None
        else f"with {infer_ms:g} ms an inference"
    )
    say(
        f"\n{value['episodes_per_arm']} episodes × {value['arms']} arms on {value['workers']} "
        f"workers:\nabout {_duration(value['about_s'])} if every episode runs to its limit,\n"
        f"{inferring}"
    )


def _print_rules(protocol: Protocol) -> None:
    analysis, run = protocol.analysis, protocol.run
    print_table(
        [
            ["execution horizon", str(run.n_action_steps or "each policy's own")],
            ["order", run.order],
            ["judged by", analysis.estimand],
            *([["measure", analysis.measure]] if analysis.measure else []),
            ["margin", f"{analysis.margin:.1%} at one-sided alpha {analysis.alpha:g}"],
            ["why that margin", analysis.margin_reason],
            *([["guard rail", _guard_rail(protocol)]] if analysis.task_margin else []),
            *([["candidates", ", ".join(analysis.candidates)]] if analysis.candidates else []),
            ["source", protocol.source],
            *(["left open", text] for text in protocol.leaves_open),
        ]
    )


def _print_realtime(realtime: dict[str, Any]) -> None:
    machine, merge, jitter = (realtime[name] for name in ("machine", "merge", "jitter"))
    mode = realtime["mode"] if merge is None else f"{realtime['mode']}, merge {merge}"
    limits = [
        f"{limit['suite']}: {limit['max_steps']} ticks"
        + (" (control rate unknown)" if limit["virtual_s"] is None else _at(limit))
        for limit in realtime["limits"]
    ]
    say()
    print_table(
        [
            ["virtual time", mode + ("" if jitter == "none" else f", jitter by {jitter}")],
            *([] if machine is None else [["machine", machine["name"]]]),
            *([] if machine is None else [["its source", machine["source"]]]),
            *(["time limit", text] for text in dict.fromkeys(limits)),
        ]
    )
    say()
    suites = list(realtime["delays"][0]["ticks"]) if realtime["delays"] else []
    print_table(
        [
            ["inference of", "ms", *(f"ticks, {suite}" for suite in suites)],
            *(
                [
                    row["whose"],
                    f"{row['latency_us'] / 1e3:.1f}",
                    *(
                        "?" if row["ticks"][suite] is None else str(row["ticks"][suite])
                        for suite in suites
                    ),
                ]
                for row in realtime["delays"]
            ),
        ]
    )


def _at(limit: dict[str, Any]) -> str:
    return f" at {limit['control_hz']:g} Hz = {limit['virtual_s']:.1f} s"


def _guard_rail(protocol: Protocol) -> str:
    """Return the guard rail in words, with the pairs that it takes to rule a loss out."""
    margin = protocol.analysis.task_margin or 0.0
    tasks = sum(len(block.task_names()) for block in protocol.blocks)
    needed = math.ceil(math.log(protocol.analysis.alpha / tasks) / math.log1p(-margin))
    return (
        f"{100 * margin:g} points on each of {tasks} tasks; with no pair lost, ruling such a loss out "
        f"takes {needed} pairs of a task"
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _print_sequential(sequential: dict[str, Any]) -> None:
    say()
    looks = range(1, len(sequential["sizes"]) + 1)
    print_table(
        [
            ["look", *(str(look) for look in looks)],
            ["pairs", *(str(size) for size in sequential["sizes"])],
            ["bound of the score", *(f"{bound:.2f}" for bound in sequential["bounds"])],
        ]
    )
    say()
    rows = [["reference", "power at parity", "expected pairs"]]
    rows += [
        [f"{row['p_reference']:.0%}", f"{row['power']:.0%}", f"{row['expected_pairs']:.0f}"]
        for row in sequential["at_parity"]
    ]
    print_table(rows)
    correlation = sequential["at_parity"][0]["correlation"]
    note = (
        f"(correlation of the arms {correlation:g}; the exact test, which has to agree at every "
        "look, costs up to 3 points of power)"
    )
    say_folded([note])


def _print_clustered(clustered: dict[str, Any], margin: float) -> None:
    from vla_eval.cli.repeats import MODEL, label, simulated, times, too_few
    from vla_eval.planning.outlook import POWER_UP_TO

    states, repeats, test = clustered["states"], clustered["repeats"], clustered["test"]
    least = clustered["minimum_states"]
    design = (
        f"{states} states, {times(repeats)}, judged by states with the test '{test}'; "
        f"without a discordant pair {100 * margin:g} points take {least} states, at any number of "
        "repeats."
    )
    say_folded(["", design, *too_few(states, margin, {test: least}), ""])
    at_parity = clustered["at_parity"]
    if not at_parity:
        say(f"(the power of more than {POWER_UP_TO:,} episodes takes minutes; it is left out)")
        return
    iccs = list(dict.fromkeys(row["icc"] for row in at_parity))
    rows = [["power at parity, repeats", *(label(icc) for icc in iccs)]]
    for rate in dict.fromkeys(row["p_reference"] for row in at_parity):
        powers = [row["power"] for row in at_parity if row["p_reference"] == rate]
        rows.append([f"reference {rate:.0%}", *(f"{power:.0%}" for power in powers)])
    print_table(rows)
    error = max(row["standard_error"] for row in at_parity)
    correlation = at_parity[0]["correlation"]
    say_folded([f"(correlation of the arms {correlation:g}; {MODEL}{simulated(error)})"])


def _print_means(means: dict[str, Any]) -> None:
    spreads = "standard deviation of the states' differences"
    rows = [[spreads, *(f"{row['spread']:g}" for row in means["at_parity"])]]
    rows.append(["power at parity", *(f"{row['power']:.0%}" for row in means["at_parity"])])
    say_folded(["", f"{means['states']} states, judged by bets on their mean differences.", ""])
    print_table(rows)
