"""What is left to do: the present block's episodes, those of the next for idle workers, and repeats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vla_eval.engine.dispatch import Dispatcher
from vla_eval.engine.messages import Target, WorkItem

__all__ = ["Agenda", "Block"]


@dataclass(frozen=True)
class Block:
    """Items that must all end before what follows is decided."""

    items: Sequence[WorkItem]
    ahead: Sequence[WorkItem] = ()
    """Items of the next block, for workers that would be idle. A stop after this block makes them needless."""


class Agenda:
    """Hands out the items of one block after another."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        """Prepare.

        Args:
            blocks: the next one is taken when all items of the last have ended or were given up.
        """
        self._blocks = iter(blocks)
        self._present, self._ahead = Dispatcher(), Dispatcher()
        self._lost: list[tuple[WorkItem, str]] = []
        self._open: set[Target] = set()
        self._under_way: set[Target] = set()
        self._closed: set[Target] = set()

    def go_on(self) -> bool:
        """Return whether there is work; after the last item of a block the next block begins."""
        while not self._open:
            block = next(self._blocks, None)
            if block is None:
                return False
            self._begin(block)
        return True

    def _begin(self, block: Block) -> None:
        done = self._closed | self._under_way
        self._present, self._ahead = Dispatcher(), Dispatcher()
        self._present.add(item for item in block.items if item.target not in done)
        self._ahead.add(item for item in block.ahead if item.target not in done)
        self._lost.clear()
        self._open = {item.target for item in block.items} - self._closed

    def __len__(self) -> int:
        """Return the number of items that can be handed out."""
        return len(self._present) + len(self._ahead) + len(self._lost)

    def take(
        self,
        scene: object,
        others: Sequence[object],
        *,
        node: str = "",
        is_elsewhere: Callable[[], bool] = lambda: False,
    ) -> WorkItem | None:
        """Return the next item, or None.

        Args:
            scene: the scene that the asking worker has built, or None.
            others: the scenes that the other workers have built.
            node: the node of the asking worker.
            is_elsewhere: returns whether a worker on another node can do an item that was lost on this one.
        """
        item = (
            self._take_lost(node, is_elsewhere)
            or self._present.take(scene, others)
            or self._ahead.take(scene, others)
        )
        if item is not None:
            self._under_way.add(item.target)
        return item

    def _take_lost(self, node: str, is_elsewhere: Callable[[], bool]) -> WorkItem | None:
        for index, (item, lost_on) in enumerate(self._lost):
            if lost_on != node or not is_elsewhere():
                del self._lost[index]
                return item
        return None

    def put_back(self, item: WorkItem, node: str) -> None:
        """Take an item back that was lost on a node; without a node it is the next on its scene."""
        self._under_way.discard(item.target)
        if node:
            self._lost.append((item, node))
        else:
            (self._present if item.target in self._open else self._ahead).put_back(item)

    def close(self, item: WorkItem) -> None:
        """Note that an item has ended, or was given up."""
        self._under_way.discard(item.target)
        self._open.discard(item.target)
        self._closed.add(item.target)
