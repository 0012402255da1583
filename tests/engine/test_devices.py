"""Policy hosts and simulators are spread over the devices; what is recorded does not depend on it."""

from __future__ import annotations

import json
import os

import pytest

import vla_eval
from vla_eval.engine import devices, local
from vla_eval.engine.devices import Fleet, host_environment, parse_devices, worker_environment
from vla_eval.engine.process import born_with
from vla_eval.engine.session import RunSession
from vla_eval.errors import UsageError
from vla_eval.plan import Shard
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records

HOST = "fakes.policies:InHost"


@pytest.mark.parametrize("text", ["cuda", "cuda:", "cuda:0,", "gpu:1", "cuda:-1", "mps"])
def test_devices_that_cannot_be(text):
    """One sentence with an example."""
    with pytest.raises(UsageError, match="expected cuda:N or cpu"):
        parse_devices(text)


def test_a_fleet_without_hosts_is_refused():
    """Each device has at least one."""
    with pytest.raises(UsageError, match="hosts-per-device 0"):
        Fleet(hosts_per_device=0)


@pytest.mark.parametrize(
    ("device", "visible", "seen"),
    [("cuda:1", None, "1"), ("cuda:1", "4,7", "7"), ("cpu", "4,7", ""), ("cuda:0", "GPU-af", "GPU-af")],
)  # fmt: skip
def test_a_host_sees_one_device(monkeypatch, device, visible, seen):
    """`cuda:N` counts among the devices that a scheduler gave to this run."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert host_environment(device) == {"CUDA_VISIBLE_DEVICES": seen}


def test_a_device_that_was_not_given_is_refused(monkeypatch):
    """Else two jobs would share a device unseen."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    with pytest.raises(UsageError, match="shows 1 devices"):
        host_environment("cuda:1")


def test_simulators_render_on_all_devices_by_egl_s_numbers(monkeypatch):
    """EGL counts devices in another order than CUDA; workers do not see CUDA's variable."""
    monkeypatch.delenv("MUJOCO_EGL_DEVICE_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(devices, "egl_device_of", lambda: {2: 1, 3: 0})
    used = ["cuda:0", "cuda:1"]
    assert [worker_environment(slot, used)["MUJOCO_EGL_DEVICE_ID"] for slot in range(3)] == [
        "1", "0", "1",
    ]  # fmt: skip
    assert worker_environment(0, used)["CUDA_VISIBLE_DEVICES"] is None


def test_the_user_s_renderer_stays(monkeypatch):
    """A machine without NVIDIA's EGL changes nothing either."""
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "5")
    assert worker_environment(0, ["cuda:0"]) == {}
    monkeypatch.delenv("MUJOCO_EGL_DEVICE_ID")
    monkeypatch.setattr(devices, "egl_device_of", dict)
    assert worker_environment(0, ["cuda:0"]) == {}


def test_a_child_s_environment_leaves_no_trace(monkeypatch):
    """Variables that were changed, added or removed are as before."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    before = dict(os.environ)
    with born_with(3, {"CUDA_VISIBLE_DEVICES": None, "MUJOCO_EGL_DEVICE_ID": "2"}):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        assert os.environ["MUJOCO_EGL_DEVICE_ID"] == "2"
    assert dict(os.environ) == before


@pytest.fixture
def crew(tmp_path, protocol_file, monkeypatch):
    started = []

    class Process:
        def __init__(self, name, **parts):
            self.name = name

        def start(self):
            started.append((self.name, os.environ.get("CUDA_VISIBLE_DEVICES")))

    monkeypatch.setattr(local.SPAWN, "Process", Process)
    protocol = load_protocol(str(protocol_file()))
    folder, lock = RunFolder.enter(tmp_path / "run", protocol, {"h": HOST}, Shard(1, 1))

    def make(slots, fleet):
        crew = local.LocalCrew(folder, RunSession(folder.episodes), slots, fleet)
        crew.started = started
        return crew

    with lock:
        yield make


def test_replicas_alternate_over_devices(crew, monkeypatch):
    """Two devices with two hosts each: four hosts, and every fourth worker at the same one."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    four = crew(8, Fleet(("cuda:0", "cuda:1"), 2))
    for place in four.places:
        four.add_host(place)
    assert [seen for _, seen in four.started] == ["0", "1", "0", "1"]
    assert [four.replica_of(slot) for slot in range(8)] == [0, 1, 2, 3] * 2


def test_there_are_no_more_replicas_than_workers(crew):
    """A host without a worker would load its policy for nothing."""
    assert len(crew(2, Fleet(("cpu",), 4)).places) == 2


def test_the_wait_for_a_host_grows_with_its_own_workers_only(crew):
    """A thousand workers at a hundred hosts wait as ten at one."""
    assert crew(1000, Fleet(("cpu",), 100))._host_wait_s() == crew(10, Fleet())._host_wait_s()


@pytest.mark.long
def test_records_do_not_depend_on_replicas(tmp_path, protocol_file):
    """One host and two hosts an arm: equal records, and both hosts were used."""
    found = []
    for name, engine in (("one", "local"), ("two", Fleet(("cpu", "cpu")))):
        slow = 0.0 if name == "one" else 0.15  # so that the second worker finds work left
        arms = {"a": f"{HOST}?skill=0.7&diary={tmp_path / name}&infer_s={slow}"}
        (tmp_path / name).mkdir()
        out = tmp_path / f"run-{name}"
        vla_eval.run(str(protocol_file()), arms, out, workers=2, engine=engine)
        final = read_records([out / "episodes"]).final
        skip = {"policy_sha256"}  # the diary's folder is part of the spec
        found.append([
            json.dumps({k: v for k, v in final[slot].reproducible().items() if k not in skip})
            for slot in sorted(final)
        ])  # fmt: skip
        hosts = {line.split()[0] for line in (tmp_path / name / "diary").read_text().splitlines()}
        assert len(hosts) == (1 if name == "one" else 2)
    assert found[0] == found[1]
