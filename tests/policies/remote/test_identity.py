"""Who is behind a server: said by the server, declared by its user, or unknown, and everybody is told."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fakes.servers import misbehaving, serving
from vla_eval.certificate.evidence import Roles, gather
from vla_eval.certificate.issue import issue, issue_from
from vla_eval.cli import main
from vla_eval.errors import PolicySpecError
from vla_eval.identity import weights_are_hashed
from vla_eval.runs.store import read_records
from vla_eval.spec import build_policy
from vla_eval.stats import Flag

PLAIN = "layout=native&n_action_steps=4"
ROLES = Roles("a", "b")


@pytest.fixture(scope="module")
def plain():
    with misbehaving("plain") as url:
        yield url


@pytest.fixture
def run(tmp_path, protocol_file, capsys):
    """Runs two arms; returns what was printed."""

    def go(*specs: str) -> str:
        arms = [f"--arm={name}={spec}" for name, spec in zip("ab", specs, strict=True)]
        protocol = str(protocol_file(count=4))
        code = main(["run", protocol, *arms, "--out", str(tmp_path / "run"), "--workers", "1"])
        assert code == 0
        return capsys.readouterr().out

    return go


def test_an_unknown_policy_is_reported_and_not_certified(plain, run, tmp_path, capsys):
    """Records, summary and report say that nobody knows who it is; there is no certificate."""
    said = run(f"openpi:{plain}?{PLAIN}", "fakes.policies:InHost")
    assert "! a: WHO THIS POLICY IS, IS UNKNOWN" in said
    records = read_records([tmp_path / "run/episodes"]).attempts
    assert {(each.arm, each.policy_known) for each in records} == {("a", False), ("b", True)}
    assert json.loads((tmp_path / "run/results.json").read_text())["unknown_policies"] == ["a"]
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "WHO THIS POLICY IS, IS UNKNOWN" in capsys.readouterr().out
    certify = ["certify", str(tmp_path / "run"), "--candidate", "a", "--reference", "b"]
    assert main(certify) == 4
    assert "does not say which policy it serves" in capsys.readouterr().err
    check = ["check", str(tmp_path / "run"), "--write-baseline", str(tmp_path / "b.json")]
    for arms in (["--arm", "a"], ["--arm", "b", f"--baseline={tmp_path}/run", "--baseline-arm=a"]):
        assert main([*check, *arms]) == 4
        said = capsys.readouterr().err
        assert "arm 'a': its server does not say which policy it serves" in said
        assert "&identity=NAME-AND-VERSION" in said


def test_a_declared_policy_is_certified_under_its_flag(plain, run, tmp_path):
    """Its user says who it is; the certificate says that its user said so, and what was batched."""
    spec = f"openpi:{plain}?{PLAIN}&identity=walker-v3"
    assert "UNKNOWN" not in run(spec, "fakes.policies:InHost")
    certificate = issue(tmp_path / "run", ROLES)
    assert Flag.DECLARED_POLICY in certificate.flags
    assert Flag.BATCHED not in certificate.flags
    (arm,) = (each for each in certificate.arms if each.name == "a")
    assert arm.identity["options"]["server_identity"] == "declared: walker-v3"
    evidence = gather(tmp_path / "run", ROLES)
    key, record = next(iter(evidence.finals["a"].items()))
    timing = record.timing.model_copy(update={"max_batch": 2})
    evidence.finals["a"][key] = record.model_copy(update={"timing": timing})
    assert Flag.BATCHED in issue_from(evidence).flags


def test_a_declared_policy_passes_the_gate_and_its_report_says_so(plain, run, tmp_path, capsys):
    """The baseline file keeps what was declared, and whoever is judged by it reads that."""
    run(f"openpi:{plain}?{PLAIN}&identity=walker-v3", "fakes.policies:InHost")
    file, page = tmp_path / "b.json", tmp_path / "page.md"
    assert main(["check", str(tmp_path / "run"), "--write-baseline", str(file)]) == 0
    capsys.readouterr()
    judged = ["check", str(tmp_path / "run"), "--arm", "b", "--baseline", str(file)]
    assert main([*judged, "--margin", "0.9", "--markdown", str(page)]) == 0
    note = "a: its server does not say which policy it serves; declared: walker-v3"
    assert f"! {note}" in capsys.readouterr().out
    assert note in page.read_text()


def test_a_server_of_ours_says_who_it_serves(run, tmp_path):
    """Nothing is declared, nothing may be; that its inferences were batched is said."""
    spec = "fakes.policies:InHost?infer_s=0.05"
    with serving(spec, "--max-batch", "4", "--batch-wait-ms", "300") as said:
        with pytest.raises(PolicySpecError, match="leave the option identity out"):
            build_policy(f"openpi:{said['url']}?identity=me")
        policy = build_policy(f"openpi:{said['url']}")
        assert policy.metadata.is_known
        assert policy.metadata.options["server_max_batch"] == 4


@pytest.mark.parametrize("dialect", ["openpi", "harness"])
def test_weights_and_training_are_what_the_server_says(dialect):
    """A served checkpoint's hash and scenes are its own; a plain server's policy has neither."""
    pytest.importorskip("torch", reason="needs the extra 'flow'")
    local = build_policy("flow:so101/fm").metadata
    with serving("flow:so101/fm", "--dialect", dialect) as said:
        served = build_policy(f"{dialect}:{said['url']}").metadata
    assert served.trained_on == local.trained_on
    assert len(served.trained_on) == 200
    assert served.weights_sha256 == local.weights_sha256
    assert weights_are_hashed(asdict(served))


def test_a_server_that_says_nothing_is_unknown_and_unhashed(plain):
    """A declaration of who it is says neither."""
    declared = build_policy(f"openpi:{plain}?{PLAIN}&identity=walker-v3").metadata
    assert declared.trained_on is None
    assert not weights_are_hashed(asdict(declared))


@pytest.mark.parametrize(("server", "known"), [("ours", True), ("theirs", False)])
def test_harness_servers(server, known):
    """Theirs say a class's name and nothing of weights; ours say it all in their capabilities."""
    if server == "ours":
        with serving("random?chunk_size=3", "--dialect", "harness") as said:
            policy = build_policy(f"harness:{said['url']}")
    else:
        with misbehaving(script="bad_harness.py") as url:
            policy = build_policy(f"harness:{url}/nan")
            declared = build_policy(f"harness:{url}/nan?identity=mine")
            assert declared.metadata.options["server_identity"] == "declared: mine"
    assert policy.metadata.is_known is known
    assert policy.metadata.trained_on == (() if known else None)
    assert ("server_identity" in policy.metadata.options) is not known
