"""Making films, as several verbs do it: with progress, and a warning for each that cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import as_completed
from typing import TYPE_CHECKING

from vla_eval.cli.common import say

if TYPE_CHECKING:
    from vla_eval.keys import EpisodeKey
    from vla_eval.view.gather import ShownArm
    from vla_eval.view.studio import Studio

__all__ = ["make_films"]


def make_films(studio: Studio, episodes: Iterable[tuple[EpisodeKey, Sequence[ShownArm]]]) -> None:
    """Make the films of episodes that are not there yet, and wait for them."""
    from tqdm import tqdm

    from vla_eval.view.studio import reason_of

    made = studio.make((arm, key) for key, arms in episodes for arm in arms)
    reasons = [why for _, why in made if why]
    futures = [future for future, _ in made if future is not None]
    done = tqdm(as_completed(futures), total=len(futures), unit=" videos", disable=None)
    reasons += [reason_of(error) for future in done if (error := future.exception()) is not None]
    for reason in dict.fromkeys(reasons):
        say(f"warning: {reasons.count(reason)} of {len(made)} videos: {reason}", file=sys.stderr)
