"""The grid video shows the episodes in which arms differ, each arm beside the other."""

from __future__ import annotations

import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.view.films import FilmStyle
from vla_eval.view.gather import read_runs
from vla_eval.view.grid import write_grid
from vla_eval.view.studio import chosen

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")


def test_chosen_episodes(run):
    """In two episodes the arms differ, in three an arm fails; each comes with both arms."""
    runs = read_runs([run])
    states = {
        choice: [key.init_state for key, _ in chosen(runs, choice)]
        for choice in ("discordant", "failures", "all")
    }
    assert states == {"discordant": [0, 6], "failures": [0, 3, 6], "all": list(range(8))}
    assert {len(arms) for _, arms in chosen(runs, "all")} == {2}


def test_the_grid_lasts_as_long_as_its_longest_episode(painted, tmp_path):
    """Its last picture stays for 1.5 s; episodes without a film are left out."""
    episodes = chosen(read_runs([painted]), "discordant")
    write_grid(tmp_path / "grid.mp4", episodes, FilmStyle())
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "grid.mp4"))
    assert frames == 41 + 15


def test_without_films_or_with_another_camera_it_is_refused(painted, tmp_path):
    """The sentence says what there is."""
    episodes = chosen(read_runs([painted]), "discordant")
    with pytest.raises(UsageError, match="no video"):
        write_grid(tmp_path / "grid.mp4", episodes, FilmStyle(64))
    with pytest.raises(UsageError, match="cameras are left, right"):
        write_grid(tmp_path / "grid.mp4", episodes, FilmStyle(), camera="top")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which episode?"),
        (["fake/Point/i0/e0/p0"], "which episode?"),
        (["--grid", "grid.gif"], "name a .mp4 file"),
        (["--grid", "grid.mp4"], "no grid"),
    ],
)
def test_the_verb_says_what_is_missing(run, words, said, capsys, tmp_path, monkeypatch):
    """No traceback, and exit code 4."""
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(run), *words]) == 4
    assert said in capsys.readouterr().err
