"""Runs that cannot be the reference of an evaluation."""

from __future__ import annotations

import pytest

import vla_eval
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
