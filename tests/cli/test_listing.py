"""``vlaeval list`` shows what is installed, and says what of it cannot be loaded."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

from vla_eval import spec
from vla_eval.cli import main


def test_a_kind_of_policies_that_cannot_be_loaded_is_said_and_left_out(monkeypatch, capsys):
    """The others are listed all the same, and at last how one's own are named."""
    kinds = {
        "broken": EntryPoint("broken", "no_such_module:Factory", "vla_eval.policies"),
        "walker": EntryPoint("walker", "fakes.policies:InWorker", "vla_eval.policies"),
    }
    monkeypatch.setattr(spec, "policy_kinds", lambda: kinds)
    assert main(["list", "policies", "--json"]) == 0
    out, err = capsys.readouterr()
    listed = json.loads(out)
    assert [row["kind"] for row in listed] == ["walker", "package.module:Factory"]
    assert all(row["what"] for row in listed)
    assert err.startswith("left out: ")
    assert "broken" in err
