"""The torture finds what is planted: a part of it that cannot fail would prove nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools/torture"))

import storms  # noqa: E402 - found by the line above

pytestmark = pytest.mark.long

LOSES = """
import sys
from pathlib import Path
from vlaeval_launcher import main

if __name__ == "__main__":
    for file in sorted(Path(sys.argv[-1]).glob("episodes/*-w*.jsonl"))[:1]:
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    code = main()
    sys.exit(1 if code == 2 else code)
"""


def bad(tmp_path: Path, program: str, *, kills: bool, signals: int) -> dict[str, int]:
    script = tmp_path / "program.py"
    script.write_text(program)
    scene, _ = storms.scenes(tmp_path, short=True)[0]
    planted = storms.Scene(scene.name, scene.arguments, (sys.executable, str(script)))
    return dict(storms.Storm(planted, tmp_path / "storm", 7, kills=kills).blow(signals).bad)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_storm_counts_lines_that_are_lost_and_codes_that_are_wrong(tmp_path):
    """A command that drops a finished line, and says 1 where it should say 2, is found out."""
    found = bad(tmp_path, LOSES, kills=False, signals=6)
    assert found.get("difference", 0) > 0
    assert found.get("exit code", 0) > 0


@pytest.mark.slow  # tests/engine/test_kill.py is the quick one
@pytest.mark.timeout(120)
def test_the_short_storm_finds_nothing():
    """Some kills and some other signals, over the fake environment with a policy host."""
    killed, signalled = storms.rows(short=True, seed=20261129)
    for row in (killed, signalled):
        assert row.tried >= 4
        assert not row.bad, row.examples
