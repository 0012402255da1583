"""MLflow: one experiment for each protocol, one run for each arm."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vla_eval.errors import MissingExtraError
from vla_eval.sinks.sink import Facts, Sink, take_options

__all__ = ["MlflowFactory"]

_TAG = "vla_eval.identity"


class MlflowFactory:
    """``mlflow[:URI]``, a tracking URI; default ``sqlite:///runs/mlflow.db``."""

    help = "MLflow; mlflow[:URI][?artifacts=DIR], for example mlflow:sqlite:///runs/mlflow.db"

    def __call__(self, target: str | None, options: Mapping[str, str], facts: Facts) -> Sink:
        """Begin a run; an earlier one of the same identity is replaced."""
        chosen = take_options("mlflow", options, ("artifacts",))
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise MissingExtraError("mlflow", "mlflow") from None
        uri = target or "sqlite:///runs/mlflow.db"
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).absolute().parent.mkdir(
                parents=True, exist_ok=True
            )
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, uri, facts.group, chosen.get("artifacts"))
        for run in client.search_runs([experiment], f"tags.`{_TAG}` = '{facts.identity}'"):
            client.delete_run(run.info.run_id)
        run = client.create_run(experiment, tags={_TAG: facts.identity}, run_name=facts.arm)
        for name, value in facts.config.items():
            client.log_param(run.info.run_id, name, value)
        return _Mlflow(client, run.info.run_id)


def _experiment(client: Any, uri: str, group: str, artifacts: str | None) -> str:
    """Return the experiment's id; artifacts of a local database lie beside it, not in the working folder."""
    known = client.get_experiment_by_name(group)
    if known is not None:
        return str(known.experiment_id)
    if artifacts is None and uri.startswith("sqlite:///"):
        artifacts = str(Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts")
    where = None if artifacts is None else Path(artifacts).absolute().as_uri()
    return str(client.create_experiment(group, artifact_location=where))


class _Mlflow:
    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run

    def point(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._client.log_metric(self._run, name, value, step=step)

    def finish(self, facts: Facts) -> None:
        for table in facts.tables:
            columns = zip(table.columns, zip(*table.rows, strict=True), strict=False)
            data = {name or "arm": list(values) for name, values in columns}
            self._client.log_dict(self._run, data, f"tables/{table.name}.json")
        self._client.log_text(self._run, facts.report, "report.txt")
        for video in facts.videos:
            self._client.log_artifact(self._run, str(video), "failures")

    def close(self) -> None:
        self._client.set_terminated(self._run)
