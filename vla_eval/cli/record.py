"""``vlaeval record``."""

from __future__ import annotations

import dataclasses
import json as json_module
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import tyro

from vla_eval.cli.common import Changes, print_json, say
from vla_eval.errors import EXIT_COMPLETE, UsageError
from vla_eval.files.plain import whole_number
from vla_eval.protocol import MOST_EPISODES

if TYPE_CHECKING:
    from vla_eval.catalog import Suite
    from vla_eval.plan import PlannedEpisode
    from vla_eval.recording.folder import Demonstration

__all__ = ["record"]

_SUITE_STATES = 100
"""Of a suite's initial states, so many are recorded by default: those meant for development."""


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
    """Record demonstrations of any policy as a LeRobotDataset v3: pictures, states, actions, keys.

    Example: vlaeval record so101 --policy expert --tasks PickPlace --init-states 0-49
    --out demos/pick-place --only-successes

    Every step is recorded at the control rate. The same command on the same folder continues it, and
    adds what is missing when more initial states are asked for. Needs the extra 'lerobot'.

    Args:
        source: A suite (see: vlaeval list suites) or a protocol (see: vlaeval list protocols).
        policy: Who demonstrates; see: vlaeval list policies
        out: The dataset's folder.
        tasks: Only these tasks of it.
        init_states: Only these initial states; of a suite, 0-99 by default.
        only_successes: Leave failed episodes out of the dataset.
        images: 'video' is small and lossy (AV1), 'png' exact.
        env: An argument of the environment, such as image_size=96. Repeatable.
        policy_seed: Another evaluation seed: fresh policy noise on the same scenes.
        n_action_steps: Execution horizon; default the protocol's or the policy's own.
        set_: With a protocol, change a field of it. Repeatable.
        json: Print the summary as JSON.
    """
    from vla_eval.recording import folder as demonstrations

    plan, label, horizon = _plan(source, init_states, set_)
    plan = _chosen(plan, tasks, _numbers(init_states) if init_states else None)
    plan = [_changed(each, _arguments(env), policy_seed) for each in plan]
    request = demonstrations.RecordingRequest(
        source=label,
        policy=policy,
        env_kwargs=_arguments(env),
        only_successes=only_successes,
        images=images,
        n_action_steps=n_action_steps or horizon,
    )
    with _Bar(len(plan)) as bar:
        content = demonstrations.record(plan, request, out, on_episode=bar.count)
    summary = {
        "folder": str(out),
        "tried": len(content.episodes),
        "successes": content.successes,
        "episodes": content.kept,
        "frames": content.frames,
    }
    if json:
        print_json(summary)
    else:
        say(
            f"{summary['episodes']} episodes, {summary['frames']} frames in {out} "
            f"({summary['successes']}/{summary['tried']} succeeded)"
        )
    return EXIT_COMPLETE


def _plan(
    source: str, init_states: str | None, changes: Sequence[str]
) -> tuple[list[PlannedEpisode], str, int | None]:
    """Return the episodes of a suite or a protocol, what to call them, and the horizon."""
    from vla_eval.catalog import find_suite, suites
    from vla_eval.plan import expand
    from vla_eval.released import load_protocol
    from vla_eval.trust import foreign_code, tell_code

    if source in {each.name for each in suites()}:
        if changes:
            raise UsageError("--set changes a protocol; for a suite, use --env KEY=VALUE")
        wanted = _numbers(init_states) if init_states else range(_SUITE_STATES)
        return list(_episodes(find_suite(source), wanted)), source, None
    protocol = load_protocol(source, overrides=changes)
    tell_code(source, foreign_code(protocol, []))
    label = f"{protocol.label} {protocol.sha256[:12]}"
    return list(expand(protocol)), label, protocol.run.n_action_steps


def _episodes(suite: Suite, init_states: Sequence[int]) -> Iterable[PlannedEpisode]:
    from vla_eval.keys import EpisodeKey
    from vla_eval.plan import PlannedEpisode

    for task in suite.tasks:
        for state in init_states:
            if state < task.init_states:
                key = EpisodeKey(suite.name, task.name, state, 0, 0)
                yield PlannedEpisode(key, task.env_id, {}, task.max_steps)


def _chosen(
    plan: Sequence[PlannedEpisode], tasks: str | None, init_states: Sequence[int] | None
) -> list[PlannedEpisode]:
    """Return the part of a plan that was asked for, all of which must exist."""
    from vla_eval.errors import did_you_mean

    known = dict.fromkeys(each.key.task for each in plan)
    names = tasks.split(",") if tasks else list(known)
    for name in names:
        if name not in known:
            raise UsageError(f"--tasks: there is no task '{name}'{did_you_mean(name, known)}")
    chosen = [
        each
        for each in plan
        if each.key.task in names and (init_states is None or each.key.init_state in init_states)
    ]
    have = {each.key.init_state for each in chosen}
    missing = [state for state in init_states or () if state not in have]
    if missing or not chosen:
        raise UsageError(f"--init-states: there is no initial state {missing[:1] or ''}")
    return chosen


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


def _changed(
    episode: PlannedEpisode, arguments: Mapping[str, Any], policy_seed: int | None
) -> PlannedEpisode:
    key = episode.key
    if policy_seed is not None:
        key = dataclasses.replace(key, policy_seed=policy_seed)
    kwargs = {**episode.env_kwargs, **arguments}
    return dataclasses.replace(episode, key=key, env_kwargs=kwargs)


class _Bar:
    """Episodes on stderr, with successes/n."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, unit="ep", dynamic_ncols=True, file=sys.stderr)
        self._successes = 0

    def count(self, episode: Demonstration) -> None:
        self._successes += int(episode.success)
        self._bar.set_postfix_str(f"successes {self._successes}/{self._bar.n + 1}", refresh=False)
        self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
