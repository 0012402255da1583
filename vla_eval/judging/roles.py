"""Roles of the arms of a run: candidate, reference, control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vla_eval.errors import UsageError, did_you_mean
from vla_eval.protocol import Protocol

__all__ = ["AnyRoles", "RecipeRoles", "Roles", "roles_of_recipe", "sequential_roles"]


@dataclass(frozen=True)
class Roles:
    """Names of the arms by their roles."""

    candidate: str
    reference: str
    control: str | None = None
    others: tuple[str, ...] = ()
    """Further candidates that are judged together with this one."""
    as_fast: str | None = None
    """The reference's policy at the candidate's latency, in virtual time."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all arms with a role."""
        return (*self.shown, *self.others)

    @property
    def _alone(self) -> tuple[str | None, ...]:
        return self.candidate, self.reference, self.control, self.as_fast

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the arms that a certificate describes."""
        return tuple(name for name in self._alone if name)


@dataclass(frozen=True)
class RecipeRoles:
    """Names of the arms of two recipes, one arm for each training seed, and of the control."""

    candidate: tuple[str, ...]
    reference: tuple[str, ...]
    control: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all arms with a role."""
        return self.candidate + self.reference + ((self.control,) if self.control else ())


AnyRoles = Roles | RecipeRoles


def roles_of_recipe(protocol: Protocol, arms: Sequence[str]) -> RecipeRoles:
    """Return the roles that a protocol about recipes fixes.

    Raises:
        UsageError: the protocol is not about recipes, or an arm that it names is not among these.
    """
    analysis, recipe = protocol.analysis, protocol.analysis.recipe
    if recipe is None:
        raise UsageError(f"{protocol.label} compares two arms: it has no table analysis.recipe")
    control = analysis.negative_control
    for name in (*recipe.names, *((control,) if control else ())):
        if name not in arms:
            raise UsageError(
                f"{protocol.label} names arm '{name}', and there is none{did_you_mean(name, arms)}"
            )
    return RecipeRoles(recipe.candidate, recipe.reference, control)


def sequential_roles(protocol: Protocol, arms: Sequence[str]) -> tuple[str, str]:
    """Return (candidate, reference): as the protocol names them, else in the order of the arms.

    Raises:
        UsageError: there are fewer than two arms, or the protocol names an arm that is not among them.
    """
    if len(arms) < 2:
        raise UsageError(
            f"{protocol.label} stops by comparing two arms; give the candidate first and then the "
            "reference: --arm NAME=SPEC --arm NAME=SPEC"
        )
    analysis = protocol.analysis
    for role, name in (("candidate", analysis.candidate), ("reference", analysis.reference)):
        if name is not None and name not in arms:
            raise UsageError(
                f"{protocol.label} names arm '{name}' as its {role}, and there is none"
                f"{did_you_mean(name, arms)}"
            )
    free = [arm for arm in arms if arm not in (analysis.candidate, analysis.reference)]
    candidate = analysis.candidate or free.pop(0)
    return candidate, analysis.reference or free.pop(0)
