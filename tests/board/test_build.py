"""A board of committed evidence: rebuilt byte for byte, with reasons for what is not on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fakes.forging import rewrite
from fakes.pages import Page
from vla_eval.board import build
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError

ROOT = Path(__file__).parents[2]
REFUTED = ROOT / "docs" / "certificates" / "refuted"
LIBERO = ROOT / "benchmarks" / "results" / "one_step" / "libero-one-step"


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """Two packages that are verified, and two that are not."""
    folder = tmp_path_factory.mktemp("packages")
    forged, bare = folder / "forged", folder / "bare"
    shutil.copytree(REFUTED, forged)
    text = (forged / "certificate.json").read_text()
    (forged / "certificate.json").write_text(
        text.replace('"verdict": "inferior"', '"verdict": "worse"')
    )
    shutil.copytree(REFUTED, bare)
    (bare / "certificate.json").unlink()
    return build([REFUTED, LIBERO, forged, bare])


@pytest.fixture(scope="module")
def page(board, tmp_path_factory) -> str:
    """The board's page."""
    out = tmp_path_factory.mktemp("board")
    board.write(out)
    return (out / "index.html").read_text()


def test_every_protocol_is_a_group(board):
    """Policies of different protocols are never compared."""
    labels = [group.ranking.protocol.protocol for group in board.groups]
    assert labels == ["libero-one-step", "so101-quickstart"]


def test_what_cannot_be_verified_is_refused(board, page):
    """A changed word is named, and so is a run without a certificate; both reasons are on the page."""
    reasons = {each.label: each.reason for each in board.refusals}
    assert sorted(reasons) == ["bare", "forged"]
    assert (
        "comparison.verdict: 'worse' in the certificate, 'inferior' recomputed" in reasons["forged"]
    )
    assert "has no certificate" in reasons["bare"]
    assert "recomputed" in page
    assert "has no certificate" in page


def test_what_cannot_be_told_apart_is_said(page, board):
    """Two policies that share a letter have no best one; two that differ have."""
    assert "These episodes cannot tell snapflow from fm-10: there is no single best one." in page
    assert "expert succeeds more often than every other policy here." in page


def test_stand_ins_and_unreleased_protocols_are_marked(board, page):
    """A result on stand-in assets carries a mark, and so does a protocol that no lock knows."""
    libero, _ = board.groups
    assert set(libero.marks["snapflow"]) == {"stand-in assets"}
    assert libero.standing == "unreleased"
    assert "This protocol is unreleased." in page


def test_the_page_is_sound(board, page):
    """Every element is closed, every name is unique, and it refers to its reports and itself only."""
    found = Page(page)
    assert max(found.ids.values()) == 1
    pages = {reference for reference in found.references if not reference.startswith("#")}
    assert pages == set(board.reports)
    assert "url(http" not in page


@pytest.mark.long
def test_the_order_and_the_place_of_packages_change_nothing(board, tmp_path):
    """Copies of the packages elsewhere, named in another order, give the same bytes."""
    for source in (REFUTED, LIBERO):
        shutil.copytree(source, tmp_path / source.name)
    first, second = tmp_path / "first", tmp_path / "second"
    build([REFUTED, LIBERO]).write(first)
    build([tmp_path / LIBERO.name, tmp_path / REFUTED.name]).write(second)
    files = sorted(file.relative_to(first) for file in first.rglob("*") if file.is_file())
    assert [str(file) for file in files[:2]] == ["board.json", "index.html"]
    assert len(files) == 4
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


def test_a_declared_policy_is_marked(tmp_path):
    """A policy that its user named, because its server did not, is marked."""
    from vla_eval.certificate.certify import certify
    from vla_eval.judging.roles import Roles
    from vla_eval.runs.header import identity_sha256

    run = tmp_path / "run"
    shutil.copytree(REFUTED, run)
    header = json.loads((run / "run.json").read_text())
    arm = next(each for each in header["arms"] if each["name"] == "impaired")
    old = identity_sha256(arm["identity"])
    arm["identity"]["options"] = {**arm["identity"]["options"], "server_identity": "mine-1"}
    new = identity_sha256(arm["identity"])
    (run / "run.json").write_text(json.dumps(header))
    rewrite(
        run, lambda each: each | {"policy_sha256": new} if each["policy_sha256"] == old else each
    )
    done = certify(run, Roles("impaired", "expert"))
    (run / "certificate.json").write_text(done.certificate.model_dump_json(indent=2))
    (group,) = build([run]).groups
    assert "declared by its user" in group.marks["impaired"]
    assert "declared by its user" not in group.marks["expert"]


def test_a_published_run_is_a_package(tmp_path):
    """The folder that `vlaeval publish` writes is read from its dataset's run."""
    run = tmp_path / "published" / "dataset" / "run"
    shutil.copytree(REFUTED, run)
    board = build([tmp_path / "published"])
    assert [claim.package for claim in board.groups[0].claims] == ["published"]


def test_a_folder_of_the_user_is_kept(board, tmp_path):
    """A board is written into a new folder or over an earlier board, never over anything else."""
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(RunFolderError, match="holds no board"):
        board.write(tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_package_is_named_once():
    """The same folder twice would count its policies twice."""
    with pytest.raises(UsageError, match="named twice"):
        build([REFUTED, REFUTED])


def test_a_refusal_has_exit_code_1(tmp_path, capsys):
    """A script learns that a package is not on the board, and which one."""
    (tmp_path / "empty").mkdir()
    assert main(["board", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "refused: empty: is no run folder" in err
    assert out == f"board: {tmp_path / 'out' / 'index.html'} (0 certificates, 0 protocols)\n"
    assert json.loads((tmp_path / "out" / "board.json").read_text())["groups"] == []
