"""Makes the film of one episode, from its stored actions: no policy, no weights, no GPU.

H.264 with a key frame every 30 frames: at most 30 kB a second for two cameras of 256 pixels, and a browser
finds any frame of it in some 10 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vla_eval.environment import EvalEnv
from vla_eval.errors import MissingExtraError, UsageError
from vla_eval.files.atomic import write_atomically
from vla_eval.playback import Player
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.trace import Trace
from vla_eval.view.films import Camera, Film, FilmStyle

__all__ = ["FilmOrder", "encoder", "make_film", "new_file", "side_by_side"]

Picture = NDArray[np.uint8]

THUMB = 112
"""Height of a thumbnail, in pixels."""
_X264 = ("-preset", "veryfast", "-crf", "25", "-g", "30", "-bf", "0", "-movflags", "+faststart")
_MOST_BITS = 1.8
"""Most bits a second for each pixel: a policy that trembles makes a film five times as large."""


@dataclass(frozen=True)
class FilmOrder:
    """A film to be made; it can be sent to another process."""

    film: str
    """The film's name, see :func:`~vla_eval.view.films.film_id`."""
    run: Path
    """The run folder; its protocol names the environment."""
    folder: Path
    """Where films are kept."""
    record: EpisodeRecord
    trace: Trace
    style: FilmStyle
    trust: bool
    """Whether to run an environment that no installed package provides."""
    maker: str
    """Part of the names of unfinished files, by which the one who ordered the film finds them."""


def make_film(order: FilmOrder) -> None:
    """Play an episode again and write its film, its strip of two pictures, and its description.

    The description is written last, so that readers never see a part.

    Raises:
        MissingExtraError: imageio-ffmpeg or the simulator is not installed.
        VlaEvalError: the episode cannot be played again, or it is not the recorded one.
    """
    order.folder.mkdir(parents=True, exist_ok=True)
    player = _player_of(order)
    env = player.env_of(order.record)
    fps = float(env.metadata["render_fps"])
    beside = _side_view(env) if order.style.side else None
    scores: list[float] = []
    held: list[Mapping[str, bool]] = []
    first: Mapping[str, Picture] = {}
    last: Mapping[str, Picture] = {}
    with (
        new_file(order.folder / f"{order.film}.mp4", order.maker) as file,
        encoder(file, fps) as write,
    ):
        for played in player.play(order.record, order.trace):
            last = played.frames if beside is None else beside(played.frames)
            first = first or last
            scores.append(min(1.0, max(0.0, played.score)))
            held.append(played.subgoals)
            write(side_by_side(list(last.values())))
    _strip(first, last).save(order.folder / f"{order.film}.webp", quality=75, method=4)
    film = Film(
        fps=fps,
        frames=len(scores),
        height=min(picture.shape[0] for picture in first.values()),
        cameras=tuple(Camera(name=name, width=each.shape[1]) for name, each in first.items()),
        scores=tuple(scores),
        subgoals={name: _spans([each.get(name, False) for each in held]) for name in held[-1]},
    )
    write_atomically(order.folder / f"{order.film}.json", film.model_dump_json() + "\n")


_player: tuple[object, Player] | None = None


def _player_of(order: FilmOrder) -> Player:
    """Return this process's player, which keeps its environment for films of the same scene."""
    global _player  # noqa: PLW0603 - a worker process makes one film after another
    wanted = order.run, order.style, order.trust
    if _player is None or _player[0] != wanted:
        if _player is not None:
            _player[1].close()
        folder = RunFolder.open(order.run)
        _player = wanted, Player(folder, size=order.style.size, trust=order.trust)
    return _player[1]


def _side_view(env: EvalEnv) -> Callable[[Mapping[str, Picture]], Mapping[str, Picture]]:
    """Return a function that adds the environment's own view to the pictures, scaled to their height."""
    if "rgb_array" not in env.metadata.get("render_modes", []):
        raise UsageError("this environment has no view of its own: leave out --side")
    env.render_mode = "rgb_array"

    def add(pictures: Mapping[str, Picture]) -> Mapping[str, Picture]:
        height = min(picture.shape[0] for picture in pictures.values())
        view = Image.fromarray(np.asarray(env.render(), np.uint8))
        scaled = view.resize((round(view.width * height / view.height / 2) * 2, height))
        return {**pictures, "side": np.asarray(scaled)}

    return add


def side_by_side(pictures: Sequence[Picture]) -> Picture:
    """Return pictures (H, W, 3) beside each other, cut to the lowest; H.264 needs even sizes."""
    height = min(picture.shape[0] for picture in pictures)
    joined = np.concatenate([picture[:height] for picture in pictures], axis=1)
    return np.ascontiguousarray(joined[: height - height % 2, : joined.shape[1] // 2 * 2])


def _strip(first: Mapping[str, Picture], last: Mapping[str, Picture]) -> Image.Image:
    """Return the first camera's first and last picture beside each other, as a thumbnail."""
    pictures = [next(iter(each.values())) for each in (first, last)]
    height, width = pictures[0].shape[:2]
    joined = Image.fromarray(np.concatenate(pictures, axis=1))
    return joined.resize((2 * max(1, round(THUMB * width / height)), THUMB))


def _spans(held: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """Return the spans (first frame, frame after the last) in which a subgoal held."""
    edges = np.flatnonzero(np.diff(np.array(held, dtype=np.int8), prepend=0, append=0))
    return tuple((int(first), int(end)) for first, end in edges.reshape(-1, 2))


@contextmanager
def new_file(path: Path, maker: str) -> Iterator[Path]:
    """Yield a temporary path beside a path, and move it there at the end; an exception removes it."""
    temporary = path.with_name(f".{path.stem}.{maker}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _limited(picture: Picture) -> list[str]:
    bits = round(_MOST_BITS * picture.shape[0] * picture.shape[1])
    return ["-maxrate", str(bits), "-bufsize", str(2 * bits)]


@contextmanager
def encoder(file: Path, fps: float) -> Iterator[Any]:
    """Yield a function that appends a picture, uint8 (H, W, 3) with even sizes, to a new H.264 file."""
    try:
        import imageio_ffmpeg
    except ImportError:
        raise MissingExtraError("a film", "so101") from None
    writer: Any = None

    def write(picture: Picture) -> None:
        nonlocal writer
        if writer is None:
            writer = imageio_ffmpeg.write_frames(
                str(file),
                (picture.shape[1], picture.shape[0]),
                fps=fps,
                codec="libx264",
                macro_block_size=2,
                ffmpeg_log_level="error",
                output_params=["-threads", "1", *_X264, *_limited(picture)],
            )
            writer.send(None)
        writer.send(picture)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()
