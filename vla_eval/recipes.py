"""Recipes in a protocol: which arms of a run are the training seeds of one recipe.

A recipe is a way of training. A protocol that compares two recipes names the arms of each, one arm for
each training seed, so that no seed can be picked after the fact.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from vla_eval.files.jsonfile import ArmName

__all__ = ["Design", "RecipePlan"]

Design = Literal["distilled", "frozen", "independent"]
"""Relation of the training seeds of two recipes:

- ``distilled``: student k was trained from teacher k; both lists are in that order.
- ``frozen``: one reference checkpoint, which is no sample; the claim holds for it alone.
- ``independent``: the seeds of the two sides have nothing in common.
"""
_ONE_SEED = (
    "analysis.recipe.{side} has one training seed, which says nothing about a recipe: train again with "
    "another seed and name both arms (three and more are better), or judge the checkpoint without "
    "analysis.recipe"
)


class RecipePlan(BaseModel):
    """The arms of two recipes, one arm for each training seed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    candidate: tuple[ArmName, ...]
    """Arms of the recipe to be certified, K ≥ 2."""
    reference: tuple[ArmName, ...]
    """Arms of the recipe that it is compared with; one arm in the design ``frozen``."""
    design: Design

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all arms, the candidate's first."""
        return self.candidate + self.reference

    @model_validator(mode="after")
    def _seeds(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("analysis.recipe names one arm twice: a copy is no training seed")
        sides = {"candidate": self.candidate}
        if self.design != "frozen":
            sides["reference"] = self.reference
        for side, arms in sides.items():
            if len(arms) < 2:
                raise ValueError(
                    _ONE_SEED.format(side=side) if arms else f"analysis.recipe.{side} is empty"
                )
        if self.design == "frozen" and len(self.reference) != 1:
            raise ValueError(
                "analysis.recipe.design = 'frozen' has exactly one reference arm "
                f"(got {len(self.reference)})"
            )
        if self.design == "distilled" and len(self.candidate) != len(self.reference):
            raise ValueError(
                "analysis.recipe.design = 'distilled' needs as many reference arms as candidate arms, "
                f"student k beside teacher k (got {len(self.candidate)} and {len(self.reference)})"
            )
        return self
