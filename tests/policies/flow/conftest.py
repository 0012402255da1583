"""Shared by the tests of flow policies: one thread."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra 'flow'")


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass
