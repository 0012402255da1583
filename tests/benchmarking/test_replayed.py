"""Latencies replayed from a former run: which times a profile takes from records, and which it refuses."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest

from fakes.forging import rewrite
from vla_eval.benchmarking.replayed import replayed_profile
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.realtime.profile import profile_change, read_profile
from vla_eval.runs.folder import RunFolder

COMMITTED = Path(__file__).parents[2] / "docs" / "certificates" / "real-time"
OLD = Path(__file__).parents[1] / "runs" / "old_runs" / "format1"
QUIET = [900.0, 10.0, 10.5, 11.0]
"""Times of an episode in ms; the first one includes the warm-up."""


@pytest.fixture
def run(tmp_path):
    """Return a function that makes a run whose episodes have these timings."""

    def make(**timing):
        folder = tmp_path / "run"
        shutil.copytree(OLD, folder)
        changes = {"infer_ms": QUIET} | timing
        rewrite(folder, lambda record: record | {"timing": record["timing"] | changes})
        return folder

    return make


def test_a_profile_holds_the_times_of_one_arm(run):
    """In whole microseconds, without each episode's first; run, records, machine and day are named."""
    folder = run()
    found = replayed_profile(folder, "expert")
    assert [found.total_us[percent] for percent in (0, 50, 100)] == [10_000, 10_500, 11_000]
    records = RunFolder.open(folder).records().final
    assert found.inferences == 3 * sum(arm == "expert" for arm, _ in records)
    assert found.machine.startswith("vm (x86_64")
    assert (found.policy, found.measured_on) == ("expert", "2026-11-29")
    assert found.replayed_run.endswith(", arm expert")
    assert (found.prefix_us, found.denoise_us) == (None, None)
    other = replayed_profile(folder, "impaired")
    assert other.replayed_sha256 != found.replayed_sha256


def test_parts_are_kept_where_the_policy_reports_them(run):
    """Prefix and solver have quantiles of their own."""
    found = replayed_profile(run(prefix_ms=[9.0, 4.0, 4.0, 4.0], denoise_ms=[9, 6, 6, 6]), "expert")
    assert (set(found.prefix_us), set(found.denoise_us)) == ({4_000}, {6_000})


def test_a_protocol_embeds_where_the_times_come_from(run, tmp_path, capsys):
    """The written file is a profile like a measured one, and its change of a protocol names the run."""
    folder, file = run(), tmp_path / "replayed.json"
    assert main(["latency", "from", str(folder), "--arm", "expert", "--out", str(file)]) == 0
    assert "from records of" in capsys.readouterr().out
    content, table = read_profile(file)
    assert content == replayed_profile(folder, "expert")
    change = profile_change(f"student={file}")
    assert json.dumps(table.replayed_run) in change
    assert f'replayed_sha256 = "{content.replayed_sha256}"' in change
    assert main(["latency", "show", str(file)]) == 0


@pytest.mark.parametrize(
    ("timing", "words"),
    [
        ({"infer_ms": [900.0]}, "no finished episode has a second inference"),
        ({"infer_ms": []}, "no finished episode has a second inference"),
        ({"infer_ms": [9.0, 0.0, 9.0]}, "an inference of 0 ms is in the records"),
        ({"infer_ms": [9.0, -3.0, 9.0]}, "an inference of -3 ms is in the records"),
        ({"infer_ms": [9.0, 1e9, 9.0]}, "an inference of 1e"),
        ({"max_batch": 4}, "in batches of up to 4"),
        ({"infer_ms": [9.0, 9.0, 10.0, 40.0]}, "the machine was busy"),
    ],
)
def test_records_without_times_of_single_inferences_are_refused(run, timing, words):
    """One sentence names run, arm, fault and remedy."""
    with pytest.raises(UsageError, match=words) as raised:
        replayed_profile(run(**timing), "expert")
    message = str(raised.value)
    assert "run, arm 'expert': " in message
    assert "; " in message
    assert "\n" not in message


def test_a_time_that_is_no_number_is_refused(run):
    """By every reader of records."""
    with pytest.raises(RunFolderError, match="is no valid episode record"):
        replayed_profile(run(infer_ms=[9.0, float("nan"), 9.0]), "expert")


def test_times_of_a_busy_machine_can_be_kept(run):
    """On demand."""
    found = replayed_profile(run(infer_ms=[9.0, 9.0, 10.0, 40.0]), "expert", busy=True)
    assert found.total_us[100] == 40_000


def test_several_machines_are_refused(run):
    """A latency is of one machine."""
    folder, names = run(), itertools.cycle(("one", "two"))
    rewrite(folder, lambda record: record | {"timing": record["timing"] | {"host": next(names)}})
    with pytest.raises(UsageError, match=r"on several machines \(one, two\)"):
        replayed_profile(folder, "expert")


def test_a_cluster_is_refused(run):
    """Its records do not say on which node a policy ran."""
    folder = run()
    header = json.loads((folder / "run.json").read_text())
    header["sessions"][0]["engine"] = {"kind": "ray"}
    (folder / "run.json").write_text(json.dumps(header))
    with pytest.raises(UsageError, match="was on a cluster"):
        replayed_profile(folder, "expert")


def test_a_run_in_virtual_time_is_refused():
    """There a policy thinks while something else is simulated."""
    with pytest.raises(UsageError, match="take the times from a paused run"):
        replayed_profile(COMMITTED, "student")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "name its file with --out"),
        (["--out", "p.json"], "name one with --arm"),
        (["--out", "p.json", "--arm", "exprt"], "did you mean 'expert'"),
    ],
)
def test_a_wrong_call_gets_one_sentence(flags, words, capsys):
    """Nothing is written."""
    assert main(["latency", "from", str(OLD), *flags]) == 4
    assert words in capsys.readouterr().err
    assert not Path("p.json").exists()
