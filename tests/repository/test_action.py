"""The GitHub Action and the pre-commit hook: their steps and their entry, run in a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vla_eval.cli import main

yaml = pytest.importorskip("yaml", reason="comes with the extra 'publish'")

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}


def shell(step: str, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run a step as GitHub does: its variables from the inputs, bash with `-eo pipefail`."""
    defaults = {name: each.get("default", "") for name, each in ACTION["inputs"].items()}
    values = {f"${{{{ inputs.{name} }}}}": value for name, value in (defaults | inputs).items()}
    own = {name: values[value] for name, value in STEPS[step]["env"].items()}
    ours = Path(sys.executable).parent  # `make test` does not activate the environment
    path = os.pathsep.join([str(folder / "bin"), str(ours), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[step]["run"]],
        env={**os.environ, **own, "PATH": path, "GITHUB_OUTPUT": str(folder / "output")},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path):
    """A folder whose `sudo` and `python` only note what they are asked."""
    (tmp_path / "bin").mkdir()
    for name in ("sudo", "python", "vlaeval"):
        file = tmp_path / "bin" / name
        file.write_text(f'#!/bin/sh\necho {name} "$@" >> "{tmp_path}/asked"\n')
        file.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("package", "asked"),
    [
        ("vla-eval-suite", "vla-eval-suite[so101,flow]"),
        ("vla-eval-suite==0.1.0", "vla-eval-suite[so101,flow]==0.1.0"),
    ],
)
def test_the_install_step_asks_for_the_extras(folder, package, asked):
    """The extras stand between the package's name and its version."""
    done = shell("Install", folder, package=package, extras="so101,flow")
    assert done.returncode == 0, done.stderr
    assert f"python -m pip install --quiet {asked}\n" in (folder / "asked").read_text()


def test_an_input_is_no_command(folder):
    """A spec with shell syntax reaches the command as one word."""
    spec = 'expert"; touch stolen; $(touch stolen) `touch stolen`'
    assert shell("Run the protocol", folder, policy=spec).returncode == 0
    assert f"--arm candidate={spec}" in (folder / "asked").read_text()
    assert not (folder / "stolen").exists()
    assert all("${{" not in step["run"] for step in STEPS.values())


@pytest.mark.parametrize(
    ("said", "strict", "code", "verdict"),
    [
        (0, "false", 0, "holds"),
        (1, "false", 1, "regressed"),
        (6, "false", 0, "inconclusive"),
        (6, "true", 6, "inconclusive"),
        (3, "true", 3, None),
    ],
)
def test_the_command_s_exit_code_decides(folder, said, strict, code, verdict):
    """Three codes are verdicts, an open one fails on request, and every other code is passed on."""
    (folder / "bin" / "vlaeval").write_text(f"#!/bin/sh\nexit {said}\n")
    strictly = {"fail-on-inconclusive": strict}
    done = shell("Compare with the baseline", folder, baseline="base.json", **strictly)
    output = folder / "output"
    assert done.returncode == code
    assert (output.read_text() if output.exists() else None) == (verdict and f"verdict={verdict}\n")


@pytest.mark.long
def test_a_committed_run_passes_its_gate(folder):
    """The real command, with the run and the baseline of the documentation."""
    (folder / "bin" / "vlaeval").unlink()
    run = str(shutil.copytree(ROOT / "docs" / "certificates" / "parity", folder / "run"))
    baseline = str(ROOT / "examples" / "ci" / "so101-pick-place.baseline.json")
    done = shell("Compare with the baseline", folder, baseline=baseline, out=run)
    assert (done.returncode, (folder / "output").read_text()) == (0, "verdict=holds\n")
    assert "HOLDS" in done.stdout


def test_a_missing_baseline_has_the_command_s_exit_code(folder):
    """A mistake is no verdict."""
    (folder / "bin" / "vlaeval").unlink()
    done = shell("Compare with the baseline", folder, baseline="nowhere.json", out="runs/none")
    assert done.returncode == 4
    assert not (folder / "output").exists()


def test_the_hook_s_entry_checks_files(tmp_path, capsys):
    """Its command takes the files that pre-commit hands over, and names each wrong one."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    command = hook["entry"].split()
    assert command[0] == "vlaeval"
    good = shutil.copy(ROOT / "examples" / "sweeps" / "one-step.protocol.toml", tmp_path)
    bad = tmp_path / "bad.protocol.toml"
    bad.write_text("protocol = 3")
    assert main([*command[1:], str(good)]) == 0
    assert main([*command[1:], str(bad), str(good)]) == 4
    said = capsys.readouterr()
    assert "bad.protocol.toml" in said.err
    assert "so101-one-step@1, unreleased, 200 episodes" in said.out


def test_an_edited_release_is_found(tmp_path, capsys):
    """A file with the name of a released protocol and other content is an error."""
    text = (ROOT / "protocols" / "vla_eval_protocols" / "so101-pick-place.toml").read_text()
    edited = tmp_path / "mine.protocol.toml"
    edited.write_text(text.replace("margin = 0.1", "margin = 0.2", 1))
    assert main(["protocol", "check", str(edited)]) == 4
    assert "is released with hash" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["certi", "certify"], ["certify", "--cand", "--candidate"]])
def test_bash_completes_verbs_and_flags(words, tmp_path, capsys):
    """The script is bash, and completes a begun word."""
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "vlaeval"
    script.write_text(capsys.readouterr().out)
    *typed, expected = words
    line = f"COMP_WORDS=(vlaeval {' '.join(typed)}); COMP_CWORD={len(typed)}"
    ask = 'f=$(complete -p vlaeval | sed "s/.*-F \\([^ ]*\\).*/\\1/"); "$f"; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"source {script}; {line}; {ask}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert expected in done.stdout.split()


def test_other_shells_are_refused_in_a_sentence(capsys):
    """Tyro leaves tcsh to a package that is not installed."""
    assert main(["--tyro-print-completion", "tcsh"]) == 4
    assert "vlaeval completion bash|zsh" in capsys.readouterr().err
