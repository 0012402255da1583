"""``vlaeval run``: hosts of policies."""

from __future__ import annotations

import pytest

from vla_eval.cli.run import _engine


@pytest.mark.parametrize(
    ("devices", "each", "hosts"),
    [(None, None, 1), ("cpu", None, 1), ("cuda:0,cuda:1", None, 2), ("cuda:0,cuda:1", 3, 6)],
)
def test_a_device_has_one_host_unless_more_are_asked_for(devices, each, hosts):
    """``vlaeval run`` without a word of it starts one host an arm."""
    assert _engine("local", devices, each, None, None).replicas == hosts
