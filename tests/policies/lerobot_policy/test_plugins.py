"""A policy type that an installed distribution ``lerobot_policy_…`` brings to LeRobot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="needs the extra 'lerobot'")
# Importing LeRobot's policies takes 20 s of CPU, and these are three processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FAKES = Path(__file__).parents[2] / "fakes"
PLUGIN = "lerobot_policy_straight"

MAKE = """
import sys
from fakes.lerobot import builders
from lerobot_policy_straight.modeling_straight import StraightConfig, StraightPolicy
inputs, outputs = builders.LIBERO.features()
config = StraightConfig(input_features=inputs, output_features=outputs, device="cpu")
builders.save(StraightPolicy(config), Path(sys.argv[1]), builders.LIBERO.statistics())
"""
USE = """
import json, sys
from fakes.lerobot.loading import LiberoLike, context, load, observation
from vla_eval.policy_check import policy_findings
policy = load(Path(sys.argv[1]))
one, again = (policy.infer([observation()], [context()])[0].actions for _ in range(2))
about = policy.metadata
findings = policy_findings(policy, LiberoLike(), "libero_spatial", "0")
print(json.dumps({
    "method": about.method, "chunk": one.shape, "n_action_steps": about.n_action_steps,
    "weights": bool(about.weights_sha256), "alike": bool((one == again).all()),
    "faults": [str(each) for each in findings if not each.ok],
}))
"""


@pytest.fixture
def site(tmp_path):
    """The plug-in alone in a folder, with the metadata by which LeRobot finds it."""
    shutil.copytree(FAKES / PLUGIN, tmp_path / "site" / PLUGIN)
    about = tmp_path / "site" / f"{PLUGIN}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PLUGIN}\nVersion: 1\n")
    return tmp_path / "site"


@pytest.fixture
def checkpoint(site, tmp_path):
    """A checkpoint of the plug-in's type."""
    python(MAKE, tmp_path / "checkpoint", site)
    return tmp_path / "checkpoint"


def python(code: str, checkpoint: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([*map(str, folders), os.environ["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-c", f"from pathlib import Path{code}", str(checkpoint)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )


def test_a_plug_in_s_policy_is_loaded_like_lerobot_s_own(checkpoint, site):
    """The checkpoint is all that the spec names; the contract of policies is kept, noise included."""
    found = json.loads(python(USE, checkpoint, site).stdout.splitlines()[-1])
    assert found == {
        "method": "straight",
        "chunk": [8, 7],
        "n_action_steps": 4,
        "weights": True,
        "alike": True,
        "faults": [],
    }


def test_without_the_plug_in_its_type_is_unknown(checkpoint):
    """One sentence names the type, and how its plug-in would have to be called."""
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python(USE, checkpoint)
    last = failed.value.stderr.strip().splitlines()[-1]
    assert "LeRobot knows no policy type 'straight'" in last
    assert "lerobot_policy_" in last
