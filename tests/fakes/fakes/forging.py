"""Changing a run folder as a careful forger would: with all hashes mended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["relabel", "rewrite"]


def rewrite(run: Path, change: Callable[[dict[str, Any]], Any], only: str = "") -> None:
    """Change the records (None drops one) and mend the hash chain."""
    for file in (run / "episodes").glob(f"{only}*.jsonl"):
        chain, lines = "", []
        for line in file.read_text().splitlines():
            record = change(json.loads(line)["record"])
            if record is None:
                continue
            text = json.dumps(record, separators=(",", ":"))
            chain = hashlib.sha256(f"{chain}\n{text}".encode()).hexdigest()[:32]
            lines.append(f'{{"chain":"{chain}","record":{text}}}\n')
        file.write_text("".join(lines))


def relabel(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the protocol in run.json and beside it, and its hash there and in every record."""
    from vla_eval.runs.header import RunHeader

    file = run / "run.json"
    content = json.loads(file.read_text())
    change(content["protocol"])
    protocol = RunHeader.model_validate_json(json.dumps(content)).protocol
    content["protocol_sha256"] = sha256 = protocol.sha256
    (run / "protocol.json").write_text(protocol.canonical_json() + "\n")
    file.write_text(json.dumps(content))
    rewrite(run, lambda record: record | {"protocol_sha256": sha256})
