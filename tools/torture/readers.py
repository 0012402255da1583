"""Every reader that is fuzzed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mutate
from reader import Attempt, Reader, TakenError, WrongExitError
from samples import Samples

__all__ = ["READERS"]

_Damage = Callable[[random.Random, bytes], bytes]


def _file(
    name: str, sample: Callable[[Samples], bytes], damage: _Damage, read: Callable[[Path], object]
) -> Callable[[Path], Attempt]:
    """Return how a reader of one file is tried."""

    def prepare(folder: Path) -> Attempt:
        data, path = sample(Samples(folder)), folder / "damaged" / name
        path.parent.mkdir()
        path.write_bytes(data)
        read(path)  # it is valid, and this imports the reader's modules

        def attempt(rng: random.Random) -> object:
            path.write_bytes(damage(rng, data))
            return read(path)

        return attempt

    return prepare


def _named(name: str) -> Callable[[Samples], bytes]:
    return lambda samples: (samples.folder / name).read_bytes()


def _protocol(path: Path) -> object:
    from vla_eval.plan import expand
    from vla_eval.released import load_protocol

    expand.cache_clear()
    return len(expand(load_protocol(str(path))))


def _sweep(path: Path) -> object:
    from vla_eval.sweep import load_grid

    return load_grid(path)


def _recipe(path: Path) -> object:
    from vla_eval_policies.training.recipe import load_recipe

    return load_recipe(path)


def _claims(path: Path) -> object:
    from vla_eval.audit import audit, read_claims

    return audit(read_claims(path))


def _registration(path: Path) -> object:
    from vla_eval.claims.registration import read_registration

    return read_registration(path)


def _flow(path: Path) -> object:
    from vla_eval_policies.flow.checkpoint import load_checkpoint

    return load_checkpoint(path)


def _init_states(path: Path) -> object:
    from vla_eval_envs.libero.init_states import read_init_states

    return read_init_states(path)


def _init_damage(rng: random.Random, data: bytes) -> bytes:
    """Damage the archive, or the pickle inside it."""
    import zipfile

    if rng.random() < 0.4:
        return mutate.any_bytes(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        payload = archive.read("archive/data.pkl")
    steps = (
        b"r\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x00", b"(", b"]", b"h\x00", b"cos\nsystem\n", b"R",
        b"b", b"\x85", b"2", b"N", b"I" + b"9" * 5000 + b"\n", b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    )  # fmt: skip
    if rng.random() < 0.5:
        place = rng.randrange(len(payload))
        payload = payload[:place] + rng.choice(steps) * rng.choice((1, 1, 500)) + payload[place:]
    else:
        payload = mutate.any_bytes(rng, payload)
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as out:
        out.writestr("archive/data.pkl", payload)
    return found.getvalue()


def _overrides(_: Path) -> Attempt:
    from vla_eval.released import load_protocol

    texts = (
        "blocks.0.init_states.count=5", "run.limits.infer_s=30.0", "analysis.margin=0.05",
        "blocks.0.init_states=[0, 1, 2]", "run.max_batch=2", "run.order='round-robin'", "title=hello",
        "blocks.0.env_kwargs.image_size=64", "run.policy_seeds=[0, 1]", "analysis.alpha=0.01",
    )  # fmt: skip

    def attempt(rng: random.Random) -> object:
        changes = [mutate.any_options(rng, rng.choice(texts)) for _ in range(rng.choice((1, 1, 2)))]
        name = rng.choice(("so101-quickstart", "so101-quickstart", "so101-quickstart@1"))
        if rng.random() < 0.1:
            name = mutate.any_options(rng, name)
        return load_protocol(name, overrides=changes)

    return attempt


def _specs(_: Path) -> Attempt:
    from vla_eval.spec import PolicySpec, build_policy

    texts = (
        "impaired:expert?action_noise=0.2", "random", "expert",
        "flow:so101/fm?nfe=2&solver=euler", "flow:so101/snapflow?keystone=4&guard=0.3", "noop?x=1",
    )  # fmt: skip

    for text in texts[:-1]:
        build_policy(text)

    def attempt(rng: random.Random) -> object:
        text = mutate.any_options(rng, rng.choice(texts))
        spec = PolicySpec.parse(text)
        known = spec.kind in ("expert", "random", "impaired", "flow")
        return build_policy(text) if known and ":/" not in text else spec

    return attempt


def _shards(_: Path) -> Attempt:
    from vla_eval.plan import Shard

    def attempt(rng: random.Random) -> object:
        return Shard.parse(mutate.any_options(rng, rng.choice(("1/2", "2/8", "²/3", "1=/2"))))

    return attempt


def _baselines(folder: Path) -> Attempt:
    from vla_eval.gate import baseline_of, compare, read_baseline
    from vla_eval.gate.reports import annotation, junit_xml, markdown
    from vla_eval.runs.folder import RunFolder

    samples = Samples(folder)
    data, path = samples.baseline(), folder / "baseline.json"
    now, protocol = baseline_of(samples.run, "new"), RunFolder.open(samples.run).header.protocol

    path.write_bytes(data)
    compare(now, read_baseline(path), protocol=protocol)

    def attempt(rng: random.Random) -> object:
        path.write_bytes(mutate.any_json(rng, data))
        before = read_baseline(path)
        found = compare(now, before, protocol=protocol)
        return junit_xml(found, now), markdown(found, now, before), annotation(found, before)

    return attempt


def _in_run(place: str, damage: _Damage, sample: Callable[[Samples], bytes]) -> Any:
    """Return how a reader of a run folder is tried, one file of which is damaged."""

    def prepare(folder: Path) -> Attempt:
        samples = Samples(folder)
        data = sample(samples)
        run = samples.copy_of_run(folder / "copy")
        _read_run(run)

        def attempt(rng: random.Random) -> object:
            (run / place).write_bytes(damage(rng, data))
            return _read_run(run)

        return attempt

    return prepare


def _read_run(run: Path) -> object:
    from vla_eval.judging.look_files import checked_looks
    from vla_eval.runs.folder import RunFolder
    from vla_eval.summary.model import summarise
    from vla_eval.summary.text import report_text

    summary = summarise([run])
    json.dumps(summary.to_json(), allow_nan=False)
    folder = RunFolder.open(run)
    checked_looks(folder, folder.records())
    return report_text(summary)


_RECORDS = "episodes/20260101T000000-0-0001-w0.jsonl"


def _record_damage(rng: random.Random, data: bytes) -> bytes:
    return mutate.any_lines(rng, data, _chained)


def _chained(lines: list[bytes]) -> bytes:
    """Give every line the chain that follows from those before it, as a forger would."""
    from vla_eval.runs.store import _next_chain

    chain, found = "", []
    for line in lines:
        _, mark, body = line.partition(b'"record":')
        body = body.strip()[:-1]
        chain = _next_chain(chain, body)
        found.append(b'{"chain":"%b","record":%b}' % (chain.encode(), body) if mark else line)
    return b"\n".join(found) + b"\n"


def _traces(folder: Path) -> Attempt:
    """Try a file of executed actions: what is returned has the hash of the record, or it is an error."""
    import numpy as np

    from vla_eval.runs.store import read_records
    from vla_eval.runs.traces import Attempt as Tried
    from vla_eval.runs.traces import AttemptWriter, Trace, Traces

    steps = np.arange(20, dtype=np.int32)
    actions = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    trace = Trace(actions, steps > 15, steps // 4, np.arange(0, 20, 4, dtype=np.int32))
    record = (
        read_records([Samples(folder).run / "episodes"])
        .attempts[0]
        .model_copy(update={"actions_sha256": trace.actions_sha256})
    )
    with AttemptWriter(folder / "run" / "episodes" / "traced.jsonl") as writer:
        writer.extend([Tried(record, trace)])
    path = folder / "run" / "actions" / "traced.jsonl"
    data = path.read_bytes()
    if Traces(folder / "run").get(record) is None:
        raise TakenError("the valid file is not read")

    def attempt(rng: random.Random) -> object:
        path.write_bytes(rng.choice((mutate.any_bytes, _any_trace))(rng, data))
        found = Traces(folder / "run").get(record)
        if found is not None and not np.array_equal(found.actions, actions):
            raise TakenError("other actions were taken for those of the record")
        return found

    return attempt


def _any_trace(rng: random.Random, data: bytes) -> bytes:
    return mutate.any_lines(rng, data, lambda lines: b"\n".join(lines) + b"\n")


def _certificates(folder: Path) -> Attempt:
    from vla_eval.certificate import verify
    from vla_eval.certificate.verify import read_certificate
    from vla_eval.files.differences import differences

    samples = Samples(folder)
    data, path = samples.certificate(), folder / "certificate.json"
    path.write_bytes(data)
    true = json.loads(read_certificate(path).model_dump_json())

    def attempt(rng: random.Random) -> object:
        path.write_bytes(mutate.any_json(rng, data))
        certificate = read_certificate(path)
        said = json.loads(certificate.model_dump_json())
        other = next(differences(true, said, tolerance=1e-9), None)
        if other is not None and not verify(certificate, samples.run):
            raise TakenError(f"{other[0]}: {other[1]!r:.80} became {other[2]!r:.80}")
        return None

    return attempt


def _lerobot(folder: Path) -> Attempt:
    from vla_eval_policies.lerobot_policy.checkpoint import (
        POSTPROCESSOR,
        PREPROCESSOR,
        find_checkpoint,
    )
    from vla_eval_policies.lerobot_policy.extra_time import read_student
    from vla_eval_policies.lerobot_policy.safety import steps_of

    target = Samples(folder).lerobot(folder / "checkpoint")
    names = sorted(path.name for path in target.iterdir() if path.suffix == ".json")
    good = {name: (target / name).read_bytes() for name in names}

    def attempt(rng: random.Random) -> object:
        for name, data in good.items():
            (target / name).write_bytes(data)
        name = rng.choice(names)
        (target / name).write_bytes(mutate.any_json(rng, good[name]))
        checkpoint = find_checkpoint(str(target))
        read_student(target)
        return [
            steps_of(target / file) for file in (PREPROCESSOR, POSTPROCESSOR)
        ], checkpoint.sha256()

    return attempt


def _frames(folder: Path) -> Attempt:
    from vla_eval_policies.remote.codec import unpack

    data = Samples(folder).frame()

    def attempt(rng: random.Random) -> object:
        return unpack(mutate.any_bytes(rng, data))

    return attempt


def _command(rng: random.Random, samples: Samples, run: Path) -> list[str]:
    """Return a command line with one thing wrong with it, or with a file that it names."""
    files = {
        "run": (run / "run.json", mutate.any_json, samples.run / "run.json"),
        "records": (run / _RECORDS, _record_damage, samples.run / _RECORDS),
        "protocol": (run.parent / "p.toml", mutate.any_toml, samples.folder / "protocol.toml"),
        "claims": (run.parent / "c.toml", mutate.any_toml, samples.folder / "claims.toml"),
    }  # fmt: skip
    place, damage, good = files[rng.choice(list(files))]
    samples.copy_of_run(run)
    for path, _, source in files.values():
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(source.read_bytes())
    odd = rng.random()
    if odd < 0.5:
        place.write_bytes(damage(rng, good.read_bytes()))
    elif odd < 0.7:
        place.unlink()
        rng.choice((os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")))(place)
    protocol, claims = str(run.parent / "p.toml"), str(run.parent / "c.toml")
    command = rng.choice(
        (
            ["report", str(run)], ["report", str(run), "--json"], ["check", str(run), "--baseline", str(run)],
            ["compare", str(run), str(samples.run)], ["plan", protocol], ["audit", claims],
            ["certify", str(run), "--candidate", "new", "--reference", "old", "--out", f"{run}/c.json"],
            ["plan", "so101-quickstart", "--set", "blocks.0.init_states.count=5"],
            ["stats", "10", "20", "30", "40"], ["power", "--pairs", "100"], ["list", "protocols"],
            ["run", protocol, "--policy", "expert?x=1", "--shard", "3/2", "--out", f"{run}/x"],
            ["verify", str(samples.folder / "sample"), str(run)], ["doctor", "--policy", "flow:x?y=1"],
        )
    )  # fmt: skip
    if odd >= 0.6:
        number = rng.randrange(len(command))
        command[number] = mutate.any_options(rng, command[number])
    # Nothing of this may begin to run: `run` and its kin have a spec that cannot be used.
    return [each for each in command if "\x00" not in each]


_NEVER = ("quickstart", "serve", "record", "train", "replay", "bench", "sweep")
_CODES = range(7)


def _judge(command: Sequence[str], code: int, said: str) -> None:
    """Raise where a command did not end as documented."""
    shown = " ".join(command)
    if "internal error" in said or "Traceback" in said:
        raise WrongExitError(f"{shown}: {said.strip()[-300:]}")
    if code not in _CODES:
        raise WrongExitError(f"{shown}: exit code {code}")
    if "\x1b" in said and "\x1b" not in shown:
        raise WrongExitError(f"{shown}: an escape sequence reached the terminal")


def _in_process(folder: Path) -> Attempt:
    from vla_eval.cli import main

    samples, run = Samples(folder), folder / "copies" / "run"
    run.parent.mkdir()
    os.chdir(run.parent)

    def attempt(rng: random.Random) -> object:
        command = _command(rng, samples, run)
        if not command or command[0] in _NEVER:
            return None
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(command)
        _judge(command, code, out.getvalue() + err.getvalue())
        return code

    return attempt


_NUMBERS = (
    ["stats", "paired", "40", "3", "4", "20"], ["stats", "paired", "40", "3", "4", "20", "--margin", "0.1"],
    ["stats", "paired", "40", "3", "4", "20", "--alpha", "0.05"], ["power", "--margin", "0.1"],
    ["stats", "independent", "40", "50", "41", "50"], ["power", "--margin", "0.1", "--episodes", "200"],
    ["power", "--p", "0.9", "--difference", "0.01"], ["power", "--correlation", "0.3", "--power", "0.8"],
    ["power", "--states", "20", "--repeats", "3", "--icc", "0.5"], ["power", "--alpha", "0.05"],
    ["check", "RUN", "--baseline", "RUN", "--margin", "0.1"], ["plan", "PROTOCOL", "--workers", "2"],
    ["certify", "RUN", "--candidate", "new", "--reference", "old", "--margin", "0.1", "--out", "OUT"],
    ["power", "--run", "RUN", "--margin", "0.1"],
)  # fmt: skip


def _numbers(folder: Path) -> Attempt:
    """Try nonsensical numbers, where the command line takes one."""
    from vla_eval.cli import main

    samples = Samples(folder)
    samples.look()
    places = {
        "RUN": str(samples.run), "PROTOCOL": str(folder / "protocol.toml"), "OUT": str(folder / "o.json"),
    }  # fmt: skip
    odd = (
        "0", "-1", "1", "2", "1e-300", "1e-5", "1e-9", "0.5", "0.999999", "1e9", "1e308", "nan", "inf",
        "-inf", "-0", "²", "1" * 5000, "99999999999999999999", "1000000", "2147483648", "", "0x10",
    )  # fmt: skip

    def attempt(rng: random.Random) -> object:
        command = [places.get(each, each) for each in rng.choice(_NUMBERS)]
        spots = [place for place, each in enumerate(command) if each[0].isdigit()]
        for _ in range(rng.choice((1, 1, 2))):
            command[rng.choice(spots)] = rng.choice(odd)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(command)
        _judge(command, code, out.getvalue() + err.getvalue())
        return code

    return attempt


def _subprocess(folder: Path) -> Attempt:
    samples, run = Samples(folder), folder / "copies" / "run"
    run.parent.mkdir()

    def attempt(rng: random.Random) -> object:
        command = _command(rng, samples, run)
        if not command or command[0] in _NEVER:
            return None
        arguments = [each.encode(errors="surrogatepass") for each in command]
        done = subprocess.run(
            [sys.executable, "-m", "vlaeval_launcher", *arguments],
            cwd=run.parent,
            capture_output=True,
            check=False,
            timeout=60,
        )
        _judge(command, done.returncode, (done.stdout + done.stderr).decode(errors="replace"))
        return done.returncode

    return attempt


def _flow_damage(rng: random.Random, data: bytes) -> bytes:
    return mutate.any_safetensors(rng, data, "vla_eval.flow")


READERS: dict[str, Reader] = {
    "protocols": Reader(
        "protocol files, expanded to plans", 1500,
        _file("p.toml", _named("protocol.toml"), mutate.any_toml, _protocol),
    ),
    "overrides": Reader("`--set` and names of protocols", 1500, _overrides),
    "shards": Reader("`--shard`", 500, _shards),
    "specs": Reader("policy specs, built where that is cheap", 1000, _specs),
    "recipes": Reader(
        "training recipes", 800, _file("r.toml", _named("recipe.toml"), mutate.any_toml, _recipe), 0
    ),
    "sweeps": Reader(
        "grids of `vlaeval sweep`", 600,
        _file("s.toml", _named("sweep.toml"), mutate.any_toml, _sweep),
    ),
    "claims": Reader(
        "files of claims, audited", 500,
        _file("c.toml", _named("claims.toml"), mutate.any_toml, _claims),
    ),
    "registrations": Reader(
        "registrations", 600,
        _file("r.json", _named("registration.json"), mutate.any_json, _registration),
    ),
    "baselines": Reader("baselines, compared and reported", 500, _baselines),
    "run.json": Reader(
        "`run.json`, reported", 600, _in_run("run.json", mutate.any_json, _named("run/run.json"))
    ),
    "protocol.json": Reader(
        "`protocol.json`, reported", 400,
        _in_run("protocol.json", mutate.any_json, _named("run/protocol.json")),
    ),
    "records": Reader(
        "record files, half of them with their chain made anew", 800,
        _in_run(_RECORDS, _record_damage, _named(f"run/{_RECORDS}")),
    ),
    "actions": Reader("executed actions of an attempt", 800, _traces),
    "looks": Reader(
        "logged looks", 300, _in_run("looks/1.json", mutate.any_json, lambda samples: samples.look())
    ),
    "certificates": Reader("certificates, verified", 800, _certificates, 10),
    "flow": Reader(
        "checkpoints of `flow:`", 800,
        _file("f.safetensors", lambda samples: samples.flow(), _flow_damage, _flow), 0,
    ),
    "lerobot": Reader("small files of LeRobot checkpoints", 700, _lerobot, 0),
    "init_states": Reader(
        "pickled initial states", 1000,
        _file("a.pruned_init", lambda samples: samples.init_states(), _init_damage, _init_states),
    ),
    "frames": Reader("frames of either dialect", 1500, _frames),
    "commands": Reader("command lines, in one process", 500, _in_process, 8),
    "numbers": Reader("numbers on the command line", 400, _numbers, 6),
    "processes": Reader("command lines, each in a process of its own", 120, _subprocess, 3, hang_s=45),
}  # fmt: skip
"""Readers by name; see ``--reader`` of ``fuzz.py``."""
