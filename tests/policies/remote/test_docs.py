"""The page docs/bring-your-policy.md: its policy runs."""

from __future__ import annotations

import re
from pathlib import Path

from fakes.env import PointEnv
from vla_eval.episode import PhaseClock, run_episode
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode
from vla_eval.spec import build_policy

_PAGE = Path(__file__).parents[3] / "docs/bring-your-policy.md"


def test_the_page_s_policy_runs(tmp_path, monkeypatch):
    """As it is printed there."""
    code = re.search(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "my_policy.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    planned = PlannedEpisode(EpisodeKey("fake", "Point", 0, 0, 0), "", {}, 40)
    policy = build_policy("my_policy:Factory?speed=0.8")
    result = run_episode(PointEnv(), policy, planned, n_action_steps=4, clock=PhaseClock())
    assert (result.outcome, result.nfe) == ("success", result.inferences)
