"""Servers of ours and of others, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PEERS = Path(__file__).parents[1] / "peers"
_MAIN = "import sys; from vla_eval.cli import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def _process(command: list[str], **options) -> Iterator[tuple[subprocess.Popen, str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def serving(spec: str, *flags: str) -> Iterator[dict]:
    """Run ``vlaeval serve`` and return what it says of itself, with its ``process``."""
    command = [sys.executable, "-c", _MAIN, "serve", spec, "--port", "0", "--json", *flags]
    with _process(command) as (process, line):
        yield {**json.loads(line), "process": process}


@contextmanager
def misbehaving(*arguments: str, script: str = "bad_server.py") -> Iterator[str]:
    """Run a server that misbehaves as the path of the address says; return ``ws://host:port``."""
    with _process([sys.executable, str(_PEERS / script), *arguments]) as (_, port):
        yield f"ws://127.0.0.1:{port}"


def _python(name: str) -> str:
    folder = os.environ.get("VLA_EVAL_PEERS")
    if not folder:
        pytest.skip("needs other projects' packages: tools/peers.sh DIR, then VLA_EVAL_PEERS=DIR")
    return str(Path(folder) / name / "bin/python")


def _alone() -> dict[str, str]:
    """Return an environment in which our packages are not found."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@contextmanager
def peer_server(env: str, script: str) -> Iterator[str]:
    """Run a server of another project; return the first line it prints."""
    command = [_python(env), str(_PEERS / script)]
    with _process(command, env=_alone(), cwd="/") as (_, line):
        yield line


def peer(env: str, script: str, *arguments: str) -> dict:
    """Run a client of another project to its end; return the JSON it prints last."""
    command = [_python(env), str(_PEERS / script), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=_alone(), cwd="/", check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
