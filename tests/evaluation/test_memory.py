"""Policies in memory: what may be passed, and who they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes.policies import Options, Walker
from vla_eval.errors import PolicySpecError
from vla_eval.evaluation.memory import memory_policy, memory_spec
from vla_eval.policy import PolicyMetadata
from vla_eval.spec import build_policy

METADATA = PolicyMetadata(name="p", method="m", chunk_size=4, n_action_steps=4, nfe=3)


def test_a_callable_s_arrays_become_chunks():
    """Actions (T, A) of any real type are float32 chunks with the metadata's nfe."""
    policy = memory_policy(
        lambda seen, _: [np.ones((4, 2))] * len(seen), module=None, metadata=METADATA
    )
    (chunk,) = policy.infer([{}], [None])
    assert chunk.actions.dtype == np.float32
    assert (chunk.actions.shape, chunk.nfe) == ((4, 2), 3)


def test_the_identity_holds_weights_and_source():
    """One changed weight is another policy; so is other code."""
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(2, 2, dtype=torch.bfloat16)

    def identity():
        return memory_policy(Walker(Options()), module=module, metadata=None).metadata

    first = identity()
    assert first == identity()
    assert first.options["source_sha256"]
    with torch.no_grad():
        module.weight[0, 0] += 1
    assert identity().weights_sha256 != first.weights_sha256


@pytest.mark.parametrize(
    ("policy", "metadata", "sentence"),
    [
        (lambda *_: [], None, "metadata=PolicyMetadata"),
        (3, METADATA, "int is no policy"),
        (lambda *_: [], replace(METADATA, privileged=True), "pass its spec"),
    ],
)
def test_what_is_no_policy_is_refused_in_a_sentence(policy, metadata, sentence):
    """The sentence says what to pass."""
    with pytest.raises(PolicySpecError, match=sentence):
        memory_policy(policy, module=None, metadata=metadata)


def test_its_spec_cannot_be_built_again():
    """A replay of its episodes says why."""
    with pytest.raises(PolicySpecError, match="run the checkpoint of that step"):
        build_policy(memory_spec(20))
