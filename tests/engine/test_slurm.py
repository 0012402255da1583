"""The script of a Slurm array: what it runs, and what it does with each exit code."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest

from vla_eval.cli import main
from vla_eval.engine import slurm
from vla_eval.errors import UsageError

ARMS = ["--arm", "one=hold", "--arm", "ten=impaired:expert?action_noise=0.1"]


@pytest.fixture
def script(tmp_path, capsys, protocol_file):
    command = ["submit", "slurm", str(protocol_file()), *ARMS, "--out", str(tmp_path / "my run")]
    settings = ["--set-slurm", "partition=gpu", "--set-slurm", "exclusive"]
    assert main([*command, "--jobs", "3", *settings, "--print"]) == 0
    return capsys.readouterr().out


def run(script, tmp_path, code):
    """Run the script with an srun that ends with a code, and return (exit code, what was called)."""
    for name, text in (("srun", f'echo srun "$@" >> {tmp_path}/calls; exit {code}'),
                       ("scontrol", f'echo scontrol "$@" >> {tmp_path}/calls')):  # fmt: skip
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_ARRAY_JOB_ID": "77",
    }
    done = subprocess.run(["bash"], input=script, text=True, env=environment, check=False)
    return done.returncode, (tmp_path / "calls").read_text().splitlines()


def test_each_job_runs_its_shard_with_every_argument(script, tmp_path):
    """Quotes survive: a spec holds question marks, a path may hold blanks."""
    (line,) = (line for line in script.splitlines() if line.startswith("srun"))
    words = shlex.split(line)
    assert "ten=impaired:expert?action_noise=0.1" in words
    assert str(tmp_path / "my run") in words
    assert run(script, tmp_path, 0)[1][0].endswith("--shard 2/3")


def test_sbatch_gets_the_array_and_the_user_s_options(script):
    """The number of jobs is the number of shards."""
    options = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --array=1-3", "#SBATCH --partition=gpu", "#SBATCH --exclusive"} <= set(options)
    assert "#SBATCH --signal=TERM@120" in options


@pytest.mark.parametrize(
    ("code", "ends", "requeued"), [(0, 0, False), (5, 0, False), (2, 0, True), (3, 3, False)]
)
def test_exit_codes_decide_what_happens_to_the_job(script, tmp_path, code, ends, requeued):
    """Interrupted jobs and waiting looks are queued again; faults stay visible."""
    returned, calls = run(script, tmp_path, code)
    assert returned == (2 if requeued else ends)
    assert ("scontrol requeue 77_2" in calls) is requeued


@pytest.mark.parametrize(
    "text", ["--partition=x", "Partition=x", "a b=c", "comment=a b", "array=1-9"]
)
def test_options_that_cannot_be(text):
    """One sentence each; the array is ours."""
    with pytest.raises(UsageError, match="--set-slurm"):
        slurm.parse_settings([text])


def test_without_slurm_one_sentence(monkeypatch, tmp_path):
    """On a laptop there is no sbatch."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="there is no sbatch on this machine"):
        slurm.submit("#!/bin/bash\n")
