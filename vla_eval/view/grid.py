"""A video of many episodes at once, for slides: each arm's picture beside the other's, with captions."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vla_eval.errors import UsageError
from vla_eval.keys import EpisodeKey
from vla_eval.record import EpisodeRecord
from vla_eval.view.films import Film, FilmStyle, film_id, media_folder, read_film
from vla_eval.view.gather import ShownArm
from vla_eval.view.render import Picture, encoder, new_file

__all__ = ["MOST_EPISODES", "write_grid"]

MOST_EPISODES = 12
"""Most episodes of a grid: more are too small on a slide."""
_HOLD_S = 1.5
"""Time that the last picture stays."""
_LINE = 18
_GAP = 6
_COLOURS = {"success": (111, 211, 176), "failure": (255, 156, 135)}
_INK, _PAPER = (235, 238, 242), (17, 21, 26)


@dataclass(frozen=True)
class _Tile:
    """One arm's film in one episode, cut to a camera."""

    label: str
    record: EpisodeRecord
    file: Path
    film: Film
    left: int
    width: int

    def pictures(self) -> Iterator[Picture]:
        """Yield the film's frames, (H, W, 3); the last one stays."""
        height, width = self.film.height, sum(camera.width for camera in self.film.cameras)
        shape = height - height % 2, width - width % 2, 3
        picture = np.zeros(shape, np.uint8)
        with subprocess.Popen(_decoding(self.file), stdout=subprocess.PIPE) as decoder:
            pipe = cast("IO[bytes]", decoder.stdout)
            while len(frame := pipe.read(picture.nbytes)) == picture.nbytes:
                picture = np.frombuffer(frame, np.uint8).reshape(shape)
                yield picture[:, self.left : self.left + self.width]
        while True:
            yield picture[:, self.left : self.left + self.width]


def _decoding(file: Path) -> list[str]:
    import imageio_ffmpeg

    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(file), *raw]


def write_grid(
    file: Path,
    episodes: Sequence[tuple[EpisodeKey, Sequence[ShownArm]]],
    style: FilmStyle,
    *,
    camera: str | None = None,
) -> None:
    """Write the grid of some episodes whose films were made.

    Args:
        file: the ``.mp4`` to write.
        episodes: keys, each with the arms to show beside each other; at most `MOST_EPISODES`.
        style: style of the films.
        camera: camera to show; None: the first one.

    Raises:
        UsageError: there is no film, or no such camera.
    """
    rows = [
        (key, tiles)
        for key, arms in episodes[:MOST_EPISODES]
        if (tiles := [tile for arm in arms if (tile := _tile(arm, key, style, camera))])
    ]
    if not rows:
        raise UsageError("no video of these episodes could be made, so there is no grid")
    file.parent.mkdir(parents=True, exist_ok=True)
    fps = rows[0][1][0].film.fps
    last = max(tile.film.frames for _, tiles in rows for tile in tiles)
    with new_file(file, "unfinished") as temporary, encoder(temporary, fps) as write:
        for picture in _pictures(rows, last + round(_HOLD_S * fps)):
            write(picture)


def _tile(arm: ShownArm, key: EpisodeKey, style: FilmStyle, camera: str | None) -> _Tile | None:
    record = arm.record(key)
    if record is None:
        return None
    folder, name = media_folder(arm.run.path), film_id(record, style)
    film = read_film(folder, name)
    if film is None:
        return None
    names = [each.name for each in film.cameras]
    if camera is not None and camera not in names:
        raise UsageError(f"--camera {camera}: the cameras are {', '.join(names)}")
    at = names.index(camera) if camera else 0
    left = sum(each.width for each in film.cameras[:at])
    return _Tile(arm.label, record, folder / f"{name}.mp4", film, left, film.cameras[at].width)


def _pictures(rows: Sequence[tuple[EpisodeKey, Sequence[_Tile]]], count: int) -> Iterator[Picture]:
    """Yield the grid's frames."""
    widths = [sum(tile.width + _GAP for tile in tiles) + _GAP for _, tiles in rows]
    height = max(tile.film.height for _, tiles in rows for tile in tiles) + 2 * _LINE + _GAP
    columns = max(1, round(math.sqrt(len(rows) * 1.8 * height / max(widths))))
    lines = math.ceil(len(rows) / columns)
    size = columns * max(widths), lines * height + _GAP
    places = [
        (i % columns * max(widths) + _GAP, i // columns * height + _GAP) for i in range(len(rows))
    ]
    font = ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")), 12)
    films = [[tile.pictures() for tile in tiles] for _, tiles in rows]
    for step in range(count):
        sheet = Image.new("RGB", size, _PAPER)
        pen = ImageDraw.Draw(sheet)
        for (key, tiles), (x, y), sources in zip(rows, places, films, strict=True):
            pen.text((x, y), _fitting(pen, font, str(key), max(widths) - 2 * _GAP), _INK, font)
            _draw_row(
                sheet, pen, font, (x, y + _LINE), step, list(zip(tiles, sources, strict=True))
            )
        picture = np.asarray(sheet)
        yield np.ascontiguousarray(picture[: size[1] // 2 * 2, : size[0] // 2 * 2])


def _draw_row(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont,
    at: tuple[int, int],
    step: int,
    films: Sequence[tuple[_Tile, Iterator[Picture]]],
) -> None:
    """Draw the arms of one episode, with name, step and, at the end, the outcome."""
    x, y = at
    for tile, source in films:
        sheet.paste(Image.fromarray(next(source)), (x, y + _LINE))
        steps = tile.record.steps
        ended = step >= steps
        word = f"{tile.label}  {tile.record.outcome}" if ended else f"{tile.label}  step {step}"
        colour = _COLOURS.get(tile.record.outcome, _INK) if ended else _INK
        pen.text((x, y), _fitting(pen, font, word, tile.width), colour, font)
        if ended:
            box = (x, y + _LINE, x + tile.width - 1, y + _LINE + tile.film.height - 1)
            pen.rectangle(box, outline=colour, width=3)
        x += tile.width + _GAP


def _fitting(pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, text: str, width: int) -> str:
    """Return a text that is no wider than this, in pixels: its end counts, so its start is left out."""
    if pen.textlength(text, font) <= width:
        return text
    while text and pen.textlength(f"…{text}", font) > width:
        text = text[1:]
    return f"…{text}"
