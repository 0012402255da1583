"""The page docs/bring-your-policy.md: its policy runs, in process and served alike."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fakes.env import PointEnv
from fakes.servers import serving
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.spec import build_policy

_PAGE = Path(__file__).parents[2] / "docs/bring-your-policy.md"


def test_the_page_s_policy_runs(tmp_path, monkeypatch):
    """As it is printed there, with the same actions in process and behind a server."""
    code = re.search(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "my_policy.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    spec = "my_policy:Factory?speed=0.8"
    planned = PlannedEpisode(EpisodeKey("fake", "Point", 0, 0, 0), "", {}, 40)
    results = []
    with serving(spec) as said:
        for each in (spec, f"openpi:{said['url']}"):
            policy = build_policy(each)
            results.append(
                run_episode(PointEnv(), policy, planned, n_action_steps=4, clock=PhaseClock())
            )
    assert results[0].outcome == "success"
    assert results[0].actions_sha256 == results[1].actions_sha256
