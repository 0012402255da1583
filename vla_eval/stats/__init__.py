"""Statistics: intervals and tests on counts. Pure functions, each with its formula and source.

Named here is what other packages use; what a module needs of another one, or a test of a module, is
imported from it.
"""

from vla_eval.stats.amdahl import (
    AmdahlFit,
    amdahl_fit,
    prefix_for_speedup,
)
from vla_eval.stats.anytime import AnytimeDifference, Standing
from vla_eval.stats.audit import (
    AssumedPairing,
    PairingEnvelope,
    Spread,
    grim_counts,
    pairing_envelope,
    spread_kind,
)
from vla_eval.stats.bounded import (
    bet_p_above,
)
from vla_eval.stats.cluster_power import (
    estimated_icc,
    minimum_states,
    power_clustered,
)
from vla_eval.stats.clusters import (
    CLUSTER_TESTS,
    ClusteredPairs,
    ClusteredRate,
    ClusterTest,
)
from vla_eval.stats.crosscheck import (
    CrossCheck,
    cross_checks_independent,
    cross_checks_paired,
)
from vla_eval.stats.design import (
    PairedCase,
    minimum_pairs,
    minimum_pairs_exact,
    pairs_by_formula,
)
from vla_eval.stats.exact import (
    exact_p_above,
    exact_p_noninferior,
)
from vla_eval.stats.failures import (
    failure_ratio_independent,
    failure_ratio_paired,
)
from vla_eval.stats.independent import (
    miettinen_nurminen_interval,
    miettinen_nurminen_p_noninferior,
    miettinen_nurminen_z,
    newcombe_disagreement,
    stratified_independent_interval,
    stratified_independent_z,
)
from vla_eval.stats.mean_power import power_of_means, states_for_power
from vla_eval.stats.means import MeanDifferences, latency_ratio
from vla_eval.stats.multiplicity import (
    attempt_alpha,
    benjamini_hochberg,
    compact_letters,
    fixed_sequence,
    holm,
    holm_levels,
)
from vla_eval.stats.operating import (
    operating_characteristics,
)
from vla_eval.stats.paired import (
    PairedTable,
    tango_interval,
    tango_p_noninferior,
    tango_z,
)
from vla_eval.stats.power import (
    episodes_per_arm,
    pairs_needed,
    power_independent,
    power_paired,
    smallest_margin,
)
from vla_eval.stats.proportions import (
    wilson_interval,
)
from vla_eval.stats.recipes import (
    SeedsOnStates,
    recipe_power,
)
from vla_eval.stats.resizing import (
    ResizeRule,
    exact_p_above_resized,
    resized_outlook,
)
from vla_eval.stats.seeds import (
    Checkpoints,
    SeedInference,
    compare_distilled,
    compare_methods,
    compare_with_frozen,
    noise_floor,
    rerun_sd,
)
from vla_eval.stats.selection import expected_excess
from vla_eval.stats.sequential import (
    Decision,
    SequentialPlan,
    repeated_interval,
)
from vla_eval.stats.strata import (
    Heterogeneity,
    heterogeneity,
    stratified_paired_interval,
)
from vla_eval.stats.superiority import (
    cochran_q,
    mcnemar_p,
)
from vla_eval.stats.tasks import (
    Agreement,
    further_tasks,
    tasks_agree,
)
from vla_eval.stats.verdicts import (
    Flag,
    Guards,
    Judgement,
    Verdict,
    is_ceiling,
    is_floor,
    judge,
    judge_clustered,
    judge_independent,
    judge_paired,
)

__all__ = [
    "CLUSTER_TESTS",
    "Agreement",
    "AmdahlFit",
    "AnytimeDifference",
    "AssumedPairing",
    "Checkpoints",
    "ClusterTest",
    "ClusteredPairs",
    "ClusteredRate",
    "CrossCheck",
    "Decision",
    "Flag",
    "Guards",
    "Heterogeneity",
    "Judgement",
    "MeanDifferences",
    "PairedCase",
    "PairedTable",
    "PairingEnvelope",
    "ResizeRule",
    "SeedInference",
    "SeedsOnStates",
    "SequentialPlan",
    "Spread",
    "Standing",
    "Verdict",
    "amdahl_fit",
    "attempt_alpha",
    "benjamini_hochberg",
    "bet_p_above",
    "cochran_q",
    "compact_letters",
    "compare_distilled",
    "compare_methods",
    "compare_with_frozen",
    "cross_checks_independent",
    "cross_checks_paired",
    "episodes_per_arm",
    "estimated_icc",
    "exact_p_above",
    "exact_p_above_resized",
    "exact_p_noninferior",
    "expected_excess",
    "failure_ratio_independent",
    "failure_ratio_paired",
    "fixed_sequence",
    "further_tasks",
    "grim_counts",
    "heterogeneity",
    "holm",
    "holm_levels",
    "is_ceiling",
    "is_floor",
    "judge",
    "judge_clustered",
    "judge_independent",
    "judge_paired",
    "latency_ratio",
    "mcnemar_p",
    "miettinen_nurminen_interval",
    "miettinen_nurminen_p_noninferior",
    "miettinen_nurminen_z",
    "minimum_pairs",
    "minimum_pairs_exact",
    "minimum_states",
    "newcombe_disagreement",
    "noise_floor",
    "operating_characteristics",
    "pairing_envelope",
    "pairs_by_formula",
    "pairs_needed",
    "power_clustered",
    "power_independent",
    "power_of_means",
    "power_paired",
    "prefix_for_speedup",
    "recipe_power",
    "repeated_interval",
    "rerun_sd",
    "resized_outlook",
    "smallest_margin",
    "spread_kind",
    "states_for_power",
    "stratified_independent_interval",
    "stratified_independent_z",
    "stratified_paired_interval",
    "tango_interval",
    "tango_p_noninferior",
    "tango_z",
    "tasks_agree",
    "wilson_interval",
]
