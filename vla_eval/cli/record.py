"""``vlaeval record``."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from vla_eval.cli.common import Changes, print_json, say
from vla_eval.errors import EXIT_COMPLETE, UsageError
from vla_eval.files.plain import whole_number

if TYPE_CHECKING:
    from vla_eval.plan import PlannedEpisode
    from vla_eval.recording.folder import Demonstration, Demonstrations, RecordingRequest
    from vla_eval.recording.from_run import Form, Selection

__all__ = ["record"]


def record(
    source: Annotated[
        tyro.conf.Positional[str | None], tyro.conf.arg(metavar="SUITE|PROTOCOL")
    ] = None,
    *,
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    policy: Annotated[str | None, tyro.conf.arg(metavar="SPEC")] = None,
    from_: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")] = None,
    arm: Annotated[tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="ARM")] = (),
    tasks: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME")] = None,
    init_states: Annotated[str | None, tyro.conf.arg(metavar="A-B,C")] = None,
    only_successes: bool = False,
    only_failures: bool = False,
    size: Annotated[int | None, tyro.conf.arg(metavar="PX")] = None,
    format: Literal["lerobot", "rerun"] = "lerobot",  # noqa: A002 - the flag's name
    images: Literal["video", "png"] = "video",
    env: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE")
    ] = (),
    policy_seed: int | None = None,
    n_action_steps: int | None = None,
    set_: Changes = (),
    trust: bool = False,
    json: bool = False,
) -> int:
    r"""Record demonstrations of any policy as a LeRobotDataset v3: pictures, states, actions, keys.

    Example: vlaeval record so101 --policy expert --tasks PickPlace \
        --init-states 0-49 --only-successes --out demos/pick-place

    Every step is recorded at the control rate, in virtual time the stalled ones too, marked in the column
    is_stalled; the arm is called 'policy' there. The same command on the same folder continues it; with
    more initial states it adds the missing episodes. Needs the extra 'lerobot'.

    Example: vlaeval record --from runs/parity --arm student --only-failures \
        --out failures

    With --from, the episodes of a run are played again from its stored actions, without the policies,
    and checked on the way. --format rerun then writes recordings of the Rerun viewer instead, one for each
    initial state, with the arms side by side (extra 'rerun').

    Args:
        source: A suite (see: vlaeval list suites) or a protocol (see: vlaeval list protocols).
        out: The dataset's folder.
        policy: The demonstrating policy; see: vlaeval list policies
        from_: Record the episodes of this run instead.
        arm: With --from, only this arm. Repeatable.
        tasks: Only these tasks of the source.
        init_states: Only these initial states; default 0-99 for a suite.
        only_successes: Leave failed episodes out of the dataset.
        only_failures: With --from, leave successes out of the dataset.
        size: With --from, height and width of the pictures in px; default: as the policy saw them.
        format: With --from, a LeRobotDataset or recordings of Rerun.
        images: 'video' is small and lossy (AV1), 'png' exact.
        env: An argument of the environment, such as image_size=96. Repeatable.
        policy_seed: Another evaluation seed: fresh policy noise on the same scenes.
        n_action_steps: Execution horizon; default the protocol's or the policy's own.
        set_: With a protocol, change a field of it. Repeatable.
        trust: With --from, run code that the folder names and no installed package provides.
        json: Print the summary as JSON.
    """
    states = _numbers(init_states) if init_states else None
    names = tasks.split(",") if tasks else None
    if from_ is not None:
        if source is not None or policy is not None or env or set_ or policy_seed or n_action_steps:
            raise UsageError(
                "--from RUN says what is recorded; it goes with --arm, --tasks, --init-states, "
                "--only-successes, --only-failures, --size, --format, --images and --trust only"
            )
        outcome = _outcome(successes=only_successes, failures=only_failures)
        chosen = _selection(arm, names, states, outcome)
        form = format, images, size
        _print(_record_run(from_, out, chosen, form, trust=trust), out, json=json)
        return EXIT_COMPLETE
    if source is None or policy is None:
        raise UsageError(
            "record what? for example: vlaeval record so101 --policy expert --out demos, or the episodes "
            "of a run: vlaeval record --from runs/parity --out episodes"
        )
    if arm or only_failures or size or trust or format != "lerobot":
        raise UsageError("--arm, --only-failures, --size, --format and --trust go with --from RUN")
    from vla_eval.protocol import Protocol
    from vla_eval.recording.folder import RecordingRequest
    from vla_eval.recording.plan import find_source, plan_recording, source_label
    from vla_eval.trust import foreign_code, tell_code

    origin, arguments = find_source(source, set_), _arguments(env)
    if isinstance(origin, Protocol):
        tell_code(source, foreign_code(origin, []))
        n_action_steps = n_action_steps or origin.run.n_action_steps
    plan = plan_recording(
        origin,
        tasks=names,
        init_states=states,
        env_kwargs=arguments,
        policy_seed=policy_seed,
    )
    request = RecordingRequest(
        source=source_label(origin),
        policy=policy,
        env_kwargs=arguments,
        only_successes=only_successes,
        images=images,
        n_action_steps=n_action_steps or None,
        realtime=origin.run.realtime if isinstance(origin, Protocol) else None,
    )
    _print(_record(plan, request, out), out, json=json)
    return EXIT_COMPLETE


def _outcome(*, successes: bool, failures: bool) -> Literal["success", "failure"] | None:
    if successes and failures:
        raise UsageError("--only-successes and --only-failures together leave nothing")
    return "success" if successes else "failure" if failures else None


def _selection(
    arms: Sequence[str],
    tasks: Sequence[str] | None,
    init_states: Sequence[int] | None,
    outcome: Literal["success", "failure"] | None,
) -> Selection:
    from vla_eval.recording.from_run import Selection

    return Selection(arms, tasks or (), init_states or (), outcome)


def _record_run(
    run: Path,
    out: Path,
    selection: Selection,
    form: tuple[Form, Literal["video", "png"], int | None],
    *,
    trust: bool,
) -> Demonstrations:
    """Record episodes of a run, with their number on stderr; ``form`` is (format, images, size)."""
    from vla_eval.drawing.bar import Bar
    from vla_eval.recording.from_run import record_run

    bars: list[Bar] = []
    done = 0
    kind, images, size = form

    def show(_: Demonstration, total: int) -> None:
        nonlocal done
        done += 1
        if not bars:
            bars.append(stack.enter_context(Bar(total, "ep")))
        bars[0].show(done, f"{done}/{total} episodes", lambda: "")

    with ExitStack() as stack:
        return record_run(
            run, out, selection, form=kind, images=images, size=size, trust=trust, on_episode=show
        )


def _record(plan: Sequence[PlannedEpisode], request: RecordingRequest, out: Path) -> Demonstrations:
    """Record the episodes of a plan, with successes/n on stderr."""
    from vla_eval.drawing.bar import Bar
    from vla_eval.recording import folder

    outcomes: list[bool] = []

    def show(episode: Demonstration) -> None:
        outcomes.append(episode.success)
        tried = len(outcomes)
        status = f"successes {sum(outcomes)}/{tried}"
        bar.show(tried, f"{tried}/{len(plan)} episodes", lambda: status)

    with Bar(len(plan), "ep") as bar:
        return folder.record(plan, request, out, on_episode=show)


def _print(content: Demonstrations, out: Path, *, json: bool) -> None:
    tried = len(content.episodes)
    if json:
        print_json(
            {
                "folder": str(out),
                "tried": tried,
                "successes": content.successes,
                "episodes": content.kept,
                "frames": content.frames,
            }
        )
    else:
        say(
            f"{content.kept} episodes, {content.frames} frames in {out} "
            f"({content.successes}/{tried} succeeded)"
        )


def _numbers(text: str) -> list[int]:
    """Read ``0-99`` or ``3,5,10-19``."""
    from vla_eval.blocks import MOST_EPISODES

    numbers: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = whole_number(first), whole_number(last if dash else first)
        if low is None or high is None:
            raise UsageError(f"--init-states {text}: expected numbers and ranges, such as 0-49,60")
        if high - low >= MOST_EPISODES:
            raise UsageError(
                f"--init-states {text}: at most {MOST_EPISODES:,} of them can be named"
            )
        numbers |= dict.fromkeys(range(low, high + 1))
    return list(numbers)


def _arguments(pairs: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--env {pair}: expected KEY=VALUE, such as image_size=96")
        values[name] = _json_or_text(pair, text)
    return values


def _json_or_text(pair: str, text: str) -> Any:
    try:
        value = json_module.loads(text)
        json_module.dumps(value, allow_nan=False)
    except json_module.JSONDecodeError:
        return text
    except (ValueError, RecursionError):
        raise UsageError(
            f"--env {pair}: the value is not finite, nested too deeply or has too many digits"
        ) from None
    return value
