"""A worker: one process, one environment, one record file."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from time import monotonic, perf_counter
from typing import Any, Protocol

from pydantic import ValidationError

from vla_eval.engine.host import SocketPolicy
from vla_eval.engine.messages import (
    ArmJob,
    Done,
    HostAway,
    LocalJob,
    Ready,
    Start,
    Stop,
    Stopped,
    WorkerJob,
    WorkItem,
)
from vla_eval.engine.process import Heartbeat, become_child, tell
from vla_eval.engine.proxy import HostedPolicy, HostLostError, PolicyRaisedError
from vla_eval.environment import EvalEnv, make_env
from vla_eval.episode import EpisodeResult, Phase, PhaseClock, run_episode
from vla_eval.errors import (
    EXIT_INFRASTRUCTURE,
    InfrastructureError,
    PolicyLostError,
    PolicyTimeoutError,
    UsageError,
    VlaEvalError,
)
from vla_eval.keys import PlannedEpisode
from vla_eval.policy import Policy, WarmUps
from vla_eval.realtime.latency import virtual_time
from vla_eval.record import EpisodeRecord, ErrorDetail, EventRecord, Reason, Timing
from vla_eval.runs.traces import Attempt, AttemptWriter
from vla_eval.spec import build_policy, code_sha256

__all__ = ["EpisodeRunner", "Pulse", "error_record", "worker_main"]


class Pulse(Protocol):
    """Where a worker reports its phase."""

    @property
    def host_was_stopped(self) -> bool:
        """Whether the host that the worker waits for was stopped on purpose."""

    def enter(self, phase: Phase, now_s: float) -> None:
        """Report that a phase begins at ``now_s`` (monotonic clock)."""


class _HeartbeatClock(PhaseClock):
    def __init__(self, heartbeat: Pulse) -> None:
        super().__init__()
        self._heartbeat = heartbeat

    def entered(self, name: Phase) -> None:
        self._heartbeat.enter(name, monotonic())


class EpisodeRunner:
    """Keeps the policies to its end, and the environment until an item needs another one.

    Args:
        job: the worker's job.
        heartbeat: where it reports its phase.
        reach: connects to the host of the arm with this name and job.
    """

    def __init__(
        self, job: WorkerJob, heartbeat: Pulse, reach: Callable[[str, ArmJob], HostedPolicy]
    ) -> None:
        self._job = job
        self._heartbeat = heartbeat
        self._env: EvalEnv | None = None
        self._scene: object = None
        self._policy_sha256: dict[str, str] = {}
        self._warm_ups = {name: WarmUps() for name in job.arms}
        with _HeartbeatClock(heartbeat).phase("setup"):
            self.policies: dict[str, Policy] = {
                name: reach(name, arm) if arm.host_address else build_policy(arm.spec)
                for name, arm in job.arms.items()
            }
            self._code = {
                name: code_sha256(arm.spec)
                for name, arm in job.arms.items()
                if not arm.host_address
            }

    def ready(self) -> Ready:
        """Return the message that reports the loaded policies."""
        return Ready({name: policy.metadata for name, policy in self.policies.items()}, self._code)

    def start(self, message: Start) -> None:
        """Store the policies' hashes, which go into every record."""
        self._policy_sha256 = dict(message.policy_sha256)

    def run(self, item: WorkItem) -> Attempt:
        """Run one attempt and return its record and its trace.

        Raises:
            UsageError: the environment cannot be built at all (a missing extra, missing assets).
        """
        clock = _HeartbeatClock(self._heartbeat)
        started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        start = perf_counter()
        result = EpisodeResult()

        def record_of(result: EpisodeResult, error: ErrorDetail | None) -> EpisodeRecord:
            timing = _timing(result, clock, started_at, perf_counter() - start, self._job)
            return self._record(item, result, timing, error)

        try:
            env = self._env_of(item.episode, clock)
            policy = self._policy_of(item, clock)
            run_episode(
                env,
                policy,
                item.episode,
                n_action_steps=self._job.n_action_steps or policy.metadata.n_action_steps,
                clock=clock,
                virtual=virtual_time(self._job.realtime, item.arm, policy.metadata),
                warm_ups=self._warm_ups[item.arm],
                result=result,
            )
            record = record_of(result, None)
        except UsageError:
            raise
        except Exception as raised:  # noqa: BLE001 - classified, recorded, and the worker ends
            stopped = self._heartbeat.host_was_stopped
            reason = _reason_of(raised, clock.raised_in, stopped=stopped)
            error = ErrorDetail(
                type=type(raised).__name__,
                message=str(raised),
                traceback=traceback.format_exc(limit=-12),
            )
            result.outcome, result.reason = "error", reason
            try:
                record = record_of(result, error)
            except ValidationError:  # the result itself cannot be stored
                result = EpisodeResult(outcome="error", reason=reason)
                record = record_of(result, error)
        tracer = result.tracer if self._job.keeps_actions else None
        return Attempt(record, None if tracer is None else tracer.trace())

    def _policy_of(self, item: WorkItem, clock: PhaseClock) -> Policy:
        policy = self.policies[item.arm]
        if isinstance(policy, HostedPolicy):
            policy.alone = item.alone
            with clock.phase("setup"):
                if policy.renew():
                    self._warm_ups[item.arm] = WarmUps()
        return policy

    def _env_of(self, episode: PlannedEpisode, clock: PhaseClock) -> EvalEnv:
        if self._env is None or self._scene != episode.scene:
            self.close()
            with clock.phase("build"):
                self._env = make_env(episode.env_id, episode.env_kwargs)
            self._scene = episode.scene
        return self._env

    def close(self) -> None:
        """Close the environment, if there is one."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _record(
        self,
        item: WorkItem,
        result: EpisodeResult,
        timing: Timing,
        error: ErrorDetail | None,
    ) -> EpisodeRecord:
        if error is None and result.detail:
            error = ErrorDetail(type="InvalidActionError", message=result.detail)
        return EpisodeRecord(
            **_origin(item),
            instruction=result.instruction,
            outcome=result.outcome,
            reason=result.reason,
            score=result.score,
            subgoals=result.subgoals,
            subgoal_steps=result.subgoal_steps if result.subgoals else None,
            events=_events(result),
            steps=result.steps,
            inferences=result.inferences,
            nfe=result.nfe,
            clipped_actions=result.clipped_actions,
            counts=dict(result.counts),
            scene_hash=result.scene_hash,
            end_hash=result.end_hash,
            actions_sha256=result.actions_sha256,
            provenance=result.provenance,
            protocol_sha256=self._job.protocol_sha256,
            policy_sha256=self._policy_sha256[item.arm],
            policy_known=self.policies[item.arm].metadata.is_known,
            error=error,
            realtime=result.realtime,
            timing=timing,
        )


def _events(result: EpisodeResult) -> dict[str, EventRecord] | None:
    """Return what was done to the scene, and when the policy answered; None if nothing was."""
    if not result.events or result.tracer is None:
        return None
    trace = result.tracer.trace()
    return {
        name: EventRecord(shown=shown, answered=trace.answer(shown))
        for name, shown in result.events.items()
    }


def _reason_of(raised: Exception, phase: Phase, *, stopped: bool) -> Reason:
    """Classify an exception; ``stopped``: the supervisor stopped the host during this episode."""
    if isinstance(raised, PolicyTimeoutError):
        return "policy_timeout"
    if isinstance(raised, PolicyLostError):
        return "policy_timeout" if stopped else "host_lost"
    if isinstance(raised, PolicyRaisedError) or phase in ("warm_up", "infer", "end_episode"):
        return "policy_error"
    return "env_error"


def _timing(
    result: EpisodeResult, clock: PhaseClock, started_at: str, wall_s: float, job: WorkerJob
) -> Timing:
    def seconds(phase: Phase) -> float:
        return round(clock.seconds.get(phase, 0.0), 6)

    def rounded(values: list[float]) -> tuple[float, ...]:
        return tuple(round(value, 4) for value in values) if any(values) else ()

    return Timing(
        started_at=started_at,
        wall_s=round(wall_s, 6),
        build_s=seconds("build"),
        reset_s=seconds("reset"),
        warm_up_s=seconds("warm_up"),
        advance_s=seconds("advance"),
        observe_s=seconds("observe"),
        infer_s=seconds("infer"),
        wait_s=round(result.wait_s, 6),
        infer_ms=rounded(result.infer_ms),
        prefix_ms=rounded(result.prefix_ms),
        denoise_ms=rounded(result.denoise_ms),
        max_batch=result.max_batch,
        machine=socket.gethostname(),
        worker=job.slot,
        session=job.session,
    )


def _origin(item: WorkItem) -> dict[str, Any]:
    """Return the fields of a record that are known before its episode begins."""
    return {
        "arm": item.arm,
        **asdict(item.episode.key),
        "env_id": item.episode.env_id,
        "attempt": item.attempt,
    }


def error_record(
    item: WorkItem,
    reason: Reason,
    message: str,
    *,
    protocol_sha256: str,
    policy_sha256: str,
    session: str,
) -> EpisodeRecord:
    """Return the record of an attempt whose worker could not write it."""
    return EpisodeRecord(
        **_origin(item),
        outcome="error",
        reason=reason,
        protocol_sha256=protocol_sha256,
        policy_sha256=policy_sha256,
        error=ErrorDetail(type=reason, message=message),
        timing=Timing(
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"), session=session
        ),
    )


def worker_main(supervisor: Connection, job: LocalJob, heartbeat: Heartbeat) -> None:
    """Load the policies, then run the supervisor's items until it sends Stop.

    After an infrastructure error the worker reports the record and ends: the next attempt gets a
    fresh process, with a fresh simulator and a fresh GL context.
    """
    become_child(job.parent_pid)
    try:
        _serve(supervisor, job, heartbeat)
    except VlaEvalError as error:
        tell(supervisor, Stopped(error.exit_code, str(error)))
    except Exception as error:  # noqa: BLE001 - reported, and the run stops
        traceback.print_exc()
        tell(supervisor, Stopped(EXIT_INFRASTRUCTURE, f"{type(error).__name__}: {error}"))


def _serve(supervisor: Connection, job: LocalJob, heartbeat: Heartbeat) -> None:
    def reach(name: str, arm: ArmJob) -> HostedPolicy:
        return SocketPolicy(name, str(arm.host_address), job.authkey, job.slot, job.host_wait_s)

    writer = AttemptWriter(job.record_file)
    try:
        worker = EpisodeRunner(job, heartbeat, reach)
    except HostLostError as error:
        tell(supervisor, HostAway(str(error)))  # the supervisor restarts the host, then this worker
        return
    except VlaEvalError:
        raise
    except Exception as error:
        raise InfrastructureError(
            f"a policy could not be loaded: {type(error).__name__}: {error}"
        ) from error
    tell(supervisor, worker.ready())
    while True:
        try:
            message = supervisor.recv()
        except EOFError:
            return
        if isinstance(message, Stop):
            worker.close()
            return
        if isinstance(message, Start):
            worker.start(message)
            continue
        attempt = worker.run(message)
        writer.extend([attempt])
        tell(supervisor, Done(message, attempt.record))
        if attempt.record.outcome == "error":
            return
