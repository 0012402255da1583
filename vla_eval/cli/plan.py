"""``vlaeval plan``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from vla_eval.cli.common import Changes, OptionalWorkers, ProtocolName, print_json, print_table, say
from vla_eval.errors import EXIT_COMPLETE

if TYPE_CHECKING:
    from vla_eval.catalog import Cost
    from vla_eval.protocol import Block, Protocol
    from vla_eval.stats import ClusterTest

__all__ = ["plan"]

_CORRELATION = 0.3
"""Between arms on one episode, for what to expect of a sequential plan."""


def plan(
    protocol: ProtocolName,
    *,
    arms: int = 2,
    workers: OptionalWorkers = None,
    infer_ms: float | None = None,
    set_: Changes = (),
    json: bool = False,
) -> int:
    """Show what a protocol will run, and about how long that takes.

    Example: vlaeval plan libero-spatial --arms 2 --infer-ms 120

    The time is that of every episode to its limit, at the cost per step measured on the
    developers' machine (2 quiet cores, software GL), without loading policies and compiling scenes for
    the first time. Episodes that succeed end earlier; a GPU renders faster.

    Args:
        protocol: Name of a shipped protocol, or path of a .toml file.
        arms: How many policies.
        workers: Environments at a time; default one per core.
        infer_ms: Time of one inference of your policy; left out, inferences take no time.
        set_: Change a field of the protocol.
        json: Print for machines.
    """
    from vla_eval.catalog import check_catalogue
    from vla_eval.errors import UsageError
    from vla_eval.plan import expand
    from vla_eval.released import load_protocol

    loaded = load_protocol(protocol, overrides=set_)
    check_catalogue(loaded)
    count = (os.cpu_count() or 1) if workers is None else workers
    if count < 1:
        raise UsageError(f"--workers {count}: at least one worker is needed")
    blocks = [_block(block, loaded, infer_ms or 0.0) for block in loaded.blocks]
    seconds = arms * sum(each["seconds"] for each in blocks) / count
    value = {
        "protocol": {
            "name": loaded.protocol,
            "version": loaded.version,
            "sha256": loaded.sha256,
            "title": loaded.title,
            "source": loaded.source,
            "leaves_open": list(loaded.leaves_open),
        },
        "episodes_per_arm": len(expand(loaded)),
        "arms": arms,
        "workers": count,
        "blocks": blocks,
        "about_s": round(seconds, 1),
        "infer_ms": infer_ms,
        "sequential": _sequential(loaded),
        "clustered": _clustered(loaded),
    }
    if json:
        print_json(value)
    else:
        _print(value, loaded)
    return EXIT_COMPLETE


def _sequential(protocol: Protocol) -> dict[str, Any] | None:
    """Return the looks, and what to expect of them at parity; None for a run of fixed size."""
    from vla_eval.judging.looks import sequential_plan
    from vla_eval.stats import PairedCase, operating_characteristics

    plan = sequential_plan(protocol)
    if plan is None:
        return None
    rows = []
    for rate in (0.90, 0.95, 0.98):
        case = PairedCase(rate, 0.0, _CORRELATION)
        outlook = operating_characteristics(plan, case, guard=False)
        rows.append(
            {
                "p_reference": rate,
                "correlation": _CORRELATION,
                "power": outlook.certified,
                "expected_pairs": outlook.pairs,
                "stops": list(outlook.stops),
            }
        )
    return {"sizes": list(plan.sizes), "bounds": list(plan.bounds), "at_parity": rows}


def _print_sequential(sequential: dict[str, Any]) -> None:
    from vla_eval.summary.text import fold

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
    note = (
        f"(correlation of the arms {_CORRELATION:g}; the exact test, which has to agree at every "
        "look, costs up to 3 points of power)"
    )
    say("\n".join(fold(note)))


_POWER_UP_TO = 20_000
"""Episodes of repeated states up to which the power takes seconds."""


def _clustered(protocol: Protocol) -> dict[str, Any] | None:
    """Return what repeats of states show at parity; None where states do not repeat."""
    from vla_eval.cli.repeats import ICCS
    from vla_eval.stats import PairedCase, minimum_states, power_clustered

    analysis, run = protocol.analysis, protocol.run
    if analysis.cluster == "none":
        return None
    test: ClusterTest = analysis.cluster_test or "both"
    states = sum(
        len(each.task_names()) * len(each.init_state_numbers()) for each in protocol.blocks
    )
    repeats = len(run.env_seeds) * len(run.policy_seeds)
    level = {"margin": analysis.margin, "alpha": analysis.alpha}
    rows: list[dict[str, Any]] = []
    for rate in (0.90, 0.95) if states * repeats <= _POWER_UP_TO else ():
        case = PairedCase(rate, 0.0, _CORRELATION)
        for icc in ICCS:
            found = power_clustered(states, repeats, case, icc=icc, **level)
            rows.append(
                {
                    "p_reference": rate,
                    "correlation": _CORRELATION,
                    "icc": icc,
                    "power": found.of(test),
                    "standard_error": 0.0 if test == "worst-repeat" else found.standard_error,
                }
            )
    return {
        "states": states,
        "repeats": repeats,
        "test": test,
        "minimum_states": minimum_states(**level, test=test),
        "at_parity": rows,
    }


def _print_clustered(clustered: dict[str, Any], margin: float) -> None:
    from vla_eval.cli.repeats import MODEL, label, simulated, times, too_few
    from vla_eval.summary.text import fold

    states, repeats, test = clustered["states"], clustered["repeats"], clustered["test"]
    least = clustered["minimum_states"]
    design = (
        f"{states} states, {times(repeats)}, judged by states with the test '{test}'; "
        f"without a discordant pair {100 * margin:g} points take {least} states, at any number of "
        "repeats."
    )
    lines = [design, *too_few(states, margin, {test: least})]
    say("\n" + "\n".join(folded for line in lines for folded in fold(line)) + "\n")
    at_parity = clustered["at_parity"]
    if not at_parity:
        say(f"(the power of more than {_POWER_UP_TO:,} episodes takes minutes; it is left out)")
        return
    iccs = list(dict.fromkeys(row["icc"] for row in at_parity))
    rows = [["power at parity, repeats", *(label(icc) for icc in iccs)]]
    for rate in dict.fromkeys(row["p_reference"] for row in at_parity):
        powers = [row["power"] for row in at_parity if row["p_reference"] == rate]
        rows.append([f"reference {rate:.0%}", *(f"{power:.0%}" for power in powers)])
    print_table(rows)
    error = max(row["standard_error"] for row in at_parity)
    note = f"(correlation of the arms {_CORRELATION:g}; {MODEL}{simulated(error)})"
    say("\n".join(fold(note)))


def _block(block: Block, protocol: Protocol, infer_ms: float) -> dict[str, Any]:
    repeats = len(protocol.run.env_seeds) * len(protocol.run.policy_seeds)
    tasks = len(block.task_names())
    episodes = tasks * len(block.init_state_numbers()) * repeats
    horizon = protocol.run.n_action_steps or 10
    cost = _cost(block.suite)
    per_step = cost.advance_s + (cost.observe_s + infer_ms / 1e3) / horizon
    return {
        "suite": block.suite,
        "env_id": block.env_id,
        "tasks": tasks,
        "init_states": len(block.init_state_numbers()),
        "repeats": repeats,
        "episodes": episodes,
        "max_steps": block.max_steps,
        "seconds": tasks * cost.build_s + episodes * (cost.reset_s + block.max_steps * per_step),
    }


def _cost(suite: str) -> Cost:
    from vla_eval.catalog import Cost, suites

    known = {each.name: each.cost for each in suites()}
    return known.get(suite, Cost(build_s=1.0, reset_s=0.1, advance_s=0.005, observe_s=0.01))


def _print(value: dict[str, Any], protocol: Protocol) -> None:
    from vla_eval.summary.text import fold

    analysis, run = protocol.analysis, protocol.run
    say("\n".join(fold(f"{protocol.label} · {protocol.title}")))
    say(f"hash {protocol.sha256}\n")
    columns = ["suite", "tasks", "init_states", "repeats", "episodes", "max_steps"]
    print_table([columns, *([str(block[name]) for name in columns] for block in value["blocks"])])
    horizon = run.n_action_steps or "each policy's own"
    say()
    print_table(
        [
            ["execution horizon", str(horizon)],
            ["order", run.order],
            ["judged by", analysis.estimand],
            ["margin", f"{analysis.margin:.1%} at one-sided alpha {analysis.alpha:g}"],
            ["why that margin", analysis.margin_reason],
            ["source", protocol.source],
            *(["left open", text] for text in protocol.leaves_open),
        ]
    )
    if value["sequential"]:
        _print_sequential(value["sequential"])
    if value["clustered"]:
        _print_clustered(value["clustered"], analysis.margin)
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


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
