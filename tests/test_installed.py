"""The command that adds an extra exists for the way in which the package was installed."""

from __future__ import annotations

import json

import pytest

from vla_eval import installed


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({}, "pip install 'vla-eval-suite[flow]'"),
        ({"url": "file:///src/suite", "dir_info": {}}, "pip install '/src/suite[flow]'"),
        (
            {"url": "file:///w/x.whl", "archive_info": {}},
            "pip install 'vla-eval-suite[flow] @ file:///w/x.whl'",
        ),
        (
            {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'vla-eval-suite[flow] @ git+https://host/x.git@abc'",
        ),
        ([], "pip install 'vla-eval-suite[flow]'"),
    ],
)
def test_a_remedy_for_each_way(monkeypatch, origin, command):
    """As PEP 610 records it: an index, a folder, a wheel, git."""

    class Distribution:
        def read_text(self, name):
            assert name == "direct_url.json"
            return json.dumps(origin)

    monkeypatch.setattr(installed.importlib.metadata, "distribution", lambda name: Distribution())
    assert installed.install_command("flow") == command


def test_a_checkout_installs_itself(monkeypatch, tmp_path):
    """Its Makefile knows the locked versions."""
    (tmp_path / "Makefile").touch()
    origin = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    monkeypatch.setattr(installed, "_origin", lambda: origin)
    assert installed.install_command("flow") == f"make -C {tmp_path} install"


def test_the_code_of_all_packages_has_a_hash():
    """The rooms offer suites and policies by entry point; each is hashed by its own name."""
    code = installed.code_of_packages()
    assert {"vla_eval", "vla_eval_envs", "vla_eval_policies", "vla_eval_protocols"} <= set(code)
    assert len({*code.values()}) == len(code)
    assert installed._hash_of("no_such_package") == ""
