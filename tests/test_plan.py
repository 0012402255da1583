"""Plans: which number is which in a key, what is one scene, and how looks and shards divide them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.by_hand import small_protocol
from vla_eval.keys import EpisodeKey, PlannedEpisode
from vla_eval.plan import Shard, expand, in_stages, look_sizes, take_shard, tasks_of
from vla_eval.released import load_protocol

BLOCK = """
[[blocks]]
suite = "fake"
env_id = "fakes:fakes/{task}-v0"
tasks = ["Plain"]
init_states = { first = 20, count = 1 }
max_steps = 9
env_kwargs = { scene = "other" }
"""


def plan_of(file: Path, *changes: str) -> tuple[PlannedEpisode, ...]:
    return expand(load_protocol(str(file), overrides=list(changes)))


def test_each_number_of_a_key_is_the_protocol_s(protocol_file):
    """States change fastest, then the environment's seeds, then the policy's; no two lists are alike."""
    file = protocol_file(count=2)
    seeds = ("run.env_seeds=[30,31]", "run.policy_seeds=[40,41]")
    plan = plan_of(file, *seeds, "analysis.cluster=initial-state")
    assert [each.key for each in plan] == [
        EpisodeKey("fake", "Point", state, env_seed, policy_seed)
        for policy_seed in (40, 41)
        for env_seed in (30, 31)
        for state in (0, 1)
    ]
    assert str(plan[-1].key) == "fake/Point/i1/e31/p41"


def test_every_block_has_its_own_environment(protocol_file):
    """Arguments, time limit and first state are those of the block; another argument is another scene."""
    file = protocol_file(count=2, scene="one")
    file.write_text(file.read_text().replace("[run]", BLOCK + "[run]", 1))
    plan = plan_of(file)
    facts = [
        (each.key.task, each.key.init_state, each.env_id[-8:], each.env_kwargs["scene"])
        for each in plan
    ]
    assert facts == [
        ("Point", 0, "Point-v0", "one"),
        ("Point", 1, "Point-v0", "one"),
        ("Plain", 20, "Plain-v0", "other"),
    ]
    assert [each.max_steps for each in plan] == [40, 40, 9]
    assert tasks_of(load_protocol(str(file))) == 2
    assert plan_of(file, "run.order=round-robin") == (plan[0], plan[2], plan[1])


def test_a_scene_is_an_id_and_its_arguments():
    """The order of the arguments does not matter, and the key does not either."""

    def scene(env_id: str = "a", state: int = 0, **kwargs: int):
        return PlannedEpisode(EpisodeKey("s", "t", state, 0, 0), env_id, kwargs, 9).scene

    assert scene(x=1, y=2) == scene(state=3, y=2, x=1)
    assert scene(x=1) != scene(x=2)
    assert scene(x=1) != scene()
    assert scene("b") != scene("a")


@pytest.fixture
def sequential(protocol_file):
    """23 rounds over two tasks, with looks."""
    file = protocol_file(count=23)
    return load_protocol(
        str(file),
        overrides=[
            'blocks.0.tasks=["Point","Plain"]',
            "run.order=round-robin",
            "analysis.stopping=obrien-fleming-5",
        ],
    )


def test_looks_come_after_whole_rounds(sequential, protocol_file):
    """23 rounds in five looks: 4.6, 9.2, 13.8, 18.4 and 23, rounded; a fixed run is one stage."""
    assert look_sizes(sequential) == (10, 18, 28, 36, 46)
    plan = expand(sequential)
    stages = in_stages(sequential)
    assert tuple(map(len, stages)) == (10, 8, 10, 8, 10)
    assert tuple(episode for stage in stages for episode in stage) == plan
    fixed = load_protocol(str(protocol_file(count=23, name="fixed.toml")))
    assert look_sizes(fixed) == (23,)
    assert in_stages(fixed) == (expand(fixed),)


@pytest.mark.parametrize("text", ["1/1", "1/2", "2/2"])
def test_shards_count_from_one(text):
    """The last is as good as the first."""
    index, count = map(int, text.split("/"))
    assert Shard.parse(text) == Shard(index, count)


def test_a_shard_keeps_the_plan_s_order(sequential):
    """In a shard the episodes stand as in the plan, so that looks are reached in turn."""
    plan = expand(sequential)
    for index in (1, 2, 3):
        places = [plan.index(each) for each in take_shard(plan, Shard(index, 3))]
        assert places == sorted(places)
        assert len(places) in (15, 16)


def test_a_resized_run_has_two_stages():
    """The pairs that decide its size, and the others up to it; the largest size where none is given."""
    resize = {"after": 20, "planned": 30, "at_most": 60}
    protocol = small_protocol(2, 30, resize=resize)
    plan = expand(protocol)
    assert in_stages(protocol, pairs=40) == (plan[:20], plan[20:40])
    assert in_stages(protocol) == (plan[:20], plan[20:60])
    assert len(plan) == 60
