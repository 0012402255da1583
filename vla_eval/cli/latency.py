"""``vlaeval latency``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vla_eval.cli.bench_policy import print_profile
from vla_eval.cli.common import print_json, print_table, say, say_folded
from vla_eval.errors import EXIT_COMPLETE, UsageError

__all__ = ["latency"]


def latency(
    what: tyro.conf.Positional[Literal["list", "show", "from"]],
    name: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MACHINE|FILE|RUN")
    ] = None,
    *,
    arm: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None,
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    busy: bool = False,
    json: bool = False,
) -> int:
    """List published inference times, show them in ms and in ticks, or take them from a run's records.

    Example: vlaeval latency list

    Example: vlaeval latency show a800-pi05

    Example: vlaeval latency from runs/paused --arm student --out student.json

    A tick is one control step. An inference that takes d ticks answers the observation of tick k with an
    action in tick k + d at the earliest. A protocol in virtual time names a machine in
    run.realtime.machine, or embeds a measured profile; see docs/real-time.md.

    Args:
        what: 'list', all shipped machines; 'show', one of them or the file of a profile; 'from', the
            wall times of a paused run's inferences as a profile.
        name: With show: a shipped machine, or the file of a profile. With from: the run folder.
        arm: With from: the arm, if the run has several.
        out: With from: the profile to write, for vlaeval run --profile.
        busy: With from: keep times that vary as they do on a busy machine.
        json: Print for machines.
    """
    from vla_eval.planning.machines import machines

    if (what == "list") == (name is not None):
        raise UsageError("vlaeval latency list takes no name; show and from take one")
    if what == "from":
        return _from(Path(name or ""), arm, out, busy=busy, json=json)
    if arm is not None or out is not None or busy:
        raise UsageError("--arm, --out and --busy belong to: vlaeval latency from RUN --out FILE")
    if name is not None:
        return _show(name, json=json)
    rows = machines()
    if json:
        print_json(rows)
        return EXIT_COMPLETE
    print_table([["machine", *_HEAD], *([row["name"], *_cells(row)] for row in rows)])
    say_folded(["", *(f"{row['name']}: {row['source']}" for row in rows)])
    return EXIT_COMPLETE


_HEAD = ["1 / 10 passes", "20 Hz", "30 Hz", "50 Hz, ticks"]


def _cells(row: dict[str, Any]) -> list[str]:
    """Return times and ticks of one and of ten passes, with a dash where they are unknown."""
    known = {entry["passes"]: entry for entry in row["inferences"]}
    pair = [known.get(passes) for passes in (1, 10)]
    times = ["–" if each is None else f"{each['latency_us'] / 1e3:.0f}" for each in pair]
    ticks = [
        ["–" if each is None else str(each["ticks_at_hz"][rate]) for each in pair]
        for rate in ("20", "30", "50")
    ]
    return [f"{' / '.join(times)} ms", *(" / ".join(both) for both in ticks)]


def _from(run: Path, arm: str | None, out: Path | None, *, busy: bool, json: bool) -> int:
    from vla_eval.benchmarking.replayed import replayed_profile
    from vla_eval.files.atomic import write_atomically

    if out is None:
        raise UsageError("vlaeval latency from writes a profile: name its file with --out FILE")
    profile = replayed_profile(run, arm, busy=busy)
    write_atomically(out, profile.model_dump_json(indent=1) + "\n")
    if json:
        print_json(profile.model_dump(mode="json"))
    else:
        print_profile(profile)
    say(f"profile: {out}", file=sys.stderr)
    return EXIT_COMPLETE


def _show(name: str, *, json: bool) -> int:
    from vla_eval.planning.machines import find_machine, machine_facts, profile_facts
    from vla_eval.realtime.machines import shipped_machines
    from vla_eval.realtime.profile import read_profile

    if name not in shipped_machines() and Path(name).suffix == ".json":
        content, table = read_profile(Path(name))
        facts = profile_facts(content, table)
        if json:
            print_json(facts)
        else:
            print_profile(content)
        return EXIT_COMPLETE
    try:
        facts = machine_facts(find_machine(name))
    except ValueError as error:
        raise UsageError(f"{error} (the name of a profile's file ends in .json)") from None
    if json:
        print_json(facts)
        return EXIT_COMPLETE
    say_folded([facts["name"], facts["source"], ""])
    if "only_passes" not in facts:
        parts = [[label, facts[key]] for key, label in _PARTS.items() if facts[key]]
        print_table([[label, f"{part / 1e3:.1f} ms"] for label, part in parts])
        say()
    print_table([["one inference", *_HEAD[1:]], *map(_inference, facts["inferences"])])
    return EXIT_COMPLETE


_PARTS = {
    "prefix_us": "prefix",
    "pass_us": "one pass",
    "sample_us": "a further sample",
    "link_us": "link",
}


def _inference(entry: dict[str, Any]) -> list[str]:
    label = f"{entry['passes']} pass{'es' if entry['passes'] > 1 else ''}"
    ticks = (str(count) for count in entry["ticks_at_hz"].values())
    return [f"{label}: {entry['latency_us'] / 1e3:.1f} ms", *ticks]
