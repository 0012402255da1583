"""Evaluation in a training of two real processes, which exchange gradients over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRAINING = """
import json, os, sys
import torch, toy, vla_eval
from torch import distributed
from vla_eval.errors import VlaEvalError

protocol, out = sys.argv[1:]
distributed.init_process_group("gloo")
rank = distributed.get_rank()
torch.manual_seed(rank)
network = toy.make_network(1, 2)
trained = torch.nn.parallel.DistributedDataParallel(network)
optimiser = torch.optim.SGD(trained.parameters(), lr=0.1)

def train():
    loss = trained(torch.rand(4, 1)).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

def evaluate():
    return vla_eval.evaluate(
        toy.as_policy(network), protocol, module=network, metadata=toy.METADATA,
        out=out, step=1, states="any", workers=1, on_error="raise",
    )

train()
result = evaluate()
train()
try:
    evaluate()  # other weights under the same step
    error = ""
except VlaEvalError as raised:
    error = str(raised)
train()
print(json.dumps({
    "rank": rank, "step": result.step, "n": result.n, "pid": os.getpid(), "error": error,
    "weights": sum(each.double().sum().item() for each in network.parameters()),
}), flush=True)
distributed.destroy_process_group()
"""


def test_two_ranks_wait_for_one_evaluation_and_train_on_alike(tmp_path, protocol_file):
    """Both get rank 0's result and hear of its error; afterwards their weights are still equal."""
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    examples = Path(__file__).parents[2] / "examples" / "training"
    search = [str(examples), *sys.path]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(script), str(protocol_file(count=2, max_steps=12)), str(tmp_path / "curve")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    first, second = sorted(lines, key=lambda each: each["rank"])
    assert first["pid"] != second["pid"]
    assert [(each["step"], each["n"]) for each in (first, second)] == [(1, 2)] * 2
    assert "rank 0 could not evaluate" in second["error"]
    assert "was another policy" in first["error"]
    assert first["weights"] == second["weights"]
    assert [each.name for each in (tmp_path / "curve").iterdir()] == ["step-000000001"]
