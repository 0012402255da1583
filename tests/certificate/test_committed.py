"""The certificates and the baseline that the documentation shows follow from the committed records."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_eval.certificate import verify
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.recipe.text import recipe_text
from vla_eval.certificate.text import certificate_text
from vla_eval.certificate.verify import read_any, read_certificate
from vla_eval.cli import main
from vla_eval.stats import Verdict

DOCS = Path(__file__).parents[2] / "docs"
BASELINE = Path(__file__).parents[2] / "examples" / "ci" / "so101-pick-place.baseline.json"


FILES = sorted((DOCS / "certificates").rglob("certificate*.json"))


def runs_of(file: Path) -> list[Path]:
    """Return the run folders of a certificate: its own, or all beside it."""
    several = file.stem.endswith("-runs")
    return (
        sorted(run.parent for run in file.parents[several].glob("*/run.json"))
        if several
        else [file.parent]
    )


@pytest.mark.long
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_committed_certificates_are_verified(file):
    """Every number and word is recomputed, and a page shows what the command prints."""
    certificate = read_any(file)
    assert verify(certificate, *runs_of(file)) == []
    pages = (
        "certificates.md",
        "measures.md",
        "moving-tasks.md",
        "real-time.md",
        "tasks-candidates-runs.md",
    )
    recipe = isinstance(certificate, RecipeCertificate)
    words = recipe_text(certificate) if recipe else certificate_text(certificate)
    assert any(words in (DOCS / page).read_text() for page in pages)


def test_one_is_certified_and_one_refuted():
    """A true parity pair is equivalent, a truly impaired policy inferior beyond the margin."""
    verdicts = {
        name: read_certificate(DOCS / "certificates" / name / "certificate.json").verdict
        for name in ("parity", "refuted")
    }
    assert verdicts == {"parity": Verdict.EQUIVALENT, "refuted": Verdict.INFERIOR}


@pytest.mark.parametrize(("arm", "code"), [("careful", 0), ("impaired", 1)])
def test_the_gate_of_the_example_fails_a_regressed_policy(arm, code, capsys):
    """The committed baseline passes the careful expert and fails the impaired one, as documented."""
    run = str(DOCS / "certificates" / "parity")
    assert main(["check", run, "--arm", arm, "--baseline", str(BASELINE)]) == code
    assert capsys.readouterr().out.strip() in (DOCS / "certificates.md").read_text()
