"""``vlaeval bench``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vla_eval.cli.bench_policy import print_latencies, print_profile
from vla_eval.cli.common import print_json, print_table, say
from vla_eval.errors import EXIT_COMPLETE, UsageError
from vla_eval.files.plain import whole_number

__all__ = ["bench"]

Target = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SUITE/TASK|SPEC")]
_REPEATS = 30
EnvOptions = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE")
]


def bench(
    what: tyro.conf.Positional[Literal["sim", "policy"]],
    target: Target,
    *,
    option: EnvOptions = (),
    nfe: tuple[int, ...] = (),
    batch: tuple[int, ...] = (1,),
    dtype: tuple[str, ...] = (),
    suite: Annotated[str | None, tyro.conf.arg(metavar="SUITE")] = None,
    repeats: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    profile: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
    busy: bool = False,
    json: bool = False,
) -> int:
    r"""Measure the parts of a simulator's time, or of a policy's, on this machine.

    Example: vlaeval bench sim libero_spatial/4

    Example: vlaeval bench policy 'lerobot:outputs/pretrained_model' --batch 1 4

    Example: vlaeval bench policy flow:so101/snapflow --suite so101 \
        --profile student.json

    Args:
        what: 'sim', an environment without a policy; or 'policy', a policy without an environment.
        target: The task, for example libero_spatial/4 or so101/PickPlace; or the policy's spec.
        option: For sim: an option of the environment, for example physics=fast. Repeatable.
        nfe: For policy: function evaluations to try; default 1 2 5 10 if it has steps.
        batch: For policy: numbers of observations at a time.
        dtype: For policy: dtypes of the model, such as float32 bfloat16; default the spec's.
        suite: For policy: suite of the observation; default one that the policy generates.
        repeats: For policy: measurements of each configuration after its warm-up; default 30, or 300 for
            a profile.
        profile: For policy: measure the spec as it stands, and write the distribution of its times to
            FILE, for protocols in virtual time. A busy machine is refused.
        busy: With --profile: keep the times of a busy machine.
        json: Print for machines.
    """
    foreign: dict[str, object] = {}
    if what == "sim":
        foreign = {"--nfe": nfe, "--dtype": dtype, "--suite": suite, "--profile": profile}
    foreign |= {"--option": option} if what == "policy" else {}
    if misplaced := [flag for flag, value in foreign.items() if value]:
        other = "policy" if what == "sim" else "sim"
        raise UsageError(f"{misplaced[0]} is for vlaeval bench {other}, not for bench {what}")
    if what == "sim":
        return _bench_simulator(target, _options(option), json=json)
    if busy and profile is None:
        raise UsageError("--busy belongs to --profile FILE")
    if profile is not None:
        if nfe or dtype or batch != (1,):
            raise UsageError(
                "a profile is of one policy as its spec stands, one observation at a time: write nfe and "
                "dtype into the spec, and leave --batch out"
            )
        return _bench_profile(target, profile, suite, repeats, busy=busy, json=json)
    from vla_eval.benchmarking.policy import measure_policy

    result = measure_policy(
        target,
        nfes=nfe,
        batches=batch,
        dtypes=dtype,
        suite=suite,
        repeats=_REPEATS if repeats is None else repeats,
    )
    if json:
        print_json(result)
    else:
        print_latencies(result)
    return EXIT_COMPLETE


def _bench_profile(
    spec: str, file: Path, suite: str | None, repeats: int | None, *, busy: bool, json: bool
) -> int:
    from vla_eval.benchmarking.profile import INFERENCES, measure_profile
    from vla_eval.files.atomic import write_atomically

    count = INFERENCES if repeats is None else repeats
    measured = measure_profile(spec, suite=suite, repeats=count, busy=busy)
    write_atomically(file, measured.model_dump_json(indent=1) + "\n")
    if json:
        print_json(measured.model_dump(mode="json"))
    else:
        print_profile(measured)
    say(f"profile: {file}", file=sys.stderr)
    return EXIT_COMPLETE


def _bench_simulator(task: str, options: Mapping[str, Any], *, json: bool) -> int:
    from vla_eval.benchmarking.simulator import measure_simulator

    result = measure_simulator(task, options)
    if json:
        print_json(result)
    else:
        print_table([["what", "median"], *_rows(result)])
    return EXIT_COMPLETE


def _options(texts: tuple[str, ...]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--option {text}: expected KEY=VALUE, for example physics=fast")
        number = whole_number(value.removeprefix("-"))
        sign = -1 if value.startswith("-") else 1
        options[key] = value if number is None else sign * number
    return options


def _rows(result: Mapping[str, Any]) -> list[list[str]]:
    floor, step = result["physics_floor_ms"], result["control_step_ms"]
    ratio = f", {step / floor:.2f} times its physics" if floor else ""
    return [
        ["bare physics of a control step", "not measured" if floor is None else f"{floor:.2f} ms"],
        ["control step", f"{step:.2f} ms{ratio}"],
        *([f"picture: {name}", f"{ms:.1f} ms"] for name, ms in result["observe_ms"].items()),
        ["reset to another initial state", f"{result['reset_s']:.2f} s"],
        ["change of task", f"{result['task_change_s']:.2f} s"],
        ["resident memory", f"{result['rss_mb']} MB"],
    ]
