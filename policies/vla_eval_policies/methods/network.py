"""The network interface of the methods: it encodes observations once and returns a field."""

from __future__ import annotations

from typing import Any

from torch import nn

from vla_eval_policies.methods.field import ExtraTime, Field

__all__ = ["VelocityNetwork"]


class VelocityNetwork(nn.Module):
    """Base of trainable networks."""

    extra_time: ExtraTime
    """Second time that the network takes."""

    def bind(self, observation: Any) -> Field:
        """Encode a batch of observations; the field can then be evaluated many times."""
        raise NotImplementedError
