"""The part of ``vlaeval plan`` about a fleet of simulators and policy hosts."""

from __future__ import annotations

from typing import Any

from vla_eval.cli.common import print_table, say, say_folded

__all__ = ["print_fleet"]


def print_fleet(fleet: dict[str, Any]) -> None:
    """Print the result of :func:`vla_eval.planning.fleet.fleet_outlook`."""
    say()
    if fleet["policies"]:
        batches = sorted(
            {int(size) for row in fleet["policies"] for size in row["inferences_per_s"]}
        )
        head = ["policy", "nfe", *(f"{size} at a time" for size in batches), "simulators a host"]
        print_table([head, *(_row(row, batches) for row in fleet["policies"])])
        most = fleet["max_batch"]
        rule = (
            "the host is just busy"
            if most == 1
            else f"with batches of up to {most} an episode takes at most a quarter longer than alone"
        )
        say_folded(
            [
                (
                    f"(inferences per second on {fleet['policies'][0]['hardware']}; a chunk is executed in "
                    f"{fleet['chunk_s']:g} s; {rule}; arms whose hosts share a device share its time)"
                ),
                "",
            ]
        )
    workers = fleet["workers_at_efficiency"]
    print_table(
        [["share of time that is work", *workers], ["workers", *map(str, workers.values())]]
    )
    if cluster := fleet.get("cluster"):
        say_folded(
            [
                "",
                (
                    f"{cluster['processors']:g} processors and {cluster['gpus']:g} GPUs: "
                    f"{cluster['workers']} workers, limited by the {cluster['limit']}"
                ),
            ]
        )


def _row(row: dict[str, Any], batches: list[int]) -> list[str]:
    rates = [row["inferences_per_s"].get(str(size)) for size in batches]
    cells = ["-" if rate is None else f"{rate:g}" for rate in rates]
    return [row["policy"], str(row["nfe"]), *cells, str(row["simulators"])]
