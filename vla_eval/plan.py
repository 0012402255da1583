"""Plans: the ordered list of episodes that a protocol expands to; a pure function of the protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from vla_eval.blocks import Block
from vla_eval.errors import UsageError
from vla_eval.files.plain import whole_number
from vla_eval.keys import EpisodeKey, PlannedEpisode
from vla_eval.protocol import LOOKS, Protocol

__all__ = ["PlannedEpisode", "Shard", "expand", "in_stages", "look_sizes", "take_shard", "tasks_of"]


@dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``i/n``, 1 ≤ i ≤ n; raises UsageError."""
        left, slash, right = text.partition("/")
        index, count = whole_number(left), whole_number(right)
        if not slash or index is None or count is None or not 1 <= index <= count:
            raise UsageError(f"--shard {text}: expected i/n with 1 <= i <= n, for example 2/8")
        return cls(index, count)


@lru_cache(maxsize=16)
def expand(protocol: Protocol) -> tuple[PlannedEpisode, ...]:
    """Return all episodes of a protocol in their order."""
    blind_under = protocol.sha256 if protocol.run.blind_keys else None
    columns = [
        list(_episodes(protocol, block, task, blind_under))
        for block in protocol.blocks
        for task in block.task_names()
    ]
    if protocol.run.order == "by-task":
        return tuple(episode for column in columns for episode in column)
    longest = max(len(column) for column in columns)
    return tuple(column[i] for i in range(longest) for column in columns if i < len(column))


def _episodes(
    protocol: Protocol, block: Block, task: str, blind_under: str | None
) -> Iterator[PlannedEpisode]:
    for policy_seed in protocol.run.policy_seeds:
        for env_seed in protocol.run.env_seeds:
            for init_state in block.init_state_numbers():
                yield PlannedEpisode(
                    key=EpisodeKey(block.suite, task, init_state, env_seed, policy_seed),
                    env_id=block.env_id.format(task=task),
                    env_kwargs=block.env_kwargs,
                    max_steps=block.max_steps,
                    blind_under=blind_under,
                )


def tasks_of(protocol: Protocol) -> int:
    """Return the number of tasks: the episodes of one round over them."""
    return sum(len(block.task_names()) for block in protocol.blocks)


def look_sizes(protocol: Protocol) -> tuple[int, ...]:
    """Return the episodes per arm at each look: whole rounds over the tasks, as even as possible.

    A protocol of fixed size has one look, at its end.
    """
    count = len(expand(protocol))
    if protocol.analysis.stopping == "fixed":
        return (count,)
    tasks = tasks_of(protocol)
    rounds = count // tasks
    return tuple(tasks * round(rounds * look / LOOKS) for look in range(1, LOOKS + 1))


def in_stages(
    protocol: Protocol, *, pairs: int | None = None
) -> tuple[tuple[PlannedEpisode, ...], ...]:
    """Return the plan in stages that are run one after another: one for each look.

    A resized run has two: the pairs that decide its size, and the others.

    Args:
        protocol: what is run.
        pairs: the size of a resized run; None: the largest one.
    """
    plan, sizes = expand(protocol), look_sizes(protocol)
    if (resize := protocol.analysis.resize) is not None:
        sizes = (resize.after, pairs or resize.at_most)
    return tuple(plan[start:stop] for start, stop in pairwise((0, *sizes)))


def take_shard(plan: Sequence[PlannedEpisode], shard: Shard) -> tuple[PlannedEpisode, ...]:
    """Return the shard's part of a plan: disjoint, complete, balanced to one episode.

    The episodes of each task are dealt out to the shards in turn, because tasks differ in length: with
    whole tasks the longest shard takes half as long again. Within a shard the plan's order is kept.
    Both arms of a pair are always in the same shard, since shards hold keys.
    """
    by_scene = sorted(range(len(plan)), key=lambda i: (plan[i].scene[0], i))
    return tuple(plan[i] for i in sorted(by_scene[shard.index - 1 :: shard.count]))
