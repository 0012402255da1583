"""The catalogue's development states: which they are, and which of a protocol's episodes begin there."""

from __future__ import annotations

import dataclasses
import importlib

import pytest

from vla_eval.catalog import development_keys, suites
from vla_eval.plan import expand
from vla_eval.released import load_protocol

catalog = importlib.import_module("vla_eval.catalog")


def test_states_set_apart():
    """Half of ours, in every task; LIBERO publishes no such half."""
    apart = {suite.name: {task.development_states for task in suite.tasks} for suite in suites()}
    assert apart["so101"] == apart["lekiwi"] == {100}
    assert all(found == {0} for name, found in apart.items() if name.startswith("libero_"))
    for suite in suites():
        assert all(0 <= each.development_states < each.init_states for each in suite.tasks)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("so101-pick-place", 0),
        ("so101-certify-sequential", 0),
        ("lekiwi-certify", 0),
        ("libero-certify", 0),
        ("so101-quickstart", 30),
        ("so101-one-step-look", 0),
        ("meanflow-so101-sensitivity", 100),
    ],
)
def test_shipped_protocols(name, count):
    """Certifying ones begin in no development state; a first look and a study of configurations do."""
    protocol = load_protocol(name)
    keys = development_keys(protocol)
    assert len(keys) == count
    assert all(key.init_state < 100 for key in keys)
    assert set(keys) <= {each.key for each in expand(protocol)}


def test_the_edge_and_the_order():
    """The state before the first of the others counts, that one does not; the plan's order is kept."""
    changes = ["blocks.0.init_states=[100, 99, 3]"]
    protocol = load_protocol("so101-quickstart", overrides=changes)
    assert [key.init_state for key in development_keys(protocol)] == [99, 3]


def test_unknown_suites_and_tasks_set_nothing_apart(protocol_file, monkeypatch):
    """Neither is refused here: a run of an environment that is not installed stays readable."""
    protocol = load_protocol(str(protocol_file()))
    assert development_keys(protocol) == []
    (suite,) = (each for each in suites() if each.name == "so101")
    task = dataclasses.replace(suite.tasks[0], name="Elsewhere")
    found = dataclasses.replace(suite, name="fake", tasks=(task,))
    monkeypatch.setattr(catalog, "suites", lambda: (found,))
    assert development_keys(protocol) == []
    named = dataclasses.replace(found, tasks=(dataclasses.replace(task, name="Point"),))
    monkeypatch.setattr(catalog, "suites", lambda: (named,))
    assert len(development_keys(protocol)) == 8
