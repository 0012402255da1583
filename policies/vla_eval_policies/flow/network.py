"""The whole model, in one file.

::

    cameras ── convolutions ── spatial softmax ─┐
    instruction ── words ─ embeddings ──────────┼─ prefix tokens ─ one transformer layer ─┐
    agent_pos ── linear ────────────────────────┘                                         │ once an
                                                   keys and values for every expert layer ┘ inference
    [x_t ; t, extra] ── MLP ── action tokens (H) ── expert: L layers, each attends to       once a
                                            itself and to the cached prefix ── f (H, D)     solver step

The action expert is a small version of those of SmolVLA and π0. Each control step has one token, made
of the noisy action and the time. Actions are padded to D dimensions. The prefix is encoded once; its
keys and values serve all solver steps and all samples. Attention is written out, because fused kernels
do not support the forward-mode differentiation that MeanFlow needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from pydantic import Field as Option
from torch import Tensor, nn
from torch.nn.functional import pad

from vla_eval_policies.methods import ExtraTime, TimeEmbedding
from vla_eval_policies.methods.network import VelocityNetwork

__all__ = ["FlowConfig", "FlowNetwork", "Inputs"]

_KEYPOINTS = 64


class FlowConfig(BaseModel):
    """Sizes of the network. They are read from checkpoints, so each size is bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cameras: tuple[Annotated[str, Option(pattern=r"^[A-Za-z0-9_-]{1,64}$")], ...] = Option(
        min_length=1, max_length=16
    )
    state_size: int = Option(ge=1, le=1024)
    action_size: int = Option(ge=1, le=1024)
    image_size: int = Option(default=128, ge=16, le=2048)
    """Edge length to which pictures are averaged down, in pixels."""
    n_obs_steps: int = Option(default=1, ge=1, le=8, exclude_if=lambda steps: steps == 1)
    """Number of consecutive control steps whose pictures the network sees; 2 show what moves, and how fast."""
    chunk_size: int = Option(default=16, ge=1, le=4096)
    padded_actions: int = Option(default=8, ge=1, le=1024)
    """D. Dimensions beyond ``action_size`` hold noise and do not enter the loss, as in SmolVLA."""
    relative_actions: bool | int = True
    """Whether chunks are learned relative to ``agent_pos``, as for joint targets; needs equal sizes. A
    number n means only the first n dimensions, such as 3 for the position of a pose."""
    width: int = Option(default=96, ge=16, le=4096)
    layers: int = Option(default=3, ge=1, le=64)
    heads: int = Option(default=4, ge=1, le=256)
    words: int = Option(default=256, ge=2, le=100_000)
    """Rows of the word table; words are hashed into it."""
    time_periods: tuple[float, float] = (0.5, 4.0)
    extra_time: ExtraTime = ExtraTime.NONE

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"width {self.width} must be a multiple of twice the {self.heads} heads"
            )
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError("a camera is named twice")
        if self.action_size > self.padded_actions:
            raise ValueError(
                f"actions of {self.action_size} dimensions need padded_actions of at least that, "
                f"not {self.padded_actions}"
            )
        if self.relative_actions is True and self.action_size != self.state_size:
            raise ValueError(
                f"actions ({self.action_size}) cannot be relative to a state of another size "
                f"({self.state_size}); set relative_actions = false"
            )
        if not 0 <= self.relative_size <= min(self.action_size, self.state_size):
            raise ValueError(
                f"relative_actions = {self.relative_actions}: actions have {self.action_size} "
                f"dimensions, and the state {self.state_size}"
            )
        return self

    @property
    def least_parameters(self) -> int:
        """Lower bound of the number of parameters, computed without building the network."""
        layers = 10 * self.width**2 * self.layers
        tables = self.width * (self.words + self.chunk_size + self.state_size + self.padded_actions)
        stride = max(2, self.image_size // 32)
        eyes = len(self.cameras) * (
            self.channels * 32 * (2 * stride) ** 2 + 6 * _KEYPOINTS * self.width
        )
        return layers + tables + eyes

    @property
    def channels(self) -> int:
        """Number of channels of a camera's pictures: red, green and blue of every step."""
        return 3 * self.n_obs_steps

    @property
    def relative_size(self) -> int:
        """Number of leading action dimensions that are learned relative to the state."""
        return self.action_size if self.relative_actions is True else int(self.relative_actions)


@dataclass(frozen=True)
class Inputs:
    """Observations of a batch."""

    pictures: Tensor
    """uint8 or float in [0, 255], (B, cameras, 3 · n_obs_steps, image_size, image_size), oldest step first."""
    words: Tensor
    """int64 (B, W); 0 is no word."""
    state: Tensor
    """float32 (B, S), as the robot reports it."""


class CameraEncoder(nn.Module):
    """Turns a camera's picture into two tokens: positions and strengths of its 64 features.

    The first convolution takes overlapping patches and maps a picture of 128 pixels to 32 × 32 at
    once. So the most expensive layer of training stays small, and fine edges still count.
    """

    def __init__(self, width: int, image_size: int, channels: int) -> None:
        super().__init__()
        stride = max(2, image_size // 32)
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 32, 2 * stride, stride=stride, padding=stride // 2),
            nn.SiLU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.GroupNorm(4, 32),
            nn.SiLU(),
            nn.Conv2d(32, _KEYPOINTS, 3, padding=1),
        )
        self.sharpness = nn.Parameter(torch.ones(_KEYPOINTS))
        self.tokens = nn.Linear(3 * _KEYPOINTS, 2 * width)

    def forward(self, pictures: Tensor) -> Tensor:
        """(B, channels, h, w) → (B, 2, width)."""
        features = self.convolutions(pictures)
        size = features.shape[-1]
        flat = features.flatten(2)
        where = torch.softmax(flat * self.sharpness[:, None], -1)
        line = torch.linspace(-1, 1, size, device=flat.device)
        x = (where * line.repeat(size)).sum(-1)
        y = (where * line.repeat_interleave(size)).sum(-1)
        strength = (where * flat).sum(-1)
        tokens: Tensor = self.tokens(torch.cat([x, y, strength], -1))
        return tokens.reshape(len(tokens), 2, -1)


class Attention(nn.Module):
    """Attention of the tokens to themselves and to a cached prefix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, prefix: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, N, width) → (B, N, width)."""
        query = self._split(self.queries(tokens))
        key, value = (self._split(half) for half in self.keys_values(tokens).chunk(2, -1))
        if prefix is not None:
            key, value = torch.cat([prefix[0], key], 2), torch.cat([prefix[1], value], 2)
        weights = torch.softmax(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]), -1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return out

    def cache(self, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Split projected prefix tokens (B, M, 2·width) into keys and values (B, heads, M, ·)."""
        key, value = keys_values.chunk(2, -1)
        return self._split(key), self._split(value)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class Layer(nn.Module):
    """A pre-norm transformer layer, optionally with its own projection of the prefix."""

    def __init__(self, width: int, heads: int, *, prefixed: bool) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        self.prefix = nn.Linear(width, 2 * width) if prefixed else None

    def cache(self, prefix: Tensor) -> tuple[Tensor, Tensor]:
        """Project the prefix tokens (B, M, width), once per inference."""
        assert self.prefix is not None  # noqa: S101 - the expert's layers have it
        return self.attention.cache(self.prefix(prefix))

    def forward(self, tokens: Tensor, prefix: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """(B, N, width) → (B, N, width)."""
        tokens = tokens + self.attention(self.norm_attention(tokens), prefix)
        out: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return out


@dataclass(frozen=True)
class FlowField:
    """The expert, bound to a cached prefix."""

    network: FlowNetwork
    cache: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values (B, heads, M, width / heads) of each layer."""

    @property
    def extra_time(self) -> ExtraTime:
        """The extra time that the network takes."""
        return self.network.extra_time

    def __call__(self, x: Tensor, t: Tensor, extra: Tensor | None = None) -> Tensor:
        """Run the expert."""
        return self.network.expert(x, t, extra, self.cache)

    def repeat(self, copies: int) -> FlowField:
        """Repeat the cache, without encoding the observations again."""
        cache = tuple(
            (key.repeat_interleave(copies, 0), value.repeat_interleave(copies, 0))
            for key, value in self.cache
        )
        return FlowField(self.network, cache)


class FlowNetwork(VelocityNetwork):
    """The model. ``bind`` encodes observations once and returns the action expert as a field."""

    state_mean: Tensor
    state_std: Tensor
    action_mean: Tensor
    action_std: Tensor

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        self.extra_time = config.extra_time
        width, size = config.width, config.padded_actions
        self.eyes = nn.ModuleDict(
            {
                name: CameraEncoder(width, config.image_size, config.channels)
                for name in config.cameras
            }
        )
        self.words = nn.Embedding(config.words, width)
        self.word_places = nn.Parameter(torch.randn(_WORDS, width) * 0.02)
        self.state = nn.Linear(config.state_size, width)
        self.mix = Layer(width, config.heads, prefixed=False)
        self.norm_prefix = nn.LayerNorm(width)

        self.time = TimeEmbedding(width, config.extra_time, periods=config.time_periods)
        self.action_in = nn.Linear(size, width)
        self.token = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        self.steps = nn.Parameter(torch.randn(config.chunk_size, width) * 0.02)
        self.layers = nn.ModuleList(
            Layer(width, config.heads, prefixed=True) for _ in range(config.layers)
        )
        self.norm_out = nn.LayerNorm(width)
        self.action_out = nn.Linear(width, size)
        nn.init.zeros_(self.action_out.weight)
        nn.init.zeros_(self.action_out.bias)

        chunk = (config.chunk_size, config.action_size)
        self.register_buffer("state_mean", torch.zeros(config.state_size))
        self.register_buffer("state_std", torch.ones(config.state_size))
        self.register_buffer("action_mean", torch.zeros(chunk))
        self.register_buffer("action_std", torch.ones(chunk))

    def bind(self, observation: Inputs) -> FlowField:
        """Encode observations once, for all solver steps and samples."""
        prefix = self.encode(observation)
        return FlowField(self, tuple(layer.cache(prefix) for layer in self._expert_layers()))

    def encode(self, inputs: Inputs) -> Tensor:
        """Return the prefix tokens (B, M, width)."""
        pictures = inputs.pictures.float() / 127.5 - 1
        seen = [eye(pictures[:, i]) for i, eye in enumerate(self.eyes.values())]
        read = self.words(inputs.words) + self.word_places[: inputs.words.shape[1]]
        felt = self.state((inputs.state - self.state_mean) / self.state_std)[:, None]
        tokens: Tensor = self.norm_prefix(self.mix(torch.cat([*seen, read, felt], 1)))
        return tokens

    def expert(
        self,
        x: Tensor,
        t: Tensor,
        extra: Tensor | None,
        cache: tuple[tuple[Tensor, Tensor], ...],
    ) -> Tensor:
        """Return f (B, H, D) for x (B, H, D) and times (B,), or (B, H): one for each token."""
        when = self.time(t, extra)
        if t.dim() == 1:
            when = when[:, None].expand(-1, x.shape[1], -1)
        tokens = self.token(torch.cat([self.action_in(x), when], -1)) + self.steps
        for layer, prefix in zip(self._expert_layers(), cache, strict=True):
            tokens = layer(tokens, prefix)
        out: Tensor = self.action_out(self.norm_out(tokens))
        return out

    def normalise(self, actions: Tensor, state: Tensor) -> Tensor:
        """Turn action chunks (B, H, A) into learning targets (B, H, D), padded with zeros."""
        if self.config.relative_actions:
            actions = actions - self._origin(state)
        scaled = (actions - self.action_mean) / self.action_std
        return pad(scaled, (0, self.config.padded_actions - self.config.action_size))

    def actions(self, chunks: Tensor, state: Tensor) -> Tensor:
        """Turn sampled chunks (B, H, D) into actions (B, H, A), in the environment's units."""
        chunks = chunks[..., : self.config.action_size] * self.action_std + self.action_mean
        return chunks + self._origin(state) if self.config.relative_actions else chunks

    def _origin(self, state: Tensor) -> Tensor:
        """Return the origin of relative actions, (B, 1, A), for a state (B, S)."""
        size = self.config.relative_size
        return pad(state[:, None, :size], (0, self.config.action_size - size))

    def prefix_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that a frozen prefix freezes: all that ``encode`` uses."""
        parts = (self.eyes, self.words, self.state, self.mix, self.norm_prefix)
        return [self.word_places, *(value for part in parts for value in part.parameters())]

    def _expert_layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]


_WORDS = 16
