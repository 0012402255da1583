"""Which findings of a cluster's doctor are faults; the doctor on a real cluster is in test_ray_crew.py."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="needs the extra 'cluster'")

from vla_eval.doctor import Check
from vla_eval.engine.cluster import Cluster
from vla_eval.engine.ray_doctor import _agreement, _clock, _common, _Facts, _together


def facts(**changes):
    same = {"machine": "m", "versions": {"mujoco": "3.3.2"}, "code": {"a": "1"}, "renderers": {}}
    return _Facts(**(same | changes))


@pytest.mark.parametrize(
    ("there", "fault"),
    [
        ({}, None),
        ({"versions": {"mujoco": "3.4"}}, "versions"),
        ({"versions": {"mujoco": "3.3.2", "torch": "2"}}, None),
        ({"code": {"a": "2"}}, "code"),
        ({"code": {}}, "code"),
    ],
)
def test_other_physics_and_other_code_are_faults(there, fault):
    """Another torch is only told: a warning is no fault."""
    checks = _agreement("n", facts(), facts(**there))
    assert [check.name for check in checks if not check.ok] == ([fault] if fault else [])
    assert all(check.remedy for check in checks if not check.ok)


def check(name, ok):
    return Check("so101", name, ok, "EGL broke", "")


def test_what_fails_only_together_is_told_apart():
    """A fault that each process has alone is in the node's own list already."""
    assert _together("n", [[check("gl", True)], [check("gl", True)]]).ok
    assert _together("n", [[check("gl", False)], [check("gl", False)]]).ok
    found = _together("n", [[check("gl", True)], [check("gl", False)]])
    assert (found.ok, found.detail) == (False, "so101: gl (EGL broke)")


@pytest.mark.parametrize(("skew_s", "ok"), [(0.0, True), (1.0, True), (1.1, False)])
def test_a_wrong_clock_is_a_fault(skew_s, ok):
    """A second is what networks and busy machines explain."""
    assert _clock("n", skew_s).ok is ok


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o644, False)])
def test_a_token_that_others_can_read_is_a_fault(tmp_path, monkeypatch, mode, ok):
    """Ray itself writes it with the usual umask."""
    file = tmp_path / "token"
    file.write_text("secret")
    file.chmod(mode)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    (token, _) = _common(Cluster("h:1"), [])
    assert token.ok is ok
    assert "secret" not in token.detail


def test_two_models_of_gpu_are_a_fault():
    """Their last bits may differ, so a certificate wants one."""
    nodes = [{"Resources": {"CPU": 1, f"accelerator_type:{name}": 1}} for name in ("A100", "H100")]
    (_, models) = _common(Cluster("h:1"), nodes)
    assert (models.ok, models.detail) == (False, "A100, H100")
    assert _common(Cluster("h:1"), nodes[:1])[1].ok
