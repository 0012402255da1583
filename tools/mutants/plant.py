"""Print a sample of the mutants of modules, as JSON lines; runs in the planter's own environment.

    .venv-mutants/bin/python tools/mutants/plant.py --seed 7 --take 100 MODULE[:FIRST-LAST,...] ...

Left alone are annotations, decorators, messages of exceptions, lists of exported names, and numbers that
only say how a thing is shown.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from operators import OPERATORS

_Place = tuple[int, int]


@dataclass(frozen=True)
class _Spot:
    """A place that an operator can change; its rank decides whether a sample has it."""

    rank: str
    module: str
    line: int
    operator: Operator
    occurrence: int


def sample(modules: Iterable[str], *, seed: int, take: int) -> Iterator[dict[str, Any]]:
    """Yield up to `take` mutants: path, line, what was, what became, and the module's whole new text.

    A place's rank is a hash of the seed, the operator and the line's text. So a sample hardly changes
    when other lines do, and a larger one holds the smaller.
    """
    spots = sorted((spot for module in modules for spot in _spots(module, seed)), key=_rank)
    return islice(filter(None, _planted(spots)), take)


def _rank(spot: _Spot) -> str:
    return spot.rank


def _spots(module: str, seed: int) -> Iterator[_Spot]:
    module, _, said = module.partition(":")
    spans = [tuple(map(int, span.split("-"))) for span in said.split(",") if span]
    text = Path(module).read_text(encoding="utf-8")
    lines = text.splitlines()
    spared = _spared(text)
    nodes = list(ast_nodes(get_ast(text)))
    for operator in OPERATORS:
        name = type(operator).__name__
        times: Counter[str] = Counter()
        places = (span for node in nodes for span in operator.mutation_positions(node))
        for occurrence, (start, stop) in enumerate(places):
            line = lines[start[0] - 1].strip()
            times[line] += 1
            if any(begin <= start and stop <= end for begin, end in spared) or (
                spans and not any(first <= start[0] <= last for first, last in spans)
            ):
                continue
            spot = f"{seed}|{module}|{name}|{line}|{times[line]}"
            rank = hashlib.sha256(spot.encode()).hexdigest()
            yield _Spot(rank, module, start[0], operator, occurrence)


def _planted(spots: Iterable[_Spot]) -> Iterator[dict[str, Any] | None]:
    seen: set[tuple[str, str]] = set()
    for spot in spots:
        text = Path(spot.module).read_text(encoding="utf-8")
        try:
            code = mutate_code(text, spot.operator, spot.occurrence)
        except AttributeError:  # ExceptionReplacer knows no exception with a dot in its name
            code = None
        if code is None or (spot.module, code) in seen or not _compiles(code):
            yield None
            continue
        seen.add((spot.module, code))
        was, became = _difference(text, code)
        if "/, " in became and "*, " in was:  # the mark of keyword-only arguments, no product
            yield None
            continue
        yield {
            "module": spot.module,
            "line": spot.line,
            "was": was,
            "became": became,
            "code": code,
        }


def _spared(text: str) -> list[tuple[_Place, _Place]]:
    """Return the places that are left alone, as first and last (line, column in characters)."""
    lines = text.splitlines()
    found: list[ast.AST] = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Raise() | ast.TypeAlias() | ast.FormattedValue():
                found.append(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found += node.decorator_list
                found += [node.returns] if getattr(node, "returns", None) else []
            case (
                ast.arg(annotation=ast.expr() as annotation) | ast.AnnAssign(annotation=annotation)
            ):
                found.append(annotation)
            case (
                ast.Assign(targets=[ast.Name(id="__all__")])
                | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            ):
                found.append(node)

    def place(line: int, octets: int) -> _Place:
        return line, len(lines[line - 1].encode()[:octets].decode())

    return [
        (place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset))  # type: ignore[attr-defined]
        for node in found
    ]


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _difference(before: str, after: str) -> tuple[str, str]:
    """Return the lines that differ, before and after, each joined and with single spaces."""
    lines = [
        line
        for line in difflib.ndiff(before.splitlines(), after.splitlines())
        if line[:2] in {"- ", "+ "}
    ]
    was, became = (
        " ".join(" ".join(line[2:] for line in lines if line[0] == sign).split()) for sign in "-+"
    )
    return was, became


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--take", type=int, required=True)
    chosen = parser.parse_args()
    for mutant in sample(chosen.modules, seed=chosen.seed, take=chosen.take):
        print(json.dumps(mutant), flush=True)
