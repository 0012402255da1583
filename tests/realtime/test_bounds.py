"""Declared times, delays and merges: every bound from both sides, every number different from the others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from vla_eval.keys import EpisodeKey
from vla_eval.policy import PolicyMetadata
from vla_eval.realtime.latency import Latency, VirtualTime, ticks_of, virtual_time
from vla_eval.realtime.merges import Queued, average, crossfade, ensemble, replacing
from vla_eval.realtime.profile import quantiles_us, reported_us
from vla_eval.realtime.record import RealtimeRecord
from vla_eval.realtime.schedule import Schedule, Tally
from vla_eval.realtime.settings import Machine, Profile, Realtime

MOST = 3_600_000_000
KEY = EpisodeKey("s", "t", 3, 1, 2)
TIMES = tuple(1000 + 10 * percent**2 for percent in range(101))
MACHINE = {"name": "m", "source": "s", "prefix_us": 700, "pass_us": 110}
PROFILE = {"hardware": "h", "policy": "p", "measured_on": "d", "sha256": "0" * 64}


def refused(model, **fields) -> bool:
    try:
        model.model_validate(fields)
    except ValidationError:
        return True
    return False


@pytest.mark.parametrize("name", ["prefix_us", "pass_us", "sample_us", "link_us"])
def test_a_time_is_an_hour_at_most(name):
    """And 0 at least; it is a whole number."""
    for value, wrong in ((0, False), (MOST, False), (-1, True), (MOST + 1, True), (1.5, True)):
        assert refused(Machine, **MACHINE | {name: value}) == wrong


@pytest.mark.parametrize(("passes", "wrong"), [(1, False), (1000, False), (0, True), (1001, True)])
def test_a_printed_total_is_for_1_to_1000_passes(passes, wrong):
    """The number that the source names."""
    assert refused(Machine, **MACHINE, only_passes=passes) == wrong


def test_the_time_of_an_inference():
    """Prefix, each pass, each further sample, and the way to the robot."""
    machine = Machine(**MACHINE, sample_us=13, link_us=5000)
    assert machine.inference_us(3, 4) == 700 + 3 * 110 + 3 * 13 + 5000
    assert machine.inference_us(1, 1) == 700 + 110 + 5000
    only = Machine(**MACHINE, only_passes=3)
    assert only.inference_us(3, 2) == 700 + 3 * 110
    with pytest.raises(ValueError, match="of 3 passes only, not of 2"):
        only.inference_us(2, 1)


def test_a_profile_has_101_rising_times():
    """From 1 µs to an hour; equal ones rise too."""
    assert Profile(**PROFILE, quantiles_us=TIMES).median_us == TIMES[50]
    for times, wrong in (
        ((1,) * 101, False),
        ((MOST,) * 101, False),
        ((0,) + (1,) * 100, True),
        ((1,) * 100 + (MOST + 1,), True),
        ((1,) * 100, True),
        ((1,) * 102, True),
        ((1,) * 50 + (3, 2) + (4,) * 49, True),
    ):
        assert refused(Profile, **PROFILE, quantiles_us=times) == wrong


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ({"old_weight": 0.0, "merge": "average"}, False),
        ({"old_weight": 1.0, "merge": "average"}, False),
        ({"old_weight": -0.01, "merge": "average"}, True),
        ({"old_weight": 1.01, "merge": "average"}, True),
        ({"old_weight": 0.5, "merge": "ensemble"}, True),
        ({"old_weight": 0.5}, True),
        ({"coefficient": 0.0, "merge": "ensemble"}, False),
        ({"coefficient": 100.0, "merge": "ensemble"}, False),
        ({"coefficient": -0.01, "merge": "ensemble"}, True),
        ({"coefficient": 100.5, "merge": "ensemble"}, True),
        ({"coefficient": 0.5, "merge": "average"}, True),
        ({"merge": "replace"}, False),
        ({"merge": "replace", "mode": "blocking"}, True),
        ({"mode": "blocking"}, False),
        ({"jitter": "profile"}, True),
        ({"arms": {}}, True),
        ({"arms": {}, "machine": MACHINE}, False),
        ({"arms": {"a": {}}}, True),
        ({"arms": {"a": {"total_us": 1, "profile": PROFILE | {"quantiles_us": TIMES}}}}, True),
        (
            {"arms": {"a": {"profile": PROFILE | {"quantiles_us": TIMES}}}, "jitter": "profile"},
            False,
        ),
    ],
)
def test_each_rule_of_the_table_alone(table, wrong):
    """What belongs together, and what a number may be."""
    assert refused(Realtime, **{"mode": "async", "arms": {"a": {"total_us": 1}}} | table) == wrong


def test_a_drawn_time_lies_between_two_quantiles():
    """Where the key's own random number says, on the straight line between them."""
    profile = Profile(**PROFILE, quantiles_us=TIMES)
    latency = Latency(TIMES[50], profile)
    for number in range(20):
        place = 100 * KEY.generator(number, "latency").random()
        expected = np.interp(place, range(101), TIMES)
        assert latency.inference_us(KEY, number) == round(expected)
    assert Latency(77).inference_us(KEY, 3) == 77
    assert Latency(77).identity() == {"expected_us": 77}
    assert latency.identity()["expected_us"] == TIMES[50]
    assert (
        latency.identity()
        != Latency(TIMES[50], profile.model_copy(update={"quantiles_us": (9,) * 101})).identity()
    )


@pytest.mark.parametrize(
    ("us", "rate", "ticks"),
    [
        (0, 10, 0),
        (1, 10, 1),
        (100_000, 10, 1),
        (100_001, 10, 2),
        (250_000, 20, 5),
        (33_333, 30, 1),
        (1_000_000, 1, 1),
        (1_000_001, 1, 2),
    ],
)
def test_a_begun_tick_counts_whole(us, rate, ticks):
    """ceil(latency × control rate)."""
    assert ticks_of(us, rate) == ticks


def test_where_an_arm_s_latency_comes_from():
    """Its own total, its own profile with or without jitter, else the machine by passes and samples."""
    metadata = PolicyMetadata("p", "m", 8, 8, options={"passes": 3, "samples": 4})
    table = {"mode": "async", "machine": MACHINE | {"sample_us": 13}}
    table["arms"] = {
        "own": {"total_us": 5},
        "measured": {"profile": PROFILE | {"quantiles_us": TIMES}},
    }
    for jitter in (None, "profile"):
        settings = Realtime.model_validate(table | {"jitter": jitter})
        assert virtual_time(settings, "own", metadata).latency == Latency(5)
        measured = virtual_time(settings, "measured", metadata).latency
        assert measured.expected_us == TIMES[50]
        assert (measured.profile is not None) == (jitter == "profile")
        assert virtual_time(settings, "other", metadata).latency == Latency(700 + 330 + 39)
    assert virtual_time(None, "own", metadata) is None


def queue(*values: float, chunk: int = 0) -> list[Queued]:
    actions = [np.array([value, -value], np.float32) for value in values]
    return [Queued(one, chunk, 0, place, (one,)) for place, one in enumerate(actions)]


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        (replacing, [10, 20, 30]),
        (average(0.2), [0.2 * 1 + 0.8 * 10, 0.2 * 2 + 0.8 * 20, 30]),
        (crossfade(), [2 / 3 * 1 + 1 / 3 * 10, 1 / 3 * 2 + 2 / 3 * 20, 30]),
        (ensemble(0.5), [(1 + 10 * np.exp(-0.5)) / (1 + np.exp(-0.5)),
                         (2 + 20 * np.exp(-0.5)) / (1 + np.exp(-0.5)), 30]),
    ],
)  # fmt: skip
def test_two_queued_actions_meet_three_new_ones(merge, expected):
    """Beyond the overlap the new ones stand alone; a longer queue than the new chunk is cut."""
    merged = merge(queue(1, 2), queue(10, 20, 30, chunk=1))
    np.testing.assert_allclose(
        [item.action for item in merged], [(x, -x) for x in expected], rtol=1e-6
    )
    assert [item.chunk for item in merged] == [1, 1, 1]
    assert {item.action.dtype for item in merged} == {np.dtype(np.float32)}
    assert len(merge(queue(1, 2, 3), queue(10, chunk=1))) == 1


def test_an_ensemble_keeps_all_predictions():
    """Three of one step: weights 1, e^−c, e^−2c, the oldest first."""
    merge = ensemble(0.7)
    twice = merge(merge(queue(1), queue(10)), queue(100))
    weights = np.exp(-0.7 * np.arange(3))
    assert twice[0].action[0] == pytest.approx(weights @ [1, 10, 100] / weights.sum())
    assert len(twice[0].predictions) == 3


@pytest.mark.parametrize(
    ("merge", "fields"),
    [("average", {"old_weight": 0.6}), ("average", {}), ("ensemble", {"coefficient": 2.0}), ("ensemble", {}),
     ("crossfade", {}), ("replace", {}), (None, {})],
)  # fmt: skip
def test_the_protocol_names_the_merge(merge, fields):
    """With its own weight, or LeRobot's 0.3 and ACT's 0.01; in which dimension 1 is a switch."""
    settings = Realtime(mode="async", merge=merge, arms={"a": {"total_us": 1}}, **fields)
    schedule = VirtualTime(settings, Latency(250_000)).schedule(6, 10.0, (1,))
    assert (schedule.asynchronous, schedule.expected_delay) == (True, 3)
    old, new = queue(1, 2), queue(10, 20, 30)
    made = {
        "average": average(fields.get("old_weight", 0.3), (1,)),
        "ensemble": ensemble(fields.get("coefficient", 0.01), (1,)),
        "crossfade": crossfade((1,)),
    }.get(merge, replacing)
    found, expected = (
        [item.action.tolist() for item in each(old, new)] for each in (schedule._merge, made)
    )
    assert found == expected
    assert [action[1] for action in found] == [-10, -20, -30]


def test_a_schedule_tells_when_it_asks_next():
    """In flight: when the chunk arrives; else when enough of the queue has been executed."""
    schedule = Schedule(4, asynchronous=True, expected_delay=1)
    assert (schedule.ticks_to_start, schedule.starts, schedule.in_flight) == (0, True, False)
    schedule.ask(3)
    assert (schedule.ticks_to_start, schedule.starts, schedule.in_flight) == (3, False, True)
    for left in (2, 1, 0):
        assert not schedule.arrived
        assert schedule.act() is None
        assert schedule.ticks_to_start == left
    assert schedule.arrived
    schedule.act()
    assert schedule.ticks_to_start == 0
    schedule.deliver([10, 11, 12, 13, 14, 15])
    for left in (3, 2, 1, 0):
        assert (schedule.ticks_to_start, schedule.starts) == (left, left == 0)
        schedule.act()
    with pytest.raises(RuntimeError, match="no inference is in flight"):
        schedule.deliver([1])


def test_what_a_schedule_counts():
    """Stalls, lateness, skips, replacements, ages and switches of a scripted run."""
    schedule = Schedule(3, asynchronous=True, expected_delay=1)
    schedule.ask(2)
    schedule.act()
    schedule.act()
    assert schedule.stalled_in_a_row == 2
    schedule.deliver([0, 1, 2, 3, 4])
    seen = [schedule.act() for _ in range(2)]
    schedule.ask(1)
    seen.append(schedule.act())
    schedule.deliver([5, 6, 7, 8, 9])
    seen += [schedule.act() for _ in range(4)]
    assert [item.action for item in seen] == [0, 1, 2, 6, 7, 8, 9]
    assert [schedule.switched(item) for item in seen] == [False] * 3 + [True] + [False] * 3
    schedule.ask(1)
    schedule.act()
    schedule.deliver([1])
    tally = schedule.tally
    assert tally == Tally(
        delays=[2, 1, 1],
        stalled_ticks=3,
        late=1,
        skipped=1,
        replaced=2,
        switches=1,
        ages=tally.ages,
    )
    assert dict(tally.ages) == {1: 1, 2: 2, 3: 2, 4: 2}
    assert (schedule.executed, schedule.asked, schedule.tick) == (7, 3, 10)


def test_a_record_of_a_tally():
    """Ages become a list from 0 on; mean and largest age follow from it."""
    tally = Tally(delays=[2, 1], stalled_ticks=3, late=1, skipped=4, replaced=5, switches=6)
    tally.ages.update({1: 3, 4: 2})
    record = RealtimeRecord.of(tally, expected_delay=7, discarded=1, jump=0.12345678)
    expected = {
        "delays": (2, 1),
        "expected_delay": 7,
        "stalled_ticks": 3,
        "late": 1,
        "skipped": 4,
        "replaced": 5,
        "discarded": 1,
        "ages": (0, 3, 0, 0, 2),
        "switches": 6,
        "switch_jump_max": 0.123457,
    }
    assert record.model_dump() == expected
    assert (record.age_mean, record.age_max) == ((3 + 8) / 5, 4)
    empty = RealtimeRecord.of(Tally(), expected_delay=0, discarded=0, jump=0.0)
    assert (empty.ages, empty.age_mean, empty.age_max) == ((), 0, 0)
    for wrong in ({"late": -1}, {"late": 2**53 + 1}, {"switch_jump_max": -0.1}):
        assert refused(RealtimeRecord, **expected | wrong)
    assert not refused(RealtimeRecord, **expected | {"late": 2**53})


def test_quantiles_of_measured_times():
    """Milliseconds become whole µs, at least 1; a part that is 0 or absent is not reported."""
    milliseconds = [0.0001, *np.linspace(1, 100, 100)]
    found = quantiles_us(milliseconds)
    assert (found[0], found[1], found[50], found[100]) == (1, 1000, 50_000, 100_000)
    assert reported_us(milliseconds) == found
    assert reported_us([]) is None
    assert reported_us([0.0, 1.0]) is None
    assert dataclasses.asdict(Latency(3, None)) == {"expected_us": 3, "profile": None}
