"""The tests stand as their sources do: every folder of tests/ has a folder of sources."""

from __future__ import annotations

from pathlib import Path, PurePath

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PACKAGES = {
    "envs": "envs/vla_eval_envs",
    "policies": "policies/vla_eval_policies",
    "protocols": "protocols/vla_eval_protocols",
}
NO_MIRROR = {"fakes", "repository", "typing"}
"""What several tests use; tests of the repository itself; examples that mypy checks."""


def has_source(folder: PurePath) -> bool:
    """Whether a folder of tests, relative to tests/, stands where a folder of sources does."""
    first, *rest = folder.parts
    homes = (f"vla_eval/{first}", PACKAGES.get(first, first))
    return first in NO_MIRROR or any((ROOT / home).joinpath(*rest).is_dir() for home in homes)


def test_every_folder_of_tests_has_a_folder_of_sources():
    """Who knows a file's place knows the place of its tests, and the other way round."""
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("*.py")} - {PurePath()}
    assert len(folders) > 20
    assert sorted(str(folder) for folder in folders if not has_source(folder)) == []


def test_a_folder_without_sources_is_found():
    """The check can fail, also deep in the tree and within a package's folder."""
    assert not any(map(has_source, map(PurePath, ("core", "stats/core", "envs/runs", "envs/core"))))
    assert all(map(has_source, map(PurePath, ("runs", "certificate/page", "envs/libero", "tools"))))
