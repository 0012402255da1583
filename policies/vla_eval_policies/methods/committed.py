"""Chunks whose first actions are known: training-time real-time chunking.

arXiv 2512.05964. While a policy thinks, the robot executes d actions of the chunk before, so the first d
actions of the new chunk are decided already. In training, the network is given them: d is drawn from
0 … D, uniformly; the first d tokens hold the demonstrated actions at time 0 (clean, in our convention),
and only the other tokens have a loss. At inference the queued actions take their place.

This is a field around a field. Each evaluation puts the known actions in again, so any method can be
trained and sampled through it, those with one step included: a student distils what its teacher does
with the same known actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vla_eval_policies.methods.field import Batch, ExtraTime, Field

__all__ = ["Committed", "Known", "draw_known", "first"]


@dataclass(frozen=True)
class Known:
    """The known actions of a batch of chunks."""

    actions: Tensor
    """(B, H, D), normalised; only the known ones matter."""
    where: Tensor
    """bool (B, H, 1)."""

    def put_into(self, chunks: Tensor) -> Tensor:
        """Return chunks (B, H, D) with the known actions in their places."""
        return torch.where(self.where, self.actions, chunks)

    def repeat(self, copies: int) -> Known:
        """Return the known actions with each chunk's ``copies`` times in a row."""
        return Known(
            self.actions.repeat_interleave(copies, 0), self.where.repeat_interleave(copies, 0)
        )


@dataclass(frozen=True)
class Committed:
    """A field for chunks whose first actions are known."""

    field: Field
    """Must take times for each token, (B, H)."""
    known: Known

    @property
    def extra_time(self) -> ExtraTime:
        """The inner field's."""
        return self.field.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return f, (B, H, D), with the known actions in their places of x; there, f means nothing."""
        where, clean = self.known.where[..., 0], torch.zeros_like(t)
        times = torch.where(where, clean[:, None], t[:, None])
        local = self.extra_time.local(clean)
        if extra is not None and local is not None:
            extra = torch.where(where, local[:, None], extra[:, None])
        return self.field(self.known.put_into(x), times, extra)

    def repeat(self, copies: int) -> Committed:
        """Repeat every chunk with its known actions."""
        return Committed(self.field.repeat(copies), self.known.repeat(copies))


def first(actions: Tensor, counts: Sequence[int]) -> Known:
    """Return the first ``counts`` (B,) actions of chunks (B, H, D) as the known ones."""
    places = torch.arange(actions.shape[1], device=actions.device)
    number = torch.tensor(counts, device=actions.device)
    return Known(actions, (places < number[:, None])[..., None])


def draw_known(batch: Batch, max_delay: int, generator: torch.Generator) -> tuple[Known, Batch]:
    """Draw the known actions of demonstrated chunks.

    Args:
        batch: the chunks.
        max_delay: largest number of known actions; every number from 0 on has the same chance.
        generator: source of the random numbers.

    Returns:
        The known actions, and the batch in which they are masked from the loss.
    """
    size = (batch.actions.shape[0],)
    drawn = torch.randint(max_delay + 1, size, generator=generator, device=generator.device)
    known = first(batch.actions, drawn.tolist())
    return known, Batch(batch.actions, batch.real & ~known.where)
