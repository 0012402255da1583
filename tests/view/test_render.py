"""Films: every moment of an episode once, in order, with what held at each."""

from __future__ import annotations

import numpy as np
import pytest

import vla_eval
from fakes.watching import paint_film
from vla_eval.cli import main
from vla_eval.runs.folder import RunFolder
from vla_eval.view.films import FilmStyle, film_id, read_film
from vla_eval.view.gather import read_runs
from vla_eval.view.render import _spans, side_by_side
from vla_eval.view.studio import Studio, chosen

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


@pytest.fixture
def real(tmp_path, protocol_file):
    """Return a run of two policies in the fake environment, with the actions that it stored."""
    arms = {
        name: f"fakes.policies:InWorker?skill={skill}" for name, skill in (("a", 0.0), ("b", 1.0))
    }
    vla_eval.run(str(protocol_file(count=1, max_steps=16)), arms, tmp_path / "run", workers=1)
    return tmp_path / "run"


@pytest.mark.long  # processes of a run, and of the studio
def test_a_real_episode_is_filmed_in_a_worker(real):
    """From the reset to the end, with score and subgoals of every moment; then a grid of both arms."""
    runs = read_runs([real])
    ((key, arms),) = chosen(runs, "discordant")
    with Studio(workers=1, style=FilmStyle(), trust=True) as studio:
        for future, why in studio.make((arm, key) for arm in arms):
            assert why == ""
            future.result(timeout=60)
        assert studio.states() == {}
    lost, won = (arm.record(key) for arm in arms)
    film = read_film(real / "media", film_id(won, FilmStyle()))
    assert film.frames == won.steps + 1
    assert (film.scores[0], film.scores[-1], film.fps) == (0.0, 1.0, 10.0)
    assert film.subgoals["goal"] == ((won.steps, won.steps + 1),)
    assert read_film(real / "media", film_id(lost, FilmStyle())).subgoals["goal"] == ()
    grid = real.parent / "grid.mp4"
    assert main(["replay", str(real), "--grid", str(grid), "--trust"]) == 0
    assert grid.stat().st_size > 1000


def test_ending_the_studio_leaves_no_half_film(run):
    """A file that a worker had begun is removed; what was asked for and not begun is dropped."""
    with Studio(workers=1, style=FilmStyle(), trust=True) as studio:
        ((key, arms), *_) = chosen(read_runs([run]), "all")
        studio.order(arms[0], key)
        maker = studio._order_of(arms[0], key).maker
        half = run / "media" / f".{'0' * 32}.{maker}.mp4"
        half.parent.mkdir(exist_ok=True)
        half.touch()
    assert not half.exists()
