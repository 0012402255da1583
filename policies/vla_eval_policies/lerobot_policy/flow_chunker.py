"""Chunks of the flow VLAs by any method: one prefix, noise from the episode, timed steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from vla_eval.errors import PolicySpecError, UsageError
from vla_eval.policy import Context
from vla_eval_policies.flow.queue import Completion, Queue
from vla_eval_policies.lerobot_policy.batch import ACTION, Batch
from vla_eval_policies.lerobot_policy.flow import Expert, LeRobotField, encode
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.lerobot_policy.noise import Noise
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.lerobot_policy.policy import Chunker, Chunks
from vla_eval_policies.lerobot_policy.timing import now
from vla_eval_policies.methods import ExtraTime, KeyStone, Method, make_method
from vla_eval_policies.methods.fm import FlowMatching

__all__ = ["FlowChunker"]


class FlowChunker(Chunker):
    """Makes chunks with SmolVLA, pi0 or pi0.5 and a sampling method."""

    def __init__(self, loaded: Loaded, options: Options, where: str) -> None:
        config = loaded.policy.config
        if getattr(config, "adapt_to_pi_aloha", False):
            raise PolicySpecError(f"{where}: adapt_to_pi_aloha is not supported")
        self._loaded = loaded
        self.compiled = options.compile
        self._expert = Expert(
            loaded.policy.model,
            loaded.branch,
            token_times=loaded.token_times,
            compiled=options.compile,
        )
        self.continuing = _continuing(loaded, options, where)
        self._sampler = _method(loaded, options, where)
        self._keystone = KeyStone(samples=options.keystone) if options.keystone else None
        walks = isinstance(self._sampler, FlowMatching)
        own = int(getattr(config, "num_steps", None) or config.num_inference_steps)
        self._steps = options.nfe or (own if walks else self._sampler.default_nfe)
        try:
            cost = self._sampler.cost(self._steps)
        except UsageError as error:
            raise PolicySpecError(f"{where}: {error}") from None
        self.cost = cost if self._keystone is None else self._keystone.cost(cost)
        self.nfe = self.cost.nfe
        self.method = self._sampler.name
        self.solver = self._sampler.solver if isinstance(self._sampler, FlowMatching) else None
        self.chunk_size = int(config.chunk_size)
        self._shape = (self.chunk_size, int(config.max_action_dim))
        self._action = int(config.action_feature.shape[0])
        self._executed = min(options.n_action_steps or config.n_action_steps, self.chunk_size)

    def __call__(self, batch: Batch, contexts: Sequence[Context]) -> Chunks:
        """Return a chunk for every observation; the batch can change only the last bits."""
        policy = self._loaded.policy
        device = torch.device(policy.config.device)
        copies = 1 if self._keystone is None else self._keystone.samples
        noise = Noise(contexts, self._shape, copies=copies, device=device)
        start = now(device)
        prefix = encode(policy, batch)
        encoded = now(device)
        field = LeRobotField(self._expert, prefix)
        if copies > 1:
            field = field.repeat(copies)
        queue = self._queue(batch, contexts)
        if queue is None or self.continuing is None:
            chunks = self._sampler.sample(field, noise, self._steps)
        else:
            queue = queue.repeat(copies)
            chunks = self.continuing.sample(self._sampler, field, noise, self._steps, queue)
        actions = chunks[..., : self._action]
        if field.evaluations * copies != self.nfe:
            raise RuntimeError(f"{field.evaluations} evaluations were made, not {self.nfe}")
        chosen, counts = self._choose(actions, copies)
        end = now(device)
        return Chunks(
            chosen,
            nfe=self.nfe,
            prefix_ms=1e3 * (encoded - start),
            denoise_ms=1e3 * (end - encoded),
            counts=counts,
        )

    def _queue(self, batch: Batch, contexts: Sequence[Context]) -> Queue | None:
        """Return the queued actions, which the preprocessor has normalised; None if there are none."""
        queued = batch.get(ACTION)
        if queued is None:
            return None
        actions = queued.float()
        real = torch.arange(self._shape[1], device=actions.device) < self._action
        return Queue(
            actions=pad(actions, (0, self._shape[1] - self._action)),
            real=real,
            queued=tuple(
                0 if context.left_over is None else min(len(context.left_over), self.chunk_size)
                for context in contexts
            ),
            delay=tuple(context.expected_delay for context in contexts),
        )

    def _choose(self, actions: Tensor, copies: int) -> tuple[Tensor, list[dict[str, int]]]:
        """Return one chunk for each observation, chosen from (B copies, H, D), and its counts."""
        if self._keystone is None:
            return actions, []
        groups = actions.reshape(-1, copies, *actions.shape[1:])
        candidates = groups[:, :, : self._executed].float().cpu().numpy()
        selections = [self._keystone.select(samples) for samples in candidates]
        counts = [
            {"keystone_selected": 1, "keystone_fired": int(selection.unimodal)}
            for selection in selections
        ]
        chosen = [
            group[selection.index] for group, selection in zip(groups, selections, strict=True)
        ]
        return torch.stack(chosen), counts


def _continuing(loaded: Loaded, options: Options, where: str) -> Completion | None:
    """Return how chunks follow on from queued actions; None for students that were not trained to."""
    trained = 0 if loaded.student is None else loaded.student.max_delay
    if options.naive and not trained:
        raise PolicySpecError(f"{where}: naive=true is for students trained with max_delay")
    if not trained or options.naive:
        return None
    if options.compile:
        raise PolicySpecError(
            f"{where}: a student that continues queued actions is not compiled; leave the option compile "
            "out, or add naive=true"
        )
    return Completion(trained)


def _method(loaded: Loaded, options: Options, where: str) -> Method:
    """Return the user's method, else the checkpoint's own, else flow matching."""
    given = {} if options.solver is None else {"solver": options.solver}
    own = None if loaded.student is None else loaded.student.method
    try:
        if own is not None and not given and options.method in (None, own.name):
            method = own
        else:
            method = make_method(options.method or "fm", given)
    except UsageError as error:
        raise PolicySpecError(f"{where}: {error}") from None
    has = ExtraTime.NONE if loaded.branch is None else loaded.branch.extra_time
    if method.convention.output != "noise - action":
        raise PolicySpecError(
            f"{where}: method '{method.name}' needs a network that predicts {method.convention.output},"
            f" but a '{loaded.policy.config.type}' predicts noise - action"
        )
    if not isinstance(method, FlowMatching) and method.extra_time is not has:
        raise PolicySpecError(
            f"{where}: method '{method.name}' needs a network with the second time "
            f"'{method.extra_time}', but this checkpoint's is '{has}'"
        )
    return method
