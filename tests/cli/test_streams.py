"""Who reads the output cannot end a run, and stdout holds results only."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

RUN = [sys.executable, "-m", "vlaeval_launcher", "run"]


@pytest.mark.parametrize("redirection", ["2>&1 | head -1", "2>&-", ">&-", "| true"])
def test_a_reader_that_leaves_does_not_end_the_run(tmp_path, protocol_file, redirection):
    """`| head`, closed streams: the run goes to its end, with its own exit code."""
    out = tmp_path / "run"
    protocol = protocol_file(fault="raise", fault_states="3", limits="retries = 1")
    command = f"{' '.join(RUN)} {protocol} --policy fakes.policies:InWorker --out {out} --workers 1"
    script = f"{{ {command}; echo $? > {tmp_path}/code; }} {redirection}"
    subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert (tmp_path / "code").read_text().strip() == "3"
    assert json.loads((out / "results.json").read_text())["arms"]["policy"]["n"] == 7


def test_what_policies_print_does_not_reach_stdout(tmp_path, protocol_file):
    """`--json` can be piped into a parser, whatever simulators and policies print."""
    (tmp_path / "noisy.py").write_text(
        "from fakes.policies import InHost, InWorker\n"
        "print('imported')\n"
        "class F(InWorker):\n"
        "    def __call__(self, target, options):\n"
        "        print('hello from a policy')\n"
        "        return super().__call__(target, options)\n"
        "class H(F):\n"
        "    placement = InHost.placement\n"
    )
    done = subprocess.run(
        [
            *RUN, str(protocol_file()), "--arm", "a=noisy:F", "--arm", "b=noisy:H",
            "--out", str(tmp_path / "run"), "--json", "--workers", "1",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["complete"]
    assert "hello from a policy" in done.stderr


def test_a_terminal_without_a_character_shows_another_in_its_place(tmp_path):
    """In a locale of 7 bits a sentence with an accent is no traceback."""
    code = (
        "from vla_eval.cli.streams import forgiving_streams\n"
        "with forgiving_streams():\n"
        "    print('caf\u00e9 \u2212')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "caf? ?\n"


def test_a_script_without_a_main_guard_is_told_so(tmp_path, protocol_file):
    """Workers import the main script; where that starts the run again, one sentence says why."""
    script = tmp_path / "script.py"
    script.write_text(
        "import vla_eval\n"
        f"vla_eval.run({str(protocol_file())!r}, {{'a': 'fakes.policies:InWorker'}}, "
        f"{str(tmp_path / 'run')!r}, workers=1)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "if __name__ == '__main__'" in done.stderr
