"""The episodes of a run as recordings of Rerun, read and verified by Rerun itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vla_eval.cli import main
from vla_eval.recording.from_run import Selection, record_run
from vla_eval.runs.store import read_records
from vla_eval.runs.traces import Traces

rerun = pytest.importorskip("rerun", reason="needs the extra 'rerun'")
imageio = pytest.importorskip("imageio.v2")
pytestmark = pytest.mark.slow


def tool(*words) -> str:
    """Return what Rerun's own command prints."""
    command = [sys.executable, "-m", "rerun", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture(scope="module", params=["video", "png"])
def recordings(request, finished, tmp_path_factory):
    """The run's first two keys, with both arms."""
    out = tmp_path_factory.mktemp("rrd") / "out"
    chosen = Selection(init_states=[0, 1])
    content = record_run(finished, out, chosen, form="rerun", images=request.param, trust=True)
    assert [each.arm for each in content.episodes] == ["teacher", "walker"] * 2
    assert (out / "meta" / "vla_eval.json").is_file()
    return out


def test_rerun_verifies_every_file(recordings):
    """One file for each key, which the viewer's own checker accepts."""
    files = sorted(recordings.glob("*.rrd"))
    assert [file.name for file in files] == ["fake-Point-i0-e0-p0.rrd", "fake-Point-i1-e0-p0.rrd"]
    tool("rrd", "verify", *files)
    printed = tool("rrd", "print", files[0])
    for arm in ("teacher", "walker"):
        for entity in ("action", "cameras/front", "episode", "inference", "state", "task"):
            assert f"/{arm}/{entity}" in printed


def test_a_damaged_file_is_not_verified(recordings, tmp_path):
    """The check above can fail."""
    file = next(recordings.glob("*.rrd"))
    broken = tmp_path / "broken.rrd"
    broken.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(subprocess.CalledProcessError):
        tool("rrd", "verify", broken)


def test_actions_are_those_of_the_run(recordings, finished):
    """Every executed action of both arms, in order, against the control steps."""
    file = recordings / "fake-Point-i0-e0-p0.rrd"
    found = [each for each in read_records([finished / "episodes"]).attempts if not each.init_state]
    assert {record.arm for record in found} == {"teacher", "walker"}
    for record in found:
        steps, values = column(file, f"/{record.arm}/action", "Scalars:scalars")
        assert steps == list(range(record.steps))
        actions = np.asarray(values, np.float32)
        np.testing.assert_array_equal(actions, Traces(finished).get(record).actions)


def test_there_is_a_picture_for_every_step(recordings):
    """A moment of the video, or the exact picture: the fake environment paints the step's number."""
    file = recordings / "fake-Point-i0-e0-p0.rrd"
    entity = "/walker/cameras/front"
    if (found := column(file, entity, "EncodedImage:blob")) is not None:
        seen = [int(imageio.imread(bytes(blob))[0, 0, 0]) for (blob,) in found[1]]
        assert seen == found[0]
    else:
        steps, moments = column(file, entity, "VideoFrameReference:timestamp")
        assert len(steps) == len({time for (time,) in moments}) > 5


def column(file, entity, component):
    """Return the steps and the values of a component; None if the entity does not have it."""
    for chunk in rerun.recording.load_recording(file).chunks():
        batch = chunk.to_record_batch()
        if chunk.entity_path == entity and component in batch.schema.names:
            return batch.column("step").to_pylist(), batch.column(component).to_pylist()
    return None


def test_the_command_writes_them(finished, tmp_path, capsys):
    """`--format rerun` goes with `--from`, and with nothing else."""
    words = ["record", "--from", str(finished), "--arm", "walker", "--init-states", "0", "--format", "rerun", "--trust"]  # fmt: skip
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    assert "1 episodes, " in capsys.readouterr().out
    assert [file.suffix for file in (tmp_path / "out").glob("fake*")] == [".rrd"]
    assert main(["record", "so101", "--policy", "hold", "--format", "rerun", "--out", "x"]) == 4
    assert "go with --from RUN" in " ".join(capsys.readouterr().err.split())
