"""Drawing records at random, and what it excludes when all that were drawn are honest.

If K of M records were forged, n of them drawn at random would all be honest with the chance
C(M - K, n) / C(M, n); where that is 5 % or less, K is excluded.

The sample is drawn by the hash of the certificate's file, so that nobody who has the certificate can
choose it. Who *makes* a certificate can make it again with a blank more until the draw is kind, so a
verifier who does not trust the maker adds a word of his own (``salt``), which nobody knew before.
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
"""An arm's name, and an episode."""


@dataclass(frozen=True)
class Sample:
    """What is to be run again."""

    chosen: tuple[Slot, ...]
    population: int
    """How many records it was drawn from."""


def choose(certificate: bytes, keys: Sequence[Slot], n: int, *, salt: str = "") -> Sample:
    """Draw n records, each set of n with the same chance; fewer records than n are taken all.

    A larger n draws the same and more. Neither the order of the keys nor the version of a package
    changes what is drawn.

    Args:
        certificate: the content of the certificate's file.
        keys: the admitted episodes of every arm that has a role.
        n: how many.
        salt: a word of the verifier's that the certificate's maker could not know.

    Raises:
        UsageError: less than one.
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

    All drawn records were run again and reproduced but for the unknown, which count as forged ones.
    The records are a finite population, so the chance is hypergeometric and the bound a little
    sharper than that for endless ones, 1 - 0.05^(1/n).

    Args:
        population: how many records the sample was drawn from.
        drawn: size of the sample.
        unknown: how many of it could not be run again.

    Returns:
        K/M with the smallest K for which at most ``unknown`` forged ones in the sample have a chance
        of 5 % or less; None where no record was run again.
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
    """Whether at most ``unknown`` of so many forged in the sample have a chance of 5 % or less."""
    ways = sum(comb(forged, i) * comb(population - forged, drawn - i) for i in range(unknown + 1))
    return 20 * ways <= comb(population, drawn)
