"""``vlaeval serve``: the same actions as in process, keepalive, batching, state, strangers."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fakes.env import PointEnv
from fakes.servers import serving
from vla_eval.cli import main
from vla_eval.environment import make_env
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import PolicySpecError
from vla_eval.inspection import action_bounds
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.policy import Context, WarmUps
from vla_eval.policy_check import check_policy
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import pack, unpack
from vla_eval_policies.remote.extension import ask


def episode(policy, state: int = 0, warm_ups: WarmUps | None = None):
    planned = PlannedEpisode(EpisodeKey("fake", "Point", state, 0, 0), "", {}, 40)
    return run_episode(
        PointEnv(), policy, planned, n_action_steps=4, clock=PhaseClock(), warm_ups=warm_ups
    )


def test_served_is_in_process(walker):
    """Actions, function evaluations and times of a served policy are those it has in process."""
    local, served = (
        build_policy("fakes.policies:InHost?skill=0.7"),
        build_policy(f"openpi:{walker}"),
    )
    assert served.metadata.method == local.metadata.method
    assert served.metadata.options["skill"] == 0.7
    assert served.metadata.options["server_max_batch"] == 1
    with pytest.raises(PolicySpecError, match=r"chunk_size=9 was asked for, .* has chunk_size=4"):
        build_policy(f"openpi:{walker}?chunk_size=9")
    for state in range(3):
        here, there = episode(local, state), episode(served, state)
        assert here.actions_sha256 == there.actions_sha256
        assert (here.nfe, here.prefix_ms, here.denoise_ms) == (
            there.nfe,
            there.prefix_ms,
            there.denoise_ms,
        )
        assert there.max_batch == 1


def test_the_contract_is_kept(walker):
    """A served policy acts by key alone, in any order and batch."""
    check_policy(build_policy(f"openpi:{walker}"), make_env("fakes:fakes/Point-v0", {}))


def test_what_a_policy_counts_reaches_its_client():
    """Sums over the episode are those in process; a policy that counts nothing says nothing."""
    spec = "fakes.policies:InHost?skill=0.7&count=forward"
    with serving(spec) as said:
        here, there = episode(build_policy(spec)), episode(build_policy(f"openpi:{said['url']}"))
    assert there.counts == here.counts
    assert 0 < there.counts["forward"] <= there.inferences
    assert episode(build_policy("fakes.policies:InHost")).counts == {}


def request(observation, asked: dict) -> bytes:
    return pack(
        {
            "observation/images/front": observation["pixels"]["front"],
            "observation/state": observation["agent_pos"],
            "prompt": "move",
            "vla_eval": asked,
        }
    )


def test_pings_are_answered_while_the_policy_computes():
    """An inference much longer than the keepalive's patience does not cost the connection."""
    observation, _ = PointEnv().reset(seed=0)
    one = np.ones(2, np.float32)
    key = EpisodeKey("fake", "Point", 0, 0, 0)
    context = Context(key, 0, 0, "", -one, one)
    with (
        serving("fakes.policies:InHost?infer_s=4") as said,
        connect(said["url"], ping_interval=0.5, ping_timeout=1.5) as socket,
    ):
        socket.recv()
        socket.send(request(observation, ask("warm_up", "t", context, key=asdict(key))))
        assert unpack(socket.recv())["vla_eval"]["type"] == "warm_up"
        socket.send(pack({"vla_eval": ask("begin", "t", key=asdict(key))}))
        socket.recv()
        socket.send(request(observation, ask("infer", "t", context)))
        reply = unpack(socket.recv(timeout=60))
        assert reply["server_timing"]["infer_ms"] > 3900
        assert socket.latency < 1.5


def test_batches_of_clients_and_their_states(tmp_path):
    """Clients share an inference where they may; who asks with whom changes nobody's noise."""
    spec = f"fakes.policies:InHost?infer_s=0.05&diary={tmp_path}"
    alone = [episode(build_policy("fakes.policies:InHost"), 0) for _ in range(1)]
    results: list = []
    with serving(spec, "--max-batch", "4", "--batch-wait-ms", "200") as said:
        policies = [build_policy(f"openpi:{said['url']}") for _ in range(3)]
        assert policies[0].metadata.options["server_max_batch"] == 4
        threads = [
            threading.Thread(target=lambda each=each: results.append(episode(each, 0, WarmUps())))
            for each in policies
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    # The same key three times at once: one noise, three states.
    assert {each.actions_sha256 for each in results} == {alone[0].actions_sha256}
    assert max(each.max_batch for each in results) > 1
    diary = [line.split(" ", 2)[2] for line in (tmp_path / "diary").read_text().splitlines()]
    assert diary.count("warm_up 4") == 1
    assert diary.count("end 0 success") == 3


def test_a_client_s_faults_are_its_own(tmp_path):
    """Garbage gets a sentence, a vanished client's episode ends as lost, others are served on."""
    observation, _ = PointEnv().reset(seed=0)
    one = np.ones(2, np.float32)
    key = EpisodeKey("fake", "Point", 7, 0, 0)
    context = Context(key, 0, 0, "", -one, one)
    lying = {"__ndarray__": True, "data": b"", "dtype": "|O", "shape": [1]}
    strangers = {
        "is not valid msgpack": b"\xc1",
        "a request is a map": pack([1]),
        "no episode's key|an episode's key is expected": pack(
            {"vla_eval": ask("begin", "t", key={"suite": 1})}
        ),
        "not begun on this connection": request(observation, ask("infer", "t", context)),
        "another version": pack({"vla_eval": {"version": 99}}),
        "bool, integer, float or string": pack({"prompt": lying}),
        "does not know the actions' bounds": pack(
            {
                "observation/images/front": observation["pixels"]["front"],
                "observation/state": np.zeros(1),
                "prompt": "move",
            }
        ),
        "a text frame came": "hello",
    }
    import re

    with serving(f"fakes.policies:InHost?diary={tmp_path}", "--max-frame-mb", "1") as said:
        policy = build_policy(f"openpi:{said['url']}")
        for sentence, frame in strangers.items():
            with connect(said["url"]) as socket:
                socket.recv()
                socket.send(frame)
                answer = socket.recv()
                assert isinstance(answer, str)
                assert re.search(sentence, answer), answer
        with connect(said["url"]) as socket:
            socket.recv()
            with suppress(ConnectionClosed):
                socket.send(bytes(2 << 20))
            with pytest.raises(ConnectionClosed, match="1009"):
                socket.recv()
        with connect(said["url"]) as socket:
            socket.recv()
            socket.send(pack({"vla_eval": ask("begin", "t", key=asdict(key))}))
            socket.recv()
            socket.send(request(observation, ask("infer", "t", context)))
            socket.recv()
        assert episode(policy).outcome == "success"
        said["process"].terminate()
        assert said["process"].wait() == 0
    told = [line.split(" ", 2)[2] for line in (tmp_path / "diary").read_text().splitlines()]
    assert told == ["begin 7", "end 7 error", "begin 0", "end 0 success"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["expert"], "reads the simulator itself"),
        (["random", "--layout", "liberal"], "did you mean 'libero'"),
        (["random", "--action-low=-1,b"], "expected numbers"),
        (["random", "--action-low", "0"], "belong together"),
        (["random", "--max-batch", "0"], "at least 1"),
        (["random", "--host", "203.0.113.1"], "cannot be listened on"),
        (["random", "--token-file", "/nowhere"], "/nowhere: there is no such file"),
    ],
)
def test_what_cannot_be_served_is_said(arguments, sentence, capsys):
    """Exit code 4 and one sentence."""
    assert main(["serve", *arguments]) == 4
    assert sentence in capsys.readouterr().err


def test_what_can_never_work_is_refused_at_the_start(capsys):
    """A policy that answers with poses is not served to clients that take displacements."""
    pytest.importorskip("torch")
    assert main(["serve", "flow:libero/snapflow", "--layout", "libero", "--port", "0"]) == 4
    assert "answers with poses, and clients of the layout 'libero' take" in capsys.readouterr().err


def test_bounds_of_a_suite():
    """The suite's own bounds; asked for twice, they are refused."""
    low, high = action_bounds("so101")
    env = make_env("vla_eval_envs:so101/PickPlace-v0", {})
    assert (env.action_space.low == np.float32(low)).all()
    assert (env.action_space.high == np.float32(high)).all()
    env.close()
    assert main(["serve", "random", "--suite", "so101", "--action-low=-1"]) == 4
    assert main(["serve", "random", "--suite", "so100"]) == 4
