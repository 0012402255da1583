"""Certificates about recipes: what is certified, what is refused, and that a stranger recomputes it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import vla_eval
from fakes.forging import rewrite
from vla_eval.certificate import Roles, gather, verify
from vla_eval.certificate.certify import certify_recipe
from vla_eval.certificate.evidence import gather_recipes
from vla_eval.certificate.recipe.issue import issue_recipe
from vla_eval.certificate.recipe.text import recipe_text
from vla_eval.certificate.verify import draw_sample, read_any
from vla_eval.claims.registration import register
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.runs.header import identity_sha256
from vla_eval.stats import Flag, Verdict

pytestmark = pytest.mark.long

RECIPE = """negative_control = "bad"
[analysis.recipe]
candidate = ["s0", "s1", "s2"]
reference = ["t0", "t1", "t2"]
design = "distilled"
"""
WORKER = "fakes.policies:InWorker?weights="
ARMS = {name: f"{WORKER}{name}" for name in ("s0", "s1", "s2", "t0", "t1", "t2", "bad")}
LOST = {
    "s0": {0},
    "s1": {0, 1},
    "s2": {0},
    "t0": {2},
    "t1": set(),
    "t2": {0},
    "bad": set(range(30)),
}
"""States that each arm loses, of 60."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def run(runs, protocol_file, tmp_path) -> Path:
    """A copy of one complete run of three seeds a side, whose outcomes are written in afterwards."""
    made = runs / "made"
    if not made.exists():
        path = protocol_file(count=60, max_steps=4)
        path.write_text(path.read_text() + RECIPE)
        vla_eval.run(str(path), ARMS, made, workers=1)
        outcomes(made, LOST)
    copy = tmp_path / "run"
    shutil.copytree(made, copy)
    return copy


def outcomes(run: Path, lost: dict[str, set[int]]) -> None:
    def ended(record):
        won = record["init_state"] not in lost[record["arm"]]
        reason = None if won else "time_limit"
        return record | {"outcome": "success" if won else "failure", "reason": reason}

    rewrite(run, ended)


def issued(run: Path, **options):
    return issue_recipe(gather_recipes(run), **options)


def test_recipes_at_parity_are_certified_with_their_scope_in_the_first_line(run):
    """Students lose 4 of 180 and teachers 2: equivalent at 10 points, and it says of what."""
    certificate = issued(run)
    assert certificate.verdict is Verdict.EQUIVALENT
    first = " ".join(recipe_text(certificate).split("\n\n")[0].split())
    assert first.startswith("EQUIVALENT, scope recipe (3 training seeds a side, student with own")
    assert Flag.SINGLE_CHECKPOINT not in certificate.flags


def test_training_noise_is_stated_apart_from_evaluation_noise(run):
    """In JSON, text and page: the SD over seeds, the part of the episodes, and the rest."""
    certificate = issued(run)
    ours, _, difference = certificate.sides
    assert ours.values == pytest.approx((59 / 60, 58 / 60, 59 / 60))
    assert difference.values == pytest.approx((0, -2 / 60, 0))
    assert ours.training_sd**2 == pytest.approx(max(0, ours.sd**2 - ours.evaluation_sd**2))
    assert "; the episodes alone give" in " ".join(recipe_text(certificate).split())


def test_the_control_is_judged_against_the_recipe(run):
    """It loses half of the states: assay sensitivity is shown."""
    certificate = issued(run)
    assert certificate.assay.grade == "shown"
    assert certificate.control.verdict is Verdict.INFERIOR


def test_five_points_name_the_retrains_that_they_take(run):
    """With three seeds a side 5 points are out of reach, and the text says what would reach them."""
    judged, five = issued(run).retrains
    assert (judged.margin, five.margin) == (0.1, 0.05)
    assert five.seeds_for_80 > 3


def test_a_stranger_recomputes_it(run):
    """The file is read as what it is; every edit is found."""
    certificate = certify_recipe(run).certificate
    file = run / "certificate.json"
    file.write_text(certificate.model_dump_json())
    assert verify(read_any(file), run) == []
    edited = json.loads(file.read_text())
    edited["comparison"]["difference"] = 0.5
    file.write_text(json.dumps(edited))
    assert len(verify(read_any(file), run)) == 1
    assert draw_sample(file, run, 5).population == 420


def test_a_recipe_that_is_worse_is_refuted(run):
    """Every student loses twenty states that no teacher loses."""
    outcomes(run, LOST | {name: set(range(3, 23)) for name in ("s0", "s1", "s2")})
    assert issued(run).verdict is Verdict.INFERIOR


def test_one_seed_that_fails_leaves_the_recipe_open(run):
    """Two students are perfect and one loses a third: nothing is known about the next seed."""
    outcomes(run, LOST | {"s0": set(range(20)), "s1": set(), "s2": set()})
    certificate = issued(run)
    assert certificate.verdict is Verdict.INCONCLUSIVE
    assert certificate.sides[0].training_sd > 0.15


def test_copies_are_no_training_seeds(run):
    """The same weights twice in one recipe are refused."""
    change_identity(run, "s1", weights_sha256=identity(run, "s0")["weights_sha256"])
    with pytest.raises(RunFolderError, match=r"same weights .*: a copy is no training seed"):
        issued(run)


def test_unknown_weights_are_refused(run):
    """Without a hash nothing shows that a checkpoint is another one."""
    change_identity(run, "t2", weights_sha256=None)
    with pytest.raises(RunFolderError, match="no hash of its weights"):
        issued(run)


def test_arms_that_differ_in_more_than_weights_are_no_recipe(run):
    """Another option in one seed is another recipe; other demonstrations are flagged."""
    change_identity(run, "s2", trained_on=[])
    assert issued(run).details["unlike-seeds"] == "s2"
    change_identity(run, "s2", nfe=4)
    with pytest.raises(RunFolderError, match=r"differ in more than their weights .*nfe"):
        issued(run)


def test_missing_and_retried_episodes_count_at_their_worst(run):
    """A lost attempt that the policy could affect is a failure in the worst case, and flagged."""
    plain = issued(run)
    add_lost_attempts(run, "s0", 12)
    doubted = issued(run)
    assert doubted.comparison.difference == plain.comparison.difference
    assert doubted.comparison.ci_judged[0] < plain.comparison.ci_judged[0] - 0.05
    assert doubted.details["retried"].startswith("s0 12")


def test_roles_cannot_be_chosen_after_the_fact(run):
    """A run about recipes judges no single pair, on the command line either."""
    with pytest.raises(UsageError, match="is about recipes"):
        gather(run, Roles("s0", "t0"))
    assert main(["certify", str(run), "--candidate", "s0", "--reference", "t0"]) == 4


def test_the_command_judges_recipes_by_itself(run, capsys):
    """No option is needed; the page, the Markdown and verify follow."""
    assert main(["certify", str(run)]) == 0
    shown = capsys.readouterr().out
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "Training-seed noise" in (run / "report.html").read_text()
    assert (run / "report.md").read_text().startswith("### ✅ Recipe: equivalent")
    assert main(["verify", str(run / "certificate.json"), str(run)]) == 0


def test_a_registration_names_the_arms_of_both_recipes(run):
    """It holds the lists, and another order is refused."""
    protocol = gather_recipes(run).protocol
    made = register(protocol, ARMS)
    assert made.roles.candidate == ("s0", "s1", "s2")
    with pytest.raises(UsageError, match="names the arms of its recipes itself"):
        register(protocol, ARMS, candidate="s0")


def identity(run: Path, arm: str) -> dict:
    arms = json.loads((run / "run.json").read_text())["arms"]
    return next(each["identity"] for each in arms if each["name"] == arm)


def change_identity(run: Path, arm: str, **facts: object) -> None:
    """Change an arm's identity in run.json, and its hash there and in every record."""
    file = run / "run.json"
    content = json.loads(file.read_text())
    own = next(each for each in content["arms"] if each["name"] == arm)
    own["identity"] |= facts
    sha256 = identity_sha256(own["identity"])
    file.write_text(json.dumps(content))
    rewrite(
        run, lambda record: record | ({"policy_sha256": sha256} if record["arm"] == arm else {})
    )


def add_lost_attempts(run: Path, arm: str, states: int) -> None:
    """Put a lost attempt, which the policy could affect, before an arm's first results."""
    lost = []

    def retried(record):
        if record["arm"] != arm or record["init_state"] >= states:
            return record
        lost.append(record | {"outcome": "error", "reason": "policy_error"})
        return record | {"attempt": 2}

    rewrite(run, retried)
    chain, lines = "", []
    for record in lost:
        text = json.dumps(record, separators=(",", ":"))
        chain = hashlib.sha256(f"{chain}\n{text}".encode()).hexdigest()[:32]
        lines.append(f'{{"chain":"{chain}","record":{text}}}\n')
    first = next((run / "episodes").glob("*.jsonl"))
    first.with_name(first.name.replace("-w0", "-w1")).write_text("".join(lines))
