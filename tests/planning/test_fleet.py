"""The size of a fleet from a policy's measured times by batch."""

from __future__ import annotations

import json

import pytest

from vla_eval.cli import main
from vla_eval.errors import UsageError
from vla_eval.planning.fleet import Curve, fleet_outlook, read_curves, simulators_of
from vla_eval.released import load_protocol

BATCHES = (1, 2, 4, 8, 16, 32)


def curve(alone_s: float, overhead: float) -> Curve:
    """Return times c(b + h): the model of the table in docs/cluster.md."""
    each = alone_s / (1 + overhead)
    return Curve("p", "a GPU", 1, BATCHES, tuple(each * (size + overhead) for size in BATCHES))


@pytest.mark.parametrize(
    ("alone_s", "overhead", "alone", "short", "long"),
    [
        (0.050, 6, 10, 48, 320),
        (0.233, 6, 3, 6, 64),
        (0.083, 2, 6, 12, 80),
        (0.274, 2, 3, 2, 24),
    ],
)
def test_the_table_of_the_documentation_is_met(alone_s, overhead, alone, short, long):
    """Chunks of 10 and 50 actions at 45 ms; batches of 1, and of up to 32."""
    times = curve(alone_s, overhead)
    assert simulators_of(times, 0.45, 1) == alone
    assert simulators_of(times, 0.45, 32) == pytest.approx(short, rel=0.2, abs=1)
    assert simulators_of(times, 2.25, 32) == pytest.approx(long, rel=0.2)


def measured(tmp_path, rows):
    file = tmp_path / "measured.json"
    hardware = {"processor": "cpu", "accelerator": "gpu", "threads": 2}
    latencies = [
        {"dtype": None, "nfe": nfe, "batch": batch, "total_ms": [ms, ms, ms]}
        for nfe, batch, ms in rows
    ]
    file.write_text(json.dumps({"policy": "p", "hardware": hardware, "latencies": latencies}))
    return file


def test_each_number_of_steps_is_a_curve(tmp_path):
    """Batches may come in any order; between them times are interpolated."""
    one, ten = read_curves(measured(tmp_path, [(1, 4, 40), (1, 1, 10), (10, 1, 50)]))
    assert (one.nfe, one.batches, ten.nfe) == (1, (1, 4), 10)
    assert one.latency_s(2) == pytest.approx(0.020)
    assert ten.hardware == "gpu"


@pytest.mark.parametrize("rows", [[], [(1, 2, 10)], [(1, 1, 0.0)]])
def test_without_the_time_of_one_observation_there_is_no_curve(tmp_path, rows):
    """The sentence says how to measure."""
    with pytest.raises(UsageError, match="lacks the time of one observation; measure with vlaeval"):
        read_curves(measured(tmp_path, rows))


def test_another_file_is_refused(tmp_path):
    """A traceback would not say which file is meant."""
    file = tmp_path / "other.json"
    file.write_text('{"policy": "p"}')
    with pytest.raises(UsageError, match="is no output of vlaeval bench policy"):
        read_curves(file)


@pytest.mark.parametrize(
    ("processors", "gpus", "workers", "limit"),
    [
        (4, 8, 4, "processors"),
        (64, 1, 2, "policies"),
        (64, 8, 5, "episodes"),
        (4, 0, 4, "processors"),
    ],
)
def test_the_scarcest_resource_limits_a_run(protocol_file, processors, gpus, workers, limit):
    """Without a GPU in the cluster only processors and episodes count."""
    protocol = load_protocol(str(protocol_file(count=20)))
    slow = Curve("p", "a GPU", 1, (1,), (0.060,))
    found = fleet_outlook(protocol, [slow], arms=2, processors=processors, gpus=gpus)
    assert (found["cluster"]["workers"], found["cluster"]["limit"]) == (workers, limit)


def test_the_terminal_shows_the_fleet(tmp_path, protocol_file, capsys):
    """The table names the measured hardware, and this machine is an engine too."""
    file = measured(tmp_path, [(1, 1, 10), (1, 4, 20)])
    arguments = ["plan", str(protocol_file(count=20)), "--measured", str(file), "--engine", "local"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "simulators a host" in shown
    assert "inferences per second on gpu" in " ".join(shown.split())
    assert "processors and 0 GPUs" in shown
