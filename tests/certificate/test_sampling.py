"""Drawing records: each as likely as the others, and what an honest sample excludes."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations

import pytest

from vla_eval.certificate.sampling import choose, excluded_share
from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey

# --- what is drawn -------------------------------------------------------------------------------

KEYS = [(arm, EpisodeKey("s", "t", i, 0, 0)) for arm in ("a", "b", "c") for i in range(20)]


def test_the_certificate_draws():
    """The same file draws the same, in whatever order the keys come; another file draws others."""
    drawn = choose(b"certificate", KEYS, 10)
    assert drawn == choose(b"certificate", KEYS[::-1] + KEYS, 10)
    assert len(set(drawn.chosen)) == 10
    assert drawn.population == 60
    assert set(drawn.chosen) < set(KEYS)
    assert drawn.chosen != choose(b"certificate ", KEYS, 10).chosen
    assert drawn.chosen != choose(b"certificate", KEYS, 10, salt="mine").chosen
    assert choose(b"certificate", KEYS, 25).chosen[:10] == drawn.chosen
    assert choose(b"certificate", KEYS, 10) == choose(b"certificate", KEYS, 10, salt="")


def test_a_larger_sample_than_there_is():
    """All are drawn then, and less than one is refused."""
    assert set(choose(b"", KEYS, 1000).chosen) == set(KEYS)
    for n in (0, -3):
        with pytest.raises(UsageError, match="at least one"):
            choose(b"", KEYS, n)


def test_every_pair_of_records_is_drawn_as_often():
    """A simple random sample: singles and pairs, of one arm and of two, come as often as they should."""
    keys, singles, pairs = KEYS[15:25], Counter(), Counter()
    times = 4000
    for i in range(times):
        chosen = choose(str(i).encode(), keys, 3).chosen
        singles.update(chosen)
        pairs.update(frozenset(pair) for pair in combinations(chosen, 2))
    for counts, chance, kinds in ((singles, 3 / 10, 10), (pairs, 3 / 45, 45)):
        assert len(counts) == kinds
        spread = math.sqrt(times * chance * (1 - chance))
        worst = max(abs(count - times * chance) for count in counts.values())
        assert worst < 4 * spread


# --- what it excludes ----------------------------------------------------------------------------


def enumerated(population: int, drawn: int, unknown: int) -> float:
    """The smallest excluded share, by looking at every sample."""
    samples = list(combinations(range(population), drawn))
    for forged in range(population + 1):
        unseen = sum(sum(i < forged for i in sample) <= unknown for sample in samples)
        if unseen / len(samples) <= 0.05:
            return forged / population
    raise AssertionError


def test_the_bound_is_exact():
    """It is what counting all samples gives, records that could not be run taken as forged."""
    for population in (1, 2, 5, 9, 12):
        for drawn in range(1, population + 1):
            for unknown in range(drawn):
                share = excluded_share(population, drawn, unknown)
                assert share == enumerated(population, drawn, unknown)


def test_the_bound_at_its_ends():
    """All of them leave none, none of them leaves all; of endless records 59 exclude 5 %."""
    assert excluded_share(300, 300) == 1 / 300
    assert excluded_share(20, 1) == 19 / 20  # its chance is 5 %, no less
    assert excluded_share(300, 0) is None
    assert excluded_share(300, 20, 20) is None
    assert excluded_share(10**7, 59) == pytest.approx(1 - 0.05 ** (1 / 59), rel=1e-4)
    assert excluded_share(300, 59) < 1 - 0.05 ** (1 / 59)
