"""Bad input of every kind gives one sentence with its place and exit code 4, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import vla_eval
from vla_eval.cli import main
from vla_eval.errors import InfrastructureError, ProtocolError, RunFolderError, UsageError
from vla_eval.files.atomic import StorageError
from vla_eval.files.plain import markdown as markdown_text
from vla_eval.files.plain import one_line, printable, printable_json, whole_number
from vla_eval.files.tomlfile import read_toml
from vla_eval.gate import Baseline, TaskOutcomes, compare
from vla_eval.gate.reports import annotation, junit_xml, markdown
from vla_eval.plan import Shard
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.lock import folder_lock
from vla_eval.runs.store import RecordWriter, read_records

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "torture"))
from samples import Samples

HUGE = "1" * 5000
DEEP = "[" * 5000 + "]" * 5000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Samples:
    return Samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def run(made, tmp_path) -> Path:
    return made.copy_of_run(tmp_path / "run")


def complaint(capsys, *command: str) -> str:
    """Return the message of a command that ends with exit code 4."""
    capsys.readouterr()
    assert main(list(command)) == 4
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "internal error" not in said
    return said


@pytest.mark.parametrize("value", [HUGE, f"0x{'f' * 5000}", DEEP, "07:32:00", "1979-05-27", "inf"])
@pytest.mark.parametrize("key", ["title", "blocks.0.init_states.count", "run.limits.infer_s"])
def test_overrides_that_json_cannot_hold_are_refused(capsys, key, value):
    """Digits without end, deep lists, dates and infinities: a sentence that names the override."""
    said = complaint(capsys, "plan", "so101-quickstart", "--set", f"{key}={value}")
    assert f"--set {key}=" in said


@pytest.mark.parametrize("value", [HUGE, f"0x{'f' * 5000}", DEEP, "1979-02-30", "07:32:00", "nan"])
def test_toml_that_json_cannot_hold_is_refused(tmp_path, value):
    """The message names the file for every exception of Python's parser."""
    path = tmp_path / "a.toml"
    path.write_text(f"a = {value}\n")
    with pytest.raises(ProtocolError, match=r"a\.toml: "):
        read_toml(path)


@pytest.mark.parametrize("number", ["²", "٣", "1" * 19, "-1", "", " 1", "1_0"])
def test_numbers_are_ascii_digits(number):
    """Other digits than ASCII ones, signs, spaces, underscores and more than 18 digits are refused."""
    assert whole_number(number) is None
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(f"{number}/3")
    with pytest.raises(ProtocolError, match="no position"):
        load_protocol("so101-quickstart", overrides=[f"blocks.{number}.max_steps=1"])


BOUNDS = {
    "blocks.0.init_states.count=1000000000": "less than or equal to 1000000",
    "blocks.0.max_steps=1000001": "blocks.0.max_steps",
    "run.limits.infer_s=1e300": "run.limits.infer_s",
    "run.batch_wait_ms=1e300": "run.batch_wait_ms",
    "run.max_batch=100000": "run.max_batch",
    "run.limits.retries=1000": "run.limits.retries",
    "analysis.margin=1e-300": "analysis.margin",
    "analysis.alpha=1e-300": "analysis.alpha",
    "blocks.0.env_kwargs.image_size=1e999": "finite decimals",
}


@pytest.mark.parametrize("override", BOUNDS)
def test_numbers_of_protocols_are_bounded(override):
    """Three zeros too many are refused before anything is listed."""
    with pytest.raises(ProtocolError, match=BOUNDS[override]):
        load_protocol("so101-pick-place", overrides=[override])


def test_the_episodes_of_an_arm_are_bounded():
    """The product of tasks, states and seeds is bounded: a bound on each alone would not limit memory."""
    changes = ["blocks.0.init_states.count=1000000", "run.policy_seeds=[0, 1]"]
    with pytest.raises(ProtocolError, match=r"make 2,000,000 episodes an arm; at most 1,000,000"):
        load_protocol("so101-pick-place", overrides=changes)


@pytest.mark.long
def test_a_count_in_run_json_is_bounded_too(run, capsys):
    """The same numbers are refused in a run folder of unknown origin."""
    content = json.loads((run / "run.json").read_text())
    content["protocol"]["blocks"][0]["init_states"] = {"count": 10**9}
    (run / "run.json").write_text(json.dumps(content))
    assert "init_states" in complaint(capsys, "report", str(run))


@pytest.mark.parametrize("token", ["NaN", "Infinity", "1e999", HUGE, '{"a":1,"a":2}'])
def test_identities_that_no_json_holds_are_refused(run, capsys, token):
    """NaN in an identity, which cannot be hashed, is refused."""
    text = (run / "run.json").read_text()
    (run / "run.json").write_text(text.replace('"options": {}', f'"options": {token}', 1))
    assert "run.json: is damaged" in complaint(capsys, "report", str(run))


FILES = {
    "run.json": ["report", "RUN"],
    "protocol.json": ["report", "RUN"],
    "episodes/20260101T000000-0-0001-w0.jsonl": ["report", "RUN"],
    "p.toml": ["plan", "RUN/p.toml"],
    "c.toml": ["audit", "RUN/c.toml"],
    "b.json": ["check", "RUN", "--baseline", "RUN/b.json"],
    "v.json": ["verify", "RUN/v.json", "RUN"],
    "g.toml": ["sweep", "RUN/g.toml", "--out", "RUN/out"],
    "r.toml": ["train", "RUN/r.toml", "--out", "RUN/out"],
    "n.json": ["stats", "clustered", "RUN/n.json"],
    "registration.json": ["certify", "RUN", "--candidate", "new", "--reference", "old"],
}


@pytest.mark.parametrize("place", FILES)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "bytes", "loop"])
def test_what_is_no_file_is_named_and_never_opened(made, run, capsys, place, kind):
    """A named pipe would be waited for, a device read without end."""
    if kind == "bytes" and place.startswith("episodes"):
        pytest.skip("a line without an end is what a kill leaves")
    if place == "r.toml":
        pytest.importorskip("torch", reason="needs the extra 'flow'")
    made.look()
    path = run / place
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes(b"\xff\xfe\x00")
    command = [each.replace("RUN", str(run)) for each in FILES[place]]
    assert Path(place).name in complaint(capsys, *command)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\x1b[2J"])
def test_names_that_no_file_can_have_are_refused(capsys, name):
    """A name of 300 characters is refused in a sentence, and its escape sequences stay text."""
    for command in ("report", "audit"):
        assert "\x1b" not in complaint(capsys, command, name)


@pytest.mark.parametrize("margin", ["0", "-1", "1", "nan", "inf", "1e-300"])
def test_margins_that_no_protocol_could_have_are_refused(run, capsys, margin):
    """On the command line and in a baseline file."""
    said = complaint(capsys, "check", str(run), "--baseline", str(run), "--margin", margin)
    assert f"margin {float(margin):g}" in said
    roles = ["--candidate", "new", "--reference", "old"]
    assert "margin" in complaint(capsys, "certify", str(run), *roles, "--margin", margin)


def test_damaged_records_name_their_run(run, tmp_path, capsys):
    """The message names the damaged one of three folders."""
    other = tmp_path / "other"
    shutil.copytree(run, other)
    file = next((other / "episodes").glob("*.jsonl"))
    file.write_text(file.read_text().replace('"steps":20', '"steps":21', 1))
    said = complaint(capsys, "report", str(run), str(other))
    assert f"{file}, line 1: does not follow" in said


@pytest.mark.parametrize("nested", [DEEP, HUGE, "NaN"])
def test_odd_records_and_chains_are_refused(run, nested):
    """In a record and in the chain around it."""
    file = next((run / "episodes").glob("*.jsonl"))
    good = file.read_text().splitlines()[0]
    for bad in (
        good.replace('"counts":{}', f'"provenance":{{"a":{nested}}}', 1),
        good.replace('{"chain":"', f'{{"x":{nested},"chain":"', 1),
    ):
        file.write_text(bad + "\n")
        with pytest.raises(RunFolderError, match=r"line 1: is no"):
            read_records([file])


def test_a_protocol_beside_run_json_is_the_runs(run, capsys):
    """Reading a run refuses an edited copy of the protocol; a missing copy is fine."""
    file = run / "protocol.json"
    content = json.loads(file.read_text())
    content["analysis"]["margin"] = 0.2
    file.write_text(json.dumps(content))
    said = complaint(capsys, "report", str(run))
    assert "protocol.json: is not the protocol of run.json" in said
    assert "analysis.margin: 0.1 before, 0.2 now" in said
    file.unlink()
    assert main(["report", str(run)]) == 0


HOSTILE = (
    "a|b\n# head <img src=https://x.example/y> @someone [l](http://x) \x1b[2J\x1b]0;t\x07\u202e%"
)


def test_hostile_names_are_only_shown_in_reports_for_ci():
    """Markdown, XML and workflow commands show the text, and it has no other effect."""
    arm = Baseline(
        protocol=HOSTILE,
        protocol_sha256="0" * 64,
        margin=0.05,
        alpha=0.05,
        arm="a",
        spec=HOSTILE,
        policy_sha256="0" * 64,
        tasks={HOSTILE: TaskOutcomes(outcomes="1" * 20, scenes="0")},
    )
    result = compare(
        arm,
        arm.model_copy(update={"tasks": {HOSTILE: TaskOutcomes(outcomes="0" * 20, scenes="0")}}),
    )
    page = markdown(result, arm, arm)
    assert not [line for line in page.splitlines() if line.startswith("# ")]
    for sign in ("<img", "@someone", "](http", "\x1b", "\u202e", "https://"):
        assert sign not in page
    xml = junit_xml(result, arm)
    assert ET.fromstring(xml).find("testcase") is not None
    assert "\x1b" not in xml
    command = annotation(result, arm.model_copy(update={"protocol": HOSTILE + ",x::y"}))
    worse = annotation(
        compare(
            arm.model_copy(
                update={"tasks": {HOSTILE: TaskOutcomes(outcomes="0" * 20, scenes="0")}}
            ),
            arm,
        ),
        arm,
    )
    for each in (command, worse):
        assert each is None or ("\n" not in each and each.count("::") == 2)
    assert worse is not None
    assert "%25" in worse
    assert "%0A" in worse


def _most(model: type, name: str) -> int:
    """Return the upper bound of a field of a model."""
    schema = model.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    return int(next(each["maximum"] for each in options if "maximum" in each))


def test_the_page_of_limits_says_what_the_code_does():
    """The numbers on the page are those of the models."""
    from vla_eval import blocks
    from vla_eval.files import jsonfile, tomlfile

    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
    said = {
        "seeds": blocks.MOST_EPISODES,
        "`max_steps`, `run.n_action_steps`": _most(blocks.Block, "max_steps"),
        "`infer_s`, `env_s`, `setup_s`": _most(blocks.Limits, "infer_s"),
        "`limits.retries`": _most(blocks.Limits, "retries"),
        "`run.max_batch`": _most(blocks.RunSettings, "max_batch"),
        "`run.batch_wait_ms`": _most(blocks.RunSettings, "batch_wait_ms"),
    }
    for what, number in said.items():
        assert f"{what} | {number:,}" in page, what
    assert f"size | {jsonfile.MOST_BYTES // 10**6} MB" in page
    assert f"size | {tomlfile.MOST_BYTES // 10**6} MB" in page


def test_what_strangers_wrote_does_nothing_to_a_terminal(run, capsys):
    """A title with escape sequences is shown as text by every command that shows it."""
    content = json.loads((run / "run.json").read_text())
    content["protocol"]["title"] = HOSTILE
    from vla_eval.protocol import Protocol

    protocol = Protocol.model_validate_json(json.dumps(content["protocol"]))
    content["protocol_sha256"] = protocol.sha256
    (run / "run.json").write_text(json.dumps(content))
    (run / "protocol.json").unlink()
    shutil.rmtree(run / "episodes")
    (run / "episodes").mkdir()
    shutil.rmtree(run / "looks")
    assert main(["report", str(run)]) == 0
    shown = capsys.readouterr().out
    assert r"\x1b[2J" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_text_is_made_plain():
    """Letters of all languages stay; control characters, direction marks and surrogates are escaped."""
    assert printable("Grüße 漢字 – 95 % ⚠️\nnext") == "Grüße 漢字 – 95 % ⚠️\nnext"
    assert printable("a\x1b\x07\x9b\u202e\ud800\r") == r"a\x1b\x07\x9b\u202e\ud800\r"
    assert one_line("a\nb") == r"a\nb"
    assert json.loads(printable_json('{"a": "\u202e\x9b"}')) == {"a": "\u202e\x9b"}
    assert markdown_text("www.x.example @me #1") == "www&#46;x.example &#64;&#8203;me &#35;1"


def test_a_folder_that_goes_away_is_said_to_be_gone(tmp_path, run):
    """If the folder is deleted while a worker writes, the message is not about disk space; no folder is made."""
    folder = tmp_path / "gone"
    folder.mkdir()
    record = RunFolder.open(run).records().attempts[0]
    with RecordWriter(folder / "a.jsonl") as writer:
        writer.append(record)
        shutil.rmtree(folder)
        with pytest.raises(StorageError, match="was deleted or renamed"):
            writer.append(record)
    with pytest.raises(InfrastructureError, match="was deleted or renamed"), folder_lock(folder):
        pass
    assert not folder.exists()


def test_a_complete_run_that_cannot_be_written_shows_its_result(run, monkeypatch):
    """On a read-only mount the same command shows the stored result."""
    found = RunFolder.open(run).header
    arms = {arm.name: arm.spec for arm in found.arms}
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and real(path, mode))
    monkeypatch.setattr("vla_eval.engine.runner.check_catalogue", lambda protocol: None)
    before = (run / "run.json").read_bytes()
    summary = vla_eval.run(found.protocol, arms, run, workers=1)
    assert summary.complete
    assert (run / "run.json").read_bytes() == before


def test_a_system_that_refuses_is_no_bug_of_ours(run, capsys):
    """The message holds the file system's own reason, at every place."""
    junit = "/proc/nowhere/junit.xml"
    assert "/proc/nowhere" in complaint(
        capsys, "check", str(run), "--baseline", str(run), "--junit", junit
    )
