"""Text of ``vlaeval power --seeds`` and ``vlaeval plan`` about recipes."""

from __future__ import annotations

from typing import Any

from vla_eval.cli.common import print_table, say, say_folded

__all__ = ["print_recipe_plan", "print_recipes"]


def print_recipes(result: dict[str, Any]) -> None:
    """Print the power of a number of training seeds, and the number that would be enough."""
    margin, seeds = 100 * result["margin"], result["seeds"]
    side = "for the candidate" if result["design"] == "frozen" else "a side"
    claim = (
        f"{seeds} training seeds {side}, on {result['states']} initial states"
        + (f" with {result['repeats']} repeats" if result["repeats"] > 1 else "")
        + f" ({result['episodes']} episodes in all), certify a recipe at "
        f"{100 * result['difference']:+g} points of the reference with a chance of "
        f"{result['power']:.0%} (margin {margin:g} points, one-sided alpha {result['alpha']:g}, "
        f"reference at {result['p_reference']:.0%}, training SD "
        f"{100 * result['training_sd']:g} points)."
    )
    say_folded([claim, _needed(result), ""])
    rows = [["training seeds " + side, "power", "with four times the states"]]
    rows += [
        [
            str(row["seeds"]),
            f"{row['power_of_t']:.0%}",
            f"{row['power_of_t_4_times_states']:.0%}",
        ]
        for row in result["seeds_shown"]
    ]
    print_table(rows)
    note = (
        f"(design {result['design']}, correlation of both sides on an episode "
        f"{result['correlation']:g}, all seeds alike in {result['alike']:.0%} of the states. The chance "
        "above is simulated with both tests of a certificate; the table is Student's t alone, by "
        "formula, an upper bound.)"
    )
    say_folded([note])


def _needed(result: dict[str, Any]) -> str:
    wanted = f"A chance of {result['wanted']:.0%}"
    needed = result["seeds_needed"]
    if needed is None:
        return f"{wanted} is out of reach of any number of training seeds: it takes more states."
    more = needed - result["seeds"]
    retrains = f", {more} more retrains a side" if more > 0 and result["design"] != "frozen" else ""
    return f"{wanted} takes about {needed} training seeds{retrains} (Student's t, by formula)."


def print_recipe_plan(plan: dict[str, Any]) -> None:
    """Print the power at parity of a protocol about recipes."""
    say()
    design = (
        f"Two recipes, {plan['candidate']} and {plan['reference']} training seeds, design "
        f"{plan['design']}; power at parity (reference {plan['p_reference']:.0%}, correlation "
        f"{plan['correlation']:g}, all seeds alike in {plan['alike']:.0%} of the states):"
    )
    say_folded([design, ""])
    rows = [["SD over training seeds", "power", "seeds for 80 %"]]
    rows += [
        [
            f"{100 * row['training_sd']:g} points",
            f"{row['power']:.0%}",
            "more states" if row["seeds_needed"] is None else str(row["seeds_needed"]),
        ]
        for row in plan["at_parity"]
    ]
    print_table(rows)
    say_folded(
        ["(simulated with both tests; the number of seeds is Student's t alone, by formula)"]
    )
