"""Checks that the arms of a recipe are training seeds: other weights, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vla_eval.certificate.evidence import RecipeEvidence
from vla_eval.errors import RunFolderError
from vla_eval.files.differences import name_differences

__all__ = ["refuse_copies", "unlike_data"]

_OWN = ("spec", "weights_sha256", "trained_on")
"""Facts in which two training seeds of one recipe may differ."""


def refuse_copies(evidence: RecipeEvidence) -> None:
    """Refuse arms that are no different training seeds of one recipe.

    Raises:
        RunFolderError: the weights of an arm have no hash, two arms of a recipe have the same weights,
            or they differ in method, options, code or another fact.
    """
    for side in (evidence.roles.candidate, evidence.roles.reference):
        identities = {name: evidence.arm(name).identity or {} for name in side}
        if len(side) > 1:
            _refuse_same_weights(identities)
        _refuse_other_facts(side, identities)


def _refuse_same_weights(identities: Mapping[str, Mapping[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for name, identity in identities.items():
        weights = identity.get("weights_sha256")
        if not weights:
            raise RunFolderError(
                f"arm '{name}' has no hash of its weights (weights_sha256), so nothing shows that it is "
                "another training seed; give its policy's metadata the hash and run again"
            )
        twin = seen.setdefault(str(weights), name)
        if twin != name:
            raise RunFolderError(
                f"arms '{twin}' and '{name}' have the same weights ({str(weights)[:12]}): a copy is no "
                "training seed; train again with another seed and run that checkpoint"
            )


def _refuse_other_facts(side: Sequence[str], identities: Mapping[str, Mapping[str, Any]]) -> None:
    first = _shared(identities[side[0]])
    for name in side[1:]:
        other = _shared(identities[name])
        if other != first:
            raise RunFolderError(
                f"arms '{side[0]}' and '{name}' are of one recipe and differ in more than their weights "
                f"({name_differences(first, other)}); run both with the same options and code"
            )


def _shared(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in identity.items() if name not in _OWN}


def unlike_data(evidence: RecipeEvidence) -> str | None:
    """Return the arms whose demonstrations differ from those of their recipe's first seed, if any."""
    unlike = []
    for side in (evidence.roles.candidate, evidence.roles.reference):
        data = [(evidence.arm(name).identity or {}).get("trained_on") for name in side]
        unlike += [name for name, own in zip(side, data, strict=True) if own != data[0]]
    return ", ".join(unlike) or None
