"""The commands that repeat what the report shows, ready to be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from vla_eval.certificate import Certificate, Evidence
from vla_eval.errors import VlaEvalError
from vla_eval.keys import EpisodeKey
from vla_eval.protocol import Protocol
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunHeader

__all__ = ["is_shipped", "replay", "reproduce", "run_command", "view"]


def replay(run: Path, key: EpisodeKey, arm: str) -> str:
    """Return the command that runs one recorded episode again and writes a video of it."""
    video = "-".join(str(part) for part in (key.task, f"i{key.init_state}", arm))
    video = "".join(char if char.isalnum() or char in "-_." else "-" for char in video)
    words = ["vlaeval", "replay", str(run), str(key), "--arm", arm, "--video", f"{video}.mp4"]
    return shlex.join(words)


def view(runs: Sequence[Path]) -> str:
    """Return the command that shows all episodes in a browser."""
    return shlex.join(["vlaeval", "view", *map(str, runs)])


def reproduce(certificate: Certificate, evidence: Evidence, run: Path, file: Path) -> list[str]:
    """Return the commands that run, judge and verify again, in their order."""
    commit = certificate.versions.get("commit", "")
    lines = [shlex.join(["git", "checkout", commit.removesuffix("+dirty")])] if commit else []
    again = ["runs/again", *(f"runs/again-{number}" for number in range(2, len(evidence.runs) + 1))]
    runs = [run_command(each.header, to) for each, to in zip(evidence.runs, again, strict=True)]
    homes = [str(part.path) for part in evidence.parts] or [str(run)]
    return [*lines, *runs, *_judge(certificate, again, homes, file)]


def run_command(run: RunHeader, out: str) -> str:
    """Return the command that makes or continues a run."""
    protocol = run.protocol
    name = f"{protocol.protocol}@{protocol.version}" if is_shipped(protocol) else "protocol.toml"
    words = ["vlaeval", "run", name]
    for key, value in (protocol.overrides or {}).items():
        words += ["--set", f"{key}={value}"]
    for arm in run.arms:
        words += ["--arm", f"{arm.name}={arm.spec}"]
    return shlex.join([*words, "--out", out])


def _judge(
    certificate: Certificate, again: list[str], homes: list[str], file: Path
) -> Iterator[str]:
    comparison, control = certificate.comparison, certificate.control
    family = certificate.family
    words = (
        ["--candidates", ",".join(family.candidates)]
        if family
        else ["--candidate", comparison.candidate]
    )
    words += ["--reference", comparison.reference]
    if control:
        words += ["--control", control.candidate]
    if certificate.margin_reason == "given after the fact":
        words += ["--margin", f"{certificate.margin:g}"]
    yield shlex.join(["vlaeval", "certify", *again, *words])
    yield shlex.join(["vlaeval", "verify", str(file), *homes])


def is_shipped(protocol: Protocol) -> bool:
    """Return whether the shipped protocol with this name and version and these changes is equal."""
    overrides = [f"{key}={value}" for key, value in (protocol.overrides or {}).items()]
    try:
        shipped = load_protocol(f"{protocol.protocol}@{protocol.version}", overrides=overrides)
    except VlaEvalError:
        return False
    return shipped.sha256 == protocol.sha256
