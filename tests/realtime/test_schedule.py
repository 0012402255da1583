"""The schedule against its closed form: which action of which chunk is executed in which tick."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from vla_eval.realtime.merges import average, crossfade, ensemble
from vla_eval.realtime.schedule import Schedule

TICKS = 90


class Chunk:
    """A chunk whose actions say where they come from; cheaper than arrays."""

    def __init__(self, number: int, length: int) -> None:
        self.number, self.length = number, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[int, int]:
        return self.number, index


def played(chunk: int, horizon: int, delay: int, *, asynchronous: bool, ticks: int = TICKS):
    """Return starts, and for every tick (inference, index) or None where the robot stalled."""
    schedule = Schedule(horizon, asynchronous=asynchronous, expected_delay=delay)
    starts, executed = [], []
    for tick in range(ticks):
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver(Chunk(schedule.asked - 1, chunk))
            if schedule.starts:
                starts.append(tick)
                schedule.ask(delay)
        item = schedule.act()
        executed.append(None if item is None else item.action)
    return starts, executed, schedule


def cases(chunk: int) -> Iterator[tuple[int, int]]:
    """Yield every horizon and delay; of long chunks every fifth."""
    step = 1 if chunk <= 16 else 5
    return itertools.product(range(1, chunk + 1, step), range(0, chunk + 3, step))


@pytest.mark.parametrize("chunk", [8, 16, 50])
def test_blocking(chunk):
    """Inference n starts at n (s + d); of every s + d ticks the first d stall."""
    for s, d in cases(chunk):
        starts, executed, _ = played(chunk, s, d, asynchronous=False)
        assert starts == list(range(0, TICKS, s + d))
        for tick, action in enumerate(executed):
            chunk_number, place = divmod(tick, s + d)
            assert action == (None if place < d else (chunk_number, place - d))


@pytest.mark.parametrize("chunk", [8, 16, 50])
def test_asynchronous_within_the_bound(chunk):
    """With d <= s <= H - d inferences start every s ticks, and only the first d ticks stall."""
    for s, d in cases(chunk):
        if not d <= s <= chunk - d:
            continue
        starts, executed, _ = played(chunk, s, d, asynchronous=True)
        assert starts == list(range(0, TICKS, s))
        for tick, action in enumerate(executed):
            i = (tick - d) // s
            moving = (0, tick - d) if i <= 0 else (i, tick - i * s)
            assert action == (None if tick < d else moving), (s, d, tick)


@pytest.mark.parametrize("chunk", [8, 16])
def test_asynchronous_as_fast_as_it_can(chunk):
    """Where the horizon is shorter than the delay, inferences follow each other without a pause."""
    for d in range(1, chunk // 2 + 1):
        for s in range(1, d):
            starts, executed, _ = played(chunk, s, d, asynchronous=True)
            assert starts == list(range(0, TICKS, d))
            assert executed.index(None) == 0
            assert executed.count(None) == d


@pytest.mark.parametrize("chunk", [8, 16])
def test_asynchronous_starts_early_to_keep_the_queue_filled(chunk):
    """With s > H - d the successor is due when d actions are left, so nothing starves."""
    for d in range(1, chunk // 2 + 1):
        for s in range(chunk - d + 1, chunk + 1):
            starts, executed, _ = played(chunk, s, d, asynchronous=True)
            assert starts[:2] == [0, s]
            assert {b - a for a, b in itertools.pairwise(starts[1:])} == {chunk - d}
            assert executed.count(None) == d


@pytest.mark.parametrize(("d", "share"), [(9, 1 / 9), (10, 1 / 5), (12, 1 / 3)])
def test_a_delay_of_more_than_half_a_chunk_starves(d, share):
    """The share of stalled ticks is (2d - H)/(2d)."""
    _, executed, _ = played(16, 10, d, asynchronous=True, ticks=3600)
    assert executed.count(None) / 3600 == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_no_delay_is_the_paused_loop(asynchronous):
    """At d = 0 both modes execute the first s actions of every chunk, and never stall."""
    for chunk, s in itertools.product((8, 16), range(1, 9)):
        starts, executed, _ = played(chunk, s, 0, asynchronous=asynchronous)
        assert starts == list(range(0, TICKS, s))
        assert executed == [divmod(tick, s) for tick in range(TICKS)]


@pytest.mark.parametrize(
    ("chunk", "s", "d"), [(16, 10, 4), (16, 10, 8), (16, 10, 9), (8, 3, 2), (8, 8, 1)]
)
def test_every_action_is_accounted_for(chunk, s, d):
    """Executed, skipped, replaced, queued and in flight are all actions of all chunks."""
    _, _, schedule = played(chunk, s, d, asynchronous=True, ticks=101)
    tally = schedule.tally
    left = len(schedule.queued()) + chunk * schedule.in_flight
    assert schedule.executed + tally.skipped + tally.replaced + left == chunk * schedule.asked
    assert schedule.executed + tally.stalled_ticks == 101


@pytest.mark.parametrize(
    ("d", "age_mean", "age_max", "blocking_mean", "blocking_max"), [(4, 8.5, 13, 10.5, 17)]
)
def test_error_of_a_plan_for_a_world_that_moves(d, age_mean, age_max, blocking_mean, blocking_max):
    """A plan c_j = r_k for a target r = v t errs by v times the age of its observation."""
    horizon = 10
    for asynchronous, mean, largest in (
        (True, age_mean, age_max),
        (False, blocking_mean, blocking_max),
    ):
        schedule = Schedule(horizon, asynchronous=asynchronous, expected_delay=d)
        held, asked_at, errors = 0, 0, []
        for tick in range(20 * 70):
            for _ in range(2):
                if schedule.arrived:
                    schedule.deliver([asked_at] * 16)
                if schedule.starts:
                    asked_at = tick
                    schedule.ask(d)
            item = schedule.act()
            held = held if item is None else item.action
            errors.append(tick - held)
        steady = errors[280:]
        assert np.mean(steady) == pytest.approx(mean)
        assert max(steady) == largest


@pytest.mark.parametrize("d", [1, 3, 4, 5])
def test_a_plan_that_knows_the_velocity_has_no_error(d):
    """c_j = r_k + v j: from tick s + d on an asynchronous robot is exactly on its target."""
    schedule = Schedule(10, asynchronous=True, expected_delay=d)
    asked_at = 0
    for tick in range(200):
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver([asked_at + j for j in range(16)])
            if schedule.starts:
                asked_at = tick
                schedule.ask(d)
        item = schedule.act()
        if tick >= 10 + d:
            assert item.action == tick
        elif tick >= d:
            assert item.action == tick - d


@pytest.mark.parametrize(
    ("d", "asynchronous", "mean"),
    [(4, True, 8.5), (6, True, 10.5), (4, False, 10.5), (9, False, 18.0)],
)
def test_reaction_time_is_uniform(d, asynchronous, mean):
    """The first action that saw an event comes d to d + P - 1 ticks later, each equally often."""
    s = 10
    period = s if asynchronous else s + d
    reactions = []
    for event in range(200, 200 + period):
        schedule = Schedule(s, asynchronous=asynchronous, expected_delay=d)
        asked_at = 0
        for tick in itertools.count():
            for _ in range(2):
                if schedule.arrived:
                    schedule.deliver([asked_at] * 16)
                if schedule.starts:
                    asked_at = tick
                    schedule.ask(d)
            item = schedule.act()
            if item is not None and item.action >= event:
                reactions.append(tick - event)
                break
    assert sorted(reactions) == list(range(d, d + period))
    assert np.mean(reactions) == pytest.approx(mean)


@pytest.mark.parametrize(
    ("d", "asynchronous", "ticks"), [(4, False, 177), (4, True, 129), (9, False, 242)]
)
def test_completion_of_a_plan_in_a_world_that_stands_still(d, asynchronous, ticks):
    """N = 125 planned actions end after N + d ceil(N/s) ticks blocking, and N + d asynchronously."""
    schedule = Schedule(10, asynchronous=asynchronous, expected_delay=d)
    while schedule.executed < 125:
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver([None] * 16)
            if schedule.starts:
                schedule.ask(d)
        schedule.act()
    assert schedule.tick == ticks


@pytest.mark.parametrize("d", [0, 1, 3, 4, 5])
def test_commands_do_not_depend_on_a_constant_delay(d):
    """A policy whose plan depends on executed actions alone gives the same commands at every delay."""
    schedule = Schedule(10, asynchronous=True, expected_delay=d)
    commands, base = [], 0
    for _ in range(100):
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver([base + j for j in range(16)])
            if schedule.starts:
                base = schedule.executed
                schedule.ask(d)
        if (item := schedule.act()) is not None:
            commands.append(item.action)
    assert commands == list(range(len(commands)))


def test_a_chunk_that_is_late_as_a_whole_is_thrown_away():
    """The queue goes on, and the next inference starts at once."""
    schedule = Schedule(4, asynchronous=True, expected_delay=1)
    schedule.ask(0)
    schedule.deliver(Chunk(0, 8))
    while not schedule.starts:
        schedule.act()
    schedule.ask(4)
    for _ in range(4):
        schedule.act()
    assert schedule.arrived
    before = schedule.queued()
    schedule.deliver(Chunk(1, 3))
    assert schedule.queued() == before
    assert schedule.tally.skipped == 3


@pytest.mark.parametrize("d", [1, 2, 3, 4])
def test_ticks_to_start_is_a_lower_bound(d):
    """A policy that looks back is shown every tick that it needs."""
    schedule = Schedule(6, asynchronous=True, expected_delay=2)
    announced = []
    for tick in range(60):
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver(Chunk(0, 12))
            if schedule.starts:
                assert all(at + bound <= tick for at, bound in announced)
                announced.clear()
                schedule.ask(d)
        schedule.act()
        announced.append((schedule.tick, schedule.ticks_to_start))


def arrays(number: int, length: int = 8, size: int = 2):
    return np.array([[100 * number + j, -j] for j in range(length)], np.float32)[:, :size]


def merged(merge, d: int = 2, s: int = 4, ticks: int = 40):
    schedule = Schedule(s, asynchronous=True, expected_delay=d, merge=merge)
    actions = []
    for _ in range(ticks):
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver(arrays(schedule.asked - 1))
            if schedule.starts:
                schedule.ask(d)
        item = schedule.act()
        actions.append(None if item is None else item.action.tolist())
    return actions


def test_an_average_without_weight_on_the_old_is_a_replacement():
    """And with all weight on it, the overlap is the old queue's."""
    replaced = merged(average(0.0))
    plain = Schedule(4, asynchronous=True, expected_delay=2)
    actions = []
    for _ in range(40):
        for _ in range(2):
            if plain.arrived:
                plain.deliver(arrays(plain.asked - 1))
            if plain.starts:
                plain.ask(2)
        item = plain.act()
        actions.append(None if item is None else item.action.tolist())
    assert replaced == actions
    kept = merged(average(1.0))
    assert [a[0] for a in kept[2:10]] == list(range(8)), "the first chunk is used up"


def test_ensembling_weighs_the_oldest_most():
    """Two predictions of one step have weights 1 and exp(-c), oldest first."""
    c = 0.7
    actions = merged(ensemble(c), d=0, s=1, ticks=2)
    weights = np.array([1.0, np.exp(-c)])
    assert actions[1][0] == pytest.approx(np.dot(weights / weights.sum(), [1, 100]))


def test_a_crossfade_leads_from_the_old_plan_to_the_new():
    """Over r overlapping actions the old one has weights r/(r + 1) down to 1/(r + 1)."""
    schedule = Schedule(4, asynchronous=True, merge=crossfade())
    schedule.ask(0)
    schedule.deliver(np.zeros((4, 1), np.float32))
    schedule.act()
    schedule._flight = None
    schedule.ask(0)
    schedule.deliver(np.ones((6, 1), np.float32))
    assert np.ravel(schedule.queued()) == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1, 1])


def test_a_switch_is_never_averaged():
    """A gripper that opens or closes takes the newer chunk's value."""
    for merge in (average(0.3, [1]), ensemble(0.1, [1]), crossfade([1])):
        actions = [action for action in merged(merge) if action is not None]
        assert all(action[1] == int(action[1]) for action in actions)
        assert any(action[0] != int(action[0]) for action in actions)


def growth(gain: float, s: int, d: int, *, asynchronous: bool, chunk: int = 20) -> float:
    """Return how the largest |r - x| grows over 800 ticks of x+ = x + u, constant chunk u = g (r - x_k)."""
    schedule = Schedule(s, asynchronous=asynchronous, expected_delay=d)
    x, seen, errors = 0.0, 0.0, []
    for _ in range(1500):
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver([gain * (1.0 - seen)] * chunk)
            if schedule.starts:
                seen = x
                schedule.ask(d)
        item = schedule.act()
        x += 0.0 if item is None else item.action
        errors.append(abs(1.0 - x))
    return max(errors[1000:]) / max(errors[200:700])


@pytest.mark.parametrize(
    ("s", "d", "largest"),
    [
        (10, 0, 0.2),
        (10, 1, 0.25),
        (10, 3, 1 / 3),
        (10, 4, 0.25),
        (10, 5, 0.2),
        (10, 8, 0.125),
        (3, 3, 1 / 3),
    ],
)
def test_stability_of_an_integrator_is_not_monotone_in_the_delay(s, d, largest):
    """Stable iff g < min(1/d, 2/(s - 2d)): at g = 0.3 and s = 10 a delay of 3 ticks is the best."""
    assert growth(0.97 * largest, s, d, asynchronous=True) < 0.8
    assert growth(1.03 * largest, s, d, asynchronous=True) > 1.25


@pytest.mark.parametrize("d", [0, 3, 8])
def test_a_blocking_integrator_is_stable_whatever_the_delay(d):
    """Iff g < 2/s: while the robot stalls, nothing runs away."""
    assert growth(0.97 * 0.2, 10, d, asynchronous=False) < 0.8
    assert growth(1.03 * 0.2, 10, d, asynchronous=False) > 1.25


@pytest.mark.parametrize(
    ("d", "asynchronous", "follows"), [(0, True, True), (3, False, True), (1, True, False)]
)
def test_relative_actions_lose_what_is_skipped(d, asynchronous, follows):
    """A chunk (r - x_k, 0, 0 ...) after the target moved: only its first action would carry the news."""
    schedule = Schedule(10, asynchronous=asynchronous, expected_delay=d)
    x, seen = 0.0, 0.0
    for tick in range(300):
        target = 0.0 if tick < 100 else 5.0
        for _ in range(2):
            if schedule.arrived:
                schedule.deliver([seen] + [0.0] * 15)
            if schedule.starts:
                seen = target - x
                schedule.ask(d)
        item = schedule.act()
        x += 0.0 if item is None else item.action
    assert (x == 5.0) == follows


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("asynchronous", [False, True])
def test_delays_that_vary_keep_every_promise(seed, asynchronous):
    """Nothing is executed twice or before it has arrived; skips count executed actions, blocking none."""
    rng = np.random.default_rng(seed)
    chunk = int(rng.integers(1, 17))
    s, expected = int(rng.integers(1, chunk + 1)), int(rng.integers(0, 6))
    schedule = Schedule(s, asynchronous=asynchronous, expected_delay=expected)
    asked: list[tuple[int, int, int]] = []
    executed: list[tuple[int, int]] = []
    for tick in range(300):
        for _ in range(2):
            if schedule.arrived:
                before = schedule.tally.skipped
                schedule.deliver(Chunk(schedule.asked - 1, chunk))
                skip, (at, _, done) = schedule.tally.skipped - before, asked[-1]
                assert skip == min(chunk, schedule.executed - done)
                if schedule.executed - done == tick - at:  # no tick between stalled
                    assert skip == min(chunk, tick - at)
                assert asynchronous or skip == 0
            if schedule.starts:
                delay = int(rng.integers(0, 9))
                asked.append((tick, tick + delay, schedule.executed))
                schedule.ask(delay)
        item = schedule.act()
        if item is not None:
            executed.append(item.action)
            assert tick >= asked[item.chunk][1]
    assert len(set(executed)) == len(executed)
    assert executed == sorted(executed)
    tally = schedule.tally
    assert schedule.executed + tally.stalled_ticks == 300
    left = len(schedule.queued()) + chunk * schedule.in_flight
    beyond = 0 if asynchronous else (chunk - s) * (schedule.asked - schedule.in_flight)
    assert (
        schedule.executed + tally.skipped + tally.replaced + left + beyond == chunk * schedule.asked
    )
    assert tally.late <= schedule.asked
