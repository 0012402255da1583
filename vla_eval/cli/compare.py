"""``vlaeval compare``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import tyro

from vla_eval.cli.common import print_json, say
from vla_eval.errors import EXIT_COMPLETE, UsageError

__all__ = ["compare"]

OptionalFile = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


def compare(
    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")],
    *,
    arm: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="ARM")] = (),
    alpha: float = 0.05,
    html: OptionalFile = None,
    markdown: OptionalFile = None,
    json: bool = False,
) -> int:
    r"""Compare many policies: all pairs, adjusted; letters; success against latency; tasks.

    Example: vlaeval compare runs/snapflow runs/meanflow runs/teacher \
        --html compare.html

    Takes the arms of one or several runs of the same protocol; an arm in several folders (shards)
    counts once. Policies are paired episode by episode if they saw the same scenes; repeats of
    initial states and tasks of different size are taken into account. The comparison is post-hoc and
    certifies nothing: the exit code is 0 for every result.

    Args:
        runs: Run folders.
        arm: Compare only this arm; can be given several times.
        alpha: Chance of any false difference among all pairs.
        html: Write one HTML file that works offline.
        markdown: Write Markdown for a pull request.
        json: Print for machines.
    """
    from vla_eval.compare import compare as judge
    from vla_eval.compare import gather

    if not 0 < alpha < 0.5:
        raise UsageError(f"--alpha {alpha:g}: expected a level between 0 and 0.5")
    result = judge(gather(runs, only=arm), alpha=alpha)
    if html is not None or markdown is not None:
        from vla_eval.compare.pages import html_page, markdown_page
        from vla_eval.files.atomic import write_atomically

        command = shlex.join(["vlaeval", "compare", *map(str, runs)])
        if html is not None:
            write_atomically(html, html_page(result, command=command))
        if markdown is not None:
            write_atomically(markdown, markdown_page(result))
    if json:
        print_json(result.to_json())
    else:
        from vla_eval.compare.text import comparison_text

        say(comparison_text(result))
    return EXIT_COMPLETE
