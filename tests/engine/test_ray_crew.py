"""Runs on a Ray cluster whose processes and nodes really die: the records are a local run's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
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

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray"), pytest.mark.timeout(280)]

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
QUICK = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
    "gcs_rpc_server_reconnect_timeout_s": 2,
}
"""Ray's own patience with a frozen node or a lost head is a minute; here it is some seconds."""
WORKER, HOST = "fakes.policies:InWorker", "fakes.policies:InHost"


class Nodes:
    """A cluster of two nodes on this machine, without tokens."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster as Ray

        self.ray = Ray()
        self.add(include_dashboard=False, no_monitor=True, _system_config=QUICK)
        self.second = self.add()

    def add(self, **options):
        """Add a node; on a busy machine its start can take longer than Ray waits for it."""
        for left in (2, 1, 0):
            try:
                return self.ray.add_node(**NODE, include_log_monitor=False, **options)
            except Exception:
                if not left:
                    raise
        return None

    @staticmethod
    def processes(node) -> list[psutil.Process]:
        """Return a node's raylet and its workers."""
        (raylet,) = node.all_processes["raylet"]
        process = psutil.Process(raylet.process.pid)
        return [process, *filter(_is_actor, process.children(recursive=True))]


def _is_actor(process: psutil.Process) -> bool:
    """Return whether a process is a worker or a host; one that has just ended is none."""
    try:
        return "Actor" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one, too
        return False


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        nodes = Nodes()
        yield nodes
        ray.shutdown()
        nodes.ray.shutdown()


@pytest.fixture
def here(cluster):
    return Cluster(cluster.ray.address, insecure=True)


@pytest.fixture
def hold(tmp_path):
    """Make a folder that holds the episodes of a state until its file is taken away."""
    folder = tmp_path / "hold"
    folder.mkdir()
    return folder


def reproducible(out: Path) -> list[str]:
    final = read_records([out / "episodes"]).final
    return [json.dumps(final[slot].reproducible(), sort_keys=True) for slot in sorted(final)]


def wait_until(is_so, what: str) -> None:
    deadline = time.monotonic() + 150
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


def outcomes(out: Path) -> list[str]:
    """Return the outcomes of all attempts so far, an error's with its reason and message."""
    if not (out / "episodes").exists():
        return []
    return [
        f"{each.reason}: {each.error.message}" if each.outcome == "error" else "result"
        for each in read_records([out / "episodes"]).attempts
    ]


def held(hold: Path, state: int) -> int:
    """Return the number of processes that wait in an episode of a state."""
    return len(list(hold.glob(f"{state}-*")))


@pytest.fixture
def start():
    """Start drivers, which end with the test."""
    drivers: list[subprocess.Popen[bytes]] = []

    def go(protocol: Path, out: Path, specs: dict[str, str], address: str, *more: str):
        pairs = [part for name, spec in specs.items() for part in ("--arm", f"{name}={spec}")]
        driver = subprocess.Popen(
            [sys.executable, "-m", "vlaeval_launcher", "run", str(protocol), *pairs,
             "--out", str(out), "--workers", "2", "--engine", f"ray:{address}",
             "--insecure-cluster", *more],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        drivers.append(driver)
        return driver

    yield go
    for driver in drivers:
        driver.kill()
        driver.wait()
        driver.stderr.close()


class TestContract(CrewContract):
    @pytest.fixture
    def make(self, here):
        with opened(here) as engine:
            yield lambda folder: engine.make_crew(folder, RunSession(folder.episodes), 1)


def test_a_node_with_other_physics_is_refused_by_name(tmp_path, protocol_file, here, monkeypatch):
    """The sentence names the node and the package."""
    from vla_eval.engine import ray_crew

    monkeypatch.setattr(ray_crew, "versions", lambda: {"mujoco": "0.0.1"})
    with pytest.raises(InfrastructureError, match=r"node .*mujoco 0.0.1 before"):
        vla_eval.run(
            str(protocol_file(count=1)), {"a": WORKER}, tmp_path / "run", workers=1, engine=here
        )


def test_a_cell_starts_whole_or_not_at_all(tmp_path, protocol_file, cluster):
    """There is room for the simulators and none for their host: the run ends, and says what is missing."""
    asks = Cluster(cluster.ray.address, insecure=True, host_gpus=1.0, placement_s=1.0)
    with pytest.raises(
        InfrastructureError, match=r"each policy host for 1 GPUs.*2 CPUs and 0 GPUs"
    ):
        vla_eval.run(
            str(protocol_file(count=2)), {"a": HOST}, tmp_path / "run", workers=2, engine=asks
        )


def test_the_doctor_sees_every_node(here):
    """Each node says what it has; the two live on one machine, so they agree with it."""
    from fakes.checks import sound
    from vla_eval.engine.ray_doctor import check_nodes

    checks = check_nodes(here, look=sound)
    names = ("python", "versions", "code", "renderers", "clock", "together")
    for name in names:
        found = [check for check in checks if check.name == name]
        assert len({check.group for check in found}) == 2, name
        assert all(check.ok for check in found), found
    assert len({check.detail for check in checks if check.name == "python"}) == 2, "two processes"
    assert {check.detail for check in checks if check.name in ("versions", "code")} == {"as here"}
    assert [check.name for check in checks if check.group == "cluster"] == ["token", "GPU models"]


BAD = {"new": f"{WORKER}?skill=0.5", "old": f"{HOST}?skill=0.97&fault=die&fault_states=5"}


def test_a_node_on_which_no_policy_can_be_loaded_is_left(
    tmp_path, protocol_file, cluster, here, hold
):
    """Three deaths in a row put it out of use; the other node, which waits so long, does all episodes."""
    protocol, out = protocol_file(count=4, hold=hold), tmp_path / "run"
    waits = [hold / str(state) for state in range(4)]
    for each in waits:
        each.touch()
    arms = {"a": f"{WORKER}?load_s=3"}
    said: list[str] = []

    def kill_what_loads() -> None:
        seen: set[int] = set()  # what is there for half a second has begun to load
        try:
            while not any("out of use" in each for each in said):
                time.sleep(0.5)
                actors = cluster.processes(cluster.second)[1:]
                for process in actors:
                    if process.pid in seen:
                        with contextlib.suppress(psutil.NoSuchProcess):
                            process.kill()
                seen = {process.pid for process in actors}
        finally:  # whatever happens, the other node's episodes go on, and the test ends
            for each in waits:
                each.unlink()

    killer = threading.Thread(target=kill_what_loads, daemon=True)
    killer.start()
    summary = vla_eval.run(str(protocol), arms, out, workers=2, engine=here, notify=said.append)
    killer.join(timeout=10)
    assert summary.complete
    assert any("lost 3 processes in a row; it is out of use for this run" in each for each in said)
    assert outcomes(out).count("result") == 4


def looks(out: Path) -> list[dict[str, object]]:
    """Return the looks on disk without the times at which they were taken."""
    files = sorted((out / "looks").iterdir())
    return [json.loads(file.read_text()) | {"taken_at": ""} for file in files]


def test_every_death_and_every_change_of_engine_change_no_record(
    tmp_path, protocol_file, cluster, here, hold, start
):
    """Begun here, on Ray with deaths of a worker, a host, nodes and the driver, stopped, finished here."""
    faults, out = tmp_path / "faults", tmp_path / "run"
    faults.mkdir()
    arms = {**BAD, "old": f"{BAD['old']}&fault_folder={faults}"}
    protocol = protocol_file(
        count=50, max_steps=20, run='order = "round-robin"', hold=hold,
        fault="die", fault_states="2", fault_folder=faults,
    )  # fmt: skip
    protocol.write_text(protocol.read_text() + 'stopping = "obrien-fleming-5"\n')
    vla_eval.run(str(protocol), arms, out, workers=1, shard="1/4")
    assert outcomes(out) == ["result"] * 6

    (hold / "7").touch()
    driver = start(protocol, out, arms, cluster.ray.address)
    wait_until(lambda: held(hold, 7) == 2, "two workers at work")
    freeze_and_thaw(cluster, out, hold)
    wait_until(lambda: held(hold, 12) and outcomes(out).count("result") == 24, "the second block")
    driver.kill()
    driver.wait()

    (hold / "14").touch()
    (hold / "12").unlink()
    driver = start(protocol, out, arms, cluster.ray.address, "--workers-per-host", "1")
    wait_until(lambda: held(hold, 14), "one cell at work")
    cluster.second = cluster.add()
    wait_until(lambda: held(hold, 14) == 2, "the other cell, on the added node")
    cluster.ray.remove_node(cluster.second, allow_graceful=False)
    wait_until(lambda: lost_with_node(out) == 2, "the second node's death")
    stop(driver, here)

    (hold / "14").unlink()
    assert vla_eval.run(str(protocol), arms, out, workers=1).complete
    attempts = outcomes(out)
    traces = Traces(out)
    finals = read_records([out / "episodes"]).final
    assert None not in [traces.get(each) for each in finals.values()]
    assert {"worker_died", "host_lost"} <= {each.partition(":")[0] for each in attempts}
    assert attempts.count("result") == len(finals) == 40
    assert vla_eval.run(str(protocol), arms, tmp_path / "calm", workers=1).complete
    assert reproducible(out) == reproducible(tmp_path / "calm")
    assert looks(out) == looks(tmp_path / "calm")
    assert len(looks(out)) == 2
    engines = [each.engine for each in RunFolder.open(out).header.sessions]
    assert [each["kind"] if each else "" for each in engines] == ["", "ray", "ray", ""]
    assert '"engine"' not in (tmp_path / "calm/run.json").read_text()


def lost_with_node(out: Path) -> int:
    return sum("died with node" in each for each in outcomes(out))


def freeze_and_thaw(cluster: Nodes, out: Path, hold: Path) -> None:
    """Freeze the second node until its death is declared: when it thaws, its worker goes on for nothing."""
    frozen = cluster.processes(cluster.second)
    for process in frozen:
        process.suspend()
    wait_until(lambda: lost_with_node(out) == 1, "the frozen node's death")
    (hold / "12").touch()
    (hold / "7").unlink()
    for process in frozen:
        process.resume()
    _, alive = psutil.wait_procs(frozen, timeout=20)
    assert alive == []


def stop(driver, here: Cluster) -> None:
    """Stop a driver in good order: it says how to go on, and leaves no actor behind."""
    driver.send_signal(signal.SIGTERM)
    began = time.monotonic()
    _, stderr = driver.communicate(timeout=60)
    took_s = time.monotonic() - began
    assert driver.returncode == 2, stderr.decode()
    assert b"repeat the same command to continue" in stderr
    assert took_s < 20, "5 s where the machine has nothing else to do"
    with opened(here):
        wait_until(lambda: ray.available_resources().get("CPU") == 1, "the end of all actors")


def test_a_run_whose_cluster_lost_its_head_goes_on_elsewhere(
    tmp_path, protocol_file, cluster, hold, start, monkeypatch
):
    """Ray ends the driver; the same command on a throw-away cluster completes the run."""
    out, arms = tmp_path / "run", {"a": WORKER}
    protocol = protocol_file(count=3, hold=hold)
    (hold / "2").touch()
    driver = start(protocol, out, arms, cluster.ray.address)
    wait_until(lambda: held(hold, 2) and len(outcomes(out)) == 2, "the first episodes")
    (head,) = cluster.ray.head_node.all_processes["gcs_server"]
    os.kill(head.process.pid, signal.SIGKILL)
    driver.communicate(timeout=100)
    assert driver.returncode not in (0, 2)
    (hold / "2").unlink()
    monkeypatch.delenv("RAY_AUTH_MODE")
    assert vla_eval.run(str(protocol), arms, out, workers=1, engine="ray:local").complete
    assert outcomes(out) == ["result"] * 3


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
