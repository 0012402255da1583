"""What a dataset gets, whatever its format: a writer that keeps the frames stands in for LeRobot's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vla_eval.catalog import find_suite
from vla_eval.plan import expand
from vla_eval.recording import folder, from_run
from vla_eval.recording.folder import Demonstrations, RecordingRequest, record
from vla_eval.recording.from_run import Selection, record_run
from vla_eval.recording.plan import plan_recording
from vla_eval.released import load_protocol
from vla_eval.runs.folder import RunFolder
from vla_eval.runs.traces import Traces


class Kept:
    """A dataset writer."""

    def __init__(self) -> None:
        self.episodes, self.frames, self.closed = [], [], 0

    def __call__(self, out, layout, *, resume, images):
        (out / "meta").mkdir(parents=True, exist_ok=True)  # as LeRobot does
        self.layout, self.resume, self.images = layout, resume, images
        return self

    def add(self, frame):
        self.frames.append(frame)

    def end_episode(self, *, keep):
        self.episodes += [self.frames] if keep else []
        self.frames = []

    def close(self):
        self.closed += 1


@pytest.fixture
def writer(monkeypatch):
    kept = Kept()
    for module in (folder, from_run):
        monkeypatch.setattr(module, "load_tool", lambda _: kept)
    return kept


def test_the_episodes_of_a_run_are_played_into_a_dataset(finished, tmp_path, writer):
    """Every executed action of every chosen episode, scene by scene, and the file of its origin."""
    out, told = tmp_path / "out", []
    chosen = Selection(init_states=[0, 1, 2])
    content = record_run(
        finished,
        out,
        chosen,
        trust=True,
        on_episode=lambda each, total: told.append((each, total)),
    )
    assert told == [(each, 6) for each in content.episodes]
    assert [each.arm for each in content.episodes] == ["teacher", "walker"] * 3
    assert [each.episode_index for each in content.episodes] == [*range(6)]
    records, traces = RunFolder.open(finished).records().final, Traces(finished)
    for each, frames in zip(content.episodes, writer.episodes, strict=True):
        final = records[each.arm, each.key]
        assert len(frames) == final.steps == each.steps
        actions = np.array([frame.action for frame in frames])
        assert np.array_equal(actions, traces.get(final).actions)
        assert [frame.done for frame in frames] == [False] * (final.steps - 1) + [each.success]
        assert {frame.evaluated.arm for frame in frames} == {each.arm}
        steps = [frame.evaluated.inference for frame in frames]
        assert steps == sorted(steps)
    text = (out / "meta" / "vla_eval.json").read_text()
    assert text.endswith("}\n")
    assert Demonstrations.model_validate_json(text) == content
    assert content.closed
    assert writer.closed == 1


def request_for(protocol, policy, **changes) -> RecordingRequest:
    return RecordingRequest(
        protocol.label, policy, n_action_steps=4, realtime=protocol.run.realtime, **changes
    )


def test_a_recording_keeps_successes_and_continues(protocol_file, tmp_path, writer):
    """What failed was tried and has no number; the same command again records nothing."""
    protocol = load_protocol(str(protocol_file(count=6, max_steps=12)))
    plan = plan_recording(protocol)
    assert [episode.key for episode in plan] == [episode.key for episode in expand(protocol)]
    request = request_for(protocol, "fakes.policies:InWorker?skill=0.6", only_successes=True)
    out, told = tmp_path / "out", []
    content = record(plan, request, out, on_episode=told.append)
    won = [each for each in content.episodes if each.success]
    assert 0 < len(won) < len(plan), "of both kinds"
    assert [each.episode_index for each in won] == [*range(len(won))]
    assert {each.episode_index for each in content.episodes if not each.success} == {None}
    assert [len(frames) for frames in writer.episodes] == [each.steps for each in won]
    assert told == [*content.episodes]
    again = record(plan, request, out, on_episode=told.append)
    assert again.episodes == content.episodes
    assert writer.closed == 1


def test_a_suite_is_planned_task_by_task():
    """Its first hundred states, or those that were asked for and exist; a task has its own limit."""
    suite = find_suite("so101")
    task = suite.tasks[0]
    plan = plan_recording(suite, tasks=[task.name], init_states=[3, task.init_states - 1])
    found = [(each.key.task, each.key.init_state, each.max_steps) for each in plan]
    assert found == [(task.name, state, task.max_steps) for state in (3, task.init_states - 1)]
    assert len(plan_recording(suite, tasks=[task.name])) == min(100, task.init_states)


def test_the_facts_of_a_recording_in_virtual_time_have_no_empty_field(
    protocol_file, tmp_path, writer
):
    """A field that comes with a later version would make an old recording another one."""
    run = 'latency = "virtual"\n[run.realtime]\nmode = "async"\narms.policy.total_us = 250000\n'
    protocol = load_protocol(str(protocol_file(count=1, run=run)))
    request = request_for(protocol, "fakes.policies:InWorker")
    record(plan_recording(protocol), request, tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "meta" / "vla_eval.json").read_text())["request"]
    assert facts["realtime"]["mode"] == "async"
    assert None not in facts["realtime"].values()
    assert facts["layout"]["stalls"] is True
