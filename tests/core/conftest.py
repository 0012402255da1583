"""Shared by the tests of the core: a cache of their own, where uses of states are counted."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLA_EVAL_CACHE", str(tmp_path_factory.mktemp("cache")))
