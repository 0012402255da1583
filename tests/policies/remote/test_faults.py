"""The fault table of docs/serving.md: a test for each row, with a server that really misbehaves."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import vla_eval
from fakes.env import PointEnv
from fakes.servers import misbehaving, serving
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.errors import (
    InfrastructureError,
    PolicyLostError,
    PolicySpecError,
    PolicyTimeoutError,
    RunFolderError,
)
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.runs.store import read_records
from vla_eval.spec import build_policy
from vla_eval_policies.remote.codec import WireError

PLAIN = "layout=native&n_action_steps=4"


def episode(policy, state: int = 0):
    planned = PlannedEpisode(EpisodeKey("fake", "Point", state, 0, 0), "", {}, 40)
    return run_episode(PointEnv(), policy, planned, n_action_steps=4, clock=PhaseClock())


@pytest.fixture(scope="module")
def plain():
    with misbehaving("plain") as url:
        yield url


@pytest.fixture(scope="module")
def ours():
    with misbehaving("ours") as url:
        yield url


@pytest.fixture
def run(tmp_path, protocol_file):
    def go(spec, **protocol):
        path = str(protocol_file(**protocol))
        said: list[str] = []
        arms = {"a": spec}
        return vla_eval.run(path, arms, tmp_path / "run", workers=1, notify=said.append), said

    return go


def attempts(tmp_path: Path):
    return read_records([tmp_path / "run/episodes"]).attempts


ERRORS = {
    "close": (PolicyLostError, "closed the connection"),
    "reset": (PolicyLostError, "closed the connection"),
    "text": (WireError, "the server reports: RuntimeError: CUDA out of memory"),
    "nothing": (WireError, "the answer has no 'actions'"),
    "garbage": (WireError, "is not valid msgpack"),
    "list": (WireError, "the answer is list, no map"),
    "huge": (WireError, r"over the limit of 67108864 bytes \(option max_frame_mb\)"),
    "lie": (WireError, r"an array of shape \[268435456\] and type float32 does not have 4 bytes"),
    "object": (WireError, r"has type '\|O'"),
}


@pytest.mark.parametrize("fault", ERRORS)
def test_errors_of_the_machine(plain, fault):
    """The attempt is lost with a sentence, the next one begins anew, and nothing is a failure."""
    error, sentence = ERRORS[fault]
    policy = build_policy(f"openpi:{plain}/{fault}?{PLAIN}")
    for _ in range(2):
        with pytest.raises(error, match=sentence):
            episode(policy)


def test_a_late_answer_is_a_timeout_and_reaches_nobody(plain):
    """The connection is dropped with the episode, so the late chunk is not the next one's first."""
    policy = build_policy(f"openpi:{plain}/late/once/first?{PLAIN}&timeout_s=2")
    with pytest.raises(PolicyTimeoutError, match=r"no answer within 2 s"):
        episode(policy)
    assert episode(policy).actions_sha256 == episode(policy).actions_sha256


EXTENSION = {
    "other-episode": "the server answered for another request: episode '[0-9a-f]{32}' was asked, '0+",
    "other-chunk": "another request: chunk_index 1 was asked, 0 came",
    "no-fields": "another request: type 'infer' was asked, None came",
    "times": "the reply says infer_ms nan; a time is expected",
    "endless": "the reply says nfe inf; a count is expected",
    "counts": "the reply counts 'fired' as 0.5; a whole number is expected",
    "no-counts": "the reply's counts are list, no map",
}


@pytest.mark.parametrize("fault", EXTENSION)
def test_an_answer_for_another_episode_is_refused(ours, fault):
    """By our extension every answer says what it answers, with times and numbers that can be."""
    with pytest.raises(WireError, match=EXTENSION[fault]):
        episode(build_policy(f"openpi:{ours}/{fault}"))


@pytest.mark.parametrize("fault", ["nan", "shape", "words"])
@pytest.mark.parametrize("kind", ["plain", "ours"])
def test_what_is_no_action_is_the_policy_s_failure(plain, ours, fault, kind):
    """NaN, a wrong shape, words: a failure with the reason, as in process."""
    url = plain if kind == "plain" else ours
    result = episode(build_policy(f"openpi:{url}/{fault}?{PLAIN}"))
    assert (result.outcome, result.reason) == ("failure", "invalid_action")
    assert result.steps == 4


def test_nobody_reconnects_in_mid_episode(plain):
    """A policy object whose connection is gone refuses to go on with the same episode."""
    from vla_eval.policy import Context

    policy = build_policy(f"openpi:{plain}/close?{PLAIN}")
    env = PointEnv()
    observation, _ = env.reset(seed=0, options={"init_state": 0})
    key = EpisodeKey("fake", "Point", 0, 0, 0)
    one = np.ones(2, np.float32)
    contexts = [Context(key, 4 * index, index, "move", -one, one) for index in range(3)]
    policy.infer([observation], [contexts[0]])
    for later in contexts[1:]:
        with pytest.raises(PolicyLostError):
            policy.infer([observation], [later])


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("no-metadata", "first frame is no map of metadata"),
        ("mute", "no answer within 0.3 s"),
    ],
)
def test_who_does_not_speak_the_protocol_is_found_at_once(plain, path, sentence):
    """Before the first episode, with a sentence."""
    with pytest.raises(InfrastructureError if path == "mute" else WireError, match=sentence):
        build_policy(f"openpi:{plain}/{path}?{PLAIN}&timeout_s=0.3")


def test_nobody_there_and_no_address():
    """A refused connection is waited for as long as asked, then said."""
    with pytest.raises(PolicyLostError, match="no policy server can be reached"):
        build_policy(f"openpi:ws://127.0.0.1:9?{PLAIN}&connect_s=0.3")
    with pytest.raises(PolicySpecError, match="needs a server's address"):
        build_policy("openpi:localhost")
    with pytest.raises(PolicySpecError, match="did you mean 'n_action_steps'"):
        build_policy("openpi:ws://127.0.0.1:9?n_actions_steps=4")


def test_a_fault_that_passes_is_retried_in_a_fresh_worker(tmp_path, run, ours):
    """One late answer costs an attempt; the episode is repeated from its first step and counts."""
    spec = f"openpi:{ours}/late/once/one?timeout_s=2"
    summary, said = run(spec, count=3, limits="retries = 1")
    assert summary.complete
    assert summary.arms["a"].successes == 3
    errors = [each for each in attempts(tmp_path) if each.outcome == "error"]
    assert [(each.reason, each.attempt) for each in errors] == [("policy_timeout", 1)]
    assert any("trying again" in sentence for sentence in said)


@pytest.mark.slow
def test_a_fault_that_stays_is_missing_and_never_a_failure(tmp_path, run, ours):
    """After its retries the episode is missing; a run in which all are stops early."""
    with pytest.raises(InfrastructureError, match=r"all ended in errors.*CUDA out of memory"):
        run(f"openpi:{ours}/text", limits="retries = 0")
    assert {each.reason for each in attempts(tmp_path)} == {"policy_error"}


def test_a_server_that_dies_and_comes_back_with_other_weights(tmp_path, run):
    """In mid-episode: the attempt is lost, and what came back is refused before it is scored."""
    import subprocess
    import sys
    import threading

    script = Path(__file__).parents[2] / "fakes/peers/bad_server.py"
    first = subprocess.Popen(
        [sys.executable, str(script), "ours", "old"], stdout=subprocess.PIPE, text=True
    )
    port = first.stdout.readline().strip()
    servers = [first]

    def successor() -> None:
        first.wait()
        servers.append(subprocess.Popen([sys.executable, str(script), "ours", "new", port]))

    thread = threading.Thread(target=successor)
    thread.start()
    try:
        with pytest.raises(RunFolderError, match="weights_sha256: 'old' before, 'new' now"):
            run(f"openpi:ws://127.0.0.1:{port}/die", count=3)
    finally:
        thread.join()
        for server in servers:
            server.kill()
            server.wait()
        first.stdout.close()
    assert [each.reason for each in attempts(tmp_path)] == ["host_lost"]


def test_each_row_of_the_table_has_its_test():
    """The page names a test for each row, and each exists."""
    page = (Path(__file__).parents[3] / "docs/serving.md").read_text(encoding="utf-8")
    table = page.partition("## When something goes wrong")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    files = [file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    there = set(re.findall(r"^def (test_\w+)", "\n".join(files), re.MULTILINE))
    assert len(rows) >= 14
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named, row
        assert named <= there, row


def test_a_token_goes_to_the_server_that_asks_for_it_and_to_no_other(monkeypatch, tmp_path):
    """Without it the door is shut, health apart; the client finds it by the server's address."""
    import urllib.request

    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("VLA_EVAL_TOKEN", "what this machine's own server asks for")
    monkeypatch.setenv("VLA_EVAL_TOKENS", "other.example:8000=theirs")
    with serving("fakes.policies:InHost", "--token-file", str(tmp_path / "token")) as said:
        name = said["url"].removeprefix("ws://")
        with pytest.raises(PolicySpecError, match=f"export VLA_EVAL_TOKENS='{name}=TOKEN'"):
            build_policy(f"openpi:{said['url']}")
        health = said["url"].replace("ws", "http") + "/healthz"
        with urllib.request.urlopen(health) as answer:  # noqa: S310 - our own server
            assert answer.read() == b"OK\n"
        monkeypatch.setenv("VLA_EVAL_TOKENS", f"other.example:8000=theirs,{name}=wrong")
        with pytest.raises(PolicyLostError, match="HTTP 401: it does not know the token"):
            build_policy(f"openpi:{said['url']}")
        monkeypatch.setenv("VLA_EVAL_TOKENS", f"{name}=secret")
        assert episode(build_policy(f"openpi:{said['url']}")).outcome == "success"
