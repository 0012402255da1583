"""The real libraries: what was sent can be read from their stores."""

from __future__ import annotations

import json

import pytest

from vla_eval.sinks.send import send

RATE = "eval/fake/success_rate"


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "wandb-data"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.long
def test_tensorboard_gets_bands_tables_and_the_report(finished, tmp_path):
    """Sent twice, there is one folder an arm, with one point."""
    pytest.importorskip("tensorboardX")
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    for _ in range(2):
        assert send(finished, f"tensorboard:{tmp_path / 'board'}") == ["walker", "teacher"]
    (folder,) = (tmp_path / "board").glob("walker-*")
    found = event_accumulator.EventAccumulator(str(folder)).Reload()
    (point,) = found.Scalars(RATE)
    assert point.step == 8
    assert {f"{RATE}_low", f"{RATE}_high"} <= set(found.Tags()["scalars"])
    assert "report/text_summary" in found.Tags()["tensors"]
    (layout,) = (found.Tensors(tag) for tag in found.Tags()["tensors"] if "custom_scalars" in tag)
    assert RATE.encode() in layout[0].tensor_proto.string_val[0]


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_trackio_keeps_one_run_an_arm(finished, tmp_path, monkeypatch):
    """Sent twice, the numbers are there once, with tables and the report."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    storage = pytest.importorskip("trackio.sqlite_storage").SQLiteStorage
    for _ in range(2):
        send(finished, "trackio:mine")
    (name,) = [each for each in storage.get_runs("mine") if each.startswith("walker-")]
    logs = storage.get_logs("mine", name)
    assert [each[RATE] for each in logs if RATE in each] == [pytest.approx(logs[0][RATE])]
    assert any("report" in each for each in logs)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_wandb_offline_writes_a_run_that_can_be_synchronised(finished, tmp_path):
    """The folder of each arm holds the numbers of its summary."""
    pytest.importorskip("wandb")
    send(finished, f"wandb:mine?mode=offline&dir={tmp_path}")
    runs = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    assert all(list(run.glob("*.wandb")) for run in runs)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_mlflow_replaces_a_run_of_the_same_identity(finished, tmp_path):
    """One experiment a protocol, one live run an arm, artifacts beside the database."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'm.db'}"
    for _ in range(2):
        send(finished, f"mlflow:{uri}")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("fake@1")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["teacher", "walker"]
    assert RATE in runs["walker"].data.metrics
    text = next((tmp_path / "mlflow-artifacts").rglob("discordant-teacher.json")).read_text()
    assert set(json.loads(text)) == {"key", "walker", "teacher"}
    assert not (tmp_path / "mlruns").exists()
