"""The exported folder holds the page, the data and the videos that are there, and nothing else."""

from __future__ import annotations

import json

import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.view.export import export_page
from vla_eval.view.films import FilmStyle
from vla_eval.view.live import LiveRuns
from vla_eval.view.site import STATIC


def test_the_folder_is_complete(painted, tmp_path):
    """Page, data, one script an episode, video and thumbnail of each film; nothing points elsewhere."""
    (painted / "report.html").write_text("<p>report</p>")
    folder = tmp_path / "seen"
    export_page(LiveRuns([painted], FilmStyle()), folder)
    assert {file.name for file in folder.iterdir()} == {
        *STATIC,
        "data.js",
        "episodes",
        "media",
        "report-0.html",
    }
    assert len(list((folder / "episodes").iterdir())) == 8
    assert {file.suffix for file in (folder / "media").iterdir()} == {".mp4", ".webp"}
    data = json.loads(
        (folder / "data.js").read_text().partition("const DATA = ")[2].rstrip().rstrip(";")
    )
    assert data["server"] is False
    assert len(data["films"]) == len(list((folder / "media").glob("*.mp4"))) == 8
    assert not any("http:" in file.read_text() for file in folder.glob("*.css"))


def test_films_of_another_size_stay_behind(painted, tmp_path):
    """Only what the page shows is copied."""
    export_page(LiveRuns([painted], FilmStyle(128)), tmp_path / "seen")
    assert list((tmp_path / "seen" / "media").iterdir()) == []


def test_a_folder_with_files_is_refused(painted, tmp_path):
    """Nothing of the user's is overwritten."""
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "mine.txt").touch()
    with pytest.raises(UsageError, match="is not empty"):
        export_page(LiveRuns([painted], FilmStyle()), tmp_path / "seen")


def test_the_verb_exports(painted, tmp_path, capsys):
    """It prints where the page is, and ends with 0; wrong numbers are usage errors."""
    folder = tmp_path / "seen"
    assert main(["view", str(painted), "--export", str(folder)]) == 0
    assert str(folder / "index.html") in capsys.readouterr().out
    assert main(["view", str(painted), "--size", "3"]) == 4
    assert main(["view", str(painted), "--workers", "0"]) == 4
    assert main(["view"]) == 4


def test_films_that_cannot_be_made_are_warned_of(run, tmp_path, capsys):
    """Foreign environments need --trust; the page is written all the same."""
    folder = tmp_path / "seen"
    assert main(["view", str(run), "--render", "failures", "--export", str(folder)]) == 0
    assert "6 of 6 videos" in (err := capsys.readouterr().err)
    assert "--trust" in err
