"""The reference policy stays small."""

from __future__ import annotations

from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
from vla_eval_policies.methods import ExtraTime


def test_reference_policy_is_small():
    """With SO-101's two cameras, below a million parameters, so that a checkpoint is below 4 MB."""
    config = FlowConfig(
        cameras=("top", "wrist"), state_size=6, action_size=6, extra_time=ExtraTime.INTERVAL
    )
    count = sum(each.numel() for each in FlowNetwork(config).state_dict().values())
    assert 400_000 < count < 950_000
