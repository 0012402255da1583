"""Compiled scenes on disk: the same as compiled anew, never stale, never too many."""

from __future__ import annotations

import os

import numpy as np
import pytest

mujoco = pytest.importorskip("mujoco")
compiled = pytest.importorskip("vla_eval_envs.libero.scene_cache")

XML = """<mujoco><asset><mesh name="m" file="{path}"/></asset><worldbody>
<body><joint/><geom type="mesh" mesh="m"/></body></worldbody></mujoco>"""
CORNERS = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 {height}\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setenv("VLA_EVAL_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mesh.obj"
    path.write_text(CORNERS.format(height=1))
    return path, XML.format(path=path)


def files(tmp_path):
    return sorted((tmp_path / "cache" / "libero-scenes").iterdir())


def test_loaded_is_compiled(scene, tmp_path, monkeypatch):
    """The second time nothing is compiled, and every array of the model is the same."""
    first = compiled.compile_or_load(scene[1])
    monkeypatch.setattr(compiled.mujoco.MjModel, "from_xml_string", None)
    second = compiled.compile_or_load(scene[1])
    for name in dir(first):
        value = getattr(first, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(second, name))
    assert [path.suffix for path in files(tmp_path)] == [".mjb"]


def test_changed_assets_are_compiled_anew(scene):
    """When a mesh file changes, the scene does."""
    path, xml = scene
    before = compiled.compile_or_load(xml)
    path.write_text(CORNERS.format(height=1.25))
    # MuJoCo's own cache tells files apart by whole seconds.
    os.utime(path, (path.stat().st_mtime + 10,) * 2)
    after = compiled.compile_or_load(xml)
    assert not np.array_equal(before.mesh_vert, after.mesh_vert)


def test_damaged_files_are_replaced(scene, tmp_path):
    """A file that is cut short is compiled again and overwritten."""
    compiled.compile_or_load(scene[1])
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert compiled.compile_or_load(scene[1]).nmesh == 1
    assert path.read_bytes() == whole


def test_no_room_is_no_error(scene, tmp_path, monkeypatch):
    """Without room on disk the scene is compiled and not kept; with little, the oldest goes."""
    monkeypatch.setattr(compiled, "_MAX_BYTES", 1)
    assert compiled.compile_or_load(scene[1]).nmesh == 1
    assert files(tmp_path) == []
    size = int(mujoco.mj_sizeModel(compiled.compile_or_load(scene[1])))
    monkeypatch.setattr(compiled, "_MAX_BYTES", int(1.5 * size))
    compiled.compile_or_load(scene[1])
    compiled.compile_or_load(scene[1].replace("<joint/>", "<joint damping='1'/>"))
    assert len(files(tmp_path)) == 1
