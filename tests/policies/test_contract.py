"""Every policy kind of ours keeps the contract that ``check_policy`` checks."""

from __future__ import annotations

import pytest

import vla_eval
from vla_eval.spec import build_policy

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def so101():
    env = vla_eval.make_env("vla_eval_envs:so101/PickPlace-v0", {})
    yield env
    env.close()


@pytest.mark.parametrize(
    "spec",
    [
        "flow:so101/fm?nfe=2",
        "flow:so101/snapflow",
        "flow:so101/meanflow",
        "flow:so101/drift?keystone=2",
        "flow:so101/shortcut",
        "flow:so101/ddim?nfe=2",
        "flow:so101/mse",
        "impaired:flow:so101/snapflow?action_noise=0.1&stale=0.3",
        "expert",
        "hold",
    ],
)
def test_policies_of_so101(so101, spec):
    """Trained, scripted and impaired policies act by key alone, in any order and batch."""
    if "flow:" in spec:
        pytest.importorskip("torch")
    vla_eval.check_policy(build_policy(spec), so101)
