"""The published copy of a run folder: without names of machines and of the user, and still verifiable.

Names of machines become ``machine-1``, ``machine-2`` …, and the user's home folder ``~``. A certificate
holds neither, so ``vlaeval verify`` confirms it from the copy; that is checked before anything is published.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vla_eval.certificate import gather, verify
from vla_eval.certificate.evidence import gather_recipes
from vla_eval.certificate.model import Certificate
from vla_eval.certificate.page.files import report_names
from vla_eval.certificate.page.html import html_report
from vla_eval.certificate.page.markdown import markdown_report
from vla_eval.certificate.recipe.model import RecipeCertificate
from vla_eval.certificate.recipe.page import recipe_html, recipe_markdown
from vla_eval.certificate.verify import roles_of
from vla_eval.errors import RunFolderError
from vla_eval.publish.source import Source, certificate_files
from vla_eval.record import EpisodeRecord
from vla_eval.runs.store import RecordWriter, read_records
from vla_eval.view.films import media_folder, read_film

__all__ = ["copy_run", "copy_videos"]

_HERE = Path("run")
"""The copy's folder, as the commands of its reports name it."""


def copy_run(source: Source, out: Path) -> None:
    """Write the copy to a new folder, with certificates and their reports.

    Raises:
        RunFolderError: a certificate is not confirmed by the copy.
    """
    names = _aliases(source.records.attempts)
    home = str(Path.home())
    (out / "episodes").mkdir(parents=True)
    for file in sorted((source.path / "episodes").glob("*.jsonl")):
        with RecordWriter(out / "episodes" / file.name) as writer:
            records = read_records([file]).attempts
            writer.extend(_scrubbed(record, names, home) for record in records)
    several = {file.name for file in certificate_files(source.path)} - set(source.certificates)
    plain = [*source.path.glob("*.json"), *source.path.glob("looks/*.json")]
    for file in sorted([*plain, *source.path.glob("actions/*.jsonl")]):
        if file.name not in {"run.json", *several}:
            copy = out / file.relative_to(source.path)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)
    _write_header(source, out, names, home)
    for name, certificate in source.certificates.items():
        _confirm(source, certificate, out, name)


def copy_videos(run: Path, out: Path) -> tuple[str, ...]:
    """Copy a run's films and grids of films into the copy's folder; return the names of the grids.

    Films hold pictures, and names of cameras and subgoals: nothing of the machine.

    Raises:
        RunFolderError: the run has none.
    """
    media = media_folder(run)
    films = [file.stem for file in media.glob("*.json") if read_film(media, file.stem) is not None]
    grids = sorted(file.name for file in media.glob("new-failures-*.mp4"))
    if not films and not grids:
        raise RunFolderError(
            f"{run}: has no videos yet; make them first: vlaeval view {run} --render discordant"
        )
    target = media_folder(out)
    target.mkdir()
    for film in films:
        for file in media.glob(f"{film}.*"):
            shutil.copyfile(file, target / file.name)
    for name in grids:
        shutil.copyfile(media / name, target / name)
    return tuple(grids)


def _aliases(records: Iterable[EpisodeRecord]) -> dict[str, str]:
    machines = sorted({record.timing.machine for record in records} - {""})
    return {name: f"machine-{number}" for number, name in enumerate(machines, 1)}


def _scrubbed(record: EpisodeRecord, names: Mapping[str, str], home: str) -> EpisodeRecord:
    machine = names.get(record.timing.machine, "")
    timing = record.timing.model_copy(update={"machine": machine})
    error = record.error
    if error is not None:
        texts = {name: text.replace(home, "~") for name, text in error.model_dump().items()}
        error = error.model_copy(update=texts)
    return record.model_copy(update={"timing": timing, "error": error})


def _write_header(source: Source, out: Path, names: Mapping[str, str], home: str) -> None:
    """Write ``run.json`` with the other names of machines, which clusters note there."""
    header = source.header.model_dump(mode="json")
    header["sessions"] = _renamed(header["sessions"], names, home)
    (out / "run.json").write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")


def _renamed(value: Any, names: Mapping[str, str], home: str) -> Any:
    if isinstance(value, dict):
        return {
            key: "machine"
            if key == "machine" and each not in names
            else _renamed(each, names, home)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_renamed(each, names, home) for each in value]
    return names.get(value, value.replace(home, "~")) if isinstance(value, str) else value


def _confirm(
    source: Source, certificate: Certificate | RecipeCertificate, out: Path, name: str
) -> None:
    """Verify a certificate by the copy, and write its reports anew."""
    differences = verify(certificate, out)
    if differences:
        raise RunFolderError(
            f"{source.path / name}: is not confirmed by the run's records ({differences[0]}); issue it "
            "again with vlaeval certify, or move it out of the folder"
        )
    page, summary = report_names(out / name)
    if isinstance(certificate, RecipeCertificate):
        found = gather_recipes(out)
        html = recipe_html(certificate, found, run=_HERE, file=_HERE / name)
        text = recipe_markdown(certificate)
    else:
        evidence = gather(out, roles_of(certificate)).alone()
        html = html_report(certificate, evidence, run=_HERE, file=_HERE / name)
        text = markdown_report(certificate)
    page.write_text(html, encoding="utf-8")
    summary.write_text(text, encoding="utf-8")
