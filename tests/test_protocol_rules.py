"""Each rule of a protocol alone: what is still allowed, and the first thing that is not."""

from __future__ import annotations

from typing import Any

import pytest

from vla_eval.errors import ProtocolError
from vla_eval.plan import expand
from vla_eval.protocol import Protocol, parse_protocol

LOOKED = {
    "analysis.stopping": "obrien-fleming-5",
    "run.order": "round-robin",
    "run.limits.error_cap": 0.0,
}
RESIZED = {
    "analysis.resize": {"after": 4, "planned": 8, "at_most": 12},
    "run.order": "round-robin",
    "run.limits.error_cap": 0.0,
}
RECIPE = {
    "analysis.recipe": {"candidate": ["a", "b"], "reference": ["c", "d"], "design": "independent"}
}


def made(*layers: dict[str, Any]) -> Protocol:
    """A protocol of two tasks with six states each, changed by ``key.path`` entries."""
    data: dict[str, Any] = {
        "schema_version": 1,
        "protocol": "fake",
        "version": 1,
        "title": "t",
        "source": "s",
        "blocks": [
            {
                "suite": "fake",
                "env_id": "m:{task}-v0",
                "tasks": [name],
                "init_states": {"count": 6},
                "max_steps": 20,
            }
            for name in ("A", "B")
        ],
        "run": {"limits": {}},
        "analysis": {"estimand": "e", "margin": 0.1, "margin_reason": "m"},
    }
    for layer in layers:
        for path, value in layer.items():
            node: Any = data
            *parts, last = path.split(".")
            for part in parts:
                node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
            node[int(last) if isinstance(node, list) else last] = value
    return parse_protocol(data, "here")


TWO_SEEDS = {"run.policy_seeds": [0, 1]}
CLUSTERED = {"analysis.cluster": "initial-state"}


@pytest.mark.parametrize(
    "layers",
    [
        (LOOKED,),
        (LOOKED, {"blocks.0.init_states": {"count": 5}, "blocks.1.init_states": {"count": 5}}),
        (LOOKED, {"blocks.0.init_states": {"count": 10_000}, "blocks.1.init_states": {"count": 10_000}}),
        (RESIZED,),
        (RESIZED, {"analysis.resize": {"after": 8, "planned": 8, "at_most": 12}}),
        (RESIZED, {"analysis.resize": {"after": 4, "planned": 8, "at_most": 2000},
                   "blocks.0.init_states": {"count": 1000}, "blocks.1.init_states": {"count": 1000}}),
        (RECIPE,),
        (RECIPE, {"analysis.secondary": ["success rate by task", "mean score"]}),
        (RECIPE, {"blocks.0.init_states": {"count": 2}}),
        (CLUSTERED, TWO_SEEDS, {"analysis.cluster_test": "bets"}),
        (CLUSTERED,),
        ({"analysis.weights": {"fake/A": 1.0, "fake/B": 3.0}, "analysis.strata": "task"},),
        ({"analysis.task_margin": 0.3},),
        ({"analysis.candidates": ["a", "b"], "analysis.reference": "c"},),
        ({"analysis.candidate": "a", "analysis.reference": "b", "analysis.negative_control": "c"},),
        ({"analysis.measure": "score", "analysis.secondary": ["mean score"]},),
        ({"analysis.within_steps": [5]},),
        ({"analysis.within_steps": [5, 6]},),
        ({"blocks.0.env_id": "m:one-v0"},),
        ({"run.env_seeds": [2**32 - 1], "run.policy_seeds": [0]},),
    ],
)  # fmt: skip
def test_what_just_fits_is_a_protocol(layers):
    """It reads back as itself, and its episodes are those that it counts."""
    protocol = made(*layers)
    assert Protocol.model_validate_json(protocol.canonical_json()) == protocol
    assert len(expand(protocol)) == protocol.episodes


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ((TWO_SEEDS,), "repeats every initial state 2 times"),
        (({"run.env_seeds": [0, 1]},), "repeats every initial state 2 times"),
        (({"run.env_seeds": [0, 1], **TWO_SEEDS},), "repeats every initial state 4 times"),
        (({"run.env_seeds": []},), "run.env_seeds must hold different seeds"),
        (({"run.policy_seeds": [3, 3]},), "run.policy_seeds must hold different seeds"),
        (({"analysis.cluster_test": "bets"},), "cluster_test needs analysis.cluster"),
        (({"blocks.1.tasks": ["A"]},), "task 'A' of suite 'fake' is in two blocks"),
        (({"blocks.0.tasks": ["A", "C"], "blocks.0.env_id": "m:one-v0"},), "the same for all 2 tasks"),
        (({"analysis.candidate": "a", "analysis.reference": "a"},), "one arm in two roles"),
        (({"analysis.reference": "a", "analysis.negative_control": "a"},), "one arm in two roles"),
        (({"analysis.candidates": ["a", "b"], "analysis.reference": "b"},), "one arm in two roles"),
        (({"analysis.candidates": ["a"]},), "names two or more arms"),
        (({"analysis.candidates": ["a", "b"], "analysis.candidate": "c"},), "names two or more arms"),
        (({"analysis.candidates": ["a", "b"]}, LOOKED), "looks compare one candidate"),
        (({"analysis.weights": {"fake/A": 1.0, "fake/B": 1.0}},), "weights needs analysis.strata = 'task'"),
        (({"analysis.weights": {"fake/A": 1.0, "fake/B": 1.0}, "analysis.strata": "task"}, LOOKED),
         "weights needs analysis.strata"),
        (({"analysis.weights": {"fake/A": 1.0}, "analysis.strata": "task"},), "'fake/B' is on one side"),
        (({"analysis.weights": {"fake/A": 1.0, "fake/B": 1.0, "fake/C": 1.0}, "analysis.strata": "task"},),
         "'fake/C' is on one side"),
        (({"analysis.task_margin": 0.3, "blocks.1.suite": "fake", "blocks": [{
            "suite": "fake", "env_id": "m:{task}-v0", "tasks": ["A"], "init_states": {"count": 6},
            "max_steps": 20}]},), "needs two or more tasks"),
        ((LOOKED, {"run.order": "by-task"}), "run.order must be 'round-robin'"),
        ((LOOKED, {"blocks.0.init_states": {"count": 7}}), "the same number of initial states"),
        ((LOOKED, {"blocks.0.init_states": {"count": 4}, "blocks.1.init_states": {"count": 4}}),
         "need five initial states"),
        ((LOOKED, {"blocks.0.init_states": {"count": 10_001}, "blocks.1.init_states": {"count": 10_001}}),
         "at most 20,000 episodes"),
        ((LOOKED, CLUSTERED), "must run once"),
        ((LOOKED, CLUSTERED, TWO_SEEDS), "must run once"),
        ((LOOKED, {"run.limits.error_cap": 0.01}), "error_cap must be 0"),
        ((RESIZED, {"run.order": "by-task"}), "analysis.resize: run.order must be 'round-robin'"),
        ((RESIZED, LOOKED), "stop it early already"),
        ((RESIZED, {"analysis.candidates": ["a", "b"]}), "the rule is for one candidate"),
        ((RESIZED, {"analysis.weights": {"fake/A": 1.0, "fake/B": 1.0}, "analysis.strata": "task"}),
         "pairs weigh the same"),
        ((RESIZED, {"analysis.resize": {"after": 10, "planned": 8, "at_most": 12}}), "must rise"),
        ((RESIZED, {"analysis.resize": {"after": 4, "planned": 12, "at_most": 12}}), "must rise"),
        ((RESIZED, {"analysis.resize": {"after": 5, "planned": 8, "at_most": 12}}), "multiples of 2"),
        ((RESIZED, {"analysis.resize": {"after": 4, "planned": 7, "at_most": 12}}), "multiples of 2"),
        ((RESIZED, {"analysis.resize": {"after": 4, "planned": 8, "at_most": 14}}), "list 12 episodes"),
        ((RESIZED, {"analysis.resize": {"after": 4, "planned": 8, "at_most": 10}}), "list 12 episodes"),
        ((RESIZED, {"analysis.resize": {"after": 4, "planned": 8, "at_most": 2002},
                    "blocks.0.init_states": {"count": 1001}, "blocks.1.init_states": {"count": 1001}}),
         "at most 2,000 episodes"),
        ((RECIPE, {"analysis.candidate": "a"}), "which analysis.recipe replaces"),
        ((RECIPE, {"analysis.reference": "a"}), "which analysis.recipe replaces"),
        ((RECIPE, {"analysis.candidates": ["a", "b"]}), "which analysis.recipe replaces"),
        ((RECIPE, {"analysis.task_margin": 0.2}), "over all tasks alike"),
        ((RECIPE, {"analysis.weights": {"fake/A": 1.0, "fake/B": 1.0}, "analysis.strata": "task"}),
         "over all tasks alike"),
        ((RECIPE, RESIZED), "on a fixed plan"),
        ((RECIPE, {"analysis.secondary": ["latency"]}), "analysis.secondary may be"),
        ((RECIPE, {"analysis.secondary": ["mean score", "latency"]}), "analysis.secondary may be"),
        ((RECIPE, {"analysis.negative_control": "d"}), "is an arm of a recipe as well"),
        ((RECIPE, LOOKED), "are for two arms"),
        ((RECIPE, {"blocks.1.init_states": {"count": 1}}), "needs two initial states"),
        (({"analysis.within_steps": []},), "rising numbers of control steps"),
        (({"analysis.within_steps": [5, 5]},), "rising numbers of control steps"),
        (({"analysis.within_steps": [6, 5]},), "rising numbers of control steps"),
        (({"analysis.measure": "score", "analysis.secondary": ["mean score", "tasks like these"]},),
         "is computed for successes only"),
        (({"analysis.measure": "score", "analysis.task_margin": 0.2},), "task_margin is computed for"),
        (({"run.env_seeds": [2**32]},), "less than or equal to 4294967295"),
        (({"run.env_seeds": [-1]},), "greater than or equal to 0"),
    ],
)  # fmt: skip
def test_one_step_further_is_refused(layers, sentence):
    """Each mistake alone, with the sentence that names it."""
    with pytest.raises(ProtocolError) as raised:
        made(*layers)
    assert sentence in str(raised.value)


BREAK_EVEN = {"candidate": "a", "reference": "b", "candidate_ticks": 0, "reference_ticks": [0, 3]}


@pytest.mark.parametrize(
    ("change", "layer", "sentence"),
    [
        ({}, {}, None),
        ({"reference_ticks": [3, 10_000]}, {}, None),
        ({"reference_ticks": [3, 10_001]}, {}, "less than or equal to 10000"),
        ({"reference_ticks": [3]}, {}, "at least 2 items"),
        ({"reference_ticks": [3, 3]}, {}, "reference_ticks must rise"),
        ({"reference_ticks": [3, 2]}, {}, "reference_ticks must rise"),
        ({"candidate_ticks": -1}, {}, "greater than or equal to 0"),
        ({"reference": "a"}, {}, "are two arms"),
        ({}, LOOKED, "compares runs of one size"),
        ({}, RESIZED, "compares runs of one size"),
    ],
)
def test_a_break_even_is_between_two_arms_at_rising_delays(change, layer, sentence):
    """From no delay to 10,000 ticks, in runs of one size."""
    layers = ({"analysis.break_even": BREAK_EVEN | change}, layer)
    if sentence is None:
        assert made(*layers).analysis.break_even.candidate == "a"
        return
    with pytest.raises(ProtocolError) as raised:
        made(*layers)
    assert sentence in str(raised.value)


def test_a_label_and_its_changes():
    """The changes of the command line are part of the name, and long ones are cut."""
    plain = made()
    assert (plain.label, plain.changes) == ("fake@1", "")
    changed = plain.model_copy(update={"overrides": {"a": "1", "b": "x" * 500}})
    assert changed.label == "fake@1+modified"
    assert changed.changes.startswith("a=1, b=xxx")
    assert 100 < len(changed.changes) < 160
    assert hash(plain) == hash(made(TWO_SEEDS, CLUSTERED)), (
        "a key of caches: equal where cheap facts are"
    )


@pytest.mark.parametrize("number", [-(2**63), -2, 2**63 - 1])
def test_a_whole_number_for_an_environment_stays_one(number):
    """Of every size that TOML has, and of either sign: an environment may ask for an int."""
    kept = made({"blocks.0.env_kwargs": {"offset": number}}).blocks[0].env_kwargs["offset"]
    assert (kept, type(kept)) == (number, int)


def test_what_no_json_holds_has_no_hash():
    """The identity of a protocol is that of its canonical JSON, which has no NaN."""
    protocol = made({})
    unsound = protocol.analysis.model_copy(update={"margin": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = protocol.model_copy(update={"analysis": unsound}).sha256
