"""The grid video shows the episodes in which arms differ, each arm beside the other."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.view import grid
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


PAINT = {"student": (200, 10, 10), "teacher": (10, 10, 200)}


@pytest.fixture
def frames(painted, tmp_path, monkeypatch):
    """The pictures of a grid of four episodes, in which each arm's film has one colour."""
    written = []

    @contextmanager
    def encoder(file, fps):
        file.touch()
        yield written.append

    def pictures(tile):
        while True:
            yield np.full((tile.film.height, tile.width, 3), PAINT[tile.label], np.uint8)

    monkeypatch.setattr(grid, "encoder", encoder)
    monkeypatch.setattr(grid._Tile, "pictures", pictures)
    write_grid(tmp_path / "grid.mp4", chosen(read_runs([painted]), "all"), FilmStyle())
    return written


def test_every_film_is_whole_and_beside_the_other_arm_s(frames):
    """Four episodes, two arms each: eight rectangles of equal size that do not touch."""
    sheet = frames[0]
    spans = {}
    for name, colour in PAINT.items():
        painted = (sheet == colour).all(axis=2)
        spans[name] = [_runs(painted.any(axis=0)), _runs(painted.any(axis=1))]
        columns, rows = spans[name]
        assert len(columns) * len(rows) == 4, name
        sizes = {(high - low, wide) for low, high in columns for wide in {b - a for a, b in rows}}
        assert len(sizes) == 1
        assert painted.sum() == sum((b - a) * (d - c) for a, b in columns for c, d in rows)
    (ours, rows), (theirs, same) = spans.values()
    assert rows == same, "an episode's arms stand on one line"
    assert all(right[0] > left[1] for left, right in zip(ours, theirs, strict=True))


def test_each_episode_and_each_arm_has_a_caption(frames):
    """The key above both, then the arms' names; in the last picture a frame has the outcome's colour."""
    first, last = frames[0], frames[-1]
    films = [(first == colour).all(axis=2) for colour in PAINT.values()]
    rows = _runs((films[0] | films[1]).any(axis=1))
    ink = (first > 100).all(axis=2).any(axis=1)
    edges = [0, *(below for _, below in rows)]
    for above, (top, _) in zip(edges, rows, strict=False):
        lines = _runs(ink[above:top], gap=4)
        assert len(lines) == 2, "a line for the episode, one for the arms"
    won, lost = ((last == grid._COLOURS[name]).all(axis=2) for name in ("success", "failure"))
    assert won.sum() > lost.sum() > 0, "five of eight"
    assert not any((first == colour).all(axis=2).any() for colour in grid._COLOURS.values())


def _runs(flags, gap=1):
    """Return the first and the last place, exclusive, of every stretch of true values."""
    at = np.flatnonzero(flags)
    breaks = np.flatnonzero(np.diff(at) > gap)
    starts, ends = at[np.r_[0, breaks + 1]], at[np.r_[breaks, len(at) - 1]]
    return [(int(start), int(end) + 1) for start, end in zip(starts, ends, strict=True)]


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
