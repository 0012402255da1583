"""The training examples run, each with its own library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Torch and trainers are imported by this process and by workers, on cores that are shared.
pytestmark = pytest.mark.timeout(900)
EXAMPLES = Path(__file__).parents[2] / "examples" / "training"


@pytest.fixture
def example(monkeypatch):
    """Return a function that imports an example as a script would be."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.delitem(sys.modules, "toy", raising=False)

    def load(name):
        monkeypatch.delitem(sys.modules, name, raising=False)
        return __import__(name)

    return load


def options(tmp_path, protocol_file):
    return {
        "protocol": str(protocol_file(count=2, max_steps=12)),
        "out": tmp_path / "curve",
        "sizes": (1, 2),
        "states": "any",
        "workers": 1,
    }


@pytest.mark.long
def test_a_plain_loop_is_evaluated_every_few_steps(example, tmp_path, protocol_file):
    """One run folder for each evaluated step."""
    pytest.importorskip("torch")
    results = example("plain_loop").train(**options(tmp_path, protocol_file), steps=4, every=2)
    assert [(each.step, each.n) for each in results] == [(2, 2), (4, 2)]


@pytest.mark.slow
def test_accelerate_evaluates_its_unwrapped_module(example, tmp_path, protocol_file):
    """One process is the whole job here."""
    pytest.importorskip("accelerate")
    result = example("with_accelerate").train(**options(tmp_path, protocol_file), steps=2)
    assert (result.step, result.n) == (2, 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_lightning_evaluates_at_the_end_of_an_epoch(example, tmp_path, protocol_file):
    """The callback's rates go through Lightning's own logging."""
    pytest.importorskip("lightning")
    (result,) = example("with_lightning").train(**options(tmp_path, protocol_file))
    assert (result.step, result.n) == (4, 2)
