"""Grids of policies and settings: every cell is an ordinary run; a table, curves and a break-even over the delay."""

from vla_eval.sweep.break_even import brackets, write_break_even
from vla_eval.sweep.curves import write_curves
from vla_eval.sweep.grid import Cell, Grid, load_grid, run_grid
from vla_eval.sweep.table import table_lines, table_rows, write_tables

__all__ = [
    "Cell",
    "Grid",
    "brackets",
    "load_grid",
    "run_grid",
    "table_lines",
    "table_rows",
    "write_break_even",
    "write_curves",
    "write_tables",
]
