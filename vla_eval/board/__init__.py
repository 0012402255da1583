"""A board of policies from evidence packages: everything on it was recomputed from records."""

from vla_eval.board.build import Board, build

__all__ = ["Board", "build"]
