"""A LeRobot checkpoint behind ``vlaeval serve`` is the one in process."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.lerobot import builders
from fakes.lerobot.loading import context, load, observation
from fakes.servers import serving
from vla_eval.spec import build_policy

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("options", "nfe"), [("nfe=1", 1), ("nfe=10", 10), ("nfe=1&keystone=3", 3)]
)
def test_a_served_smolvla_gives_the_same_actions(tmp_path, options, nfe):
    """Driven over openpi: with the episode's key, at 1 and 10 function evaluations, bit for bit."""
    folder = builders.smolvla(tmp_path / "smolvla", builders.LIBERO)
    local = load(folder, options)
    with serving(f"lerobot:{folder}?{options}") as said:
        served = build_policy(f"openpi:{said['url']}")
        assert served.metadata.weights_sha256 == local.metadata.weights_sha256
        assert (served.metadata.nfe, served.metadata.method) == (nfe, local.metadata.method)
        served.warm_up([observation()], [context()])
        for index in range(2):
            seen = [observation(index)]
            (here,) = local.infer(seen, [context(index)])
            (there,) = served.infer(seen, [context(index)])
            assert np.array_equal(here.actions, there.actions)
            assert here.nfe == there.nfe == nfe
            assert here.counts == there.counts
            assert bool(there.counts) == ("keystone" in options)
            assert there.denoise_ms > 0
