"""Publishing: folders for the hub, written without network and token.

::

    dataset/README.md              card with pictures, tables and the commands that check everything
    dataset/data/*.parquet         flat tables of episodes and pairs
    dataset/run/                   the run folder, without names of machines
    model-cards/ARM.md             head of the model's card, for pasting
    model-cards/ARM.eval_results/  entry for a benchmark's leaderboard, on request
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vla_eval.drawing.rates import Rate, draw_rates
from vla_eval.drawing.svg import WIDE, standalone
from vla_eval.errors import RunFolderError, UsageError, did_you_mean
from vla_eval.publish.cards import Benchmark, leaderboard_entry, model_index
from vla_eval.publish.evidence import copy_run, copy_videos
from vla_eval.publish.readme import claims_of, dataset_card
from vla_eval.publish.source import Source
from vla_eval.publish.tables import write_tables

__all__ = ["Benchmark", "Published", "publish"]


@dataclass(frozen=True)
class Published:
    """What was written."""

    dataset: Path
    """Folder of the dataset repository."""
    cards: Mapping[str, Path]
    """Head of the model card of each arm."""
    entries: Mapping[str, Path]
    """Leaderboard entry of each arm; empty unless a benchmark was named."""


def publish(
    run: Path,
    out: Path,
    *,
    repo: str | None = None,
    models: Mapping[str, str] | None = None,
    benchmark: Benchmark | None = None,
    licence: str = "cc-by-4.0",
    show_paths: bool = False,
    videos: bool = False,
) -> Published:
    """Write the folders of a complete run for the hub.

    Args:
        run: the run folder; it is not changed.
        out: a new folder.
        repo: name of the dataset repository, ``USER/NAME``; it gives the results their source.
        models: names of the models by arm, ``USER/POLICY``; default the arm's own name.
        benchmark: also write entries for this leaderboard.
        licence: the hub's identifier of the data's licence.
        show_paths: publish paths of this machine, where policies are named by them.
        videos: also publish the videos that the run has.

    Raises:
        RunFolderError: the run cannot be published: incomplete, on stand-in assets, contradictory, or with
            a certificate that its records do not confirm; or ``out`` exists; or there are no videos.
        UsageError: an unknown arm, or a policy that must not or cannot be named.
        MissingExtraError: the extra ``publish`` is not installed.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunFolderError(f"{out}: exists already; name a new folder with --out")
    source = Source.open(run, show_paths=show_paths)
    models = models or {}
    for arm in models:
        if arm not in source.arms:
            raise UsageError(
                f"--model {arm}: the run has no such arm{did_you_mean(arm, source.arms)}"
            )
    try:
        return _write(source, out, repo, models, benchmark, licence, videos=videos)
    except BaseException:  # also an interrupt: half a folder must not be uploaded
        shutil.rmtree(out, ignore_errors=True)
        raise


def _write(
    source: Source,
    out: Path,
    repo: str | None,
    models: Mapping[str, str],
    benchmark: Benchmark | None,
    licence: str,
    *,
    videos: bool,
) -> Published:
    dataset, cards = out / "dataset", out / "model-cards"
    url = f"https://huggingface.co/datasets/{repo}" if repo else None
    write_tables(source, dataset / "data")
    copy_run(source, dataset / "run")
    grids = copy_videos(source.path, dataset / "run") if videos else None
    claims = claims_of(source)
    rates = [
        Rate(name, arm.successes, arm.n, arm.wilson95, arm.errors)
        for name, arm in source.summary.arms.items()
    ]
    files = {
        dataset / "README.md": dataset_card(
            source, claims, repo=repo or "USER/NAME", licence=licence, grids=grids
        ),
        dataset / "rates.svg": standalone(draw_rates(rates, "rates", WIDE)),
        **{dataset / claim.picture: claim.drawing for claim in claims},
    }
    heads = {arm: cards / f"{arm}.md" for arm in source.arms}
    for arm, file in heads.items():
        files[file] = model_index(source, arm, model=models.get(arm, arm), url=url)
    entries = {}
    if benchmark is not None:
        for arm in source.arms:
            entries[arm] = cards / f"{arm}.eval_results" / f"{benchmark.task_id}.yaml"
            files[entries[arm]] = leaderboard_entry(source, arm, benchmark, url=url)
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return Published(dataset, heads, entries)
