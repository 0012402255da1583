"""Pictures of LIBERO by the OpenGL that is there, and by software OpenGL: ms a camera, and differing pixels.

    python benchmarks/pictures_gl.py
    python benchmarks/pictures_gl.py --task libero_10/3 --states 10
    python benchmarks/pictures_gl.py --table

draws the first pictures of some initial states in a process for each OpenGL, and writes
``results/pictures_gl.json`` and its table. Software OpenGL is Mesa's EGL, asked for by
``LIBGL_ALWAYS_SOFTWARE`` and, where a GPU's EGL comes first, by ``__EGL_VENDOR_LIBRARY_FILENAMES``. Without a
GPU both are the same, which shows that the comparison works.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run

from vla_eval.catalog import find_suite
from vla_eval.errors import UsageError

_MESA = Path("/usr/share/glvnd/egl_vendor.d/50_mesa.json")
SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "software": {
        "LIBGL_ALWAYS_SOFTWARE": "1",
        **({"__EGL_VENDOR_LIBRARY_FILENAMES": str(_MESA)} if _MESA.exists() else {}),
    },
}
_DRAWINGS = 5


def main() -> None:
    """Measure, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--task", default="libero_spatial/0", metavar="SUITE/TASK")
    arguments.add_argument("--states", type=count, default=5, help="initial states (5)")
    chosen = arguments.parse_args()
    if not chosen.table:
        save("pictures_gl", measure(chosen.task, chosen.states))
    write_table("pictures_gl", table)


def measure(task: str, states: int) -> dict[str, Any]:
    """Return renderer, times and differences."""
    suite, slash, name = task.partition("/")
    if not slash:
        raise UsageError(f"'{task}' is no task; expected SUITE/TASK (see: vlaeval list tasks)")
    env_id = find_suite(suite).task(name).env_id
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, settings in SETTINGS.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                file = str(Path(folder) / f"{label}.npz")
                found[label] = pool.apply(draw, (env_id, states, settings, file))
        one, other = (np.load(Path(folder) / f"{label}.npz") for label in SETTINGS)
        differences = {camera: difference(one[camera], other[camera]) for camera in one.files}
    return {
        "machine": machine(),
        "task": task,
        "states": states,
        "drawn": found,
        "differences": differences,
    }


def draw(env_id: str, states: int, settings: Mapping[str, str], file: str) -> dict[str, Any]:
    """Draw the first pictures of some states into a file; return the renderer and the ms of each camera."""
    os.environ.update(settings)
    from vla_eval.environment import BenchCameras, make_env

    env = make_env(env_id, {})
    try:
        shown = [
            env.reset(seed=7, options={"init_state": state})[0]["pixels"] for state in range(states)
        ]
        if not isinstance(env, BenchCameras):
            raise UsageError(f"{env_id}: its cameras cannot be measured one by one")
        times = {name: _milliseconds(camera) for name, camera in env.bench_cameras().items()}
        renderer = _renderer()
    finally:
        env.close()
    pictures: dict[str, Any] = {name: np.array([each[name] for each in shown]) for name in shown[0]}
    np.savez(file, **pictures)
    return {"renderer": renderer, "camera_ms": times}


def _milliseconds(camera: Any) -> float:
    camera()
    times = []
    for _ in range(_DRAWINGS):
        began = perf_counter()
        camera()
        times.append(1e3 * (perf_counter() - began))
    return round(statistics.median(times), 2)


def _renderer() -> str:
    from OpenGL import GL

    return (GL.glGetString(GL.GL_RENDERER) or b"unknown").decode(errors="replace")


def difference(ours: Any, theirs: Any) -> dict[str, float]:
    """Return the share of pixels that differ, and the differences' largest and mean in levels of 255.

    Args:
        ours: pictures, (states, height, width, 3).
        theirs: the same pictures by the other OpenGL.
    """
    gap = np.abs(ours.astype(np.int16) - theirs)
    return {
        "pixels": float(np.any(gap > 0, axis=-1).mean()),
        "most": int(gap.max()),
        "mean": round(float(gap.mean()), 4),
    }


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    drawn = results["drawn"]
    lines = [
        "# Pictures by two OpenGLs",
        "",
        f"By `benchmarks/pictures_gl.py`: {in_words(results['machine'])}.",
        f"{results['task']}, first pictures of {results['states']} initial states.",
        "",
        *(f"- {label}: {each['renderer']}" for label, each in drawn.items()),
        "",
        "| camera | default, ms | software, ms | pixels that differ | largest difference | mean difference |",
        "|---|---|---|---|---|---|",
    ]
    for camera, gap in results["differences"].items():
        times = " | ".join(f"{drawn[label]['camera_ms'][camera]:.1f}" for label in SETTINGS)
        lines.append(
            f"| {camera} | {times} | {gap['pixels']:.2%} | {gap['most']} | {gap['mean']:.3f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
