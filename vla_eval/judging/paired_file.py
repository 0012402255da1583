"""The comparison of a run with a frozen run elsewhere: ``evaluation.json`` in the run folder.

It is derived from the records of both folders and decides nothing; it lets readers of one folder, such
as trackers, show what the evaluation during training found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vla_eval.errors import RunFolderError
from vla_eval.files.atomic import write_atomically
from vla_eval.files.jsonfile import read_model
from vla_eval.stats import Standing

__all__ = ["FILE_NAME", "EvaluationFile", "PairedResult", "read_evaluation", "write_evaluation"]

FILE_NAME = "evaluation.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PairedResult(_Frozen):
    """The comparison with the reference; every number holds at any time, however the run was stopped."""

    reference: str
    """Folder of the reference's run."""
    arm: str
    """The reference's arm there."""
    reference_sha256: str
    """Hash of the reference's identity."""
    pairs: Annotated[int, Field(ge=0)]
    n10: Annotated[int, Field(ge=0)]
    """Pairs that only the evaluated policy won."""
    n01: Annotated[int, Field(ge=0)]
    """Pairs that only the reference won."""
    difference: float
    interval: tuple[float, float]
    """At level 1 − 2 alpha, for all rounds together."""
    margin: float
    alpha: float
    e_worse: float
    """e-value against "not worse than the reference"."""
    e_not_worse: float
    """e-value against "worse by the margin or more"."""
    standing: Standing
    lost: tuple[str, ...] = ()
    """Keys of the pairs that only the reference won."""


class EvaluationFile(_Frozen):
    """The content of the file."""

    format: Literal[1] = 1
    step: int | None = None
    """Training step."""
    paired: PairedResult | None = None


def write_evaluation(folder: Path, content: EvaluationFile) -> None:
    """Write the comparison into a run folder."""
    text = content.model_dump_json(indent=1, exclude_none=True)
    write_atomically(folder / FILE_NAME, text + "\n")


def read_evaluation(folder: Path) -> EvaluationFile | None:
    """Return a run folder's comparison; None if it has none; raise RunFolderError if it is damaged."""
    file = folder / FILE_NAME
    if not file.exists():
        return None
    return read_model(
        file,
        EvaluationFile,
        wrong="is damaged",
        remedy="delete it: it is derived from the records",
        error=RunFolderError,
    )
