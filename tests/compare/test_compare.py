"""`vlaeval compare`: pairing, adjustment, letters, Pareto front; what is refused; its pages."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fakes.pages import check
from vla_eval import stats
from vla_eval.cli import main
from vla_eval.compare import Contest, Entry, Ranking, compare
from vla_eval.compare.gather import _group
from vla_eval.compare.pages import html_page, markdown_page
from vla_eval.compare.shown import what_it_could_show
from vla_eval.compare.text import comparison_text
from vla_eval.errors import UsageError
from vla_eval.judging.ledger import ArmEpisodes
from vla_eval.plan import expand
from vla_eval.protocol import Protocol, parse_protocol
from vla_eval.record import EpisodeRecord, Timing
from vla_eval.runs.folder import Arm, RunHeader, identity_sha256
from vla_eval.runs.store import RecordWriter

EVIL = "<b>&\"'|`*_x_"


def protocol_of(tasks: int, count: int, *, repeats: int = 1, strata: str = "none") -> Protocol:
    analysis = {"estimand": "x", "margin": 0.05, "margin_reason": "x", "strata": strata}
    if repeats > 1:
        analysis["cluster"] = "initial-state"
    data = {
        "schema_version": 1,
        "protocol": "synthetic",
        "version": 1,
        "title": EVIL,
        "source": "tests",
        "blocks": [
            {
                "suite": "suite",
                "env_id": "fakes:fakes/{task}-v0",
                "tasks": [f"task {i}" for i in range(tasks)],
                "init_states": {"count": count},
                "max_steps": 10,
            }
        ],
        "run": {"policy_seeds": list(range(repeats))},
        "analysis": analysis,
    }
    return parse_protocol(data, "here")


def field_of(
    protocol: Protocol, rates: dict[str, float], *, scene: str = "s", drop: int = 0, seed: int = 0
) -> Contest:
    """Draw outcomes with a difficulty common to all policies, so that they are correlated."""
    keys = tuple(episode.key for episode in expand(protocol))
    states = {(key.task, key.init_state): None for key in keys}
    generator = np.random.default_rng(seed)
    luck = dict(zip(states, generator.random(len(states)), strict=True))
    entries = []
    for index, (name, rate) in enumerate(rates.items()):
        own = generator.random(len(keys))
        finals = {}
        for position, key in enumerate(keys[drop * (index == 0) :]):
            mixed = 0.7 * luck[key.task, key.init_state] + 0.3 * own[position]
            finals[key] = record_of(protocol, name, key, won=mixed < rate, scene=scene, ms=index)
        arm = Arm(name=name, spec=f"spec:{name}", identity={"name": name})
        pending = tuple(key for key in keys if key not in finals)
        episodes = ArmEpisodes(name, finals, pending=pending)
        entries.append(Entry(name, arm, (f"runs/{name}",), episodes))
    return Contest(protocol, keys, tuple(entries))


def record_of(protocol, arm, key, *, won: bool, scene: str, ms: int) -> EpisodeRecord:
    return EpisodeRecord(
        arm=arm,
        suite=key.suite,
        task=key.task,
        init_state=key.init_state,
        env_seed=key.env_seed,
        policy_seed=key.policy_seed,
        env_id="x",
        outcome="success" if won else "failure",
        reason=None if won else "time_limit",
        score=float(won),
        inferences=3,
        nfe=3 * (1 + ms),
        scene_hash=scene if scene != "own" else arm,
        protocol_sha256=protocol.sha256,
        policy_sha256="0" * 64,
        timing=Timing(
            started_at="2026-01-01T00:00:00+00:00", infer_ms=(99.0, 20.0 + 30 * ms, 20.0 + 30 * ms)
        ),
    )


FIVE = {EVIL: 0.42, "teacher": 0.75, "student": 0.74, "fast": 0.6, "slow and bad": 0.3}


@pytest.fixture(scope="module")
def five() -> Ranking:
    return compare(field_of(protocol_of(4, 25), FIVE))


@pytest.mark.long
def test_pairs_are_those_of_the_statistics(five):
    """Every number equals what the functions give for the same counts; Holm over all ten pairs."""
    assert len(five.pairs) == 10
    for pair in five.pairs:
        table = pair.table
        assert pair.difference == table.difference >= 0
        assert pair.ci95 == stats.tango_interval(table.n10, table.n01, table.n)
        assert pair.simultaneous95 == stats.tango_interval(
            table.n10, table.n01, table.n, alpha=0.005
        )
        assert pair.p == stats.mcnemar_p(table)
        assert not pair.unpaired_because
    p_values = [pair.p for pair in five.pairs]
    assert [pair.p_holm for pair in five.pairs] == stats.holm(p_values)
    assert [pair.q_bh for pair in five.pairs] == stats.benjamini_hochberg(p_values)
    assert five.cochran[1] < 1e-6


def test_letters_say_which_pairs_differ(five):
    """Two policies share a letter exactly when Holm leaves them undecided; the best has an a."""
    letters = {arm.name: set(arm.letters) for arm in five.arms}
    for one, other in combinations(letters, 2):
        assert bool(letters[one] & letters[other]) is not five.pair(one, other).differ
    assert [arm.rate for arm in five.arms] == sorted((arm.rate for arm in five.arms), reverse=True)
    assert "a" in letters[five.arms[0].name]
    assert letters["slow and bad"].isdisjoint(letters["teacher"])


def test_pareto_front(five):
    """The fastest and the most successful are on it; what is slower and worse is not."""
    pareto = {arm.name: arm.pareto for arm in five.arms}
    assert pareto[EVIL], "it is the fastest"
    assert pareto[five.arms[0].name], "it is the most successful"
    assert not pareto["slow and bad"]
    assert [arm.infer_ms for arm in five.arms if arm.name == EVIL] == [20.0]


def test_equal_policies_share_a_letter():
    """Copies of one policy differ nowhere, and their p-values are 1."""
    field = field_of(protocol_of(1, 40), {"a": 0.6, "b": 0.6})
    twin = field.entries[0]
    pair = compare(
        Contest(field.protocol, field.keys, (twin, Entry("c", twin.arm, (), twin.episodes)))
    ).pairs[0]
    assert (pair.p, pair.p_holm, pair.differ) == (1.0, 1.0, False)


@pytest.mark.long
def test_other_scenes_are_not_paired():
    """Scenes that differ, or that nobody knows, make the comparison unpaired, wider, and say so."""
    protocol, rates = protocol_of(2, 50), {"a": 0.7, "b": 0.5}
    paired = compare(field_of(protocol, rates)).pairs[0]
    for scene, reason in (("own", "scenes of 100 of 100"), ("", "have no scene_hash")):
        found = compare(field_of(protocol, rates, scene=scene))
        (pair,) = found.pairs
        assert pair.table is None
        assert reason in pair.unpaired_because
        assert pair.ci95[1] - pair.ci95[0] > paired.ci95[1] - paired.ci95[0]
        assert any("Not paired" in each for each in found.warnings)
        assert found.cochran is None
        x = [arm.successes for arm in found.arms]
        assert pair.ci95 == stats.miettinen_nurminen_interval(x[0], 100, x[1], 100)
        touching = stats.miettinen_nurminen_interval(x[0], 100, x[1], 100, alpha=pair.p)
        assert touching[0] == pytest.approx(0, abs=1e-6), "p is the level at which zero is left out"


def test_episodes_on_stand_in_assets_are_counted():
    """They are no result to publish; the warning says how many of all arms they are."""
    field = field_of(protocol_of(1, 10), {"a": 0.7, "b": 0.5})
    first, second = field.entries
    for key, record in list(first.episodes.finals.items())[:3]:
        provenance = {**record.provenance, "standins": True}
        first.episodes.finals[key] = record.model_copy(update={"provenance": provenance})
    found = compare(Contest(field.protocol, field.keys, (first, second)))
    assert "3 episodes ran on STAND-IN ASSETS: not for publishing." in found.warnings


@pytest.mark.long
def test_repeats_of_a_state_are_clusters():
    """Four policy seeds of 60 states are no 240 pairs: intervals are wider than those of pairs."""
    found = compare(field_of(protocol_of(1, 60, repeats=4), {"a": 0.7, "b": 0.55}))
    (pair,) = found.pairs
    pooled = stats.tango_interval(pair.table.n10, pair.table.n01, pair.table.n)
    assert pair.method == "by state"
    assert pair.ci95[1] - pair.ci95[0] > pooled[1] - pooled[0]
    assert all(arm.vif > 1.5 for arm in found.arms)
    assert found.arms[0].wilson95[0] < stats.wilson_interval(found.arms[0].successes, 240)[0]
    assert found.cochran is None
    apart = compare(field_of(protocol_of(1, 60, repeats=4), {"a": 0.7, "b": 0.55}, scene="own"))
    assert apart.pairs[0].method == "Miettinen-Nurminen, effective counts"
    assert pair.p < apart.pairs[0].p


def test_tasks_of_different_size_weigh_the_same():
    """An incomplete run is stratified by task, and what is missing is said first."""
    weighed = protocol_of(3, 20, strata="task")
    field = field_of(weighed, {"a": 0.7, "b": 0.5}, drop=12)
    found = compare(field)
    (pair,) = found.pairs
    assert pair.method == "stratified"
    assert pair.table.n == 48
    assert "a: of 60 planned episodes 12 were not run" in found.warnings[0]
    apart = compare(field_of(protocol_of(3, 20), {"a": 0.7, "b": 0.5}, drop=12, scene="own"))
    assert apart.pairs[0].method == "Miettinen-Nurminen by task"


@pytest.mark.long
def test_pages(five):
    """One file, offline, escaped, stable; Markdown tables keep their columns; 80 columns."""
    page = html_page(five, command="vlaeval compare x")
    check(page)
    assert page == html_page(five, command="vlaeval compare x")
    assert "<b>&" not in page
    assert "POST-HOC" in page
    assert page.count('class="cell"') == 4 * 5
    assert "Success against latency" in page
    assert "one inference, median (ms, logarithmic)" in page
    text = markdown_page(five)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len(tables) == 2 + 5 + 2 + 10 + 2 + 4
    cells = [line.replace("\\|", "").count("|") - 1 for line in tables]
    assert cells == [7] * (2 + 5) + [6] * (2 + 10) + [1 + 5] * (2 + 4)
    assert "<b>" not in text
    shown = comparison_text(five)
    assert max(map(len, shown.splitlines())) <= 80
    assert "POST-HOC" in shown
    assert "* no other policy is both as successful and as fast" in shown
    assert sum(line.split(" ")[1:2] == ["*"] for line in shown.splitlines()) > 0
    json.dumps(five.to_json(), allow_nan=False)


def write_run(path: Path, protocol: Protocol, rates: dict[str, float], *, options: str) -> None:
    """Write a run folder as the engine does, without its processes."""
    field = field_of(protocol, rates)
    arms = tuple(
        Arm(name=each.name, spec=each.arm.spec, identity={"name": each.name, "options": options})
        for each in field.entries
    )
    run = RunHeader(
        status="complete",
        protocol_sha256=protocol.sha256,
        protocol=protocol,
        arms=arms,
        created_at="2026-01-01T00:00:00+00:00",
    )
    (path / "episodes").mkdir(parents=True)
    (path / "run.json").write_text(run.model_dump_json())
    with RecordWriter(path / "episodes/one.jsonl") as writer:
        for entry, arm in zip(field.entries, arms, strict=True):
            policy = {"policy_sha256": identity_sha256(arm.identity)}
            for record in entry.records:
                writer.append(record.model_copy(update=policy))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of one protocol, with an arm of the same name that is another policy; one of another."""
    folder = tmp_path_factory.mktemp("compare")
    protocol = protocol_of(1, 30)
    write_run(folder / "one", protocol, {"new": 0.9}, options="good")
    write_run(folder / "old", protocol, {"old": 0.4}, options="bad")
    write_run(folder / "two", protocol, {"new": 0.5, "old": 0.4}, options="bad")
    write_run(folder / "other", protocol_of(1, 29), {"new": 0.9}, options="good")
    return folder


@pytest.mark.long
def test_the_command(runs, capsys):
    """Same names are told apart by folder, the same policy twice is one; pages are written."""
    html, text = runs / "c.html", runs / "c.md"
    arguments = ["compare", *(str(runs / each) for each in ("one", "old", "two"))]
    assert main([*arguments, "--json", "--html", str(html), "--markdown", str(text)]) == 0
    value = json.loads(capsys.readouterr().out)
    assert {arm["name"] for arm in value["arms"]} == {"one/new", "two/new", "old"}
    assert value["post_hoc"] is True
    assert all(pair["paired"] for pair in value["pairs"])
    assert value["arms"][0]["name"] == "one/new"
    check(html.read_text())
    assert "POST-HOC" in text.read_text()
    assert main([*arguments, "--arm", "old", "--arm", "one/new"]) == 0
    shown = capsys.readouterr().out
    assert "two/new" not in shown
    assert "differ" in shown


def test_a_policy_is_the_same_by_its_identity_whatever_its_spec():
    """An arm that was never identified joins by its spec, and takes no other policy along."""
    paths = [Path(name) for name in "abc"]
    specs = ({"identity": {"name": "x"}, "spec": "s"}, {"identity": None, "spec": "s"})
    arms = [*specs, {"identity": {"name": "x"}, "spec": "copied elsewhere"}]
    folders = [
        SimpleNamespace(path=path, header=SimpleNamespace(arms=[Arm(name="new", **arm)]))
        for path, arm in zip(paths, arms, strict=True)
    ]
    (group,) = _group(folders, {}).values()
    assert [folder.path for folder, _ in group] == paths


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one", "other"], "policies can be compared on one protocol only"),
        (["other"], "1 arm, and it takes two to compare"),
        (["nowhere"], "is no run folder"),
        (["two", "--arm", "nwe"], "did you mean 'new'?"),
        (["two", "--alpha", "0.7"], "expected a level between 0 and 0.5"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(runs, capsys, arguments, message):
    """Exit code 4, and what to do."""
    words = [
        str(runs / each) if each in ("one", "two", "other", "nowhere") else each
        for each in arguments
    ]
    assert main(["compare", *words]) == 4
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.long
def test_what_a_run_could_have_shown(runs, capsys):
    """The power of its size at parity, from rate, agreement and clusters; not from its result."""
    field = field_of(protocol_of(1, 60), {"student": 0.8, "teacher": 0.82})
    shown = what_it_could_show(field, "student", "teacher", margin=0.1)
    found = compare(field)
    rate = next(arm.rate for arm in found.arms if arm.name == "teacher")
    case = stats.PairedCase(rate, 0.0, found.pairs[0].table.correlation)
    assert shown.pairs == shown.effective_pairs == 60
    assert shown.power == stats.power_paired(60, case, margin=0.1, guard=True)
    smaller = stats.power_paired(60, case, margin=shown.smallest_margin - 0.001, guard=True)
    assert smaller < 0.8 <= stats.power_paired(60, case, margin=shown.smallest_margin, guard=True)
    assert stats.power_paired(shown.pairs_needed, case, margin=0.1, guard=True) >= 0.8
    repeats = field_of(protocol_of(1, 20, repeats=3), {"student": 0.5, "teacher": 0.8})
    clustered = what_it_could_show(repeats, "student", "teacher", margin=0.2)
    assert clustered.vif > 1.2, "the same states are lost again and again"
    assert clustered.effective_pairs == int(60 / clustered.vif)
    apart = field_of(protocol_of(1, 5), {"student": 0.8, "teacher": 0.82}, scene="own")
    with pytest.raises(UsageError, match="are not paired"):
        what_it_could_show(apart, "student", "teacher")
    assert json.loads(json.dumps(shown.to_json()))["candidate"] == "student"
    assert main(["power", "--run", str(runs / "two"), "--margin", "0.3"]) == 0
    text = capsys.readouterr().out
    assert "A candidate at parity had a chance of" in text
    assert max(map(len, text.splitlines())) <= 80
    assert main(["power", "--run", str(runs / "two"), "--candidate", "nwe"]) == 4
    assert "did you mean 'new'?" in capsys.readouterr().err
    assert main(["power", "--candidate", "new"]) == 4
