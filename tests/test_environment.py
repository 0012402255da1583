"""Environments that cannot be built: one sentence for each mistake, and the others as they are."""

from __future__ import annotations

import pytest

from vla_eval.environment import make_env
from vla_eval.errors import UsageError


@pytest.mark.parametrize(
    ("env_id", "arguments", "said"),
    [
        ("no_such_package:fakes/Point-v0", {}, "the package 'no_such_package' .* is not installed"),
        ("fakes:fakes/Pint-v0", {}, "environment 'fakes:fakes/Pint-v0': .*Pint"),
        ("fakes:fakes/Point-v0", {"colour": "red"}, "env_kwargs: .*colour"),
    ],
)
def test_a_mistake_in_a_protocol_is_a_sentence(env_id, arguments, said):
    """No package, no environment of that name in it, no such argument."""
    with pytest.raises(UsageError, match=said):
        make_env(env_id, arguments)


def test_a_mistake_in_the_environment_stays_what_it_is(monkeypatch):
    """Its own traceback leads to it."""

    def broken(*_, **__):
        raise TypeError("unsupported operand")

    monkeypatch.setattr("vla_eval.environment.gymnasium.make", broken)
    with pytest.raises(TypeError, match="unsupported operand"):
        make_env("fakes:fakes/Point-v0", {})
