"""A point on a line that has to reach a goal: an environment in a screenful, with faults to order."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from vla_eval.environment import Action, EvalEnv, Observation

_GOAL = 1.0
_SPEED = 0.1


def _spaces() -> tuple[Dict, Box]:
    pixels = Dict({"front": Box(0, 255, (8, 8, 3), np.uint8)})
    state = Box(-np.inf, np.inf, (1,), np.float32)
    return Dict({"pixels": pixels, "agent_pos": state}), Box(-1.0, 1.0, (2,), np.float32)


class PointEnv(EvalEnv):
    """Success at position 1; the initial state decides where the point starts.

    Faults: ``fault`` is what happens at ``fault_step`` of the episodes whose initial state is in
    ``fault_states`` (comma-separated): ``raise``, ``hang``, ``die`` (SIGKILL), ``exit``. With
    ``fault_folder`` it happens once for each episode: a marker file remembers it over processes.
    An episode waits in its first step while the folder ``hold`` has a file with the number of its state;
    a file ``STATE-PID`` says that it does. From ``bump_step`` on it tells of an event, "bump".
    """

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 - Gymnasium's form

    def __init__(
        self,
        *,
        fault: str = "",
        fault_states: str = "",
        fault_step: int = 2,
        fault_folder: str = "",
        step_s: float = 0.0,
        scene: str = "",
        bad_score: str = "",
        odd_provenance: bool = False,
        hold: str = "",
        bump_step: int = 0,
    ) -> None:
        self.observation_space, self.action_space = _spaces()
        self.task_description = "move the point to the goal"
        self._fault = fault
        self._fault_states = {int(each) for each in fault_states.split(",") if each}
        self._fault_step = fault_step
        self._fault_folder = fault_folder
        self._step_s = step_s
        self._scene = scene
        self._bad_score = bad_score
        self._provenance: dict[str, Any] = {"simulator": "point"}
        if odd_provenance:
            self._provenance |= {"count": np.int64(3), "path": Path("/somewhere")}
        self.observed = 0
        self._hold = hold
        self._bump_step = bump_step

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        options = options or {}
        self._state = int(options.get("init_state", self.np_random.integers(100)))
        self._position = 0.01 * self._state
        self._steps = 0
        text = f"{self._scene}/{self._state}/{seed}"
        info = self._info() | {
            "scene_hash": hashlib.sha256(text.encode()).hexdigest(),
            "init_state": self._state,
            "provenance": self._provenance,
        }
        return self.observe(), info

    def _info(self) -> dict[str, Any]:
        half = self._position >= _GOAL / 2
        done = self._position >= _GOAL
        bumped = 0 < self._bump_step <= self._steps
        return {
            "is_success": done,
            "score": self._score(half, done),
            "subgoals": {"half": half, "goal": done},
            "task": self.task_description,
            **({"events": {"bump": self._bump_step}} if bumped else {}),
        }

    def _score(self, half: bool, done: bool) -> float:
        if self._bad_score and self._state in self._fault_states:
            return float(self._bad_score)
        return 0.5 * half + 0.5 * done

    def advance(self, action: Action) -> tuple[float, bool, bool, dict[str, Any]]:
        self._steps += 1
        time.sleep(self._step_s)
        if self._hold and self._steps == 1:
            self._wait()
        if self._state in self._fault_states and self._steps == self._fault_step:
            self._misbehave()
        self._position += _SPEED * float(action[0])
        info = self._info()
        return float(info["is_success"]), info["is_success"], False, info

    def _wait(self) -> None:
        held = Path(self._hold) / str(self._state)
        while held.exists():
            Path(self._hold, f"{self._state}-{os.getpid()}").touch()
            time.sleep(0.01)

    def _misbehave(self) -> None:
        if self._fault_folder:
            marker = Path(self._fault_folder) / f"state-{self._state}"
            if marker.exists():
                return
            marker.touch()
        if self._fault == "raise":
            raise RuntimeError("the simulator diverged")
        if self._fault == "hang":
            time.sleep(3600)
        if self._fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._fault == "exit":
            os._exit(7)

    def stall_action(self, last: Action, ticks: int) -> Action:
        """Stay where it is: the point's actions are displacements."""
        del ticks
        return np.zeros_like(last)

    def observe(self) -> Observation:
        self.observed += 1
        pixels = np.full((8, 8, 3), self._steps % 256, np.uint8)
        state = np.array([self._position], np.float32)
        return {"pixels": {"front": pixels}, "agent_pos": state}

    def hold_action(self) -> Action:
        return np.zeros(2, np.float32)

    def state_hash(self) -> str:
        return hashlib.sha256(f"{self._position:.6f}".encode()).hexdigest()


class PlainEnv(gymnasium.Env[Observation, Action]):
    """The same task as an ordinary environment of somebody else's, without advance and observe."""

    def __init__(self) -> None:
        self._inner = PointEnv()
        self.observation_space, self.action_space = _spaces()
        self.task_description = self._inner.task_description

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        return self._inner.reset(seed=seed, options=options)

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        return self._inner.step(action)
