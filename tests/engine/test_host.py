"""One host for several arms of one checkpoint: equal records, and one process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import vla_eval
from vla_eval.engine import host
from vla_eval.engine.local import _sharing
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.store import read_records

HOST = "fakes.policies:InHost"
SHARED = "fakes.policies:Shared"


def test_arms_of_one_checkpoint_have_one_host():
    """Other arms, and other kinds with the same key, have their own."""
    arms = {"one": f"{SHARED}?skill=0.5", "other": HOST, "ten": SHARED, "more": f"{HOST}?skill=1"}
    assert _sharing(arms, list(arms)) == [("one", "ten"), ("other",), ("more",)]


@pytest.mark.long
def test_records_do_not_depend_on_sharing(tmp_path, protocol_file):
    """Both arms load in one process, keep their identities, and act as they would apart."""
    found = {}
    for name, kind in (("together", SHARED), ("apart", HOST)):
        (tmp_path / name).mkdir()
        diary = f"diary={tmp_path / name}"
        arms = {"one": f"{kind}?skill=0.5&{diary}", "ten": f"{kind}?skill=0.9&{diary}"}
        out = tmp_path / f"run-{name}"
        assert vla_eval.run(str(protocol_file()), arms, out, workers=2).complete
        final = read_records([out / "episodes"]).final
        found[name] = {
            slot: (each.outcome, each.actions_sha256, each.nfe) for slot, each in final.items()
        }
        identities = [arm.identity for arm in RunFolder.open(out).header.arms]
        assert [each["options"]["skill"] for each in identities] == [0.5, 0.9]
        hosts = {line.split()[0] for line in (tmp_path / name / "diary").read_text().splitlines()}
        assert len(hosts) == (1 if name == "together" else 2)
    assert found["together"] == found["apart"]


def test_whose_observations_a_host_infers_is_known_before_it_begins(monkeypatch):
    """If it hangs or dies in the inference these are charged; an idle host has told of them already."""
    told, said = [], []
    heartbeat = SimpleNamespace(
        enter=lambda phase, now_s: told.append(phase),
        set_members=told.append,
    )

    def serve(policies, identities, listener, authkey, batching, report):
        report("infer", 1.0, (1, 3))
        report("idle", 2.0, ())
        return {"a": SimpleNamespace(run=lambda: told.append("serving"))}, None

    monkeypatch.setattr(host, "become_child", lambda _: None)
    monkeypatch.setattr(host, "Listener", lambda address, family: None)
    monkeypatch.setattr(host, "serve_policies", serve)
    supervisor = SimpleNamespace(send=said.append)
    host.host_main(supervisor, 0, {"a": HOST}, "address", b"", (1, 0.0), heartbeat)
    assert told == ["setup", [1, 3], "infer", "idle", "idle", "serving"]
    (ready,) = said
    assert ready.identities["a"].name == "walker"
