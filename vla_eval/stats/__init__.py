"""Statistics: intervals and tests on counts. Pure functions, each with its formula and source."""

from vla_eval.stats.exact import exact_p_noninferior
from vla_eval.stats.failures import failure_ratio_independent, failure_ratio_paired
from vla_eval.stats.independent import (
    miettinen_nurminen_interval,
    miettinen_nurminen_p_noninferior,
    miettinen_nurminen_z,
    newcombe_disagreement,
    newcombe_interval,
    stratified_independent_interval,
)
from vla_eval.stats.paired import (
    PairedTable,
    bonett_price_interval,
    newcombe_paired_interval,
    tango_interval,
    tango_p_noninferior,
    tango_z,
)
from vla_eval.stats.proportions import (
    clopper_pearson_interval,
    jeffreys_interval,
    wilson_interval,
)
from vla_eval.stats.verdicts import (
    Flag,
    Judgement,
    Scope,
    Verdict,
    judge,
    judge_independent,
    judge_paired,
)

__all__ = [
    "Flag",
    "Judgement",
    "PairedTable",
    "Scope",
    "Verdict",
    "bonett_price_interval",
    "clopper_pearson_interval",
    "exact_p_noninferior",
    "failure_ratio_independent",
    "failure_ratio_paired",
    "jeffreys_interval",
    "judge",
    "judge_independent",
    "judge_paired",
    "miettinen_nurminen_interval",
    "miettinen_nurminen_p_noninferior",
    "miettinen_nurminen_z",
    "newcombe_disagreement",
    "newcombe_interval",
    "newcombe_paired_interval",
    "stratified_independent_interval",
    "tango_interval",
    "tango_p_noninferior",
    "tango_z",
    "wilson_interval",
]
