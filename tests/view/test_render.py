"""Films: every moment of an episode once, in order, with what held at each."""

from __future__ import annotations

import numpy as np
import pytest

from fakes.watching import paint_film
from vla_eval.runs.folder import RunFolder
from vla_eval.view.films import FilmStyle, film_id, read_film
from vla_eval.view.render import _spans, side_by_side

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")


def test_spans_of_a_subgoal():
    """First frame, and the frame after the last, for each time that it held."""
    assert _spans([False, True, True, False, True]) == ((1, 3), (4, 5))
    assert _spans([False, False]) == ()


def test_pictures_beside_each_other_have_even_sizes():
    """H.264 takes no odd ones; a higher picture is cut to the lowest."""
    pictures = [np.zeros((31, 20, 3), np.uint8), np.ones((40, 13, 3), np.uint8)]
    joined = side_by_side(pictures)
    assert joined.shape == (30, 32, 3)
    assert joined[:, 20:].all()


def test_a_film_has_as_many_frames_as_its_description_says(run):
    """One frame a moment, none dropped or doubled."""
    record = next(iter(RunFolder.open(run).records().final.values()))
    name = paint_film(run, record)
    frames, _ = imageio_ffmpeg.count_frames_and_secs(str(run / "media" / f"{name}.mp4"))
    assert frames == record.steps + 1 == read_film(run / "media", name).frames


def test_a_films_name_follows_from_what_decides_its_pictures(run):
    """Scene, actions and size; not the arm."""
    record = next(iter(RunFolder.open(run).records().final.values()))
    name = film_id(record, FilmStyle())
    assert film_id(record.model_copy(update={"arm": "other"}), FilmStyle()) == name
    for change in ({"scene_hash": "x"}, {"actions_sha256": "x"}, {"env_seed": 7}):
        assert film_id(record.model_copy(update=change), FilmStyle()) != name
    assert film_id(record, FilmStyle(512)) != name


def test_a_damaged_description_is_no_film(painted):
    """It is made anew instead of shown with wrong numbers."""
    record = next(iter(RunFolder.open(painted).records().final.values()))
    folder, name = painted / "media", film_id(record, FilmStyle())
    assert read_film(folder, name) is not None
    (folder / f"{name}.json").write_text('{"format": 1}')
    assert read_film(folder, name) is None
