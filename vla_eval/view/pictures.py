"""Pictures of the episodes in which two arms differ, for the report of a certificate.

Three pictures an episode: the start, the decisive moment and the end. The moment is the same for both arms: when
the arm that succeeds reached the first part of the task that the other arm never did.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from vla_eval.certificate import Evidence
from vla_eval.certificate.page.view import Discordant, Strip, Strips, discordant
from vla_eval.cores import usable_cores
from vla_eval.errors import UsageError, VlaEvalError
from vla_eval.playback import PlayedStep, Player
from vla_eval.record import EpisodeRecord
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.traces import Traces
from vla_eval.trace import Trace
from vla_eval.view.render import Picture
from vla_eval.view.studio import reason_of, refuse_foreign, step_back

__all__ = ["MOST_PAIRS", "decisive_step", "strips_of"]

MOST_PAIRS = 12
"""Most episodes with pictures: together far less than 1 MB."""
_HEIGHT = 112
"""Pixels."""


@dataclass(frozen=True)
class _Order:
    run: Path
    record: EpisodeRecord
    trace: Trace
    steps: tuple[int, int, int]


def strips_of(evidence: Evidence, run: Path) -> Strips:
    """Return pictures of the first discordant episodes, drawn from their stored actions.

    Args:
        evidence: the evidence of a certificate.
        run: the run folder.

    Returns:
        The pictures; if there are discordant episodes and no pictures, the reason.
    """
    pairs = discordant(evidence)[:MOST_PAIRS]
    homes = {key: part.path for part in evidence.parts for key in part.keys}
    try:
        orders = [order for pair in pairs for order in _orders(pair, homes.get(pair.key, run))]
    except VlaEvalError as error:
        return Strips({}, str(error))
    if not orders:
        return Strips()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(usable_cores(), context, initializer=step_back) as pool:
        futures = [pool.submit(_draw, order) for order in orders]
        drawn, reasons = _collected(orders, futures)
    return Strips(drawn, reasons[0] if reasons and not drawn else "")


def _orders(pair: Discordant, run: Path) -> Iterable[_Order]:
    folder, traces, middle = RunFolder.open(run), Traces(run), decisive_step(pair)
    where = f"`vlaeval view {run} --trust` shows its episodes"
    refuse_foreign(run, folder.header.protocol, where=where)
    for record in (pair.winner, pair.loser):
        trace = traces.get(record)
        if trace is None:
            raise UsageError(f"{run}: holds no actions")
        yield _Order(run, record, trace, (0, min(middle, record.steps), record.steps))


def decisive_step(pair: Discordant) -> int:
    """Return the number of control steps after which the arms' results parted.

    It is the step at which the winner first held a part of the task that the loser never held; if the
    records do not tell, the end of the winner's episode.
    """
    reached, lost = pair.winner.subgoal_steps, pair.loser.subgoal_steps
    if reached is None or lost is None:
        return pair.winner.steps
    return min(
        (step for name, step in reached.items() if name not in lost), default=pair.winner.steps
    )


def _collected(
    orders: list[_Order], futures: list[Future[bytes]]
) -> tuple[dict[tuple[str, str], Strip], list[str]]:
    drawn, reasons = {}, []
    for order, future in zip(orders, futures, strict=True):
        try:
            strip = Strip(future.result(), order.steps)
        except Exception as error:  # noqa: BLE001 - a report without a picture is still a report
            reasons.append(reason_of(error))
        else:
            drawn[str(order.record.key), order.record.arm] = strip
    return drawn, reasons


def _draw(order: _Order) -> bytes:
    """Play an episode again, and return the first camera's pictures at three steps as one WebP."""
    pictures: dict[int, Image.Image] = {}
    with Player(RunFolder.open(order.run), pictures=False) as player:
        env = player.env_of(order.record)
        for moment in player.play(order.record, order.trace):
            if moment.step in order.steps:
                seen = PlayedStep(**{**vars(moment), "observation": env.observe()})
                pictures[moment.step] = _scaled(next(iter(seen.frames.values())))
    row = [pictures[step] for step in order.steps]
    strip = Image.new("RGB", (sum(each.width for each in row), _HEIGHT))
    for number, each in enumerate(row):
        strip.paste(each, (number * each.width, 0))
    file = BytesIO()
    strip.save(file, "WEBP", quality=75)
    return file.getvalue()


def _scaled(picture: Picture) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize((round(image.width * _HEIGHT / image.height), _HEIGHT))
