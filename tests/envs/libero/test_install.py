"""LIBERO's installation: found, refused with a remedy, and free of side effects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from vla_eval.cli import main
from vla_eval.errors import InfrastructureError, MissingExtraError, UsageError
from vla_eval.installed import install_command
from vla_eval_envs.libero import assets as assets_module
from vla_eval_envs.libero import doctor
from vla_eval_envs.libero import versions as versions_module
from vla_eval_envs.libero.assets import ASSETS_VARIABLE, find_assets
from vla_eval_envs.libero.env import LiberoEnv
from vla_eval_envs.libero.versions import versions

SUBFOLDERS = (
    "articulated_objects",
    "scenes",
    "stable_hope_objects",
    "stable_scanned_objects",
    "textures",
    "turbosquid_objects",
)


def assets_folder(root: Path) -> Path:
    for name in SUBFOLDERS:
        (root / name).mkdir(parents=True)
    return root


def installed(monkeypatch, **found: str) -> None:
    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(versions_module, "version", version)


def test_missing_package_names_the_extra(monkeypatch):
    """Without hf-libero the environment says which extra to install."""
    installed(monkeypatch, mujoco="3.3.2", robosuite="1.4.0")
    with pytest.raises(MissingExtraError, match="extra 'libero'"):
        LiberoEnv("libero_spatial", 0)


def test_other_mujoco_is_refused(monkeypatch):
    """Another MuJoCo is refused with both remedies; the override is allowed and recorded."""
    installed(monkeypatch, **{"mujoco": "3.8.1", "robosuite": "1.4.0", "hf-libero": "0.1.4"})
    monkeypatch.delenv("VLA_EVAL_ALLOW_MUJOCO", raising=False)
    with pytest.raises(InfrastructureError, match=r"mujoco==3\.3\.2.*VLA_EVAL_ALLOW_MUJOCO=1"):
        versions()
    monkeypatch.setenv("VLA_EVAL_ALLOW_MUJOCO", "1")
    found = versions()
    assert found.mujoco_override
    folder = assets_module.Assets(Path(), "folder", 0)
    record = versions_module.provenance(found, "egl", folder)
    assert record["mujoco"] == "3.8.1"
    assert record["mujoco_override"] is True


def test_provenance_names_no_path(monkeypatch, tmp_path: Path):
    """Assets go into records by kind; stand-ins are counted and named whatever their origin."""
    installed(monkeypatch, **{"mujoco": "3.3.2", "robosuite": "1.4.0", "hf-libero": "0.1.4"})
    folder = assets_folder(tmp_path / "assets")
    genuine = versions_module.provenance(versions(), "egl", find_assets(str(folder)))
    assert (genuine["assets"], genuine["standins"]) == ("folder", False)
    assert "mujoco_override" not in genuine
    (folder / "STANDINS.txt").write_text("a/b.png\nc/d.msh\n\n")
    replaced = versions_module.provenance(versions(), "egl", find_assets(str(folder)))
    assert (replaced["assets"], replaced["standins"]) == ("stand-ins", True)
    assert replaced["standins_count"] == 2
    assert str(tmp_path) not in json.dumps([genuine, replaced])


def test_chosen_folder_comes_before_the_variable(monkeypatch, tmp_path: Path):
    """The option wins over the environment variable."""
    one, two = assets_folder(tmp_path / "one"), assets_folder(tmp_path / "two")
    monkeypatch.setenv(ASSETS_VARIABLE, str(two))
    assert find_assets().path == two
    assert find_assets(str(one)).path == one


def test_wrong_folder_is_refused(monkeypatch, tmp_path: Path):
    """A folder without the expected parts is refused with its source and what it lacks."""
    (assets_folder(tmp_path) / "scenes").rmdir()
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match=f"{ASSETS_VARIABLE}.*no scenes"):
        find_assets()


def test_no_assets_names_both_remedies(monkeypatch, tmp_path: Path):
    """Without assets and without a hub the error names the variable and the download."""
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")

    def nothing(*_: object, local_files_only: bool = False, **__: object) -> str:
        if local_files_only:
            raise errors.LocalEntryNotFoundError("not cached")
        raise ConnectionError("offline")

    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(assets_module, "find_spec", lambda _: None)
    monkeypatch.setattr(hub, "snapshot_download", nothing)
    for download in (False, True):
        with pytest.raises(InfrastructureError, match=f"{ASSETS_VARIABLE}.*hf download"):
            find_assets(download=download)


def test_hub_snapshot_is_used(monkeypatch, tmp_path: Path, capsys):
    """A cached snapshot is used in silence; a download announces itself on stderr only."""
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    folder = assets_folder(tmp_path / "snapshot")
    cached = True

    def snapshot(*_: object, local_files_only: bool = False, **__: object) -> str:
        if local_files_only and not cached:
            raise errors.LocalEntryNotFoundError("not cached")
        return str(folder)

    monkeypatch.delenv(ASSETS_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(assets_module, "find_spec", lambda _: None)
    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert find_assets().name == "hub"
    assert capsys.readouterr() == ("", "")
    cached = False
    assert find_assets().path == folder
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading" in err


def test_doctor_stops_at_the_first_failure(monkeypatch):
    """Each check says what to do, and later checks are not run on top of a failed one."""
    installed(monkeypatch)
    results = doctor.checks()
    assert [(name, ok) for name, ok, _, _ in results] == [("LIBERO packages", False)]
    assert results[0][3] == install_command("libero")


def test_no_prompt_no_trace_no_torch(libero_assets, tmp_path: Path):
    """Running a task with closed input writes only the cache, prints nothing, loads no PyTorch.

    Home, the working folder, LIBERO's and robosuite's own folders and /tmp/robosuite.log are
    compared before and after; the environment variables too.
    """
    assets = str(libero_assets.path)
    home, cwd, cache = tmp_path / "home", tmp_path / "cwd", tmp_path / "cache"
    home.mkdir()
    cwd.mkdir()
    missing = _warm(cache)
    code = (
        "import os, sys, json, gymnasium\n"
        "from vla_eval_envs.gl import choose_gl_backend\n"
        "choose_gl_backend()\n"
        "before = dict(os.environ)\n"
        "env = gymnasium.make('vla_eval_envs:libero/spatial-0-v0', image_size=32)\n"
        "env.reset(seed=0, options={'init_state': 0})\n"
        "env.step(env.action_space.sample())\n"
        "env.close()\n"
        "heavy = [m for m in ('torch', 'transformers', 'matplotlib') if m in sys.modules]\n"
        "changed = sorted(k for k in before.keys() | os.environ.keys()\n"
        "                 if before.get(k) != os.environ.get(k))\n"
        "sys.stderr.write(json.dumps([heavy, changed]))\n"
    )
    variables = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "VLA_EVAL_CACHE": str(cache),
        ASSETS_VARIABLE: assets,
    }
    before = _library_files()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=variables,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    heavy, changed = json.loads(done.stderr)
    assert heavy == []
    # OpenCV, which robosuite imports, sets these itself for its windows.
    assert set(changed) <= {"LD_LIBRARY_PATH", "QT_QPA_FONTDIR", "QT_QPA_PLATFORM_PLUGIN_PATH"}
    assert list(home.rglob("*")) == []
    assert list(cwd.rglob("*")) == []
    assert _library_files() == before
    assert any((cache / "numba").rglob("*.nbi"))
    assert not missing or any(path.is_file() for path in missing)


def _warm(cache: Path) -> list[Path]:
    """Copy compiled code from the tests' own cache, but for one function; return where its index goes.

    To compile everything anew takes most of a minute, and one function shows where files are written.
    """
    pytest.importorskip("numba")
    from vla_eval_envs.cache import cache_folder
    from vla_eval_envs.libero.jit import _folder_name

    copy = shutil.copytree(cache_folder(_folder_name()), cache / _folder_name())
    missing = list(copy.rglob("loop.gripper_ramp-*.nbi"))
    for path in missing:
        path.unlink()
    return missing


def _library_files() -> set[tuple[str, int]]:
    """Return every file of LIBERO and robosuite, and robosuite's log, with their times.

    Bytecode is left out: tests that run beside this one may be the first to import a module.
    """
    from importlib.util import find_spec

    roots = [Path(find_spec(name).origin).parent for name in ("libero", "robosuite")]
    files = [path for root in roots for path in root.rglob("*")]
    files.append(Path("/tmp/robosuite.log"))  # noqa: S108  robosuite's own choice
    return {
        (str(path), path.stat().st_mtime_ns)
        for path in files
        if path.suffix != ".pyc" and path.is_file()
    }


def test_changing_assets_within_a_process_is_refused(libero_assets, tmp_path: Path):
    """A second assets folder in one process is refused, with both folders named."""
    assets = str(libero_assets.path)
    other = assets_folder(tmp_path / "other")
    code = (
        "from vla_eval.errors import UsageError\n"
        "from vla_eval_envs.libero.assets import find_assets\n"
        "from vla_eval_envs.libero.install import load\n"
        f"load(find_assets({assets!r}))\n"
        "try:\n"
        f"    load(find_assets({str(other)!r}))\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert assets in done.stdout
    assert str(other) in done.stdout


def test_a_run_without_assets_is_refused_before_it_begins(monkeypatch, tmp_path, capsys):
    """One sentence, and neither a folder nor a worker: the folder that a protocol names is checked too."""
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path / "none"))
    command = ["run", "libero-smoke", "--policy", "hold", "--out", str(tmp_path / "run")]
    assert main(command) == 4
    assert "which is not a LIBERO assets folder" in capsys.readouterr().err
    monkeypatch.delenv(ASSETS_VARIABLE)
    empty = str(tmp_path / "empty")
    assert main([*command, "--set", f"blocks.0.env_kwargs.assets={empty}"]) == 4
    assert f"the option assets= names {empty}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
