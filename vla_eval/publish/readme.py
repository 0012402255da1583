"""The card of a dataset repository: what ran, what came out, how to check it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from vla_eval.certificate.model import Certificate
from vla_eval.certificate.page.figures import draw_interval
from vla_eval.certificate.page.files import report_names
from vla_eval.certificate.page.markdown import SIGNS
from vla_eval.certificate.page.meaning import signs
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.recipe.text import flag_lines as recipe_flags
from vla_eval.certificate.text import flag_lines
from vla_eval.drawing import words
from vla_eval.drawing.svg import WIDE, standalone
from vla_eval.errors import MissingExtraError
from vla_eval.files.plain import code, markdown
from vla_eval.publish.source import Source

__all__ = ["Claim", "claims_of", "dataset_card"]

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Claim:
    """A certificate, as the card shows it."""

    file: str
    report: str
    title: str
    sentence: str
    sign: str
    flags: tuple[str, ...]
    picture: str
    """Name of the drawing's file."""
    drawing: str
    """The drawing, an SVG file of its own."""


def claims_of(source: Source) -> list[Claim]:
    """Return the certificates of a run."""
    return list(_claims(source))


def _claims(source: Source) -> Iterator[Claim]:
    for name, certificate in source.certificates.items():
        flags = (
            recipe_flags(certificate)
            if isinstance(certificate, RecipeCertificate)
            else flag_lines(certificate)
        )
        yield Claim(
            file=name,
            report=report_names(Path(name))[0].name,
            title=f"{_subject(certificate)}: {certificate.verdict}",
            sentence=certificate.sentence,
            sign=SIGNS[signs(certificate.verdict)],
            flags=tuple(flags),
            picture=f"{Path(name).stem}.svg",
            drawing=standalone(draw_interval(certificate, WIDE)),
        )


def _subject(certificate: Certificate | RecipeCertificate) -> str:
    return (
        "The candidate's recipe"
        if isinstance(certificate, RecipeCertificate)
        else certificate.comparison.candidate
    )


def dataset_card(
    source: Source,
    claims: list[Claim],
    *,
    repo: str,
    licence: str,
    grids: Sequence[str] | None = None,
) -> str:
    """Return ``README.md`` of a dataset repository.

    Args:
        source: the run.
        claims: its certificates.
        repo: name of the repository, ``USER/NAME``.
        licence: the hub's identifier of the data's licence.
        grids: names of the grids in ``run/media``; None: there are no videos.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    protocol, summary = source.header.protocol, source.summary
    environment = jinja2.Environment(  # noqa: S701 - Markdown: every value passes text or code
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": code,
        "milliseconds": words.milliseconds,
        "percent": words.percent,
        "text": markdown,
    }
    title = f"{', '.join(summary.arms)} on {protocol.protocol}, version {protocol.version}"
    changes = ", ".join(f"{path} = {value}" for path, value in (protocol.overrides or {}).items())
    return environment.get_template("dataset.md.j2").render(
        head=_head(title, licence),
        title=title,
        protocol=protocol,
        modified=changes,
        planned=len(source.keys),
        arms=summary.arms,
        specs={arm.name: arm.spec for arm in source.header.arms},
        claims=claims,
        repo=repo,
        grids=grids,
    )


def _head(title: str, licence: str) -> str:
    try:
        from huggingface_hub import DatasetCardData
    except ImportError:
        raise MissingExtraError("vlaeval publish", "publish") from None
    tables = [
        {"config_name": name, "data_files": [{"split": "test", "path": f"data/{name}.parquet"}]}
        for name in ("episodes", "pairs")
    ]
    data = DatasetCardData(
        license=licence,
        pretty_name=title,
        task_categories=["robotics"],
        tags=["robotics", "evaluation", "vla_eval"],
        configs=tables,
    )
    return data.to_yaml()
