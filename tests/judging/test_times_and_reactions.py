"""Times of inferences and of phases, and reactions to events, from records that were written by hand."""

from __future__ import annotations

from fakes.by_hand import Run, small_protocol
from vla_eval.judging.reactions import Reactions, reactions_of
from vla_eval.judging.timings import Inferences, phase_seconds
from vla_eval.record import EpisodeRecord, EventRecord, Timing


def records(*changes: dict) -> list[EpisodeRecord]:
    """Return results of one arm with these changes."""
    run = Run(small_protocol(1, 10))
    for key, change in zip(run.keys, changes, strict=False):
        run.attempt("a", key, "success", **{k: v for k, v in change.items() if k != "timing"})
    return [
        record.model_copy(update={"timing": change.get("timing", record.timing)})
        for record, change in zip(run.records.attempts, changes, strict=True)
    ]


def test_reactions_by_event():
    """From the first observation that can show it to the first action that can answer it, if there is one."""
    found = reactions_of(
        records(
            {"events": {"push": EventRecord(shown=10, answered=14)}},
            {"events": {"push": EventRecord(shown=3), "jump": EventRecord(shown=5)}},
            {"events": {"push": EventRecord(shown=20, answered=21)}},
            {},
        )
    )
    assert found == {"push": Reactions(3, 2, 2.5, 1, 4), "jump": Reactions(1, 0, None, None, None)}
    assert list(found) == ["jump", "push"]
    assert found["push"].cells() == ["3", "2", "2.5", "1", "4"]
    assert found["jump"].cells() == ["1", "0", "-", "-", "-"]
    assert found["push"].to_json()["mean_ticks"] == 2.5


def timing(**seconds) -> dict:
    return {"timing": Timing(started_at="2026-01-01T00:00:00+00:00", **seconds)}


def test_seconds_of_the_phases_are_sums():
    """Each phase by itself, over all results; to a millisecond."""
    found = phase_seconds(
        records(
            timing(
                build_s=1.0, reset_s=2.0, advance_s=4.0, observe_s=8.0, infer_s=16.0, wall_s=32.0
            ),
            timing(build_s=0.1, reset_s=0.2, advance_s=0.4, observe_s=0.8, infer_s=1.6, wall_s=3.2),
        )
    )
    assert found == {
        "build": 1.1,
        "reset": 2.2,
        "advance": 4.4,
        "observe": 8.8,
        "infer": 17.6,
        "wall": 35.2,
    }


def test_parts_of_an_inference():
    """Medians without the first inference of an episode; a step is the solver's time by its NFE."""
    first = timing(infer_ms=(90, 10, 12), prefix_ms=(70, 4, 5), denoise_ms=(80, 6, 7))
    second = timing(infer_ms=(95, 14), prefix_ms=(75, 6), denoise_ms=(85, 8))
    found = Inferences.of(
        records(first | {"inferences": 3, "nfe": 6}, second | {"inferences": 2, "nfe": 4})
    )
    assert found.total_ms.tolist() == [10, 12, 14]
    assert (found.quantile(0.5), found.quantile(1.0)) == (12, 14)
    assert Inferences.of([]).quantile(0.5) is None
    assert (found.prefix_ms, found.denoise_ms, found.step_ms) == (5, 7, 3.5)
    assert Inferences.of(records({})).quantile(0.5) is None


def test_a_solver_without_evaluations_has_no_time_of_a_step():
    """A policy that does not count them leaves it open."""
    found = Inferences.of(
        records(timing(infer_ms=(9, 10), denoise_ms=(9, 6)) | {"inferences": 2, "nfe": 0})
    )
    assert (found.prefix_ms, found.denoise_ms, found.step_ms) == (None, 6, None)
