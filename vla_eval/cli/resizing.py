"""Text of an outlook of a run whose size is set from its first pairs."""

from __future__ import annotations

from typing import Any

from vla_eval.cli.common import print_table, say, say_folded

__all__ = ["print_resizing"]


def print_resizing(value: dict[str, Any]) -> None:
    """Print the sizes of a rule, and its power and expected pairs."""
    rule = (
        f"Size: set once, from how many of the first {value['after']} pairs are discordant (who won them "
        f"is not read); planned {value['planned']} pairs, at most {value['at_most']}."
    )
    say_folded([rule, ""])
    sizes = value["sizes"]
    print_table(
        [
            [f"discordant of {value['after']}", *(str(row["discordant"]) for row in sizes)],
            ["pairs of the run", *(str(row["pairs"]) for row in sizes)],
        ]
    )
    say()
    truth = "at parity" if value["difference"] == 0 else f"at {100 * value['difference']:+g} points"
    rows = [["reference", "correlation", f"power {truth}", "expected pairs", "largest size"]]
    rows += [
        [
            f"{row['p_reference']:.0%}",
            f"{row['correlation']:g}",
            f"{row['power']:.0%}",
            f"{row['expected_pairs']:.0f}",
            f"{row['largest']:.0%} of runs",
        ]
        for row in value["expected"]
    ]
    print_table(rows)
    say_folded(["(the exact test, which has to agree, costs a few points of power)"])
