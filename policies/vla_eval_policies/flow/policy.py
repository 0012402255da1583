"""``flow:CHECKPOINT``: the reference policy, with the sampler that its spec names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from pydantic import Field as Option
from torch import Tensor

from vla_eval.environment import Observation
from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.policy import POSES_WANTED, ActionChunk, Context, Policy, PolicyMetadata
from vla_eval.trainedon import Scenes
from vla_eval_policies.flow.checkpoint import load_checkpoint
from vla_eval_policies.flow.inputs import inputs_of
from vla_eval_policies.flow.network import FlowNetwork, Inputs
from vla_eval_policies.flow.queue import (
    Completion,
    Continuing,
    Guidance,
    Queue,
    queue_of,
)
from vla_eval_policies.flow.shipped import checkpoint_path, trained_on
from vla_eval_policies.methods import KeyStone, Method, make_method
from vla_eval_policies.methods.fm import FlowMatching
from vla_eval_policies.methods.rtc import DEFAULT_BETA, Decay
from vla_eval_policies.methods.solvers import Solver

__all__ = ["FlowOptions", "FlowPolicy", "build"]


class FlowOptions(BaseModel):
    """Options of the spec."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: str | None = None
    """Sampling method: the checkpoint's own, or ``fm`` to integrate its local velocity."""
    nfe: int | None = Option(default=None, ge=1, le=10_000)
    n_action_steps: int | None = Option(default=None, ge=1, le=1_000_000)
    solver: Solver | None = None
    """Solver of method ``fm``."""
    keystone: int = Option(default=1, ge=1, le=1024)
    """K: number of samples, of which one is executed."""
    clusters: int = Option(default=2, ge=1, le=1024)
    guard: float = Option(default=0.3, ge=0.0)
    rtc: Decay | None = None
    """Guide method ``fm`` towards the queued actions (real-time chunking), with weights that fall so."""
    beta: float | None = Option(default=None, ge=0.0)
    """β, largest strength of this guidance; 5."""
    naive: bool = False
    """Ignore the queued actions, although the network was trained to continue them."""
    device: str = "cpu"
    threads: int = Option(default=1, ge=1, le=1024)
    """Number of torch's CPU threads. It can change the last bits of the actions."""


@dataclass(frozen=True)
class Timed:
    """Sampled chunks and the times that they took."""

    chunks: Tensor
    """(B, K, H, D)."""
    prefix_ms: float
    denoise_ms: float


class FlowPolicy:
    """A trained network and a sampler. Each episode has its own noise; see :class:`Context`."""

    def __init__(
        self,
        network: FlowNetwork,
        method: Method,
        options: FlowOptions,
        *,
        trained_with: str,
        weights_sha256: str,
        trained_on: Scenes = None,
        poses: bool = False,
        max_delay: int = 0,
    ) -> None:
        self._threads = options.threads
        self.answers_with_poses = poses
        config = network.config
        self.nfe = options.nfe or method.default_nfe
        self.keystone = KeyStone(
            samples=options.keystone, clusters=options.clusters, guard=options.guard
        )
        self.cost = self.keystone.cost(method.cost(self.nfe))
        self._continuing = _continuing(method, options, max_delay)
        self.horizon = options.n_action_steps or config.chunk_size
        if self.horizon > config.chunk_size:
            raise PolicySpecError(
                f"n_action_steps={self.horizon}: the policy's chunks have {config.chunk_size} actions"
            )
        self._device = torch.device(options.device)
        self._network = network.to(self._device)
        self._method = method
        self.metadata = PolicyMetadata(
            name="flow",
            method=method.name,
            chunk_size=config.chunk_size,
            n_action_steps=self.horizon,
            n_obs_steps=config.n_obs_steps,
            nfe=self.cost.nfe,
            solver=getattr(method, "solver", None),
            weights_sha256=weights_sha256,
            dtype="float32",
            device=self._device.type,
            options={
                "trained_with": trained_with,
                "passes": self.cost.passes * self._continuing.passes_per_evaluation,
                "samples": self.cost.batch,
                "threads": options.threads,
                **(
                    {"clusters": options.clusters, "guard": options.guard}
                    if options.keystone > 1
                    else {}
                ),
                **self._continuing.options,
                **({"naive": True} if options.naive else {}),
            },
            trained_on=trained_on,
        )

    def infer(
        self, observations: Sequence[Observation], contexts: Sequence[Context]
    ) -> list[ActionChunk]:
        """Encode the observations once, then sample and select a chunk for each."""
        if not observations:
            return []
        if self.answers_with_poses and any(context.normalised for context in contexts):
            raise PolicySpecError(
                "the policy was trained to answer with poses, and the task takes displacements; "
                f"{POSES_WANTED}"
            )
        if torch.get_num_threads() != self._threads:  # the worker may hold other policies too
            torch.set_num_threads(self._threads)
        instructions = [context.instruction for context in contexts]
        histories = [context.history for context in contexts]
        inputs = inputs_of(observations, instructions, self._network.config, histories)
        state = inputs.state.to(self._device)
        reads = self._continuing.reads_queue
        queue = queue_of(contexts, self._network, state) if reads else None
        timed = self.sample(inputs, [context.generator() for context in contexts], queue)
        chosen, counts = zip(*(self._select(samples) for samples in timed.chunks), strict=True)
        actions = self._network.actions(torch.stack(chosen), state).cpu().numpy()
        self._continuing.complete(actions, contexts)
        return [
            ActionChunk(
                np.ascontiguousarray(chunk, dtype=np.float32),
                nfe=self.cost.nfe,
                prefix_ms=timed.prefix_ms,
                denoise_ms=timed.denoise_ms,
                counts=counted,
            )
            for chunk, counted in zip(actions, counts, strict=True)
        ]

    def sample(
        self,
        inputs: Inputs,
        generators: Sequence[np.random.Generator],
        queue: Queue | None = None,
    ) -> Timed:
        """Return K normalised chunks for each observation, with noise from its own generator.

        The first sample's noise does not depend on K: policies with the same key share it.

        Args:
            inputs: B observations.
            generators: B generators.
            queue: queued actions that the chunks continue; None: there are none.
        """
        differentiates = queue is not None and self._continuing.differentiates
        with torch.inference_mode(mode=not differentiates), torch.no_grad():
            return self._sample(inputs, generators, queue)

    def _sample(
        self, inputs: Inputs, generators: Sequence[np.random.Generator], queue: Queue | None
    ) -> Timed:
        config, many = self._network.config, self.keystone.samples
        shape = (many, config.chunk_size, config.padded_actions)

        def draw() -> Tensor:
            noise = np.concatenate([generator.standard_normal(shape) for generator in generators])
            return torch.from_numpy(noise.astype(np.float32)).to(self._device)

        began = self._clock()
        on_device = Inputs(
            *(part.to(self._device) for part in (inputs.pictures, inputs.words, inputs.state))
        )
        field = self._network.bind(on_device)
        if many > 1:
            field = field.repeat(many)
        encoded = self._clock()
        if queue is None:
            chunks = self._method.sample(field, draw, self.nfe)
        else:
            queue = queue.repeat(many)
            chunks = self._continuing.sample(self._method, field, draw, self.nfe, queue)
        ended = self._clock()
        return Timed(chunks.unflatten(0, (-1, many)), encoded - began, ended - encoded)  # type: ignore[no-untyped-call]

    def _select(self, candidates: Tensor) -> tuple[Tensor, dict[str, int]]:
        """Return one of the candidates (K, H, D), and KeyStone's counts, such as its guard's use."""
        if self.keystone.samples == 1:
            return candidates[0], {}
        executed = candidates[:, : self.horizon, : self._network.config.action_size]
        selection = self.keystone.select(executed.cpu().numpy())
        counts = {"keystone_selected": 1, "keystone_fired": int(selection.unimodal)}
        return candidates[selection.index], counts

    def _clock(self) -> float:
        """Wait until the device has finished all work, then return the time in ms."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() * 1e3


def build(target: str, options: FlowOptions) -> Policy:
    """Load a checkpoint and build the policy with the sampler that the options name.

    Args:
        target: a file, or the name of a shipped checkpoint.
        options: options of the spec.

    Raises:
        PolicySpecError: the checkpoint cannot be used, or not with these options.
    """
    network, card, digest = load_checkpoint(checkpoint_path(target))
    trained = card.make_method()
    method = _method(trained, options)
    try:
        return FlowPolicy(
            network,
            method,
            options,
            trained_with=card.method,
            weights_sha256=digest,
            trained_on=trained_on(card, digest),
            poses=card.answers_with_poses,
            max_delay=card.max_delay,
        )
    except PolicySpecError:
        raise
    except (
        UsageError,
        RuntimeError,
    ) as error:  # an nfe that is not defined, a device that is not there
        raise PolicySpecError(f"policy 'flow:{target}': {error}") from None


def _method(trained: Method, options: FlowOptions) -> Method:
    """Return the sampler: the checkpoint's own method, or ``fm`` on its local velocity."""
    wanted = options.method or trained.name
    if wanted == "fm" and trained.knows_local_velocity:
        return make_method("fm", {"solver": options.solver or "euler"})
    if wanted != trained.name:
        raise PolicySpecError(
            f"method={wanted}: this checkpoint was trained with '{trained.name}'"
            + (", and can be sampled as that or as 'fm'" if trained.knows_local_velocity else "")
        )
    if options.solver is not None and "solver" in type(trained).model_fields:
        return make_method(trained.name, {**trained.model_dump(), "solver": options.solver})
    if options.solver is not None:
        raise PolicySpecError(
            f"solver={options.solver}: method '{wanted}' has no choice of solvers"
        )
    return trained


def _continuing(method: Method, options: FlowOptions, max_delay: int) -> Continuing:
    """Return how chunks follow on from queued actions; raises UsageError for options that do not fit."""
    if options.beta is not None and options.rtc is None:
        raise UsageError("beta is the strength of rtc; add rtc=linear or rtc=exponential")
    if options.naive and (max_delay == 0 or options.rtc is not None):
        raise UsageError("naive=true is for networks trained with max_delay, and without rtc")
    if options.rtc is None:
        return Completion(max_delay) if max_delay and not options.naive else Continuing()
    if max_delay:
        raise UsageError(
            f"rtc={options.rtc}: the network was trained to continue queued actions; leave rtc out"
        )
    if not isinstance(method, FlowMatching):
        raise UsageError(
            f"rtc={options.rtc} guides method 'fm', and this is '{method.name}'; add method=fm&nfe=10"
        )
    if (options.nfe or method.default_nfe) == 1:
        raise UsageError(
            f"rtc={options.rtc} guides several steps, not nfe=1: at pure noise the estimate of an exact "
            "field does not depend on the noise, so that guidance does nothing"
        )
    beta = DEFAULT_BETA if options.beta is None else options.beta
    return Guidance(options.rtc, beta)
