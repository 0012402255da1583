"""``vlaeval record``."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from vla_eval.blocks import MOST_EPISODES
from vla_eval.cli.common import Changes, print_json, say
from vla_eval.errors import EXIT_COMPLETE, UsageError
from vla_eval.files.plain import whole_number

if TYPE_CHECKING:
    from vla_eval.plan import PlannedEpisode
    from vla_eval.recording.folder import Demonstration, Demonstrations, RecordingRequest

__all__ = ["record"]


def record(
    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SUITE|PROTOCOL")],
    *,
    policy: Annotated[str, tyro.conf.arg(metavar="SPEC")],
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")],
    tasks: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME")] = None,
    init_states: Annotated[str | None, tyro.conf.arg(metavar="A-B,C")] = None,
    only_successes: bool = False,
    images: Literal["video", "png"] = "video",
    env: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(metavar="KEY=VALUE")
    ] = (),
    policy_seed: int | None = None,
    n_action_steps: int | None = None,
    set_: Changes = (),
    json: bool = False,
) -> int:
    r"""Record demonstrations of any policy as a LeRobotDataset v3: pictures, states, actions, keys.

    Example: vlaeval record so101 --policy expert --tasks PickPlace \
        --init-states 0-49 --only-successes --out demos/pick-place

    Every step is recorded at the control rate, in virtual time the stalled ones too, marked in the column
    is_stalled; the arm is called 'policy' there. The same command on the same folder continues it; with
    more initial states it adds the missing episodes. Needs the extra 'lerobot'.

    Args:
        source: A suite (see: vlaeval list suites) or a protocol (see: vlaeval list protocols).
        policy: The demonstrating policy; see: vlaeval list policies
        out: The dataset's folder.
        tasks: Only these tasks of the source.
        init_states: Only these initial states; default 0-99 for a suite.
        only_successes: Leave failed episodes out of the dataset.
        images: 'video' is small and lossy (AV1), 'png' exact.
        env: An argument of the environment, such as image_size=96. Repeatable.
        policy_seed: Another evaluation seed: fresh policy noise on the same scenes.
        n_action_steps: Execution horizon; default the protocol's or the policy's own.
        set_: With a protocol, change a field of it. Repeatable.
        json: Print the summary as JSON.
    """
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
        tasks=tasks.split(",") if tasks else None,
        init_states=_numbers(init_states) if init_states else None,
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
