"""Warm-up, ends of episodes, thread budgets, and successors of dead processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import vla_eval
from fakes.env import PointEnv
from fakes.policies import DiaryWalker, Options
from vla_eval.engine import local
from vla_eval.engine.session import RunSession
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode, Shard
from vla_eval.policy import WarmUps
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records

WORKER = "fakes.policies:InWorker"
HOST = "fakes.policies:InHost"


@pytest.fixture
def run(tmp_path, protocol_file):
    def go(arms, *, workers=1, **protocol):
        path = str(protocol_file(**protocol))
        return vla_eval.run(
            path, arms, tmp_path / "run", workers=workers, notify=lambda sentence: None
        )

    return go


def diary(folder: Path) -> list[list[str]]:
    """Return the diary's lines, [pid, threads, what…]."""
    return [line.split() for line in (folder / "diary").read_text().splitlines()]


def attempts(tmp_path):
    return read_records([tmp_path / "run/episodes"]).attempts


@pytest.mark.long
def test_a_host_warms_up_once_and_outside_the_episodes_clocks(tmp_path, run):
    """A slow first call counts as warm-up: it breaks no limit of an inference, for any worker."""
    slow = f"{HOST}?diary={tmp_path}&warm_up_s=1.5"
    batches = {"run": "max_batch = 4\nbatch_wait_ms = 1.0"}
    limits = "infer_s = 1.3\nretries = 0"
    assert run({"a": slow}, workers=2, count=4, limits=limits, **batches).complete
    said = [line[2:] for line in diary(tmp_path)]
    assert [each for each in said if each[0] == "warm_up"] == [["warm_up", "4"]]
    assert said[0][0] == "warm_up"
    (session,) = RunFolder.open(tmp_path / "run").header.sessions
    assert session.warm_up_s["a"] > 1.3
    timings = [each.timing for each in attempts(tmp_path)]
    assert max(each.warm_up_s for each in timings) > 1.3
    assert max(milliseconds for each in timings for milliseconds in each.infer_ms) < 1300


@pytest.mark.slow
@pytest.mark.parametrize("spec", [WORKER, HOST])
def test_warming_up_that_hangs_has_the_limit_of_setting_up(tmp_path, run, spec):
    """The warm-up is stopped, and charged to the episode like any time-out of the policy."""
    spec = f"{spec}?diary={tmp_path}&warm_up_s=60"
    summary = run({"a": spec}, count=1, limits="infer_s = 0.2\nsetup_s = 5.0\nretries = 0")
    assert summary.arms["a"].errors == 1
    (record,) = attempts(tmp_path)
    assert record.reason == "policy_timeout"


@pytest.mark.slow
def test_the_host_s_policy_hears_of_every_end(tmp_path, run):
    """The ends of successes, of lost attempts, and of episodes whose worker was killed."""
    markers = tmp_path / "markers"
    markers.mkdir()
    spec = f"{HOST}?diary={tmp_path}&fault=raise&fault_states=1"
    summary = run(
        {"a": spec},
        count=3,
        limits="retries = 1",
        fault="die",
        fault_states="2",
        fault_folder=str(markers),
    )
    arm = summary.arms["a"]
    assert (arm.successes, arm.reasons) == (2, {"policy_raised": 1})
    told = [" ".join(line[2:]) for line in diary(tmp_path) if line[2] in ("begin", "end")]
    by_state = {state: [each for each in told if f" {state}" in each] for state in range(3)}
    assert by_state[0] == ["begin 0", "end 0 success"]
    assert by_state[1] == ["begin 1", "end 1 error"] * 2
    assert by_state[2] == ["begin 2", "end 2 error", "begin 2", "end 2 success"]


@pytest.mark.long
def test_a_policy_that_cannot_be_used_like_this_ends_the_run(tmp_path, run):
    """The user reads the policy's own message from the host, once and without retries."""
    with pytest.raises(UsageError, match=r"^this checkpoint wants three cameras$"):
        run({"a": f"{HOST}?diary={tmp_path}&fault=unsuitable"})
    assert attempts(tmp_path) == []


def one_episode(policy, state: int, clock: PhaseClock, warm_ups: WarmUps | None = None):
    episode = PlannedEpisode(EpisodeKey("fake", "Point", state, 0, 0), "", {}, 40)
    return run_episode(
        PointEnv(), policy, episode, n_action_steps=4, clock=clock, warm_ups=warm_ups
    )


def test_in_process_too(tmp_path):
    """A policy in the worker is warmed up for each kind of observation, and learns the outcomes."""
    policy = DiaryWalker(Options(diary=str(tmp_path), warm_up_s=0.01))
    warm_ups, first, second = WarmUps(), PhaseClock(), PhaseClock()
    one_episode(policy, 0, first, warm_ups)
    one_episode(policy, 1, second, warm_ups)
    said = [" ".join(line[2:]) for line in diary(tmp_path)]
    assert said == ["warm_up 1", "begin 0", "end 0 success", "begin 1", "end 1 success"]
    assert first.seconds["warm_up"] >= 0.01
    assert "warm_up" not in second.seconds
    small = PointEnv().reset(seed=0)[0]
    assert not warm_ups.needed(policy, small)
    assert warm_ups.needed(policy, {**small, "pixels": {"front": small["pixels"]["front"][:4]}})


def test_what_a_policy_raises_first_is_what_counts(tmp_path):
    """The policy is told of a lost attempt; an exception at an episode's end loses the attempt."""
    options = {"diary": str(tmp_path), "fault_states": "0"}
    clock = PhaseClock()
    with pytest.raises(RuntimeError, match="out of memory"):
        one_episode(DiaryWalker(Options(**options, fault="raise")), 0, clock)
    assert diary(tmp_path)[-1][2:] == ["end", "0", "error"]
    assert clock.raised_in == "infer"
    with pytest.raises(RuntimeError, match="double free"):
        one_episode(DiaryWalker(Options(**options, fault="bad end")), 0, clock)
    assert clock.raised_in == "end_episode"


def test_a_host_has_threads_of_its_own(tmp_path, protocol_file, monkeypatch):
    """Two workers share the cores, the host always gets half of them; the user's settings stay."""
    started = []

    class Process:
        def __init__(self, name, **_):
            self.name = name

        def start(self):
            started.append((self.name, os.environ["OMP_NUM_THREADS"]))

    monkeypatch.setattr(local, "usable_cores", lambda: 8)
    monkeypatch.setattr(local.SPAWN, "Process", Process)
    protocol = load_protocol(str(protocol_file()))
    folder, lock = RunFolder.enter(
        tmp_path / "run", protocol, {"h": HOST, "w": WORKER}, Shard(1, 1)
    )
    with lock:
        for users in (None, "3"):
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
            if users:
                monkeypatch.setenv("OMP_NUM_THREADS", users)
            crew = local.LocalCrew(folder, RunSession(folder.episodes), 2)
            crew.add_host(crew.places[0])
            crew.add_worker(0)
    assert [threads for _, threads in started] == ["4", "4", "3", "3"]


@pytest.mark.long
@pytest.mark.parametrize("placement", [pytest.param("worker", marks=pytest.mark.slow), "host"])
def test_a_successor_with_other_code_or_weights_is_refused(tmp_path, run, monkeypatch, placement):
    """If the successor of a dead process holds another policy, the run scores nothing more."""
    module = tmp_path / "swapped.py"
    module.write_text(
        "import os, pathlib\n"
        "from dataclasses import replace\n"
        "from fakes.policies import InWorker, InHost, Walker\n"
        f"marker = pathlib.Path({str(tmp_path / 'died')!r})\n"
        "class Dying(Walker):\n"
        "    def infer(self, observations, contexts):\n"
        "        if contexts[0].key.init_state == 2 and not marker.exists():\n"
        "            marker.touch()\n"
        "            os._exit(1)\n"
        "        return super().infer(observations, contexts)\n"
        f"class F({'InHost' if placement == 'host' else 'InWorker'}):\n"
        "    def __call__(self, target, options):\n"
        "        policy = Dying(super().__call__(target, options).options)\n"
        "        digest = 'new' if marker.exists() else 'old'\n"
        "        policy.metadata = replace(policy.metadata, weights_sha256=digest)\n"
        "        return policy\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    with pytest.raises(RunFolderError, match=r"'old' before, 'new' now.*put back what was changed"):
        run({"a": "swapped:F"})
    assert {each.init_state for each in attempts(tmp_path) if each.outcome != "error"} <= {0, 1}
