"""Which states an evaluation during training may use."""

from __future__ import annotations

import pytest

from vla_eval.errors import UsageError
from vla_eval.evaluation.states import development_protocol
from vla_eval.plan import expand, tasks_of
from vla_eval.released import load_protocol


def states(protocol):
    return [episode.key.init_state for episode in expand(protocol)]


def test_a_certification_protocol_is_evaluated_on_development_states():
    """so101-pick-place certifies on states 100 to 199; the evaluation takes of 0 to 99 only."""
    quick = development_protocol(load_protocol("so101-pick-place@2"), episodes=40, margin=None)
    assert len(set(states(quick))) == 40
    assert max(states(quick)) < 100
    assert quick.label == "so101-pick-place-development@2"
    assert quick.analysis.margin == 0.1


def test_more_episodes_add_states_at_the_end():
    """So a reference with many episodes serves a shorter evaluation too."""
    protocol = load_protocol("so101-quickstart")
    short = development_protocol(protocol, episodes=10, margin=0.3)
    long = development_protocol(protocol, episodes=1000, margin=None)
    assert states(long)[:10] == states(short)
    assert sorted(states(long)) == list(range(30)), "the protocol's own states, which are reserved"
    assert short.analysis.margin == 0.3


def test_every_task_gets_the_same_number_of_states():
    """Whole rounds over the tasks, each state once; looks of a sequential protocol fall away."""
    protocol = load_protocol("libero-certify-sequential")
    quick = development_protocol(protocol, episodes=85, states="any", margin=None)
    tasks = tasks_of(protocol)
    plan = expand(quick)
    assert len(plan) == 85 // tasks * tasks
    assert len({(each.key.suite, each.key.task) for each in plan[:tasks]}) == tasks
    assert quick.analysis.stopping == "fixed"


def test_a_suite_without_development_states_is_refused():
    """LIBERO reserves none; the sentence names the flag."""
    with pytest.raises(UsageError, match="states='any'"):
        development_protocol(load_protocol("libero-spatial"), episodes=10, margin=None)
