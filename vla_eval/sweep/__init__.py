"""Grids of policies and settings: every cell is an ordinary run; a table, and curves over the delay."""

from vla_eval.sweep.curves import write_curves
from vla_eval.sweep.grid import Cell, Grid, load_grid, run_grid
from vla_eval.sweep.table import table_rows, write_tables

__all__ = ["Cell", "Grid", "load_grid", "run_grid", "table_rows", "write_curves", "write_tables"]
