"""What the shipped machines, a machine's table or a profile mean in ticks, as ``vlaeval latency`` shows it."""

from __future__ import annotations

from typing import Any

from vla_eval.realtime.latency import ticks_of
from vla_eval.realtime.machines import machine_table, shipped_machines
from vla_eval.realtime.profile import ProfileFile
from vla_eval.realtime.settings import Machine, Profile

__all__ = [
    "PASSES",
    "RATES_HZ",
    "find_machine",
    "machine_facts",
    "machines",
    "profile_facts",
    "ticks_at",
]

RATES_HZ = (20, 30, 50)
"""Control rates that ticks are shown for: LIBERO's, LeRobot's, ALOHA's."""
PASSES = (1, 10)
"""Numbers of passes that times are shown for: a student and its teacher."""


def machines() -> list[dict[str, Any]]:
    """Return the facts of every shipped machine, by name."""
    return [machine_facts(find_machine(name)) for name in sorted(shipped_machines())]


def find_machine(name: str) -> Machine:
    """Return the shipped machine of that name; raise ValueError with the nearest name."""
    return Machine.model_validate(machine_table(name))


def machine_facts(machine: Machine) -> dict[str, Any]:
    """Return a machine's fields, and the time and the ticks of one inference by number of passes."""
    return {
        **machine.model_dump(exclude_none=True),
        "inferences": [
            {"passes": passes, **_times(machine.inference_us(passes, samples=1))}
            for passes in PASSES
            if machine.only_passes in (None, passes)
        ],
    }


def profile_facts(content: ProfileFile, table: Profile) -> dict[str, Any]:
    """Return a profile's content, its hash, and the ticks of its median and its slow inferences."""
    return {
        **content.model_dump(mode="json"),
        "sha256": table.sha256,
        "inferences": [
            {"percent": percent, **_times(content.total_us[percent])} for percent in (50, 95, 100)
        ],
    }


def _times(latency_us: int) -> dict[str, Any]:
    return {"latency_us": latency_us, "ticks_at_hz": ticks_at(latency_us)}


def ticks_at(latency_us: int) -> dict[str, int]:
    """Return the delay in ticks by control rate in Hz."""
    return {str(rate): ticks_of(latency_us, rate) for rate in RATES_HZ}
