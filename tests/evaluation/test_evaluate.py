"""``vla_eval.evaluate`` inside a training loop."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import vla_eval
from fakes.policies import Options, Walker
from vla_eval.errors import InfrastructureError, RunFolderError, UsageError
from vla_eval.plan import Shard
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.lock import running_shards
from vla_eval.stats import Standing

METADATA = vla_eval.PolicyMetadata(name="net", method="mse", chunk_size=4, n_action_steps=4)


@pytest.fixture
def protocol(protocol_file):
    return vla_eval.load_protocol(str(protocol_file(count=50)))


def evaluate(policy, protocol, out, **more):
    return vla_eval.evaluate(policy, protocol, out=out, states="any", workers=1, **more)


@pytest.mark.long
def test_a_policy_in_memory_is_paired_with_a_frozen_run(tmp_path, protocol):
    """It stays in the caller's thread, stops when enough is known, and leaves an ordinary run folder."""
    reference = evaluate("fakes.policies:InWorker", protocol, tmp_path / "reference")
    assert (reference.successes, reference.n, reference.paired) == (50, 50, None)

    threads = set()

    class Lost(Walker):
        def infer(self, observations, contexts):
            threads.add(threading.current_thread())
            return super().infer(observations, contexts)

    more = {"reference": tmp_path / "reference"}
    good = evaluate(Lost(Options()), protocol, tmp_path / "curve", step=1, **more)
    assert threads == {threading.main_thread()}
    assert good.standing is Standing.NOT_WORSE
    assert good.n < 50, "it stops early"
    again = evaluate(Lost(Options()), protocol, tmp_path / "curve", step=1, **more)
    assert (again.n, again.paired) == (good.n, good.paired), "the same call has nothing left to do"

    bad = evaluate(Lost(Options(skill=0)), protocol, tmp_path / "curve", step=2, **more)
    assert (bad.standing, bad.successes, bad.n) == (Standing.WORSE, 0, 10)
    assert bad.scalars()["paired/reference/difference_high"] < 0
    assert "step 2: 0/10 succeeded" in str(bad)

    (arm,) = RunFolder.open(tmp_path / "curve" / "step-000000001").header.arms
    assert (arm.spec, arm.identity["name"]) == ("memory:policy?step=1", "walker")
    with pytest.raises(RunFolderError, match="another policy"):
        evaluate(Lost(Options(version="2")), protocol, tmp_path / "curve", step=2, **more)


@pytest.mark.long
def test_training_is_the_same_with_and_without_evaluation(tmp_path, protocol, one_thread):
    """Weights and losses of a loop with dropout and noise are equal, bit for bit."""
    torch = pytest.importorskip("torch")

    def train(folder):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Dropout(), torch.nn.Linear(8, 8))
        optimiser = torch.optim.Adam(net.parameters())

        def policy(observations, _):
            torch.rand(3)  # a careless policy
            state = torch.tensor(np.stack([each["agent_pos"] for each in observations]))
            return net(state).reshape(-1, 4, 2)

        losses = []
        for step in range(20):
            loss = (net(torch.rand(16, 1)) - 1 + 0.1 * torch.randn(16, 8)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
            if folder and step in (4, 9):
                found = evaluate(
                    policy, protocol, folder, step=step, module=net, metadata=METADATA, episodes=4
                )
                assert found.n == 4
        return losses, [each.tolist() for each in net.parameters()]

    assert train(tmp_path / "curve") == train(None)


def test_a_fault_of_the_machine_does_not_end_training(tmp_path, protocol, monkeypatch):
    """It becomes a warning and a result that says so; `on_error='raise'` raises it."""

    def fail(*_, **__):
        raise InfrastructureError("the disk is full")

    monkeypatch.setattr("vla_eval.evaluation.evaluate.work_through", fail)
    with pytest.warns(UserWarning, match="training goes on: the disk is full"):
        found = evaluate(Walker(Options()), protocol, tmp_path / "run")
    assert (found.n, found.rate, found.error) == (0, None, "the disk is full")
    assert found.scalars() == {}
    with pytest.raises(InfrastructureError):
        evaluate(Walker(Options()), protocol, tmp_path / "run", on_error="raise")


def test_an_evaluation_holds_the_whole_run_until_it_ends(tmp_path, protocol, monkeypatch):
    """Another process that works on any part of the plan is refused meanwhile, and not after."""
    run, held = tmp_path / "run", []

    def look(*_, **__):
        held.append(running_shards(run))
        raise InfrastructureError("enough")

    monkeypatch.setattr("vla_eval.evaluation.evaluate.work_through", look)
    with pytest.warns(UserWarning, match="enough"):
        evaluate(Walker(Options()), protocol, run)
    assert held == [[Shard(1, 1)]]
    assert running_shards(run) == []


def test_states_of_certificates_are_refused_without_a_flag(tmp_path, protocol):
    """A suite that reserves no states needs the flag; nothing is written before."""
    with pytest.raises(UsageError, match="states='any'"):
        vla_eval.evaluate(Walker(Options()), protocol, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class _Interrupted(Walker):
    def infer(self, observations, contexts):
        raise KeyboardInterrupt


@pytest.mark.long
def test_ctrl_c_reaches_the_trainer_and_ends_the_workers(tmp_path, protocol):
    """The interrupt of the policy's thread is raised as it is, and no worker stays behind."""
    import multiprocessing

    with pytest.raises(KeyboardInterrupt):
        evaluate(_Interrupted(Options()), protocol, tmp_path / "run", episodes=4)
    assert multiprocessing.active_children() == []
