"""Certificates of simulated policies through the real store: how often they err, what is in them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "validation"))

import endtoend
from endtoend import ARMS, Simulation, draw

from vla_eval.certificate import Roles, gather, issue, verify
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.page.markdown import markdown_report
from vla_eval.certificate.text import certificate_text
from vla_eval.runs.store import RecordWriter
from vla_eval.stats import PairedTable, judge_paired, latency_ratio, power_paired

ROLES = Roles(*ARMS)


@pytest.mark.slow  # `make validate` has more of them
def test_false_certificates_and_power_in_small():
    """12 certifications at the margin and 6 at parity: the full number is `make validate`'s."""
    bars = [*endtoend.fixed(12, 6), *endtoend.sequential(12, 6)]
    assert [bar.line() for bar in bars if not bar.passed] == []


@pytest.mark.slow
def test_peeking_is_caught():
    """Judging a fixed run after every fifth certifies too often, and the bar says so."""
    bars = list(endtoend.peeking(200))
    assert all(bar.control and bar.passed for bar in bars)


@pytest.mark.long
def test_the_store_changes_no_verdict():
    """What `certify` says of a folder is what the statistics say of the outcomes written to it."""
    rng = np.random.default_rng(5)
    with Simulation.open("fixed") as simulation:
        for _ in range(5):
            outcomes = draw(rng, 0.05)
            certificate = simulation.certify(outcomes)
            ours, theirs = outcomes.T
            table = PairedTable(
                int((ours & theirs).sum()),
                int((ours & ~theirs).sum()),
                int((~ours & theirs).sum()),
                int((~ours & ~theirs).sum()),
            )
            found = certificate.comparison
            assert (found.n11, found.n10, found.n01, found.n00) == (
                table.n11,
                table.n10,
                table.n01,
                table.n00,
            )
            assert certificate.verdict is judge_paired(table, margin=0.1).verdict


@pytest.fixture(scope="module")
def timed():
    """A run of six calls of `vlaeval run`, in which the candidate takes about half of the time."""
    rng = np.random.default_rng(6)
    with Simulation.open("fixed") as simulation:
        outcomes = draw(rng, 0.0)
        latencies = {arm: [] for arm in ARMS}
        for session in range(6):
            name = f"20260101T000000-{session:016x}-0001-w0.jsonl"
            level = dict(zip(ARMS, np.exp(rng.normal(0, 0.03, 2)) * (5.0, 10.0), strict=True))
            with RecordWriter(simulation.folder.episodes / name) as writer:
                for index in range(session, len(simulation.keys), 6):
                    for arm, won in zip(ARMS, outcomes[index], strict=True):
                        record = simulation.records[arm, simulation.keys[index], bool(won)]
                        times = tuple(np.round(level[arm] * rng.uniform(0.9, 1.1, 4), 4).tolist())
                        timing = record.timing.model_copy(update={"infer_ms": times})
                        writer.append(record.model_copy(update={"timing": timing}))
                        latencies[arm].append((session, times[1:]))
        runs = {
            arm: [np.concatenate([t for s, t in each if s == session]) for session in range(6)]
            for arm, each in latencies.items()
        }
        yield simulation.folder.path, runs


@pytest.mark.long
def test_latency_has_an_interval_over_process_runs(timed):
    """Six calls are six observations; the interval is Student's t on their log ratios."""
    path, runs = timed
    certificate = issue(path, ROLES)
    median = certificate.latency_ratios[0]
    expected = latency_ratio(runs["candidate"], runs["reference"])
    assert median.runs == 6
    assert median.ratio == pytest.approx(expected.ratio)
    assert median.interval95 == pytest.approx(expected.interval)
    assert 0.4 < median.interval95[0] < median.interval95[1] < 0.6
    assert certificate.faster
    assert "from 6 process runs" in certificate_text(certificate)
    assert verify(certificate, path) == []


def test_one_process_run_gives_no_interval(timed, tmp_path):
    """Inferences of one process share its luck: a ratio, and the words that say so."""
    import shutil

    shutil.copytree(timed[0], tmp_path / "run")
    for file in (tmp_path / "run/episodes").glob("*.jsonl"):
        _, _, rest = file.name.split("-", 2)
        file.rename(file.with_name(f"{file.stat().st_ino}-{'0' * 16}-{rest}"))
    certificate = issue(tmp_path / "run", ROLES)
    assert certificate.latency_ratios == ()
    assert certificate.faster is None
    assert 1.5 < certificate.latency_ratio < 2.5
    text = certificate_text(certificate)
    assert "one process run" in text
    assert "no interval" in text


@pytest.mark.long
def test_a_certificate_holds_everything_that_a_reader_needs(timed):
    """Verdict, tables, noise, power, seeds and hashes of a run of fixed size, in the file and on the page."""
    path, _ = timed
    certificate = issue(path, ROLES)
    data = json.loads(certificate.model_dump_json())
    comparison = data["comparison"]
    assert {"verdict", "scope", "flags", "margin", "alpha", "protocol_sha256"} <= set(data)
    assert {"run_created_at", "first_episode_at", "last_episode_at"} <= set(data)
    assert {"n11", "n10", "n01", "n00", "ci90", "ci95", "p_worse"} <= set(comparison)
    assert {"phi", "discordance", "failure_ratio_ci95", "vif", "icc"} <= set(comparison)
    assert comparison["heterogeneity_df"] == len(comparison["tasks"]) - 1 == 3
    assert all({"n11", "n10", "n01", "n00", "ci90"} <= set(task) for task in comparison["tasks"])
    assert data["seeds"]["checkpoints"] == 1
    assert data["seeds"]["training_sd"] is None
    power = certificate.power
    assert power.pairs_planned == 100
    assert 0.5 < power.at_parity < 1
    assert 0 < power.smallest_margin_80 < 0.2
    assert all(arm["wilson95"] and arm["sampling_sd"] >= 0 for arm in data["arms"])
    assert {"versions", "machine", "records_sha256", "latency_ratios"} <= set(data)
    page = html_report(certificate, gather(path, ROLES), run=path, file=path / "certificate.json")
    for words in (
        "K = 1 checkpoint an arm",
        "Noise of a rate",
        "Size of the run",
        "If all tasks were alike",
        "6 process runs",
    ):
        assert words in page
    assert "process runs" in markdown_report(certificate)


@pytest.mark.long
def test_planned_power_is_the_power_of_the_plan():
    """At the observed rate and correlation, the certificate's power is that of the exact sum."""
    rng = np.random.default_rng(7)
    with Simulation.open("fixed") as simulation:
        certificate = simulation.certify(draw(rng, 0.0))
    power = certificate.power
    case = endtoend.PairedCase(power.reference_rate, 0.0, power.correlation)
    assert power.at_parity == pytest.approx(power_paired(100, case, margin=0.1))
    beside = power_paired(100, case, margin=power.smallest_margin_80)
    assert beside == pytest.approx(0.8, abs=0.08)
