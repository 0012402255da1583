"""Random samples of records, and the share of forged records that an honest sample excludes.

If K of M records are forged, n records drawn at random are all honest with the probability
C(M - K, n) / C(M, n); if that is 5 % or less, K is excluded.

The sample is drawn by the hash of the certificate's file, so that no owner of the certificate can
choose it. The *maker* of a certificate can vary its whitespace until the sample is favourable, so a
verifier who does not trust the maker adds a secret word (``salt``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey

__all__ = ["Sample", "Slot", "choose", "excluded_share"]

type Slot = tuple[str, EpisodeKey]
"""Name of an arm, and key of an episode."""


@dataclass(frozen=True)
class Sample:
    """Records to be replayed."""

    chosen: tuple[Slot, ...]
    population: int
    """Number of records that the sample was drawn from."""


def choose(certificate: bytes, keys: Sequence[Slot], n: int, *, salt: str = "") -> Sample:
    """Draw n records, every set of n with the same probability; all records if there are fewer.

    A larger n draws the same records and more. The sample is independent of the order of the keys and of
    package versions.

    Args:
        certificate: the content of the certificate's file.
        keys: the admitted episodes of every arm that has a role.
        n: number of records.
        salt: a word of the verifier that the certificate's maker could not know.

    Raises:
        UsageError: n is less than one.
    """
    if n < 1:
        raise UsageError(f"--replay {n}: at least one episode is needed")
    seed = hashlib.sha256(certificate).hexdigest()

    def rank(slot: Slot) -> str:
        return hashlib.sha256(f"{seed}/{salt}/{slot[0]}/{slot[1]}".encode()).hexdigest()

    different = sorted(set(keys), key=rank)
    return Sample(tuple(different[:n]), len(different))


def excluded_share(population: int, drawn: int, unknown: int = 0) -> float | None:
    """Return the smallest share of forged records that is excluded at 95 %, exactly.

    All drawn records were replayed and reproduced, except the unknown ones, which count as forged.
    The records are a finite population, so the probability is hypergeometric and the bound a little
    sharper than that for an infinite population, 1 - 0.05^(1/n).

    Args:
        population: number of records that the sample was drawn from.
        drawn: size of the sample.
        unknown: number of drawn records that could not be replayed.

    Returns:
        K/M with the smallest K for which a sample with at most ``unknown`` forged records has a
        probability of 5 % or less; None if no record was replayed.
    """
    if drawn <= unknown:
        return None
    low, high = 0, population  # a K that is not excluded, and one that is
    while high - low > 1:
        middle = (low + high) // 2
        if _is_excluded(middle, population, drawn, unknown):
            high = middle
        else:
            low = middle
    return high / population


def _is_excluded(forged: int, population: int, drawn: int, unknown: int) -> bool:
    """Return whether a sample has at most ``unknown`` forged records with 5 % probability or less."""
    ways = sum(comb(forged, i) * comb(population - forged, drawn - i) for i in range(unknown + 1))
    return 20 * ways <= comb(population, drawn)
