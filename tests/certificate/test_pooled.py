"""Several runs: what is judged together, what is refused, and that a stranger recomputes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import vla_eval
from vla_eval.certificate import Roles, issue, verify
from vla_eval.certificate.pooled import gather_all
from vla_eval.certificate.text import certificate_text
from vla_eval.cli import main
from vla_eval.errors import RunFolderError

pytestmark = pytest.mark.long

WORKER = "fakes.policies:InWorker"
ARMS = {"student": f"{WORKER}?skill=0.97", "teacher": f"{WORKER}?skill=0.97&version=2"}
ROLES = Roles("student", "teacher")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pooled")


@pytest.fixture
def runs(folder, protocol_file) -> tuple[Path, Path]:
    """Two runs of one pair of arms, on 20 states each; made once."""
    paths = folder / "first", folder / "second"
    if not paths[0].exists():
        for path, first in zip(paths, (0, 20), strict=True):
            file = protocol_file(count=20)
            states = f"first = {first}, count = 20"
            file.write_text(file.read_text().replace("count = 20", states))
            vla_eval.run(str(file), ARMS, path, workers=1)
    return paths


def test_two_runs_multiply_their_evidence(runs):
    """The e-value of both is the product, and 1/product is the p-value."""
    both = issue(runs[0], ROLES, more=[runs[1]])
    each = [part.e_value for part in both.runs]
    alone = [issue(run, ROLES).comparison.e_value for run in runs]
    assert each == pytest.approx(alone)
    assert both.comparison.e_value == pytest.approx(each[0] * each[1])
    assert both.comparison.p_worse == pytest.approx(min(1.0, 1 / both.comparison.e_value))
    assert both.comparison.n == 40


def test_the_order_of_the_runs_does_not_matter(runs):
    """Runs are sorted by their start, so a stranger may name them in any order."""
    certificate = issue(runs[0], ROLES, more=[runs[1]])
    assert verify(certificate, runs[1], runs[0]) == []
    assert "2 runs, whose e-values are multiplied" in certificate_text(certificate)


def test_the_command_writes_and_verifies_it(runs, capsys):
    """Two folders give one certificate in the first, with its reports."""
    paths = [str(run) for run in runs]
    code = main(["certify", *paths, "--candidate", "student", "--reference", "teacher"])
    file = runs[0] / "certificate-of-2-runs.json"
    assert code in (0, 6)
    assert len(json.loads(file.read_text())["runs"]) == 2
    page = (runs[0] / "certificate-of-2-runs.report.html").read_text()
    assert str(runs[1]) in page
    assert main(["verify", str(file), *paths]) == 0
    assert (
        main(["verify", str(file), *paths, "--replay", "3"]) == 5
        or "--replay" in capsys.readouterr().err
    )


def test_a_state_in_two_runs_is_refused(runs):
    """The same states again are no new evidence."""
    with pytest.raises(RunFolderError, match="the same state again is no new evidence"):
        gather_all([runs[0], runs[0]], ROLES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"count = 20": "first = 40, count = 5", "margin = 0.1": "margin = 0.2"},
            "states and seeds",
        ),
        ({"count = 20": "first = 40, count = 5"}, "another policy"),
    ],
)
def test_other_plans_and_policies_are_refused(runs, protocol_file, tmp_path, change, message):
    """Runs with another margin, or other policies, do not belong together."""
    file = protocol_file(count=20)
    text = file.read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    file.write_text(text)
    arms = ARMS if "margin = 0.1" in change else ARMS | {"student": f"{WORKER}?skill=0.9"}
    vla_eval.run(str(file), arms, tmp_path / "other", workers=1)
    with pytest.raises(RunFolderError, match=message):
        gather_all([runs[0], tmp_path / "other"], ROLES)
