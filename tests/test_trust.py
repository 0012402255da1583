"""What a file may choose to run: nothing by being read, and nothing foreign without the user's word."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.files.tomlfile import read_toml
from vla_eval.protocol import parse_protocol
from vla_eval.recording.replay import replay
from vla_eval.trust import foreign_code

WORKER = "fakes.policies:InWorker"
KEY = "fake/Point/i0/e0/p0"

WATCH = """
import contextlib, importlib.abc, io, json, sys
seen = []
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "fakes":
            seen.append(name)
sys.meta_path.insert(0, Watch())
from vla_eval.cli import main
results = []
for command in json.loads(sys.argv[1]):
    seen.clear()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(command)
    results.append({"code": code, "said": said.getvalue(), "imported": [*seen]})
print(json.dumps(results))
"""

READERS = [
    ["report", "RUN"],
    ["report", "RUN", "--json"],
    ["certify", "RUN", "--candidate", "student", "--reference", "teacher"],
    ["verify", "RUN/certificate.json", "RUN"],
    ["compare", "RUN"],
    ["check", "RUN", "--arm", "student", "--baseline", "BASELINE"],
    ["power", "--run", "RUN"],
    ["replay", "RUN", KEY, "--arm", "student"],
    ["verify", "RUN/certificate.json", "RUN", "--replay", "3"],
]
TRUSTED = ["replay", "RUN", KEY, "--arm", "student", "--trust"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("stranger")


@pytest.fixture
def stranger(folder, protocol_file) -> Path:
    """A finished run, its certificate and a baseline, of modules that must not be imported."""
    run = folder / "run"
    if not run.exists():
        arms = ["--arm", f"student={WORKER}", "--arm", f"teacher={WORKER}?skill=0.9"]
        command = ["run", str(protocol_file(count=30)), *arms, "--out", str(run)]
        assert main([*command, "--workers", "1"]) == 0
        roles = ["--candidate", "student", "--reference", "teacher"]
        assert main(["certify", str(run), *roles]) in (0, 1, 6)
        baseline = str(folder / "baseline.json")
        assert main(["check", str(run), "--arm", "student", "--write-baseline", baseline]) == 0
    return folder


@pytest.fixture
def watched(stranger) -> dict[str, dict]:
    """What each command said and imported, in a process that never imported the modules before.

    They run one after the other, the one that may import last.
    """
    file = stranger / "watched.json"
    if not file.exists():
        words = {"RUN": str(stranger / "run"), "BASELINE": str(stranger / "baseline.json")}
        commands = [
            [re.sub("RUN|BASELINE", lambda match: words[match[0]], part) for part in command]
            for command in (*READERS, TRUSTED)
        ]
        done = subprocess.run(
            [sys.executable, "-c", WATCH, json.dumps(commands)],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        file.write_text(done.stdout)
    results = json.loads(file.read_text())
    return {" ".join(each): found for each, found in zip((*READERS, TRUSTED), results, strict=True)}


@pytest.mark.long
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_reading_a_run_folder_imports_nothing_that_it_names(watched, command):
    """An import hook sees every import of a command; those that run ask before they import."""
    found = watched[" ".join(command)]
    assert found["imported"] == []
    runs = "replay" in command or "--replay" in command
    assert found["code"] == (4 if runs else 0) or found["code"] in (1, 6) * (not runs)
    if runs:
        assert "names code that would be run: the module 'fakes'" in found["said"]
        assert "--trust" in found["said"]


@pytest.mark.long
def test_the_hook_sees_what_is_imported(watched):
    """With the user's word the same command imports, and the hook says so."""
    assert "fakes" in watched[" ".join(TRUSTED)]["imported"]


@pytest.mark.long
def test_a_replay_needs_the_user_s_word_from_python_too(stranger):
    """Nothing is imported before; with the word the episode is run again."""
    with pytest.raises(UsageError, match=r"run\.json names code .*'fakes\.policies'.*trust=True"):
        replay(stranger / "run", KEY, "student")
    assert not replay(stranger / "run", KEY, "student", trust=True).differences


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("expert", None),
        ("impaired:expert?action_noise=0.2", None),
        ("flow:so101/fm?nfe=1", None),
        ("lerobot:folder", None),
        ("lerobot:folder?trust_remote_code=false", None),
        ("lerobot:folder?trust_remote_code=true", "code of model repositories"),
        ("lerobot:folder?plugin=evil", "the package 'evil'"),
        ("evil:Factory", "the module 'evil'"),
        ("evil.inner:Factory?x=1", "the module 'evil.inner'"),
        ("impaired:evil:Factory?action_noise=0.2", "the module 'evil'"),
        ("openpi:ws://evil.example:80", "the server ws://evil.example:80"),
        ("impaired:openpi:ws://evil.example:80?action_noise=1", "the server ws://evil"),
    ],
)
def test_what_of_a_spec_is_foreign(spec, words):
    """Installed kinds are not, whatever they wrap is; servers are named too."""
    found = foreign_code(None, [spec])
    assert words in found[0] if words else not found


def test_a_grid_s_policies_need_the_word_and_its_protocol_s_modules(
    tmp_path, protocol_file, capsys
):
    """Before any cell runs."""
    protocol = protocol_file(count=2)
    grid = tmp_path / "grid.toml"
    grid.write_text(f'protocol = "{protocol}"\n[arms]\na = "{WORKER}"\n')
    assert main(["sweep", str(grid), "--out", str(tmp_path / "out")]) == 4
    said = capsys.readouterr().err
    assert "the module 'fakes' for fake's environments" in said
    assert "the module 'fakes.policies' for the policy" in said
    assert not (tmp_path / "out").exists()


def test_shipped_protocols_name_nothing_foreign():
    """Their environments come with what is installed."""
    import vla_eval_protocols

    for file in Path(vla_eval_protocols.__path__[0]).glob("*.toml"):
        assert not foreign_code(parse_protocol(read_toml(file), str(file)), ["expert"]), file


@pytest.mark.long
def test_run_says_what_the_user_s_own_protocol_imports(tmp_path, protocol_file, capsys):
    """A file on the command line is the user's choice; it is said, and not asked."""
    protocol = protocol_file(count=1)
    command = ["run", str(protocol), "--policy", WORKER, "--out", str(tmp_path / "run")]
    assert main([*command, "--workers", "1"]) == 0
    assert "names, and it is used: the module 'fakes'" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "run.json").read_text())
