"""A published run, read with the hub's own libraries, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fakes.forging import rewrite
from vla_eval.cli import main
from vla_eval.errors import RunFolderError, UsageError
from vla_eval.publish import Benchmark, publish
from vla_eval.summary.model import summarise
from vla_eval.view.films import Film

pytest.importorskip("pyarrow", reason="needs the extra 'publish'")
hub = pytest.importorskip("huggingface_hub", reason="needs the extra 'publish'")

ROOT = Path(__file__).parents[2]
RUN = ROOT / "docs" / "certificates" / "refuted"


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of 60 records, published."""
    out = tmp_path_factory.mktemp("publish") / "out"
    return publish(
        RUN,
        out,
        repo="me/refuted",
        models={"impaired": "me/student"},
        benchmark=Benchmark("org/bench", "so101"),
    )


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the run without its certificate, to be changed."""
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    (run / "certificate.json").unlink()
    return run


def test_a_model_card_keeps_counts_and_interval(done):
    """The hub's library parses the block; rate, counts and interval are those of the report."""
    card = hub.ModelCard.load(done.cards["impaired"])
    assert card.data.model_name == "me/student"
    rate = next(each for each in card.data.eval_results if each.metric_type == "success_rate")
    arm = summarise([RUN]).arms["impaired"]
    args = rate.metric_args
    assert (args["successes"], args["n"], args["missing"]) == (arm.successes, arm.n, 0)
    assert rate.metric_value == pytest.approx(arm.successes / arm.n, abs=1e-4)
    assert (args["low"], args["high"]) == pytest.approx(arm.wilson95, abs=1e-4)
    assert rate.source_url == "https://huggingface.co/datasets/me/refuted"


def test_a_model_card_survives_loading_and_saving(done, tmp_path):
    """Nothing is lost when the hub's library writes the card again."""
    first = hub.ModelCard.load(done.cards["impaired"])
    first.save(tmp_path / "again.md")
    assert hub.ModelCard.load(tmp_path / "again.md").data.to_dict() == first.data.to_dict()


def test_the_difference_names_reference_and_verdict(done):
    """The candidate's card gives the certificate's difference; the reference's card gives none."""
    results = hub.ModelCard.load(done.cards["impaired"]).data.eval_results
    (found,) = [each for each in results if each.metric_type == "paired_difference"]
    certificate = json.loads((RUN / "certificate.json").read_text())
    assert found.metric_args["verdict"] == certificate["verdict"] == "inferior"
    assert found.metric_args["low"] == pytest.approx(certificate["comparison"]["ci95"][0], abs=1e-4)
    others = hub.ModelCard.load(done.cards["expert"]).data.eval_results
    assert all(each.metric_type != "paired_difference" for each in others)


def test_a_leaderboard_entry_is_read_by_the_hub_s_library(done):
    """The value is in per cent, the date is a quoted text, and the notes hold the counts."""
    import yaml
    from huggingface_hub import parse_eval_result_entries

    text = done.entries["impaired"].read_text()
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    arm = summarise([RUN]).arms["impaired"]
    assert entry.value == pytest.approx(100 * arm.successes / arm.n, abs=0.01)
    assert (entry.dataset_id, entry.task_id) == ("org/bench", "so101")
    assert isinstance(entry.date, str)
    assert f"{arm.successes}/{arm.n}" in entry.notes


def test_the_download_is_verified(done, capsys):
    """Certificates are confirmed by the published copy, and its report has the same counts."""
    run = done.dataset / "run"
    assert main(["verify", str(run / "certificate.json"), str(run)]) == 0
    capsys.readouterr()
    assert main(["report", str(run), "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert ours["arms"] == summarise([RUN]).to_json()["arms"]


def test_nothing_names_the_machine_or_the_user(copy, tmp_path):
    """A machine's name in records and reports, and the home folder in a traceback, are replaced."""
    home, first = str(Path.home()), []

    def plant(record):
        first.append(record)
        lost = {"outcome": "error", "reason": "env_error", "attempt": 1}
        error = {"type": "OSError", "message": "lost", "traceback": f"File {home}/x.py, line 1"}
        timing = {**record["timing"], "machine": "secret-host"}
        timing.pop("host", None)
        return record | {"timing": timing} | (lost | {"error": error} if len(first) == 1 else {})

    rewrite(copy, plant)
    done = publish(copy, tmp_path / "out")
    files = [file for file in done.dataset.rglob("*.*") if file.suffix != ".parquet"]
    texts = {file: file.read_text() for file in files}
    assert [file for file, text in texts.items() if "secret-host" in text or home in text] == []
    records = "".join(text for file, text in texts.items() if file.suffix == ".jsonl")
    assert '"machine":"machine-1"' in records
    assert "File ~/x.py, line 1" in records


@pytest.mark.long
@pytest.mark.parametrize("name", ["parity-in-looks", "recipe", "resized"])
def test_every_kind_of_run_is_verified_from_its_copy(name, tmp_path):
    """A run that stopped early, one of recipes and one that set its size are as complete as the original."""
    done = publish(ROOT / "docs" / "certificates" / name, tmp_path / "out")
    run = done.dataset / "run"
    assert main(["verify", str(run / "certificate.json"), str(run)]) == 0


def test_stored_actions_are_published(copy, tmp_path):
    """They hold no names, and are copied as they are."""
    (copy / "actions").mkdir()
    (copy / "actions" / "a.jsonl").write_bytes(b"{}\n")
    done = publish(copy, tmp_path / "out")
    assert (done.dataset / "run" / "actions" / "a.jsonl").read_bytes() == b"{}\n"


def test_videos_are_published_on_request(copy, tmp_path):
    """Whole films and grids go along, half-written files do not; the card names the grids."""
    with pytest.raises(RunFolderError, match=r"vlaeval view .* --render discordant"):
        publish(copy, tmp_path / "none", videos=True)
    assert not (tmp_path / "none").exists()
    media = copy / "media"
    media.mkdir()
    film = Film(fps=30, frames=2, height=8, cameras=(), scores=(0, 1), subgoals={})
    (media / "a.json").write_text(film.model_dump_json())
    for name in ("a.mp4", "a.webp", "b.mp4", ".c.unfinished.mp4", "new-failures-impaired.mp4"):
        (media / name).write_bytes(name.encode())
    assert not (publish(copy, tmp_path / "without").dataset / "run" / "media").exists()
    done = publish(copy, tmp_path / "out", videos=True)
    published = done.dataset / "run" / "media"
    assert {file.name for file in published.iterdir()} == {
        "a.json", "a.mp4", "a.webp", "new-failures-impaired.mp4",
    }  # fmt: skip
    assert "(run/media/new-failures-impaired.mp4)" in (done.dataset / "README.md").read_text()


@pytest.mark.long
def test_datasets_opens_both_tables(done, tmp_path, monkeypatch):
    """`load_dataset` reads the folder offline by the names of the card's configurations."""
    datasets = pytest.importorskip("datasets", reason="is not installed")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    episodes, pairs = (
        datasets.load_dataset(str(done.dataset), name, cache_dir=str(tmp_path))["test"]
        for name in ("episodes", "pairs")
    )
    arm = summarise([RUN]).arms["impaired"]
    outcomes = [row["outcome"] for row in episodes if row["arm"] == "impaired"]
    assert (len(outcomes), outcomes.count("success")) == (arm.n, arm.successes)
    assert pairs["outcome_impaired"].count("success") == arm.successes
    assert all(pairs["same_scene"])
    assert json.loads(episodes[0]["subgoals"])


def test_equal_runs_give_equal_bytes(done, tmp_path):
    """Publishing again writes the same files, but for the names given."""
    again = publish(RUN, tmp_path / "out", repo="me/refuted", models={"impaired": "me/student"})
    files = [file.relative_to(done.dataset) for file in done.dataset.rglob("*") if file.is_file()]
    assert len(files) > 8
    for file in files:
        assert (again.dataset / file).read_bytes() == (done.dataset / file).read_bytes(), file


def test_stand_ins_are_not_published(copy, tmp_path):
    """Episodes on stand-in assets are no results of the benchmark."""
    rewrite(copy, lambda record: record | {"provenance": {"standins": True}})
    with pytest.raises(RunFolderError, match="stand-in assets"):
        publish(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_half_a_run_is_not_published(copy, tmp_path):
    """Planned episodes without an attempt are named, and the run can be completed."""
    rewrite(copy, lambda record: None if record["init_state"] % 2 else record)
    with pytest.raises(RunFolderError, match=r"no attempt of .* planned episodes"):
        publish(copy, tmp_path / "out")


def test_missing_episodes_show_both_extremes(copy, tmp_path):
    """A rate over lost episodes stands beside the rates that they would allow."""

    def lose(record):
        first = record["init_state"] == min_state and record["arm"] == "expert"
        return record | {"outcome": "error", "reason": "worker_died"} if first else record

    line = next((copy / "episodes").glob("*.jsonl")).read_text().splitlines()[0]
    min_state = json.loads(line)["record"]["init_state"]
    rewrite(copy, lose)
    done = publish(copy, tmp_path / "out")
    (rate,) = [each for each in hub.ModelCard.load(done.cards["expert"]).data.eval_results
               if each.metric_type == "success_rate"]  # fmt: skip
    args = rate.metric_args
    assert args["missing"] == 1
    assert args["rate_if_missing_failed"] < rate.metric_value <= args["rate_if_missing_succeeded"]


def test_a_forged_certificate_is_not_published(tmp_path):
    """A certificate that the records do not confirm stops everything, and nothing is left behind."""
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    text = (run / "certificate.json").read_text()
    (run / "certificate.json").write_text(
        text.replace('"verdict": "inferior"', '"verdict": "worse"')
    )
    with pytest.raises(RunFolderError, match="is not confirmed by the run's records"):
        publish(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_path_of_this_machine_needs_consent(copy, tmp_path):
    """A policy that is named by a path would publish it; the flag says that it may."""
    file = copy / "run.json"
    header = json.loads(file.read_text())
    from vla_eval.runs.header import identity_sha256

    arm = header["arms"][0]
    old = identity_sha256(arm["identity"])
    arm["spec"] = arm["identity"]["spec"] = "flow:/data/secret/student.safetensors"
    new = identity_sha256(arm["identity"])
    file.write_text(json.dumps(header))
    rewrite(
        copy, lambda each: each | {"policy_sha256": new} if each["policy_sha256"] == old else each
    )
    with pytest.raises(UsageError, match="--show-paths"):
        publish(copy, tmp_path / "out")
    assert publish(copy, tmp_path / "out", show_paths=True).dataset.is_dir()


def test_an_existing_folder_is_kept(tmp_path):
    """Nothing is written into a folder that holds something."""
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already"):
        publish(RUN, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--benchmark", "org/bench"], "go together"),
        (["--model", "impaired"], "expected ARM=USER/POLICY"),
        (["--model", "other=me/x"], "has no such arm"),
    ],
)
def test_wrong_flags_get_one_sentence(flags, words, tmp_path, capsys):
    """Exit code 4, and the sentence says what was expected."""
    assert main(["publish", str(RUN), "--out", str(tmp_path / "out"), *flags]) == 4
    assert words in capsys.readouterr().err


def test_the_upload_command_is_printed(done, capsys, monkeypatch, tmp_path):
    """The last line uploads the dataset's folder to the repository that was named."""
    monkeypatch.setattr("vla_eval.publish.publish", lambda *_, **__: done)
    assert main(["publish", str(RUN), "--out", str(tmp_path), "--repo", "me/x"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line == f"upload: hf upload me/x {done.dataset} . --repo-type dataset"
