"""Files of unknown origin: pipes, double keys, invalid times, forged arms."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import vla_eval
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.files.jsonfile import AmbiguousJsonError, refuse_ambiguous
from vla_eval.runs.folder import RunFolder, check_arm_names, identity_sha256
from vla_eval.runs.header import Arm, same_policy
from vla_eval.runs.store import read_records

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"
ARMS = {"new": f"{WORKER}?skill=0.97", "old": f"{WORKER}?skill=0.97&version=2"}
SEQUENTIAL = 'stopping = "obrien-fleming-5"\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def run(made, tmp_path, protocol_file) -> Path:
    """A copy of a run with looks, a baseline and a certificate beside its records; made once."""
    if not (made / "run").exists():
        path = protocol_file(count=60, run='order = "round-robin"')
        path.write_text(path.read_text() + SEQUENTIAL)
        vla_eval.run(str(path), ARMS, made / "run", workers=1, notify=lambda sentence: None)
        run = str(made / "run")
        check = ["check", run, "--arm", "new", "--write-baseline", str(made / "baseline.json")]
        assert main(check) == 0
        roles = ["--candidate", "new", "--reference", "old"]
        assert main(["certify", run, *roles, "--out", str(made / "certificate.json")]) in (0, 1, 6)
    target = tmp_path / "copy"
    shutil.copytree(made, target)
    return target / "run"


def records_file(run: Path) -> Path:
    return next(iter(sorted((run / "episodes").glob("*.jsonl"))))


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], list[str]]]] = {
    "records": (records_file, lambda run: ["report", str(run)]),
    "run.json": (lambda run: run / "run.json", lambda run: ["report", str(run)]),
    "a look": (
        lambda run: run / "looks/1.json",
        lambda run: ["certify", str(run), "--candidate", "new", "--reference", "old"],
    ),
    "a baseline": (
        lambda run: run.parent / "baseline.json",
        lambda run: ["check", str(run), "--baseline", str(run.parent / "baseline.json")],
    ),
    "a certificate": (
        lambda run: run.parent / "certificate.json",
        lambda run: ["verify", str(run.parent / "certificate.json"), str(run)],
    ),
}


def complaint(capsys, command: list[str]) -> str:
    """Return the one line on stderr of a command that ends with exit code 4."""
    capsys.readouterr()
    assert main(command) == 4
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


def test_untouched_they_are_all_read(run):
    """The untouched files are read, so the refusals below have the change as their cause."""
    for _, command in READERS.values():
        assert main(command(run)) in (0, 1, 6)


def listen(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has some hundred letters at most
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


STRANGERS = {
    "a named pipe": os.mkfifo,
    "a socket": listen,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
}


@pytest.mark.timeout(60)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("kind", STRANGERS)
@pytest.mark.parametrize("what", READERS)
def test_what_is_no_file_is_never_opened(run, capsys, what, kind):
    """A pipe would wait for ever, a device never ends: one sentence, at once."""
    place, command = READERS[what]
    file = place(run)
    file.unlink()
    STRANGERS[kind](file)
    if (what, kind) == ("a baseline", "a folder"):  # may be a run
        assert "is no run folder" in complaint(capsys, command(run))
    else:
        assert f"it is {kind}, and a file is expected" in complaint(capsys, command(run))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a named pipe", "nothing"])
def test_a_run_without_its_folder_of_records(run, capsys, kind):
    """A pipe in the folder's place, or no such folder: one sentence."""
    shutil.rmtree(run / "episodes")
    if kind == "a named pipe":
        os.mkfifo(run / "episodes")
    said = complaint(capsys, ["report", str(run)])
    assert ("it is a named pipe" if kind == "a named pipe" else "No such file") in said


def edit(file: Path, change: Callable[[str], str]) -> None:
    """Change a file's text; in a record file change every record, and recompute the chain like a forger."""
    if file.suffix != ".jsonl":
        file.write_text(change(file.read_text()))
        return
    chain, lines = "", []
    for line in file.read_text().splitlines():
        text = change(line.partition(',"record":')[2][:-1])
        chain = hashlib.sha256(f"{chain}\n{text}".encode()).hexdigest()[:32]
        lines.append(f'{{"chain":"{chain}","record":{text}}}\n')
    file.write_text("".join(lines))


def twice(text: str, name: str) -> str:
    """Put an equal key with another value before a key; every character of the text stays."""
    place = text.index(f'"{name}"')
    return f'{text[:place]}"{name}": "another",{text[place:]}'


DOUBLES = [
    ("records", "outcome"),
    ("records", "started_at"),
    ("records", "simulator"),
    ("run.json", "status"),
    ("run.json", "margin"),
    ("run.json", "skill"),
    ("a look", "candidate"),
    ("a look", "decision"),
    ("a baseline", "arm"),
    ("a baseline", "scenes"),
    ("a certificate", "verdict"),
    ("a certificate", "n11"),
]


@pytest.mark.parametrize(("what", "name"), DOUBLES)
def test_a_key_that_is_there_twice_is_refused(run, capsys, what, name):
    """This holds anywhere in a file: one reader would take the first value, another the last."""
    place, command = READERS[what]
    edit(place(run), lambda text: twice(text, name))
    assert f"the key '{name}' is there twice" in complaint(capsys, command(run))


TRICKS = {
    "plain": lambda text: text.replace('"outcome":', '"outcome":"success","outcome":', 1),
    "a space before the colon": lambda text: text.replace(
        '"outcome":', '"outcome" :"success","outcome":', 1
    ),
    "a tab before the colon": lambda text: text.replace(
        '"outcome":', '"outcome"\t:"success","outcome":', 1
    ),
    "a colon less elsewhere": lambda text: text.replace(
        '"outcome":', '"outcome":"success","outcome":', 1
    ).replace("fakes:fakes/", "fakes\\u003afakes/"),
    "the name in other letters": lambda text: text.replace(
        '"outcome":', '"\\u006futcome":"success","outcome":', 1
    ),
    "an equal value": lambda text: text.replace('"attempt":1', '"attempt":1,"attempt":1', 1),
    "an empty object": lambda text: text.replace('"counts":{', '"counts":{},"counts":{', 1),
    "in an object in an object": lambda text: text.replace(
        '"provenance":{', '"provenance":{"a":{"b":1,"b":2},', 1
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_record_with_a_double_key_is_refused_however_it_is_written(run, trick):
    """A double key is found fast by counting colons; every form of the key is found."""
    file = records_file(run)
    edit(file, TRICKS[trick])
    with pytest.raises(RunFolderError, match=r"line 1: is no episode record \(the key .* is there"):
        read_records([file])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"attempt":1', '"attempt" : 1'),
        lambda text: text.replace("fakes:fakes/", "fakes\\u003afakes/"),
        lambda text: json.dumps(json.loads(text), indent=None),
        lambda text: json.dumps(json.loads(text) | {"instruction": 'say "yes": now\\'}),
        lambda text: text.replace('"provenance":{', '"provenance":{"a":{"b:c":1},'),
    ],
)
def test_other_ways_of_writing_a_record_are_read(run, change):
    """A record in another JSON layout with the same content is read."""
    file = records_file(run)
    before = len(read_records([file]).attempts)
    edit(file, change)
    assert len(read_records([file]).attempts) == before


@pytest.mark.parametrize("head", ['"chain":"0","chain":"{chain}"', '"x":1,"x":2,"chain":"{chain}"'])
def test_a_double_key_beside_the_record_is_refused(run, head):
    """The line around the record is no place for it either."""
    file = records_file(run)
    line = file.read_text().splitlines()[0]
    chain = json.loads(line)["chain"]
    file.write_text(line.replace(f'"chain":"{chain}"', head.replace("{chain}", chain)) + "\n")
    with pytest.raises(RunFolderError, match=r"line 1: is no episode record .*twice"):
        read_records([file])


def test_what_follows_the_record_is_refused(run):
    """Text between the record and the end of its line is refused."""
    file = records_file(run)
    line = file.read_text().splitlines()[0]
    for bad in (line[:-1], line[:-1] + "]", line + "}", line[:-1] + ',"record":{}}'):
        file.write_text(bad + "\n")
        with pytest.raises(RunFolderError, match=r"line 1: is no .*episode record"):
            read_records([file])


def test_numbers_that_only_one_parser_reads_are_refused():
    """Five thousand digits, or brackets without end: a sentence, no internal error."""
    for text in (f'{{"a": {"1" * 5000}}}', "[" * 100_000):
        with pytest.raises(AmbiguousJsonError, match="not plain JSON"):
            refuse_ambiguous(text)


NO_TIMES = {
    "yesterday": "'yesterday' is no time with a zone",
    "2026-01-01T00:00:00": "'2026-01-01T00:00:00' is no time with a zone",
    "0001-01-01T00:00:00+01:00": "is no time with a zone",
    "": "'' is no time with a zone",
    "\\u001b[2J": r"'\x1b[2J' is no time with a zone",
}


@pytest.mark.parametrize("value", NO_TIMES)
@pytest.mark.parametrize(
    ("what", "name"),
    [("records", "started_at"), ("run.json", "created_at"), ("a look", "taken_at")],
)
def test_a_time_without_a_zone_is_refused(run, capsys, what, name, value):
    """So is a text that is no time: one sentence with the value, no internal error."""
    place, command = READERS[what]

    def change(text: str) -> str:
        head, mark, rest = text.partition(f'"{name}":')
        return f'{head}{mark}"{value}"{rest[rest.index(rest.split(chr(34))[2]) :]}'

    edit(place(run), change)
    said = complaint(capsys, command(run))
    assert NO_TIMES[value] in said
    assert f"{name}: " in said


def test_a_forged_spec_is_refused(run, capsys):
    """The spec is in the identity that every record names by its hash, so its text cannot be changed."""
    content = json.loads((run / "run.json").read_text())
    arm = content["arms"][0]
    assert arm["identity"]["spec"] == arm["spec"] == ARMS["new"]
    arm["spec"] = "flow:somebody/else"
    (run / "run.json").write_text(json.dumps(content))
    said = complaint(capsys, ["report", str(run)])
    assert "has the spec 'flow:somebody/else', and was identified as 'fakes.policies:" in said
    arm["identity"]["spec"] = "flow:somebody/else"
    (run / "run.json").write_text(json.dumps(content))
    assert "was made by another policy" in complaint(capsys, ["report", str(run)])
    del arm["identity"]["spec"]
    (run / "run.json").write_text(json.dumps(content))
    assert "was made by another policy" in complaint(capsys, ["report", str(run)])


def without_specs(run: Path) -> None:
    """Give a run its older form, with no spec in identities and no token in records."""
    content = json.loads((run / "run.json").read_text())
    hashes = {}
    for arm in content["arms"]:
        del arm["identity"]["spec"]
        hashes[arm["name"]] = identity_sha256(arm["identity"])
    (run / "run.json").write_text(json.dumps(content))

    def change(text: str) -> str:
        record = json.loads(text)
        del record["timing"]["session"]
        return json.dumps(record | {"policy_sha256": hashes[record["arm"]]}, separators=(",", ":"))

    for file in (run / "episodes").glob("*.jsonl"):
        edit(file, change)
    shutil.rmtree(run / "looks")


def test_a_run_of_before_is_read_and_continued(tmp_path, protocol_file):
    """Its identities hold no spec: they stay as they are, and so do the hashes in its records."""
    path = str(protocol_file(count=6))
    out = tmp_path / "run"
    vla_eval.run(path, ARMS, out, workers=1, shard="1/2", notify=lambda sentence: None)
    (out / "looks").mkdir()
    without_specs(out)
    assert len(RunFolder.open(out).records().final) == 6
    assert vla_eval.run(path, ARMS, out, workers=1, notify=lambda sentence: None).complete
    assert "spec" not in RunFolder.open(out).header.arms[0].identity
    assert len({each.policy_sha256 for each in RunFolder.open(out).records().attempts}) == 2


def test_one_policy_may_have_two_specs():
    """The place of a checkpoint differs between machines; the rest of the identity does not."""
    here = Arm(name="a", spec="flow:/here", identity={"weights": "w", "spec": "flow:/here"})
    there = Arm(name="a", spec="flow:/there", identity={"weights": "w", "spec": "flow:/there"})
    before = Arm(name="a", spec="flow:/here", identity={"weights": "w"})
    other = Arm(name="a", spec="flow:/here", identity={"weights": "x", "spec": "flow:/here"})
    never = Arm(name="a", spec="flow:/here")
    assert same_policy(here, there)
    assert same_policy(here, before)
    assert not same_policy(here, other)
    assert same_policy(here, never)
    assert not same_policy(there, never)


def test_a_run_of_before_and_its_twin_of_today_are_compared(run, tmp_path, capsys):
    """The same episodes under the two hashes of one policy contradict nothing."""
    twin = tmp_path / "twin"
    shutil.copytree(run, twin)
    without_specs(twin)
    capsys.readouterr()
    main(["compare", str(run), str(twin), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {each["name"] for each in found["arms"]} == {"new", "old"}
    assert not any("two results" in each for each in found["warnings"])
    assert vla_eval.summarise([run, twin]).complete


LOOK_ALIKE = "nеw"


def test_arm_names_are_ascii(run, capsys, protocol_file, tmp_path):
    """A Cyrillic letter that looks like a Latin one is refused, when a run begins and when it is read."""
    with pytest.raises(UsageError, match=r"arm 'n\\u0435w': use ASCII letters"):
        vla_eval.run(str(protocol_file()), {LOOK_ALIKE: WORKER}, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    edit(run / "run.json", lambda text: text.replace('"name": "new"', f'"name": "{LOOK_ALIKE}"'))
    assert r"run.json: arm 'n\u0435w': use ASCII" in complaint(capsys, ["report", str(run)])
    for name in ("", "a b", "a/b", "é", "a\n", "ａ"):
        with pytest.raises(UsageError, match="use ASCII"):
            check_arm_names([name])
    check_arm_names(["a-b_C.9"])


@pytest.mark.parametrize("names", [["new", "new"], []])
def test_arms_that_cannot_be_told_apart_are_refused(run, capsys, names):
    """A run with two arms of one name, or without arms, is refused."""
    content = json.loads((run / "run.json").read_text())
    arm = content["arms"][0]
    content["arms"] = [arm | {"name": name} for name in names]
    (run / "run.json").write_text(json.dumps(content))
    assert "each has a name of its own" in complaint(capsys, ["report", str(run)])
