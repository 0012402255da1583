"""Drifting: a one-step generator, attracted to its demonstration and repelled by its siblings.

Deng et al., arXiv 2602.04770; as a policy arXiv 2604.03540 (DBP) and Drift-VLA (Zuo 2026). The
network makes G chunks g for each observation from one prefix. A *grouping* cuts a chunk into
matching problems of S coordinates each; in one problem, with targets Y = (siblings, demonstration)
and everything but the last line without gradient::

    d_ij = |g_i − Y_j|,   δ = mean d,   σ = mean d / √S      over pairs and over the minibatch
    A    = √( softmax_j(−d/δR) · softmax_i(−d/δR) )          for each temperature R; self pairs +100
    F_R  = Σ_j W_ij (Y_j − g_i)/σ,   W_demo = A_demo·Σ A_sib,   W_sib = −A_sib·Σ A_demo
    V    = Σ_R F_R / rms(F_R)                                rms over the group's minibatch
    L    = ‖ g/σ − sg(g/σ + V) ‖²,                           so that ∂L/∂g ∝ −V/σ

The value of L does not show progress: it is E[V²] ≤ (number of temperatures)². Watch ``spread``
instead, and see :func:`spread_to_error` for the collapse guard.

**Start with unit spread.** With the usual small initial output the G chunks lie together; then the
policy becomes a regressor and stays one. ``output`` = "velocity" makes g = ε − f(ε, 1): an untrained
network returns the noise, of unit spread. "direct" is the published form, g = −f(ε, 1).

**fp32.** The force is computed in float32 outside autocast, from explicit differences Y_j − g_i. So it
is exactly 0 where all chunks coincide; there, W·Y − (ΣW)·g would be only rounding error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field as Option
from torch import Tensor

from vla_eval_policies.methods.field import Batch, Draw, Field
from vla_eval_policies.methods.method import Loss, Method, Preset, at

__all__ = ["Drift", "Grouping", "drift_force", "spread_to_error"]

Grouping = Literal["action-dimension", "chunk", "timestep"]

_TEMPERATURES = (0.02, 0.05, 0.2)
_SMALL_DISTANCE2 = 1e-8
_SMALL_SCALE = 1e-3
_SMALL_AFFINITY2 = 1e-6
_SMALL_RMS = 1e-4
_SELF = 100.0


class Drift(Method):
    """``drift``."""

    name: ClassVar[str] = "drift"
    summary: ClassVar[str] = "one step, trained by attraction to demonstrations and repulsion"
    default_nfe: ClassVar[int] = 1

    presets: ClassVar[Mapping[str, Preset]] = {
        "drift-vla": Preset(
            {
                "samples": 8,
                "temperatures": _TEMPERATURES,
                "grouping": "action-dimension",
                "output": "direct",
            },
            "Zuo, Drift-VLA, July 2026",
            training="learning rate 1e-4, batch 64, 30 000 steps; the vision-language model is frozen",
            open="From an expert that was not initialised with unit spread this can collapse; "
            "spread_to_error tells.",
        ),
        "dbp": Preset(
            {
                "samples": 4,
                "temperatures": _TEMPERATURES,
                "grouping": "chunk",
                "output": "direct",
            },
            "arXiv 2604.03540, and its code",
        ),
    }

    samples: int = Option(default=8, ge=2, le=1024)
    """G, the number of chunks that are generated for each observation and repel each other."""
    temperatures: tuple[float, ...] = Option(default=_TEMPERATURES, min_length=1)
    """R, ranges of the forces in units of the mean distance; the forces of all R are added."""
    grouping: Grouping = "action-dimension"
    """Matching problems: one for each action dimension's trajectory, for the chunk, or for each step."""
    output: Literal["velocity", "direct"] = "velocity"
    """Chunk from the output f: velocity is ε − f, with unit spread at first; direct is −f."""

    def loss(self, field: Field, batch: Batch, generator: torch.Generator) -> Loss:
        """‖ g/σ − sg(g/σ + V) ‖² over the real coordinates."""
        many = batch.repeat(self.samples)
        g = self._generate(field.repeat(self.samples), many.noise(generator))
        g = g.float().reshape(-1, self.samples, *g.shape[1:])
        with torch.autocast(g.device.type, enabled=False):
            force, sigma = drift_force(
                g.detach(),
                batch.actions.float(),
                batch.real,
                temperatures=self.temperatures,
                grouping=self.grouping,
            )
            real = batch.real[:, None]
            scaled = g / sigma
            error = (scaled - (scaled.detach() + force)) ** 2 * real
            value = error.sum() / (real.sum() * self.samples).clamp(min=1)
        spread = masked_std(g.detach(), batch.real)
        ratio = spread_to_error(g.detach(), batch.actions, batch.real)
        return Loss(value, {"spread": spread, "spread_to_error": ratio})

    def sample(self, field: Field, draw: Draw, nfe: int) -> Tensor:
        """Generate the chunk in one pass."""
        self.check_nfe(nfe)
        return self._generate(field, draw())

    def check_nfe(self, nfe: int) -> None:
        """Raise UsageError for more than one pass."""
        self._only_one(nfe, "it is trained at t = 1 alone")

    def _generate(self, field: Field, noise: Tensor) -> Tensor:
        output = field(noise, at(1.0, noise))
        return noise - output if self.output == "velocity" else -output


@torch.no_grad()
def drift_force(
    g: Tensor,
    actions: Tensor,
    real: Tensor,
    *,
    temperatures: tuple[float, ...],
    grouping: Grouping,
) -> tuple[Tensor, Tensor]:
    """Return the drift V of the samples, (B, G, H, D), and the scale σ, which broadcasts to it.

    Args:
        g: the samples, (B, G, H, D).
        actions: the demonstrations, (B, H, D), or several for each observation, (B, P, H, D).
        real: bool (B, H, D); V is exactly 0 where it is False.
        temperatures: R.
        grouping: how chunks are cut into matching problems.
    """
    demos = actions if actions.dim() == 4 else actions[:, None]
    valid = _problems(real[:, None].to(g), grouping)  # (B, Q, 1, S)
    samples = _problems(g, grouping) * valid  # (B, Q, G, S)
    targets = torch.cat([samples, _problems(demos, grouping) * valid], 2)  # (B, Q, G + P, S)
    towards = targets[:, :, None] - samples[:, :, :, None]  # (B, Q, G, G + P, S)
    distance = (towards**2).sum(-1).clamp(min=_SMALL_DISTANCE2).sqrt()

    size = valid.sum((2, 3))  # (B, Q): real coordinates
    present = size > 0
    count = present.sum(0).clamp(min=1)  # (Q,)
    mean = (distance.mean((2, 3)) * present).sum(0) / count
    delta = mean.clamp(min=_SMALL_SCALE)[:, None, None]
    coordinates = (size.sum(0) / count).clamp(min=1)
    sigma = (mean / coordinates.sqrt()).clamp(min=_SMALL_SCALE)[:, None, None]  # (Q, 1, 1)

    scaled = distance / delta
    many = g.shape[1]
    scaled[..., range(many), range(many)] += _SELF
    force = torch.zeros_like(samples)
    entries = (size.sum(0) * many).clamp(min=1)
    for temperature in temperatures:
        pull = _pull(scaled / temperature, towards, many) / sigma * valid
        rms = ((pull**2).sum((0, 2, 3)) / entries).sqrt().clamp(min=_SMALL_RMS)
        force += pull / rms[:, None, None]
    return _chunks(force, grouping, g.shape), _chunks(sigma[None], grouping, g.shape)


def _pull(scaled: Tensor, towards: Tensor, many: int) -> Tensor:
    """Return Σ_j W_ij (Y_j − g_i), (B, Q, G, S); the first ``many`` targets are the siblings."""
    rows, columns = torch.softmax(-scaled, -1), torch.softmax(-scaled, -2)
    affinity = (rows * columns).clamp(min=_SMALL_AFFINITY2).sqrt()
    siblings, demos = affinity[..., :many], affinity[..., many:]
    weights = torch.cat(
        [-siblings * demos.sum(-1, keepdim=True), demos * siblings.sum(-1, keepdim=True)], -1
    )
    return torch.einsum("bqij,bqijs->bqis", weights, towards)


def _problems(chunks: Tensor, grouping: Grouping) -> Tensor:
    """Cut chunks (B, N, H, D) into problems (B, Q, N, S)."""
    match grouping:
        case "timestep":
            return chunks.transpose(1, 2)
        case "action-dimension":
            return chunks.permute(0, 3, 1, 2)
        case "chunk":
            return chunks.flatten(2)[:, None]


def _chunks(problems: Tensor, grouping: Grouping, shape: torch.Size) -> Tensor:
    """Undo :func:`_problems`; a size S of 1 stays 1, to broadcast."""
    match grouping:
        case "timestep":
            return problems.transpose(1, 2)
        case "action-dimension":
            return problems.permute(0, 2, 3, 1)
        case "chunk":
            flat = problems[:, 0]
            return (
                flat[..., None]
                if flat.shape[-1] == 1
                else flat.reshape(*flat.shape[:2], *shape[2:])
            )


def masked_std(samples: Tensor, real: Tensor) -> float:
    """Return the samples' standard deviation within an observation, over real entries."""
    variance = samples.var(1, correction=1) * real
    return float((variance.sum() / real.sum().clamp(min=1)).sqrt())


def spread_to_error(samples: Tensor, actions: Tensor, real: Tensor) -> float:
    """Return the ratio of the samples' variance to the squared error of their mean: the collapse guard.

    The ratio is 1 for samples from the distribution of the demonstrations, for any width of it. It is
    near 0 for a policy that has collapsed to a regressor although the demonstrations vary. Use data
    outside the training set: memorised demonstrations have no error.

    Args:
        samples: (B, K, H, D), K ≥ 2.
        actions: (B, H, D).
        real: bool (B, H, D).
    """
    count = samples.shape[1]
    variance = (samples.var(1, correction=1) * real).sum()
    # The mean of K samples has itself an error of variance/K.
    error = (((samples.mean(1) - actions) ** 2) * real).sum() / (1 + 1 / count)
    return float(variance / error.clamp(min=1e-12))
