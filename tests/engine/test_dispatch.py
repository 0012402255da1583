"""Which episode a free worker gets: its own scene's, and near the end the longest."""

from __future__ import annotations

from vla_eval.engine.dispatch import Dispatcher
from vla_eval.engine.messages import WorkItem
from vla_eval.keys import EpisodeKey
from vla_eval.plan import PlannedEpisode


def items(scene: str, count: int, limit: int = 100) -> list[WorkItem]:
    return [
        WorkItem("a", PlannedEpisode(EpisodeKey("s", scene, state, 0, 0), scene, {}, limit), 1)
        for state in range(count)
    ]


def name(item: WorkItem | None) -> str:
    return item.episode.env_id if item else "none"


def test_a_worker_stays_on_its_scene_while_there_is_much_to_do():
    """Building a scene is expensive."""
    queue = Dispatcher()
    queue.add([*items("short", 10, 50), *items("long", 10, 500)])
    scene = queue.take(None, []).episode.scene
    assert [name(queue.take(scene, [])) for _ in range(4)] == ["long"] * 4
    short = items("short", 1)[0].episode.scene
    assert [name(queue.take(short, [])) for _ in range(4)] == ["short"] * 4


def test_a_new_worker_goes_where_most_steps_are_left():
    """Ten long episodes are more than twelve short ones; a second worker goes elsewhere."""
    queue = Dispatcher()
    queue.add([*items("short", 12, 50), *items("long", 10, 55)])
    long = items("long", 1)[0].episode.scene
    assert name(queue.take(None, [])) == "short"
    queue = Dispatcher()
    queue.add([*items("short", 12, 50), *items("long", 10, 100)])
    assert name(queue.take(None, [])) == "long"
    assert name(queue.take(None, [long])) == "short"


def test_near_the_end_the_longest_come_first():
    """With three items a worker left, a long episode must not be the last to begin."""
    queue = Dispatcher()
    queue.add([*items("short", 3, 50), *items("long", 3, 500)])
    short = items("short", 1)[0].episode.scene
    given = [name(queue.take(short, [short])) for _ in range(7)]
    assert given == ["long"] * 3 + ["short"] * 3 + ["none"]


def test_near_the_end_equal_limits_keep_the_worker_on_its_scene():
    """Nothing is gained by another scene then."""
    queue = Dispatcher()
    queue.add([*items("one", 2), *items("two", 2)])
    two = items("two", 1)[0].episode.scene
    assert [name(queue.take(two, [two])) for _ in range(2)] == ["two", "two"]


def test_a_repeated_item_comes_next_on_its_scene():
    """Its worker died; another one takes it up at once."""
    queue = Dispatcher()
    first, *rest = items("one", 20)
    queue.add(rest)
    queue.put_back(first)
    assert len(queue) == 20
    assert queue.take(first.episode.scene, []) is first
