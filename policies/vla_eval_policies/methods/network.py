"""What every network is to the methods: observations in, once; then a field."""

from __future__ import annotations

from typing import Any

from torch import nn

from vla_eval_policies.methods.field import ExtraTime, Field

__all__ = ["VelocityNetwork"]


class VelocityNetwork(nn.Module):
    """Base of trainable networks."""

    extra_time: ExtraTime
    """The second time that it takes."""

    def bind(self, observation: Any) -> Field:
        """Encode a batch of observations; the field can then be asked any number of times."""
        raise NotImplementedError
