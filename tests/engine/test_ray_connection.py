"""Whether a cluster is used at all: only with a token, or where one does without on purpose."""

from __future__ import annotations

import pytest

pytest.importorskip("ray", reason="needs the extra 'cluster'")

import ray

from vla_eval.engine.cluster import Cluster
from vla_eval.engine.ray_connection import connected
from vla_eval.errors import InfrastructureError, UsageError


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """The addresses at which a cluster was looked for; there is none."""
    addresses = []

    def init(address, **_):
        addresses.append(address)
        raise ConnectionError("nobody answers\nand more")

    monkeypatch.setattr(ray, "init", init)
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return addresses


@pytest.mark.parametrize(
    ("variables", "is_there", "used"),
    [
        ({}, False, False),
        ({}, True, False),
        ({"RAY_AUTH_TOKEN": "secret"}, False, True),
        ({"RAY_AUTH_TOKEN_PATH": "file"}, False, True),
        ({"RAY_AUTH_MODE": "token"}, True, True),
        ({"RAY_AUTH_MODE": "token"}, False, False),
        ({"RAY_AUTH_MODE": "disabled"}, True, False),
    ],
)
def test_a_cluster_without_a_token_is_not_even_asked(
    tried, monkeypatch, tmp_path, variables, is_there, used
):
    """A token is given by a variable, or lies where Ray reads it if its mode says so."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if is_there:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("secret")
    said = (
        r"h:1 cannot be used \(nobody answers\)$" if used else "accept that with --insecure-clust"
    )
    with pytest.raises(UsageError, match=said), connected(Cluster("h:1")):
        pass
    assert tried == ["h:1"] * used


def test_without_a_token_on_purpose_or_on_this_machine(tried):
    """Both are tried; that a throw-away cluster does not start is no mistake of the user."""
    with (
        pytest.raises(UsageError, match="cannot be used"),
        connected(Cluster("h:1", insecure=True)),
    ):
        pass
    with pytest.raises(InfrastructureError, match="on this machine"), connected(Cluster("local")):
        pass
    assert tried == ["h:1", "local"]
