"""Which faults are planted: Cosmic Ray's operators by name, and three that it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import parso
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator

__all__ = ["OPERATORS"]

_LIBRARY = (
    *(
        f"ReplaceComparisonOperator_{change}"
        for change in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Eq_NotEq", "NotEq_Eq")
    ),
    *(f"ReplaceComparisonOperator_{change}" for change in ("Lt_Gt", "LtE_GtE", "Gt_Lt", "GtE_LtE")),
    *(f"ReplaceComparisonOperator_{change}" for change in ("Is_IsNot", "IsNot_Is")),
    *(f"ReplaceBinaryOperator_{change}" for change in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul")),
    *(f"ReplaceBinaryOperator_{change}" for change in ("FloorDiv_Mul", "Mod_Mul", "Pow_Mul")),
    *(f"ReplaceBinaryOperator_{change}" for change in ("BitAnd_BitOr", "BitOr_BitAnd")),
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "NumberReplacer",
    "ZeroIterationForLoop",
)
_Span = tuple[tuple[int, int], tuple[int, int]]


class _ConditionIgnored(Operator):
    """A condition that never holds; the filter of a comprehension, which always does."""

    def mutation_positions(self, node: Any) -> Iterator[_Span]:
        for index in self._conditions(node):
            yield node.children[index].start_pos, node.children[index].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        place = self._conditions(node)[index]
        node.children[place] = parso.parse(" True" if node.type == "comp_if" else " False")
        return node

    @staticmethod
    def _conditions(node: Any) -> list[int]:
        if node.type == "if_stmt":
            words = enumerate(node.children)
            return [at + 1 for at, word in words if getattr(word, "value", "") in {"if", "elif"}]
        if node.type == "comp_if":
            return [1]
        is_ternary = node.type == "test" and getattr(node.children[1], "value", "") == "if"
        return [2] if is_ternary else []

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("if a: pass", "if False: pass"),
            Example("x = a if b else c", "x = a if False else c"),
            Example("[a for a in b if a]", "[a for a in b if True]"),
        )


class _CallDropped(Operator):
    """A statement that is a call, which is not made."""

    def mutation_positions(self, node: Any) -> Iterator[_Span]:
        if node.type != "simple_stmt" or node.children[0].type != "atom_expr":
            return
        last = node.children[0].children[-1]
        if last.type == "trailer" and last.children[0].value == "(":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:  # noqa: ARG002 - one place a node
        prefix = node.children[0].get_first_leaf().prefix
        node.children[0] = parso.parse(f"{prefix}pass")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(1)\n", "pass\n"),)


class _ArgumentsSwapped(Operator):
    """Two neighbouring arguments that are given by position, in the other order."""

    def mutation_positions(self, node: Any) -> Iterator[_Span]:
        for at in self._pairs(node):
            yield node.children[at].start_pos, node.children[at + 2].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        at = self._pairs(node)[index]
        first, second = node.children[at], node.children[at + 2]
        leaves = first.get_first_leaf(), second.get_first_leaf()
        leaves[0].prefix, leaves[1].prefix = leaves[1].prefix, leaves[0].prefix
        node.children[at], node.children[at + 2] = second, first
        return node

    @staticmethod
    def _pairs(node: Any) -> list[int]:
        if node.type != "arglist" or getattr(node.parent.parent, "type", "") == "classdef":
            return []
        called = node.parent.get_previous_sibling()
        if getattr(called, "value", "") in {"isinstance", "issubclass", "max", "min"}:
            return []
        values = node.children[::2]
        return [
            2 * at
            for at, (one, two) in enumerate(pairwise(values))
            if "argument" not in {one.type, two.type}
            and one.get_code().strip() != two.get_code().strip()
        ]

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("f(a, b)", "f(b, a)"),)


OPERATORS: list[Operator] = [
    *(get_operator(f"core/{name}")() for name in _LIBRARY),
    _ConditionIgnored(),
    _CallDropped(),
    _ArgumentsSwapped(),
]
"""All operators; each mutates one place at a time."""
