"""``vla_eval.evaluate``: one call from a training loop."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from vla_eval.catalog import check_catalogue, prepare
from vla_eval.cores import usable_cores
from vla_eval.engine.agenda import Block
from vla_eval.engine.cluster import Engine
from vla_eval.engine.crew import Crew
from vla_eval.engine.dispatch import pending_items
from vla_eval.engine.in_memory import InMemoryCrew, InMemoryPolicy
from vla_eval.engine.local import LocalCrew
from vla_eval.engine.progress import Progress
from vla_eval.engine.runner import finish, work_through
from vla_eval.errors import InterruptedRunError, UsageError, VlaEvalError
from vla_eval.evaluation.memory import memory_policy, memory_spec
from vla_eval.evaluation.reference import Reference
from vla_eval.evaluation.result import Evaluation, paired_with
from vla_eval.evaluation.states import States, development_protocol
from vla_eval.evaluation.undisturbed import on_one_rank, refuse_sharded, undisturbed
from vla_eval.judging.paired_file import EvaluationFile, write_evaluation
from vla_eval.plan import Shard, expand, tasks_of
from vla_eval.policy import PolicyMetadata
from vla_eval.protocol import Protocol
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.spec import placement_of
from vla_eval.stats import Standing
from vla_eval.summary.model import summarise

__all__ = ["ARM", "evaluate"]

ARM = "policy"
"""Name of the evaluated arm in its run folder."""
_LEAST_BLOCK = 10
"""Fewest episodes between two looks at the results."""


@dataclass(frozen=True)
class _Asked:
    """One evaluation."""

    protocol: Protocol
    folder: Path
    reference: Reference | None
    workers: int
    deadline_s: float | None
    """Time of the monotonic clock after which no further block begins."""
    progress: bool
    stop_early: bool


def evaluate(  # noqa: PLR0913 - each is a keyword of its own, and most are left out
    policy: Any,
    protocol: str | Protocol,
    *,
    out: str | os.PathLike[str],
    step: int | None = None,
    reference: str | os.PathLike[str] | None = None,
    reference_arm: str | None = None,
    module: Any = None,
    metadata: PolicyMetadata | None = None,
    episodes: int = 60,
    workers: int | None = None,
    states: States = "development",
    margin: float | None = None,
    budget_s: float | None = None,
    on_error: Literal["warn", "raise"] = "warn",
    progress: bool = False,
    stop_early: bool = True,
    on_every_rank: bool = True,
) -> Evaluation:
    """Evaluate a policy that is being trained, and go on training as if nothing had happened.

    Environments run in spawned workers, which do not import the caller's script. The policy stays in this
    process and in this thread: no checkpoint, no copy of the weights. The states of torch's, NumPy's and
    Python's generators and the modes of the module are restored.

    With a reference, every episode is paired with the same episode of that run, and the evaluation stops as
    soon as the policy is shown to be worse or not worse; that may be looked at at any time. The same call
    continues an evaluation that was interrupted.

    Args:
        policy: a policy; or a callable (a torch module too) that takes observations and contexts and
            returns a chunk for each, with ``metadata``; or the spec of a policy as a text.
        protocol: name of a shipped protocol, path of a file, or a Protocol: tasks, environments, limits.
        out: folder of the run; with ``step``, folder of one run for each step.
        step: the training step.
        reference: run folder of the reference on the same states: an earlier evaluation of a spec.
        reference_arm: its arm; None: the only one.
        module: torch module with the policy's weights; None: the policy itself, if it is a module.
        metadata: description of a callable.
        episodes: most episodes, dealt out equally to the tasks.
        workers: environments at a time; None: one per usable core.
        states: ``development``: states that the suite reserves for it. ``any``: the protocol's own
            states, also those of certificates, which are then spoilt for this training.
        margin: how much worse is still good enough, as a fraction; None: the protocol's.
        budget_s: no further block of episodes begins after this time in s.
        on_error: ``warn``: a fault of the machine becomes a warning, and training goes on.
        progress: show a bar.
        stop_early: stop as soon as a comparison with the reference has an answer; without, policies that
            are to be compared with each other run the same episodes.
        on_every_rank: in a distributed training, every rank makes this call, and rank 0 evaluates; False:
            one rank makes it alone.

    Returns:
        The result so far, on every rank that made the call.

    Raises:
        UsageError: the request cannot be met.
        InfrastructureError: the machine cannot go on, if ``on_error`` is ``raise``.
        InterruptedRunError: Ctrl-C while the policy is given by its spec.
    """
    loaded = protocol if isinstance(protocol, Protocol) else load_protocol(protocol)
    quick = development_protocol(loaded, episodes=episodes, states=states, margin=margin)
    check_catalogue(quick)
    if isinstance(policy, str):
        placement_of(policy)
    found = None
    if reference is not None:
        found = Reference.read(Path(reference), reference_arm, quick)
    asked = _Asked(
        quick,
        Path(out) if step is None else Path(out) / f"step-{step:09d}",
        found,
        workers or usable_cores(),
        None if budget_s is None else monotonic() + budget_s,
        progress,
        stop_early,
    )
    module = policy if module is None and hasattr(policy, "state_dict") else module
    refuse_sharded(module)

    def run() -> Evaluation:
        if isinstance(policy, str):
            return _measured(asked, step, on_error, partial(_run_spec, asked, policy))
        with undisturbed(module):
            wrapped = memory_policy(policy, module=module, metadata=metadata)
            served = InMemoryPolicy(wrapped, ARM, memory_spec(step))
            return _measured(asked, step, on_error, partial(_run_in_memory, asked, served))

    return on_one_rank(run) if on_every_rank else run()


def _measured(
    asked: _Asked, step: int | None, on_error: Literal["warn", "raise"], run: Callable[[], None]
) -> Evaluation:
    """Run, and read what the folder holds then."""
    start, error = monotonic(), ""
    try:
        run()
    except (UsageError, InterruptedRunError):
        raise
    except VlaEvalError as raised:
        if on_error == "raise":
            raise
        error = str(raised)
        warnings.warn(f"the evaluation stopped, training goes on: {error}", stacklevel=4)
    return _read(asked, step, monotonic() - start, error)


def _read(asked: _Asked, step: int | None, seconds: float, error: str) -> Evaluation:
    folder = RunFolder.open(asked.folder)
    paired = None
    if asked.reference is not None:
        compared = asked.reference.compare(asked.protocol, folder.records(), ARM)
        paired = paired_with(asked.reference, compared)
    write_evaluation(folder.path, EvaluationFile(step=step, paired=paired))
    arm = summarise([folder.path]).arms[ARM]
    suites = {block.suite for block in asked.protocol.blocks}
    return Evaluation(
        step=step,
        folder=folder.path,
        suite="+".join(sorted(suites)),
        successes=arm.successes,
        n=arm.n,
        missing=arm.errors,
        interval=arm.wilson95,
        paired=paired,
        seconds=seconds,
        error=error,
    )


def _run_spec(asked: _Asked, spec: str) -> None:
    """Run a policy that workers or hosts build, as ``vlaeval run`` does."""
    _run(asked, spec, partial(LocalCrew, hide_main=True))


def _run_in_memory(asked: _Asked, served: InMemoryPolicy) -> None:
    """Run the policy of this process; its inferences happen in this thread."""
    settings = asked.protocol.run
    batching = settings.max_batch, settings.batch_wait_ms / 1e3
    make_crew = partial(InMemoryCrew, served=served)
    known = {ARM: served.identity.metadata}
    served.serve(partial(_run, asked, served.spec, make_crew, known), batching)


def _run(
    asked: _Asked,
    spec: str,
    make_crew: Callable[..., Crew],
    known: Mapping[str, PolicyMetadata] | None = None,
) -> None:
    prepare(asked.protocol)
    folder, lock = RunFolder.enter(asked.folder, asked.protocol, {ARM: spec}, Shard(1, 1))
    plan = expand(asked.protocol)
    with ExitStack() as stack:
        # At once, not when it is collected: this process lives on, and may come here again.
        stack.callback(lock.release, force=True)
        if known is not None:  # nothing may be left to run, and these may be other weights
            folder.identify(known)
        bar = stack.enter_context(Progress(len(plan), [ARM], quiet=not asked.progress))
        work_through(
            folder,
            _blocks(asked, folder),
            plan,
            folder.records(),
            engine=Engine(make_crew, asked.workers),
            workers=min(asked.workers, len(plan)),
            progress=bar,
            notify=bar.say,
        )
        finish(folder)


def _blocks(asked: _Asked, folder: RunFolder) -> Iterator[Block]:
    """Yield the open items of some rounds at a time, until enough is known or the time is over."""
    plan, tasks = expand(asked.protocol), tasks_of(asked.protocol)
    size = tasks * math.ceil(max(_LEAST_BLOCK, 2 * asked.workers) / tasks)
    for start in range(0, len(plan), size):
        items = pending_items(plan[start : start + size], [ARM], folder.records())
        if not items:
            continue
        if _is_settled(asked, folder):
            return
        yield Block(items)


def _is_settled(asked: _Asked, folder: RunFolder) -> bool:
    if asked.deadline_s is not None and monotonic() > asked.deadline_s:
        return True
    if asked.reference is None or not asked.stop_early:
        return False
    compared = asked.reference.compare(asked.protocol, folder.records(), ARM)
    return compared.difference.standing is not Standing.NOT_YET
