"""The training loop for one network and any method; an interruption does not change a bit.

All random numbers of step i come from a generator seeded with (seed, i): the choice of
demonstrations, their noise and their times. So a run that continues from a saved state takes the same
steps as an uninterrupted run, and no generator's state has to be saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Option
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vla_eval.errors import UsageError
from vla_eval_policies.methods import Batch, Field, Loss, Method, TaughtMethod
from vla_eval_policies.methods.committed import Committed, Known, draw_known
from vla_eval_policies.methods.network import VelocityNetwork

__all__ = ["DrawBatch", "Optimisation", "Trainer", "step_generator"]


DrawBatch = Callable[[torch.Generator], tuple[Any, Batch]]
"""Draws a minibatch: observations in the form that the network's ``bind`` takes, and their chunks."""


class Optimisation(BaseModel):
    """AdamW with warm-up and cosine decay, clipped gradients, and a moving average of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Option(default=3000, ge=1)
    lr: float = Option(default=1e-3, gt=0.0)
    lr_end: float = Option(default=0.0, ge=0.0)
    warmup: int = Option(default=100, ge=0)
    weight_decay: float = Option(default=1e-6, ge=0.0)
    beta2: float = Option(default=0.95, gt=0.0, lt=1.0)
    clip: float = Option(default=1.0, gt=0.0)
    """Upper bound of the gradient's norm."""
    ema: float = Option(default=0.999, ge=0.0, lt=1.0)
    """Decay of the moving average of the weights, which is the result; 0 turns it off."""

    def lr_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr_end + (self.lr - self.lr_end) * (1 + math.cos(math.pi * progress)) / 2


class Trainer:
    """State of a training run.

    Args:
        network: trained in place. Parameters without gradient stay unchanged.
        method: gives the loss.
        draw: gives the minibatches.
        optimisation: settings of the optimizer.
        seed: seed of all random numbers in the loop.
        draws: number of uses of each chunk in a minibatch, each with new noise and times; all uses
            share the observation's encoding.
        max_delay: largest number of a chunk's first actions that are known to the network. Above 0, its
            field must take times for each token.

    Raises:
        UsageError: the network does not take the method's extra time.
    """

    def __init__(
        self,
        network: VelocityNetwork,
        method: Method,
        draw: DrawBatch,
        optimisation: Optimisation,
        *,
        seed: int,
        draws: int = 1,
        max_delay: int = 0,
    ) -> None:
        if network.extra_time is not method.extra_time:
            raise UsageError(
                f"method '{method.name}' needs a network with the extra time "
                f"'{method.extra_time}', not '{network.extra_time}'"
            )
        self.step = 0
        self._network = network
        self._method = method
        self._draw = draw
        self._how = optimisation
        self._seed = seed
        self._draws = draws
        self._max_delay = max_delay
        self._parameters = [value for value in network.parameters() if value.requires_grad]
        self._optimizer = torch.optim.AdamW(
            self._parameters,
            lr=optimisation.lr,
            betas=(0.9, optimisation.beta2),
            weight_decay=optimisation.weight_decay,
        )
        self._average = AveragedModel(network, multi_avg_fn=self._update_average)

    @property
    def averaged(self) -> VelocityNetwork:
        """The network with the moving average of the weights."""
        module = self._average.module
        assert isinstance(module, VelocityNetwork)  # noqa: S101 - a copy of the network
        return module

    @property
    def done(self) -> bool:
        """Whether all steps have been taken."""
        return self.step >= self._how.steps

    def advance(self) -> Mapping[str, float]:
        """Take one step; return ``loss``, ``lr``, ``gradient`` (its norm) and the method's own logs.

        Raises:
            UsageError: the loss is not finite.
        """
        generator = step_generator(self._seed, self.step)
        observation, batch = self._draw(generator)
        lr = self._how.lr_at(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        loss = self._loss(observation, batch, generator)
        if not torch.isfinite(loss.value):
            raise UsageError(
                f"the loss of step {self.step} is {loss.value.item()}; a smaller lr or, for "
                "meanflow, time features of lower frequency may help"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.value.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._parameters, self._how.clip)
        self._optimizer.step()
        self._average.update_parameters(self._network)
        self.step += 1
        return {"loss": float(loss.value.detach()), "lr": lr, "gradient": float(norm), **loss.logs}

    def _loss(self, observation: Any, batch: Batch, generator: torch.Generator) -> Loss:
        """Return the method's loss of a minibatch, each chunk used ``draws`` times."""
        batch = batch.repeat(self._draws) if self._draws > 1 else batch
        known: Known | None = None
        if self._max_delay > 0:
            known, batch = draw_known(batch, self._max_delay, generator)
        field = self._bind(self._network, observation, known)
        if not isinstance(self._method, TaughtMethod):
            return self._method.loss(field, batch, generator)
        with torch.no_grad():
            teacher = self._bind(self.averaged, observation, known)
        return self._method.taught_loss(field, teacher, batch, generator)

    def _bind(self, network: VelocityNetwork, observation: Any, known: Known | None) -> Field:
        """Encode the observations once for all draws."""
        field = network.bind(observation)
        # Repeating once would make a copy; its memory layout can change a product's last bits.
        field = field.repeat(self._draws) if self._draws > 1 else field
        return field if known is None else Committed(field, known)

    def state(self) -> dict[str, Any]:
        """Return the state needed to continue, for ``torch.save``."""
        return {
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self._average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = int(state["step"])
        self._network.load_state_dict(state["network"])
        self._average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _update_average(
        self,
        averaged: tuple[Tensor, ...] | list[Tensor],
        current: tuple[Tensor, ...] | list[Tensor],
        count: Tensor | int,
    ) -> None:
        # The decay is small at first, so that the average forgets the untrained weights.
        n = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(self._how.ema, (1 + n) / (10 + n)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the generator of one training step, on the CPU."""
    words = np.random.SeedSequence((seed, step)).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))
