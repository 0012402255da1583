"""A checker for environments: what the evaluator reads of one, tried out. ``vlaeval doctor --env ID`` shows it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from vla_eval.doctor import Check
from vla_eval.environment import Action, EvalEnv, Observation, Stalls, SteppedEnv, make_env
from vla_eval.errors import UsageError, VlaEvalError

__all__ = ["check_environment"]

_PAGE = "see docs/bring-your-environment.md"
_STEPS = 3


def check_environment(env_id: str) -> list[Check]:
    """Build an environment, begin and step it some times, and return what the evaluator misses in it.

    Args:
        env_id: Gymnasium module-colon id, as in a protocol but with the task's name in it.
    """
    try:
        env = make_env(env_id, {})
    except Exception as error:  # noqa: BLE001 - a stranger's environment may raise anything
        return [_failed(env_id, "builds", error)]
    plain = isinstance(env, SteppedEnv)
    kind = "a plain Gymnasium environment, drawn in every step" if plain else "an EvalEnv"
    checks = [_check(env_id, "builds", "", kind)]
    trial = _Trial(env)
    try:
        for name, check in _CHECKS.items():
            checks.append(_tried(env_id, name, check, trial))
            if name == "begins" and not checks[-1].ok:
                break  # everything below would say the same
    finally:
        env.close()
    return checks


@dataclass
class _Trial:
    """An environment and what its first episode showed."""

    env: EvalEnv
    observation: Observation | None = None
    info: dict[str, Any] | None = None

    def begin(self, init_state: int) -> tuple[Observation, dict[str, Any]]:
        return self.env.reset(seed=0, options={"init_state": init_state})

    def action(self) -> Action:
        space = self.env.action_space
        assert isinstance(space, Box)  # noqa: S101 - checked before
        low, high = np.maximum(space.low, -1.0), np.minimum(space.high, 1.0)
        middle: Action = ((low + high) / 2).astype(np.float32)
        return middle


type _Verdict = tuple[str, str]
"""Fault (empty: none) with its remedy, and what was found."""


def _check(env_id: str, name: str, fault: str, detail: str) -> Check:
    return Check(env_id, name, not fault, detail, fault)


def _failed(env_id: str, name: str, error: Exception) -> Check:
    text = str(error) if isinstance(error, VlaEvalError) else f"{type(error).__name__}: {error}"
    return _check(env_id, name, _PAGE, text)


def _tried(env_id: str, name: str, check: Callable[[_Trial], _Verdict], trial: _Trial) -> Check:
    try:
        return _check(env_id, name, *check(trial))
    except Exception as error:  # noqa: BLE001 - a stranger's environment may raise anything
        return _failed(env_id, name, error)


def _begins(trial: _Trial) -> _Verdict:
    trial.observation, trial.info = trial.begin(0)
    gl = os.environ.get("MUJOCO_GL", "")
    return "", f"from initial state 0{f', MUJOCO_GL={gl}' if gl else ''}"


def _actions(trial: _Trial) -> _Verdict:
    space = trial.env.action_space
    if not isinstance(space, Box) or len(space.shape) != 1:
        return f"make it a one-dimensional Box; {_PAGE}", str(space)
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        return "give every entry finite bounds: actions outside are clipped and counted", str(space)
    return "", f"{space.shape[0]} entries, bounded"


def _observations(trial: _Trial) -> _Verdict:
    found = trial.observation
    parts = set(found) if isinstance(found, dict) else set()
    if {"pixels", "agent_pos"} <= parts:
        return "", "pixels and agent_pos"
    wanted = "policies of this project read {'pixels': {camera: image}, 'agent_pos': vector}"
    return "", f"{', '.join(sorted(parts)) or type(found).__name__} (optional: {wanted})"


def _success(trial: _Trial) -> _Verdict:
    missing = [] if "is_success" in (trial.info or {}) else ["reset"]
    trial.begin(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # its sentence is ours, below
        info = trial.env.advance(trial.action())[3]
    if "is_success" in info:
        at_start = "; a start counts as not solved" if missing else ", and after reset"
        return "", f"info['is_success'] after step{at_start}"
    missing.append("step")
    fault = f"set info['is_success'] after {' and '.join(missing)}: no other key is read"
    return f"{fault}, and without it every episode fails", f"has {', '.join(info) or 'nothing'}"


_NO_HASH = (
    "set info['scene_hash'] after reset, a hash of everything that moves: without it no two arms are paired, "
    "and nothing is certified"
)


def _scene(trial: _Trial) -> _Verdict:
    found = bool((trial.info or {}).get("scene_hash"))
    return ("", "info['scene_hash'] after reset") if found else (_NO_HASH, "no scene hash")


def _same(trial: _Trial) -> _Verdict:
    for _ in range(_STEPS):
        trial.env.advance(trial.action())
    observation, info = trial.begin(0)
    if not _equal(observation, trial.observation):
        return "let the seed and init_state alone decide the scene", "another observation"
    before = trial.info or {}
    if info.get("scene_hash") != before.get("scene_hash"):
        return "hash the scene alone, rounded, and nothing that counts episodes", "another hash"
    return "", "the same observation and hash"


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))


def _other(trial: _Trial) -> _Verdict:
    observation, info = trial.begin(1)
    before = trial.info or {}
    changed = info.get("scene_hash") != before.get("scene_hash") or not _equal(
        observation, trial.observation
    )
    if changed:
        return "", "another scene"
    return (
        "read options['init_state'] in reset: all states are the same scene now",
        "the same scene",
    )


def _instruction(trial: _Trial) -> _Verdict:
    text = trial.env.task_description
    return ("" if text else "set the attribute task_description"), text or "none"


def _rate(trial: _Trial) -> _Verdict:
    rate = trial.env.metadata.get("render_fps")
    fault = "" if rate else "set metadata['render_fps'] to the control rate, in Hz"
    return fault, f"{rate} Hz" if rate else "unknown"


def _holds(trial: _Trial) -> _Verdict:
    try:
        trial.env.hold_action()
    except UsageError:
        return "", "no (optional: 'hold' and virtual time need hold_action(), of an EvalEnv)"
    stalls = isinstance(trial.env, Stalls)
    more = "" if stalls else "; no stall_action (optional: virtual time needs it)"
    return "", f"hold_action{' and stall_action' if stalls else ''}{more}"


_CHECKS: dict[str, Callable[[_Trial], _Verdict]] = {
    "begins": _begins,
    "actions": _actions,
    "observations": _observations,
    "success": _success,
    "scene hash": _scene,
    "same start": _same,
    "other start": _other,
    "instruction": _instruction,
    "control rate": _rate,
    "holds still": _holds,
}
