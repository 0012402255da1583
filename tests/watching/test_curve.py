"""The curve of a training: what each checkpoint's run says, and what the best of them is worth."""

from __future__ import annotations

from fakes.by_hand import Run, paired_result, small_protocol, write_results
from vla_eval.evaluation.evaluate import ARM
from vla_eval.judging.paired_file import EvaluationFile, write_evaluation
from vla_eval.watching.curve import curve_text, read_curve

PAIRED = paired_result(pairs=3, n10=0, n01=1, difference=-1 / 3, interval=(-0.9, 0.5))


def written(out, step, letters):
    run = Run(small_protocol(1, 5))
    write_results(run, ARM, letters)
    return run.write(out / f"step-{step:09d}", ARM)


def test_a_point_has_the_counts_of_its_run_and_its_comparison(tmp_path):
    """Missing episodes are counted, and are no wins; a run without a comparison has none."""
    folder = written(tmp_path, 20, "110x-")
    write_evaluation(folder.path, EvaluationFile(step=20, paired=PAIRED))
    written(tmp_path, 10, "10010")
    curve = read_curve(tmp_path, [10, 20])
    first, second = curve.points
    assert (first.step, first.successes, first.n, first.missing) == (10, 2, 5, 0)
    assert (second.step, second.successes, second.n, second.missing) == (20, 2, 3, 1)
    assert (first.paired, second.paired) == (None, PAIRED)
    assert second.wins == (True, True, False, False, False)
    assert curve.best == second
    rows = [line for line in curve_text(curve, states="any").splitlines() if "/" in line]
    assert [row.split()[:3] for row in rows] == [["10", "2/5", "40.0%"], ["20", "2/3", "66.7%"]]


def test_without_a_step_there_is_no_curve(tmp_path):
    """Nothing was evaluated yet."""
    assert read_curve(tmp_path, []) is None
