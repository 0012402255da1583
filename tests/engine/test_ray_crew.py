"""Runs on a Ray cluster whose processes and nodes really die: the records are a local run's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import vla_eval
from fakes.contract import CrewContract
from vla_eval.engine.cluster import Cluster, opened
from vla_eval.engine.session import RunSession
from vla_eval.errors import InfrastructureError, UsageError
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records
from vla_eval.runs.traces import Traces

ray = pytest.importorskip("ray", reason="needs the extra 'cluster'")

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("ray"), pytest.mark.timeout(280)]

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def add(nodes, **options):
    """Add a node; on a busy machine its start can take longer than Ray waits for it."""
    for left in (2, 1, 0):
        try:
            return nodes.add_node(**NODE, **options)
        except Exception:
            if not left:
                raise
    return None


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, without tokens."""
    from ray.cluster_utils import Cluster as TwoNodes

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = TwoNodes()
        add(nodes, include_dashboard=False)
        nodes.second = add(nodes)
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture
def here(cluster):
    return Cluster(cluster.address, insecure=True)


def reproducible(out: Path) -> list[str]:
    final = read_records([out / "episodes"]).final
    return [json.dumps(final[slot].reproducible(), sort_keys=True) for slot in sorted(final)]


def count(out: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (out / "episodes").glob("*.jsonl"))


def wait_for(out: Path, records: int) -> None:
    deadline = time.monotonic() + 120
    while count(out) < records:
        assert time.monotonic() < deadline, "the run made no progress"
        time.sleep(0.02)


def arms(markers: Path) -> dict[str, str]:
    markers.mkdir(exist_ok=True)
    return {
        "student": "fakes.policies:InWorker?skill=0.8",
        "teacher": f"fakes.policies:InHost?skill=0.9&fault=die&fault_states=5&fault_folder={markers}",
    }


class TestContract(CrewContract):
    @pytest.fixture
    def make(self, here):
        with opened(here) as engine:
            yield lambda folder: engine.make_crew(folder, RunSession(folder.episodes), 1)


def test_dead_workers_hosts_and_nodes_change_no_record(tmp_path, protocol_file, cluster, here):
    """A worker and a host kill themselves, a node is taken away: one result a key, as a local run's."""
    specs = arms(tmp_path / "host")
    (tmp_path / "worker").mkdir()
    fault = {"fault": "die", "fault_states": "2", "fault_folder": str(tmp_path / "worker")}
    protocol = str(protocol_file(count=16, step_s=0.02, **fault))

    def take_a_node_away() -> None:
        wait_for(tmp_path / "ray", 4)
        cluster.remove_node(cluster.second, allow_graceful=False)

    thief = threading.Thread(target=take_a_node_away)
    (tmp_path / "ray").mkdir()
    thief.start()
    said: list[str] = []
    assert vla_eval.run(
        protocol, specs, tmp_path / "ray", workers=2, engine=here, notify=said.append
    ).complete
    thief.join()
    cluster.second = add(cluster)
    records = read_records([tmp_path / "ray/episodes"])
    reasons = {each.reason for each in records.attempts if each.outcome == "error"}
    assert {"worker_died", "host_lost"} <= reasons
    assert sum(each.outcome != "error" for each in records.attempts) == len(records.final) == 32
    assert records.contradictions == []
    assert vla_eval.run(protocol, specs, tmp_path / "local", workers=2).complete
    assert reproducible(tmp_path / "ray") == reproducible(tmp_path / "local")
    assert len(list((tmp_path / "ray/episodes").iterdir())) == 1, "the driver writes all records"
    assert len(list((tmp_path / "ray/actions").iterdir())) == 1, "and all actions"
    traces = Traces(tmp_path / "ray")
    assert None not in [traces.get(each) for each in records.final.values()]
    about = RunFolder.open(tmp_path / "ray").header.sessions[0].engine
    assert (about["kind"], len(about["nodes"])) == ("ray", 2)
    assert '"engine"' not in (tmp_path / "local/run.json").read_text()


def start(
    protocol: Path, out: Path, specs: dict[str, str], address: str
) -> subprocess.Popen[bytes]:
    pairs = [part for name, spec in specs.items() for part in ("--arm", f"{name}={spec}")]
    out.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "vlaeval_launcher", "run", str(protocol), *pairs, "--out", str(out),
         "--workers", "2", "--engine", f"ray:{address}", "--insecure-cluster"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_driver_that_is_killed_or_stopped_is_continued(tmp_path, protocol_file, cluster):
    """SIGKILL, then SIGTERM with exit code 2, then to the end by the local engine: nothing twice."""
    specs = {"a": "fakes.policies:InWorker?skill=0.8", "b": "fakes.policies:InHost?skill=0.9"}
    protocol, out = protocol_file(count=12, step_s=0.05), tmp_path / "run"
    killed = start(protocol, out, specs, cluster.address)
    wait_for(out, 2)
    killed.kill()
    killed.communicate()
    stopped = start(protocol, out, specs, cluster.address)
    wait_for(out, count(out) + 2)
    stopped.send_signal(signal.SIGTERM)
    _, stderr = stopped.communicate(timeout=60)
    assert stopped.returncode == 2, stderr.decode()
    assert b"repeat the same command to continue" in stderr
    assert vla_eval.run(str(protocol), specs, out, workers=2).complete
    attempts = read_records([out / "episodes"]).attempts
    assert len(attempts) == len({(each.arm, each.key) for each in attempts}) == 24
    assert vla_eval.run(str(protocol), specs, tmp_path / "calm", workers=2).complete
    assert reproducible(out) == reproducible(tmp_path / "calm")


def test_a_node_with_other_physics_is_refused_by_name(tmp_path, protocol_file, here, monkeypatch):
    """The sentence names the node and the package."""
    from vla_eval.engine import ray_crew

    monkeypatch.setattr(ray_crew, "versions", lambda: {"mujoco": "0.0.1"})
    with pytest.raises(InfrastructureError, match=r"node .*mujoco 0.0.1 before"):
        vla_eval.run(
            str(protocol_file(count=1)), {"a": "fakes.policies:InWorker"}, tmp_path / "run",
            workers=1, engine=here,
        )  # fmt: skip


def test_a_run_without_a_place_says_what_is_missing(tmp_path, protocol_file, cluster):
    """A cluster without GPUs and a host that asks for one: the run ends, and says so."""
    asks = Cluster(cluster.address, insecure=True, host_gpus=1.0, placement_s=1.0)
    with pytest.raises(InfrastructureError, match="each policy host for 1 GPUs"):
        vla_eval.run(
            str(protocol_file(count=1)), {"a": "fakes.policies:InHost"}, tmp_path / "run",
            workers=1, engine=asks,
        )  # fmt: skip


@pytest.mark.slow
def test_the_doctor_sees_every_node(here):
    """Each node says what it has; the two live on one machine, so they agree with it."""
    from vla_eval.engine.ray_doctor import check_nodes

    checks = check_nodes(here)
    agree = [check for check in checks if check.name == "versions"]
    assert len({check.group for check in agree}) == 2
    assert all(check.ok and check.detail == "as on this machine" for check in agree)
    assert {"python", "renderers"} <= {check.name for check in checks}


def test_a_cluster_without_a_token_is_refused(monkeypatch, tmp_path):
    """Else the run would trust all who reach it; the sentence says how to go on."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        pytest.raises(UsageError, match="--insecure-cluster"),
        opened(Cluster("198.51.100.1:6379")),
    ):
        pass


def test_actors_get_no_token(monkeypatch):
    """Dashboards show the environment that is sent to actors."""
    from vla_eval.engine.ray_crew import environment_of_actors

    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("MUJOCO_GL", "egl")
    variables = environment_of_actors(2)["env_vars"]
    assert variables["MUJOCO_GL"] == "egl"
    assert "secret" not in variables.values()
    assert variables["OMP_NUM_THREADS"] == os.environ.get("OMP_NUM_THREADS", "2")
