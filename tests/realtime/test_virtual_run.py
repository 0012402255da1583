"""Runs in virtual time: what is refused before they begin, what a run folder holds, how they continue."""

from __future__ import annotations

import json

import pytest

from fakes.profiles import PROFILE
from vla_eval import run
from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.runs.folder import RunFolder

pytestmark = pytest.mark.long

WALK = {"walk": "fakes.policies:InWorker"}
TABLE = 'latency = "virtual"\n[run.realtime]\nmode = "async"\n'


def declared(**arms: int) -> str:
    return TABLE + "".join(
        f"[run.realtime.arms.{arm}]\ntotal_us = {total_us}\n" for arm, total_us in arms.items()
    )


def test_a_latency_of_an_unknown_arm_is_refused(protocol_file, tmp_path):
    """It is misspelt, and the run would not notice."""
    path = protocol_file(run=declared(wakl=100_000))
    with pytest.raises(UsageError, match=r"arm 'wakl', .* did you mean 'walk'"):
        run(str(path), WALK, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def finished(protocol_file, tmp_path):
    """A run of a fast and a slow arm: delays of 1 and 3 ticks of 0.1 s, chunks of 4."""
    arms = {"fast": "fakes.policies:InWorker", "slow": "fakes.policies:InWorker"}
    path = protocol_file(run=declared(fast=100_000, slow=250_000), count=2)
    run(str(path), arms, tmp_path / "out", workers=1)
    return tmp_path / "out"


def test_a_report_tells_delays_and_stalls(finished, capsys):
    """Mode, limit and each arm's ticks, in 80 columns; results.json has the same numbers."""
    assert main(["report", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "virtual time: async, merge replace · latencies given by arm · limit 40 ticks\n" in shown
    rows = {line.split()[0]: line.split() for line in shown.split("in ticks")[1].splitlines()[1:3]}
    assert rows["fast"][1:4] == ["1", "100.0", "ms"]
    assert rows["slow"][1:4] == ["3", "250.0", "ms"]
    results = json.loads((finished / "results.json").read_text())
    slow = results["arms"]["slow"]["realtime"]
    assert (slow["latency_us"], slow["expected_delay"], slow["delay_max"]) == (250_000, 3, 3)
    records = RunFolder.open(finished).records().final.values()
    stalled = sum(r.realtime.stalled_ticks for r in records if r.arm == "slow")
    steps = sum(r.steps for r in records if r.arm == "slow")
    assert slow["stalled_share"] == pytest.approx(stalled / steps)
    assert results["protocol"]["realtime"]["mode"] == "async"


def test_a_report_tells_success_by_time(finished, capsys):
    """Counts of each arm and differences of the pair at four times, in the text and in results.json."""
    assert main(["report", str(finished)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("solved within") == 2
    results = json.loads((finished / "results.json").read_text())
    assert [each["time"] for each in results["pairs"][0]["within"]][-1] == "40 ticks"
    assert results["curves"]["solved"].keys() == {"fast", "slow"}


def test_a_comparison_takes_the_declared_latency(finished, tmp_path, capsys):
    """The wall times of a run in virtual time mean nothing."""
    page, table = tmp_path / "c.html", tmp_path / "c.md"
    files = ["--html", str(page), "--markdown", str(table)]
    assert main(["compare", str(finished), *files]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "virtual time: async" in shown
    assert "250 ms" in shown
    assert "<h2>Virtual time</h2>" in page.read_text()
    assert "as declared" in page.read_text()
    assert "| in ticks | delay |" in table.read_text()
    assert "<h2>Success by time</h2>" in page.read_text()
    assert "| fast v slow | " in table.read_text()


def test_a_paused_report_says_nothing_of_virtual_time(protocol_file, tmp_path, capsys):
    """Neither the text nor results.json."""
    out = tmp_path / "out"
    run(str(protocol_file(count=1)), WALK, out, workers=1)
    assert main(["report", str(out)]) == 0
    assert "virtual" not in capsys.readouterr().out
    written = (out / "results.json").read_text()
    assert not any(word in written for word in ("realtime", "curves", "within"))


def test_a_profile_goes_into_the_protocol(protocol_file, tmp_path, capsys):
    """The run is marked as modified, its folder needs the file no longer, another profile is refused."""
    file, path, out = tmp_path / "p.json", protocol_file(count=1, run=declared()), tmp_path / "out"
    path.write_text(path.read_text().replace(TABLE, ""))
    file.write_text(json.dumps(PROFILE))
    flags = ["--set", "run.latency=virtual", "--set", "run.realtime.mode=blocking"]
    command = ["run", str(path), "--arm", "walk=fakes.policies:InWorker", "--out", str(out), *flags]
    command += ["--workers", "1", "--profile", f"walk={file}"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "+modified" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert len(shown) < 2000, "101 quantiles are not printed"
    file.unlink()
    header = RunFolder.open(out).header
    (arm,) = header.protocol.run.realtime.arms.values()
    assert arm.profile.median_us == 70_000
    assert header.arms[0].identity["realtime"]["expected_us"] == 70_000
    file.write_text(json.dumps(PROFILE | {"total_us": [90_000] * 101}))
    assert main(command) == 4
    assert "use a new folder" in capsys.readouterr().err
