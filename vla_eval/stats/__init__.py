"""Statistics: intervals and tests on counts. Pure functions, each with its formula and source."""

from vla_eval.stats.paired import PairedTable, tango_interval, tango_z
from vla_eval.stats.proportions import wilson_interval

__all__ = ["PairedTable", "tango_interval", "tango_z", "wilson_interval"]
