"""Names, presets, and what they refuse."""

from __future__ import annotations

import pytest

from vla_eval.errors import UsageError
from vla_eval_policies.methods import METHODS, PRESETS, KeyStone, Method, make_method


def test_every_method_says_what_it_is():
    """Each has a name, a line of summary, defaults for everything, and a default NFE that it allows."""
    for name, kind in METHODS.items():
        method = make_method(name)
        assert method.name == kind.name == name
        assert method.summary
        method.check_nfe(method.default_nfe)


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str):
    """A preset is a method of the name before its colon with the source's numbers."""
    preset, method = PRESETS[name], make_method(name)
    assert method.name == name.partition(":")[0]
    assert preset.source
    assert {key: getattr(method, key) for key in preset.options} == preset.options


def test_methods_of_one_step_take_one_by_default():
    """So does flow matching that was taught at high noise, the control that must fail; the others take more."""
    defaults = {name: make_method(name).default_nfe for name in METHODS}
    assert {name for name, nfe in defaults.items() if nfe == 1} == {
        "drift",
        "fm-high-noise",
        "meanflow",
        "mse",
        "shortcut",
        "snapflow",
    }


def test_a_split_target_needs_no_derivative():
    """Only MeanFlow's other target differentiates the network."""
    assert make_method("meanflow").differentiates
    assert not make_method("meanflow", {"target": "split"}).differentiates
    assert not make_method("fm").differentiates


def test_papers_numbers():
    """Some of the numbers, against the papers."""
    snapflow = make_method("snapflow:published")
    assert (snapflow.alpha, snapflow.weight, snapflow.substeps) == (0.5, 0.1, 2)
    meanflow = make_method("meanflow:one-step-vla")
    assert (meanflow.flow_ratio, meanflow.gamma) == (0.2, 0.5)
    drift = make_method("drift:drift-vla")
    assert (drift.samples, drift.temperatures, drift.grouping) == (
        8,
        (0.02, 0.05, 0.2),
        "action-dimension",
    )


def test_overrides():
    """A hyperparameter can be changed, also of a preset; the method itself cannot."""
    method = make_method("meanflow:one-step-vla", {"flow_ratio": 0.5})
    assert (method.flow_ratio, method.gamma) == (0.5, 0.5)
    with pytest.raises(ValueError, match="frozen"):
        method.flow_ratio = 0.1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("snapflo", {}, "did you mean 'snapflow'"),
        ("snapflow:publishd", {}, "did you mean 'snapflow:published'"),
        ("snapflow", {"alfa": 1}, "did you mean 'alpha'"),
        ("snapflow", {"alpha": 2}, "alpha: Input should be less than or equal to 1"),
        ("mse", {"alpha": 2}, "it has none"),
        ("fm", {"solver": "rk4"}, "solver"),
    ],
)
def test_refusals(name: str, options: dict, message: str):
    """A wrong name or value is refused with a sentence that says what to do."""
    with pytest.raises(UsageError, match=message):
        make_method(name, options)


def test_hyperparameters_are_documented():
    """Every field of every method has a default and a meaning, in words and not a letter."""
    for kind in METHODS.values():
        assert issubclass(kind, Method)
        assert not [name for name, field in kind.model_fields.items() if field.is_required()]
    for kind in (*METHODS.values(), KeyStone):
        for name, field in kind.model_fields.items():
            assert len((field.description or "").split()) >= 5, f"{kind.__name__}.{name}"
