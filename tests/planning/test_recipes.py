"""How many training seeds a claim about recipes needs."""

from __future__ import annotations

import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.planning import recipes
from vla_eval.planning.outlook import outlook
from vla_eval.planning.recipes import RecipeCase, size_of_recipes
from vla_eval.released import load_protocol
from vla_eval.stats import PairedCase

LEVEL = {"margin": 0.05, "alpha": 0.05}


def case(**changes) -> RecipeCase:
    told = {"training_sd": 0.03, "alike": 0.0, "design": "independent"} | changes
    return RecipeCase(PairedCase(0.9, 0.0, 0.0), **told)


def test_the_reference_table_of_retrains_comes_out():
    """SD 4 of checkpoint means with their episodes: nine a side for 5 points and 80 %; SD 3: six or seven."""
    for sd, seeds in ((0.04, 9), (0.03, 6)):
        alone = case(training_sd=sd)
        powers = [alone.formula(k, 5000, 100, **LEVEL) for k in (seeds - 1, seeds + 1)]
        assert powers[0] < 0.8 < powers[1]


def test_states_that_treat_all_seeds_alike_cap_what_retrains_can_show():
    """With all seeds alike the variance has a part that no number of seeds shrinks."""
    alike = case(alike=1.0, training_sd=0.0)
    assert alike.variance(2, 100, 1) == alike.variance(50, 100, 1) == pytest.approx(0.18 / 100)
    assert size_of_recipes(3, 0.02, states=50, alike=1.0)["seeds_needed"] is None


def test_a_frozen_reference_has_no_training_noise_and_shares_its_luck():
    """Half of the variance over seeds, and half of the luck of an episode in all differences."""
    assert case(design="frozen").variance(2, 10**6, 1) == pytest.approx(0.03**2 / 2, rel=1e-3)
    still = case(design="frozen", training_sd=0.0)
    assert still.variance(1000, 100, 1) == pytest.approx(0.09 / 100, rel=0.01)


def test_both_tests_together_have_at_most_the_power_of_one(monkeypatch):
    """The simulated power lies below the formula's, apart from chance."""
    monkeypatch.setattr(recipes, "_RUNS", 100)
    told = case(design="distilled")
    assert told.simulated(5, 100, 1, **LEVEL) <= told.formula(5, 100, 1, **LEVEL) + 0.1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": 1}, "one training seed says nothing about a recipe"),
        ({"training_sd": 2.7}, "a fraction from 0 to below 0.5, such as 0.027 for 2.7 points"),
        ({"states": 1}, "--states 1: expected 2"),
        ({"alike": 2.0}, "--icc 2"),
    ],
)
def test_what_cannot_be_planned_is_refused(change, said):
    """Each with one sentence."""
    with pytest.raises(UsageError, match=said):
        size_of_recipes(**({"seeds": 3, "training_sd": 0.03} | change))


def test_the_outlook_of_a_protocol_has_its_retrains(monkeypatch):
    """Seven arms, and the power at parity for some training SDs."""
    monkeypatch.setattr(recipes, "_RUNS", 5)
    found = outlook(load_protocol("so101-recipe"))
    assert found["arms"] == 7
    assert [row["training_sd"] for row in found["recipes"]["at_parity"]] == [0.0, 0.02, 0.04]


def test_the_command_says_how_many_retrains(monkeypatch, capsys):
    """In words of at most 80 columns; options of other plans are refused."""
    monkeypatch.setattr(recipes, "_RUNS", 5)
    assert main(["power", "--seeds", "3", "--training-sd", "0.027"]) == 0
    shown = capsys.readouterr().out
    assert "more retrains a side" in " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert main(["power", "--seeds", "3", "--episodes", "100"]) == 4
    assert main(["power", "--training-sd", "0.02"]) == 4
