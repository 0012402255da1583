"""What a worker of this machine left when it died."""

from __future__ import annotations

from fakes.by_hand import bare_record
from vla_eval.engine.local import _recorded
from vla_eval.engine.messages import WorkItem
from vla_eval.keys import PlannedEpisode
from vla_eval.runs.store import RecordWriter


def test_a_record_that_was_written_before_death_counts(tmp_path):
    """It is that of the arm, the episode and the attempt which the worker had; others are not."""
    file = tmp_path / "w.jsonl"

    def item(state: int, *, arm: str = "a", attempt: int = 1) -> WorkItem:
        episode = PlannedEpisode(bare_record(state).key, "m:n/t-v0", {}, 10)
        return WorkItem(arm, episode, attempt)

    assert _recorded(file, item(0)) is None, "it had not begun to write"
    written = [
        bare_record(0, outcome="error", reason="env_error"),
        bare_record(0, attempt=2, outcome="failure", reason="time_limit"),
        bare_record(1),
    ]
    with RecordWriter(file) as writer:
        writer.extend(written)
    assert _recorded(file, item(0)) == written[0]
    assert _recorded(file, item(0, attempt=2)) == written[1]
    assert _recorded(file, item(1)) == written[2]
    for other in (item(1, attempt=2), item(2), item(1, arm="b")):
        assert _recorded(file, other) is None
