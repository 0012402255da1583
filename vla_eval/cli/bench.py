"""``vlaeval bench``."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from vla_eval.catalog import Task, find_suite
from vla_eval.cli.bench_policy import bench_policy
from vla_eval.cli.common import print_json, print_table
from vla_eval.environment import EvalEnv, make_env
from vla_eval.errors import EXIT_COMPLETE, UsageError
from vla_eval.files.plain import whole_number

__all__ = ["bench", "measure_simulator"]

Target = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SUITE/TASK|SPEC")]
EnvOptions = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE")
]

_STEPS = 40
_PICTURES = 5
_RESETS = 3


def bench(
    what: tyro.conf.Positional[Literal["sim", "policy"]],
    target: Target,
    *,
    option: EnvOptions = (),
    nfe: tuple[int, ...] = (),
    batch: tuple[int, ...] = (1,),
    dtype: tuple[str, ...] = (),
    suite: Annotated[str | None, tyro.conf.arg(metavar="SUITE")] = None,
    repeats: Annotated[int, tyro.conf.arg(metavar="N")] = 30,
    json: bool = False,
) -> int:
    """Measure what a simulator's time goes into on this machine, or a policy's.

    Example: vlaeval bench sim libero_spatial/4
    Example: vlaeval bench policy 'lerobot:outputs/pretrained_model' --batch 1 4

    Args:
        what: 'sim', an environment without a policy; or 'policy', a policy without an environment.
        target: The task, for example libero_spatial/4 or so101/PickPlace; or the policy's spec.
        option: Of sim: an option of the environment, for example physics=fast; may be given again.
        nfe: Of policy: function evaluations to try; default 1 2 5 10 where it has steps.
        batch: Of policy: how many observations at a time.
        dtype: Of policy: of the model, for example float32 bfloat16; default the spec's.
        suite: Of policy: whose first observation to take; default one that the policy makes up.
        repeats: Of policy: how often each configuration is measured, after its warm-up.
        json: Print for machines.
    """
    given = {"--nfe": nfe, "--dtype": dtype, "--suite": suite} if what == "sim" else {}
    given |= {"--option": option} if what == "policy" else {}
    if misplaced := [flag for flag, value in given.items() if value]:
        other = "policy" if what == "sim" else "sim"
        raise UsageError(f"{misplaced[0]} is for vlaeval bench {other}, not for bench {what}")
    if what == "policy":
        if min((*nfe, *batch, repeats), default=1) < 1:
            raise UsageError("--nfe, --batch and --repeats must be at least 1")
        return bench_policy(
            target,
            nfes=nfe,
            batches=batch,
            dtypes=dtype,
            suite=suite,
            repeats=repeats,
            json=json,
        )
    result = measure_simulator(target, _options(option))
    if json:
        print_json(result)
    else:
        print_table([["what", "median"], *_rows(result)])
    return EXIT_COMPLETE


def measure_simulator(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a control step, a look, a reset and a change of task cost, as medians.

    Environments may say more of themselves by two methods: ``bench_physics()`` returns what runs the
    bare physics of one control step on a copy of the state, and ``bench_cameras()`` what draws each
    camera. Where one is missing, its numbers are null or for all cameras together.

    Args:
        name: ``SUITE/TASK``.
        options: arguments of the environment.

    Returns:
        ``physics_floor_ms``, ``control_step_ms`` (with success, without cameras), ``observe_ms`` by
        camera, ``reset_s`` (to another initial state, first observation included), ``task_change_s``
        (from one task to the first observation of the suite's next) and ``rss_mb`` (resident memory).
    """
    task, following = _find(name)
    env = make_env(task.env_id, options)
    try:
        env.reset(seed=0, options={"init_state": 0})
        steps, floors = _control_steps(env)
        cameras = {camera: _milliseconds(draw) for camera, draw in _cameras(env).items()}
        resets = [_reset(env, 1 + i % (task.init_states - 1)) for i in range(_RESETS)]
        memory = _resident_mb()
        changes = []
        for other in (following, task):
            start = time.perf_counter()
            env.close()
            env = make_env(other.env_id, options)
            env.reset(seed=0, options={"init_state": 0})
            changes.append(time.perf_counter() - start)
    finally:
        env.close()
    return {
        "task": name,
        "physics_floor_ms": _median(floors, 1e3) if floors else None,
        "control_step_ms": _median(steps, 1e3),
        "observe_ms": cameras,
        "reset_s": _median(resets),
        "task_change_s": _median(changes),
        "rss_mb": round(max(memory, _resident_mb())),
    }


def _find(name: str) -> tuple[Task, Task]:
    suite_name, slash, task_name = name.partition("/")
    if not slash:
        raise UsageError(f"'{name}' is no task; expected SUITE/TASK (see: vlaeval list tasks)")
    suite = find_suite(suite_name)
    tasks = suite.tasks
    task = suite.task(task_name)
    return task, tasks[(tasks.index(task) + 1) % len(tasks)]


def _control_steps(env: EvalEnv) -> tuple[list[float], list[float]]:
    """Return the seconds of random control steps, and of the bare physics from the same states."""
    low, high = env.hold_action() - 0.1, env.hold_action() + 0.1
    actions = np.random.default_rng(0).uniform(low, high, (_STEPS, *low.shape))
    prepare: Callable[[], Callable[[], None] | None] = getattr(env, "bench_physics", lambda: None)
    steps, floors = [], []
    for action in actions.astype(np.float32):
        bare = prepare()
        if bare is not None:
            floors.append(_seconds(bare))
        start = time.perf_counter()
        terminated = env.advance(action)[1]
        steps.append(time.perf_counter() - start)
        if terminated:
            env.reset(seed=0, options={"init_state": 0})
    return steps, floors


def _cameras(env: EvalEnv) -> Mapping[str, Callable[[], object]]:
    named: Callable[[], Mapping[str, Callable[[], object]]] | None
    named = getattr(env, "bench_cameras", None)
    return {"all": env.observe} if named is None else named()


def _milliseconds(draw: Callable[[], object]) -> float:
    draw()
    return _median([_seconds(draw) for _ in range(_PICTURES)], 1e3)


def _reset(env: EvalEnv, init_state: int) -> float:
    return _seconds(lambda: env.reset(seed=0, options={"init_state": init_state}))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _median(values: list[float], factor: float = 1.0) -> float:
    return round(float(np.median(values)) * factor, 3)


def _resident_mb() -> float:
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize() / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def _options(texts: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--option {text}: expected KEY=VALUE, for example physics=fast")
        number = whole_number(value.removeprefix("-"))
        sign = -1 if value.startswith("-") else 1
        options[key] = value if number is None else sign * number
    return options


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    floor, step = result["physics_floor_ms"], result["control_step_ms"]
    ratio = f", {step / floor:.2f} times its physics" if floor else ""
    return [
        ["bare physics of a control step", "not measured" if floor is None else f"{floor:.2f} ms"],
        ["control step", f"{step:.2f} ms{ratio}"],
        *([f"picture: {name}", f"{ms:.1f} ms"] for name, ms in result["observe_ms"].items()),
        ["reset to another initial state", f"{result['reset_s']:.2f} s"],
        ["change of task", f"{result['task_change_s']:.2f} s"],
        ["resident memory", f"{result['rss_mb']} MB"],
    ]
