"""Scene hashes tell scenes apart and nothing else; the GL backend is chosen once for all."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vla_eval.errors import InfrastructureError
from vla_eval_envs import gl
from vla_eval_envs.cache import cache_folder
from vla_eval_envs.scene import scene_hash

FIELDS = ("body_pos", "body_quat", "geom_pos", "geom_quat", "geom_size", "geom_rgba")


def scene():
    model = SimpleNamespace(**{name: np.arange(12.0).reshape(3, 4) for name in FIELDS})
    return model, SimpleNamespace(qpos=np.linspace(0, 1, 5))


def test_same_scene_same_hash():
    """Equal arrays give equal sha256 digests of 64 hex digits."""
    assert scene_hash(*scene()) == scene_hash(*scene())
    assert len(scene_hash(*scene())) == 64


@pytest.mark.parametrize("name", [*FIELDS, "qpos"])
def test_every_field_counts(name: str):
    """A change of a micrometre in any field changes the hash."""
    model, data = scene()
    array = getattr(data if name == "qpos" else model, name)
    array.flat[1] += 1e-6
    assert scene_hash(model, data) != scene_hash(*scene())


def test_shape_counts():
    """The same numbers in another shape are another scene."""
    model, data = scene()
    model.geom_pos = model.geom_pos.reshape(4, 3)
    assert scene_hash(model, data) != scene_hash(*scene())


def test_last_bits_and_negative_zero_do_not_count():
    """Noise below 1e-9 and the sign of zero leave the hash alone."""
    model, data = scene()
    data.qpos[0] = -0.0
    data.qpos[2] += 1e-12
    model.body_pos[0, 0] = -1e-13
    assert scene_hash(model, data) == scene_hash(*scene())


def test_explicit_backend_is_honoured(monkeypatch):
    """MUJOCO_GL as the user set it wins, and PyOpenGL is told the same."""
    monkeypatch.setenv("MUJOCO_GL", "OSMesa")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "")
    monkeypatch.delitem(sys.modules, "OpenGL.platform", raising=False)
    monkeypatch.delitem(sys.modules, "mujoco.gl_context", raising=False)
    assert gl.choose_gl_backend() == "osmesa"
    assert os.environ["PYOPENGL_PLATFORM"] == "osmesa"


@pytest.mark.parametrize(
    ("present", "expected"), [(("libEGL",), "egl"), (("libOSMesa",), "osmesa"), ((), None)]
)
def test_default_backend(monkeypatch, present, expected):
    """EGL is preferred, OSMesa comes next, and with neither the remedy is an apt command."""
    monkeypatch.setattr(gl, "_loads", lambda library: library.startswith(present))
    monkeypatch.setattr(gl.platform, "system", lambda: "Linux")
    if expected is None:
        with pytest.raises(InfrastructureError, match="sudo apt-get install"):
            gl._default_backend()
    else:
        assert gl._default_backend() == expected


def test_contradicting_pyopengl_is_refused(monkeypatch):
    """A PyOpenGL that is loaded for another platform cannot be changed, and the error says so."""
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    monkeypatch.setitem(sys.modules, "OpenGL.platform", SimpleNamespace())
    with pytest.raises(InfrastructureError, match="export PYOPENGL_PLATFORM=egl"):
        gl.choose_gl_backend()


def test_mujoco_imported_first_still_renders_off_screen():
    """A MuJoCo that was imported before us without MUJOCO_GL switches to the chosen backend."""
    pytest.importorskip("mujoco")
    code = (
        "import mujoco\n"
        "from vla_eval_envs.gl import choose_gl_backend\n"
        "backend = choose_gl_backend()\n"
        "print(backend in mujoco.gl_context.GLContext.__module__)"
    )
    env = {k: v for k, v in os.environ.items() if k not in {"MUJOCO_GL", "PYOPENGL_PLATFORM"}}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"


def test_cache_folder(monkeypatch, tmp_path):
    """VLA_EVAL_CACHE chooses the cache; a place that cannot be one is refused with the remedy."""
    monkeypatch.setenv("VLA_EVAL_CACHE", str(tmp_path / "cache"))
    assert cache_folder("numba") == tmp_path / "cache" / "numba"
    assert (tmp_path / "cache" / "numba").is_dir()
    (tmp_path / "file").touch()
    monkeypatch.setenv("VLA_EVAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InfrastructureError, match="set VLA_EVAL_CACHE"):
        cache_folder("numba")
