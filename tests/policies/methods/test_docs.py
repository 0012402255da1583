"""The pages on methods and on one step say what the code and the committed results say."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from vla_eval.certificate import verify
from vla_eval.certificate.verify import read_certificate
from vla_eval.runs.folder import RunFolder
from vla_eval.spec import PolicySpec
from vla_eval.sweep import load_grid
from vla_eval_policies.flow.policy import FlowOptions
from vla_eval_policies.flow.shipped import checkpoint_path
from vla_eval_policies.methods import METHODS
from vla_eval_policies.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[3]
PAGE = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("methods.md", "one-step.md"))


def section(name: str) -> str:
    (text,) = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE, flags=re.DOTALL)
    return text


def assert_shipped(arm: dict) -> None:
    """An arm's weights are those of the shipped checkpoint that its spec names."""
    shipped = checkpoint_path(str(PolicySpec.parse(arm["spec"]).target)).read_bytes()
    assert hashlib.sha256(shipped).hexdigest() == arm["weights_sha256"]


@pytest.mark.parametrize("name", ["methods", "hyperparameters", "presets"])
def test_tables_of_methods_are_the_codes(name: str):
    """Methods, hyperparameters and presets are listed as `tools/doc_tables.py` writes them."""
    sys.path.insert(0, str(ROOT / "tools"))
    import doc_tables

    assert section(name) == getattr(doc_tables, name)()


@pytest.mark.parametrize(
    "name",
    [
        "toy_bimodal",
        "toy_navigation",
        "toy_navigation_scaling",
        "one_step",
        "two_grasps",
        "one_step_long",
        "libero_one_step",
        "stacking",
        "horizon",
        "whole_chunk",
        "training_seeds",
        "nfe",
        "nfe_more",
        "keystone",
        "flow_latency",
        "offline_metrics",
        "variants_meanflow",
        "variants_meanflow_chunk",
        "variants_drift",
    ],
)
def test_tables_are_the_committed_results(name: str):
    """A table on the page is the benchmark's own file."""
    result = ROOT / "benchmarks" / "results" / f"{name}.md"
    assert section(name).strip() == result.read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(
    "name", ["one_step", "two_grasps", "one_step_long", "whole_chunk", "libero_one_step"]
)
def test_one_step_table_follows_from_the_counts(name: str):
    """The table is what the committed counts give, and each arm's weights are the shipped ones."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from one_step import table

    results = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert table(results) == (ROOT / "benchmarks" / "results" / f"{name}.md").read_text()
    for arm in results["arms"].values():
        spec = PolicySpec.parse(arm["spec"])
        if spec.kind == "flow":
            shipped = checkpoint_path(str(spec.target)).read_bytes()
            assert hashlib.sha256(shipped).hexdigest() == arm["weights_sha256"]
    counts = {
        tuple(
            sum(task[cell] for cell in ("n11", "n10", "n01", "n00"))
            for task in arm["tasks"].values()
        )
        for arm in results["arms"].values()
    }
    assert len(counts) == 1, "every arm ran the same episodes"


def test_grid_follows_from_the_outcomes():
    """The table over NFE is what the committed outcomes give, and the weights are the shipped ones."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from policy_grid import table

    results = json.loads((ROOT / "benchmarks" / "results" / "nfe.json").read_text())
    assert table(results) == (ROOT / "benchmarks" / "results" / "nfe.md").read_text()
    for arm in results["arms"].values():
        assert_shipped(arm)
    before = json.loads((ROOT / "benchmarks" / "results" / "one_step.json").read_text())["arms"]
    again = {"fm-10": "fm, nfe=10", "fm-2": "fm, nfe=2", "fm-1": "fm, nfe=1"}
    again |= {"meanflow": "meanflow, nfe=1"} | {n: n for n in ("snapflow", "drift", "mse")}
    for old, new in again.items():  # repeat 0 is the same episodes
        for task, cell in before[old]["tasks"].items():
            first = results["arms"][new]["tasks"][task]["successes"][0]
            assert first.count("1") == cell["n11"] + cell["n10"]


def test_horizons_follow_from_the_outcomes():
    """The table is what the committed outcomes give, of the shipped weights."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from horizon import ARMS, table

    results = json.loads((ROOT / "benchmarks" / "results" / "horizon.json").read_text())
    assert table(results) == (ROOT / "benchmarks" / "results" / "horizon.md").read_text()
    assert list(results) == ["1", "3", "5", "10", "16"]
    for name in ("horizon", "horizon-short", "horizon-one"):  # the grids are what was run
        for each in load_grid(ROOT / "examples" / "sweeps" / f"{name}.toml"):
            told = results[str(each.values["horizon"])]["protocol"]["sha256"]
            assert each.protocol.sha256 == told
    for cell in results.values():
        assert list(cell["arms"]) == list(ARMS)
        for arm in cell["arms"].values():
            assert_shipped(arm)


@pytest.mark.parametrize(
    ("name", "checkpoints"),
    [
        ("stacking", {"fm-stacking"}),
        ("nfe_more", {"fm", "meanflow", "ddim", "shortcut"}),
    ],
)
def test_other_grids_follow_from_the_outcomes(name: str, checkpoints: set[str]):
    """The table is what the committed outcomes give, of the shipped weights."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from policy_grid import table

    results = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert table(results) == (ROOT / "benchmarks" / "results" / f"{name}.md").read_text()
    files = [checkpoint_path(f"so101/{each}").read_bytes() for each in checkpoints]
    shipped = {hashlib.sha256(each).hexdigest() for each in files}
    assert {arm["weights_sha256"] for arm in results["arms"].values()} == shipped


@pytest.mark.parametrize("study", ["meanflow", "meanflow_chunk", "drift"])
def test_variants_follow_from_the_outcomes(study: str):
    """The table is what the outcomes give; the first row is the shipped checkpoint, as it did before."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from policy_grid import table
    from variants import STUDIES

    folder = ROOT / "benchmarks" / "results"
    results = json.loads((folder / f"variants_{study}.json").read_text())
    assert table(results) == (folder / f"variants_{study}.md").read_text()
    own, *others = results["arms"]
    assert own == results["reference"] == STUDIES[study].own
    assert {name.partition(",")[0] for name in others} == set(STUDIES[study].variants)
    before = json.loads((folder / "one_step.json").read_text())["arms"][STUDIES[study].method]
    for task, cell in results["arms"][own]["tasks"].items():
        earlier = before["tasks"][task]
        assert cell["successes"][0].count("1") == earlier["n11"] + earlier["n10"]


def test_keystone_follows_from_the_outcomes():
    """The table is what the committed outcomes give, and one sample gives the earlier run's counts."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from policy_grid import table

    folder = ROOT / "benchmarks" / "results"
    results = json.loads((folder / "keystone.json").read_text())
    assert table(results) == (folder / "keystone.md").read_text()
    before = json.loads((folder / "one_step.json").read_text())["arms"]
    for name in ("fm-10", "drift"):
        for task, cell in results["arms"][f"{name}, K=1"]["tasks"].items():
            earlier = before[name]["tasks"][task]
            assert cell["successes"][0].count("1") == earlier["n11"] + earlier["n10"]


def test_offline_table_follows_from_the_metrics():
    """The table, correlations included, is what the committed metrics give; arms are the grid's."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from offline_metrics import table

    folder = ROOT / "benchmarks" / "results"
    results = json.loads((folder / "offline_metrics.json").read_text())
    assert table(results) == (folder / "offline_metrics.md").read_text()
    assert list(results["arms"]) == list(json.loads((folder / "nfe.json").read_text())["arms"])


def test_training_seeds_follow_from_the_counts():
    """The table is what the committed counts give, and the weights are the shipped ones."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from training_seeds import table

    folder = ROOT / "benchmarks" / "results"
    seeds = json.loads((folder / "training_seeds.json").read_text())
    assert table(seeds) == (folder / "training_seeds.md").read_text()
    for seed in seeds.values():
        for arm in seed["arms"].values():
            assert_shipped(arm)


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("so101-one-step", "one_step"),
        ("so101-two-grasps", "two_grasps"),
        ("so101-whole-chunk", "whole_chunk"),
        ("libero-one-step", "libero_one_step"),
    ],
)
def test_committed_certificate_is_verified(name: str, counted: str):
    """Certificate and counts follow from the committed records."""
    folder = ROOT / "benchmarks" / "results" / "one_step" / name
    certificate = read_certificate(folder / "certificate.json")
    assert verify(certificate, folder) == []
    counts = json.loads((ROOT / "benchmarks" / "results" / f"{counted}.json").read_text())
    assert certificate.protocol_sha256 == counts["protocol"]["sha256"]
    tasks = counts["arms"]["snapflow"]["tasks"].values()
    for cell in ("n11", "n10", "n01", "n00"):
        assert getattr(certificate.comparison, cell) == sum(task[cell] for task in tasks)


def test_failures_where_two_grasps_are_equal():
    """As the page says: of fm-1's 9 failures 6 are at such states, of fm-10's 4 none."""
    protocol = tomllib.loads((ROOT / "examples/sweeps/two-grasps.protocol.toml").read_text())
    torn = {(block["tasks"][0], i) for block in protocol["blocks"] for i in block["init_states"]}
    folder = ROOT / "benchmarks" / "results" / "one_step" / "so101-one-step"
    failed = {"fm-1": [], "fm-10": []}
    for (arm, key), record in RunFolder.open(folder).records().final.items():
        if arm in failed and record.outcome == "failure":
            failed[arm].append((key.task, key.init_state) in torn)
    assert {arm: (len(each), sum(each)) for arm, each in failed.items()} == {
        "fm-1": (9, 6),
        "fm-10": (4, 0),
    }


def test_every_method_and_option_is_named():
    """No method and no option of the spec is missing from the page."""
    for name in METHODS:
        assert f"`{name}`" in PAGE
    for name in FlowOptions.model_fields:
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "recipes").glob("*.toml")), ids=str)
def test_recipes_can_be_read(path: Path):
    """Every shipped recipe is valid."""
    assert load_recipe(path).make_method()


@pytest.mark.parametrize(
    "path",
    sorted(
        {*(ROOT / "examples" / "sweeps").glob("*.toml")}
        - {*(ROOT / "examples" / "sweeps").glob("*.protocol.toml")}
    ),
    ids=str,
)
def test_sweeps_can_be_read(path: Path):
    """Every shipped sweep is valid, and each cell of it."""
    assert load_grid(path)
