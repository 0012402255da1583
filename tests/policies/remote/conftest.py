"""One server of ours for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fakes.servers import serving


@pytest.fixture(scope="session")
def walker() -> Iterator[str]:
    """A walker of the fake environment, served; the address."""
    with serving("fakes.policies:InHost?skill=0.7") as said:
        yield said["url"]
