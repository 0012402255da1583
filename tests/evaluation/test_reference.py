"""Runs that cannot be the reference of an evaluation."""

from __future__ import annotations

import pytest

import vla_eval
from fakes.by_hand import Run, small_protocol, write_results
from vla_eval.errors import UsageError
from vla_eval.evaluation.reference import Reference
from vla_eval.evaluation.states import development_protocol


@pytest.mark.long
def test_a_reference_under_other_conditions_is_refused(tmp_path, protocol_file):
    """Too few episodes, another time limit, another arm: each has its sentence."""
    protocol = vla_eval.load_protocol(str(protocol_file(count=12)))
    run = tmp_path / "reference"
    vla_eval.evaluate(
        "fakes.policies:InWorker", protocol, out=run, states="any", episodes=3, workers=1
    )

    def read(protocol, arm=None, episodes=3):
        quick = development_protocol(protocol, episodes=episodes, states="any", margin=None)
        return Reference.read(run, arm, quick)

    assert read(protocol).episodes.n == 3
    with pytest.raises(UsageError, match="at least as many episodes"):
        read(protocol, episodes=12)
    with pytest.raises(UsageError, match="has no arm 'teacher'"):
        read(protocol, "teacher")
    longer = vla_eval.load_protocol(str(protocol_file(count=12, max_steps=50, name="other.toml")))
    with pytest.raises(UsageError, match="another environment"):
        read(longer)


def test_lost_pairs_are_those_that_only_the_reference_won(tmp_path):
    """Of whole rounds alone: the last task of the third state was not tried yet."""
    protocol = small_protocol(2, 3)
    frozen, ours = Run(protocol), Run(protocol)
    write_results(frozen, "teacher", "110110")
    reference = Reference.read(frozen.write(tmp_path / "run", "teacher").path, None, protocol)
    write_results(ours, "policy", "10110")
    compared = reference.compare(protocol, ours.records, "policy")
    first = [str(key) for key in frozen.keys]
    assert compared.lost == (first[1],)
    table = compared.table
    assert (table.n11, table.n10, table.n01, table.n00) == (2, 1, 1, 0)
