"""Files of measured inference times: what is read, what is refused, what a protocol embeds."""

from __future__ import annotations

import hashlib
import json

import pytest

from fakes.profiles import PROFILE, TIMES
from vla_eval.errors import UsageError
from vla_eval.realtime.profile import profile_change, read_profile, refuse_busy


@pytest.fixture
def profile(tmp_path):
    def write(**changes):
        path = tmp_path / "laptop.json"
        path.write_text(json.dumps(PROFILE | changes))
        return path

    return write


def test_a_protocol_embeds_what_the_file_measured(profile):
    """Hardware, policy, date and times, with the hash of the file."""
    path = profile()
    content, table = read_profile(path)
    assert content.spread == pytest.approx(70 / 40)
    assert table.model_dump() == {
        "hardware": "a laptop, 2 threads",
        "policy": "flow:so101/fm",
        "measured_on": "2026-11-29",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "quantiles_us": tuple(TIMES),
    }


def test_a_busy_machine_is_told_by_three_quantiles(profile):
    """The fastest, the median and that of 95 %: each less than 1.5 times the one before on a quiet machine."""
    quantiles = [30_000 + 100 * percent for percent in range(101)]
    bumpy = {0: 25_000, 50: 35_050, 96: 90_000, 97: 90_000, 98: 90_000, 99: 90_000, 100: 90_000}
    times = [bumpy.get(percent, value) for percent, value in enumerate(quantiles)]
    quiet, _ = read_profile(profile(total_us=times))
    assert quiet.spread == 35_050 / 25_000
    refuse_busy(quiet, "this machine is", "again")
    slow, _ = read_profile(profile(total_us=[*times[:95], *[80_000] * 6]))
    assert slow.spread == 80_000 / 35_050
    with pytest.raises(UsageError, match=r"is busy: .*took 25 ms, .*over 35 ms and 5 % over 80 ms"):
        refuse_busy(slow, "this machine is", "again")


def test_the_longest_time_is_an_hour(profile):
    """And the shortest a microsecond."""
    for last, allowed in ((3_600_000_000, True), (3_600_000_001, False)):
        path = profile(total_us=[1] * 100 + [last])
        if allowed:
            assert read_profile(path)[0].total_us[100] == last
        else:
            with pytest.raises(UsageError, match="less than or equal to 3600000000"):
                read_profile(path)


def test_an_accelerator_is_named_where_the_policy_used_it(profile):
    """Else the processor is."""
    hardware = {"processor": "x", "threads": 4, "accelerator": "H200"}
    assert read_profile(profile(hardware=hardware, device="cuda:0"))[0].machine == "H200"
    assert read_profile(profile(hardware=hardware))[0].machine == "x, 4 threads"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total_us": [0] * 101}, "greater than or equal to 1"),
        ({"total_us": [float("nan")] * 101}, "valid integer"),
        ({"total_us": [5]}, "101 items"),
        ({"total_us": [9] * 50 + [8] * 51}, "fall from 9 at 49 % to 8 at 50 %"),
        ({"schema_version": 2}, "schema_version"),
        ({"batch": 4}, "batch"),
        ({"inferences": 0}, "inferences"),
    ],
)
def test_a_file_with_other_content_is_refused(profile, changes, words):
    """One sentence names the file, the fault and the remedy."""
    path = profile(**changes)
    with pytest.raises(UsageError, match=words) as raised:
        read_profile(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: is no profile of inference times (")
    assert message.endswith("; write one with: vlaeval bench policy SPEC --profile FILE")
    assert "\n" not in message


def test_a_file_that_is_no_json_is_refused(tmp_path):
    """And so is a missing one."""
    path = tmp_path / "notes.json"
    path.write_text("85 ms\n")
    with pytest.raises(UsageError, match="is no profile of inference times"):
        read_profile(path)
    with pytest.raises(UsageError, match="there is no such file"):
        read_profile(tmp_path / "missing.json")


@pytest.mark.parametrize("text", ["student", "=x.json", "student=", "a.b=x.json"])
def test_a_wrong_flag_is_refused(text):
    """Before a file is looked for."""
    with pytest.raises(UsageError, match=f"--profile {text}: "):
        profile_change(text)
