"""Statistics: intervals and tests on counts. Pure functions, each with its formula and source."""

from vla_eval.stats.amdahl import (
    AmdahlFit,
    amdahl_fit,
    prefix_for_speedup,
)
from vla_eval.stats.audit import (
    AssumedPairing,
    PairingEnvelope,
    Spread,
    grim_counts,
    margin_from_control,
    pairing_envelope,
    spread_kind,
)
from vla_eval.stats.bounded import (
    bet_interval,
    bet_p_above,
)
from vla_eval.stats.cluster_power import (
    ClusterPower,
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
from vla_eval.stats.eprocess import (
    Bets,
    confidence_sequence,
    growth_optimal_bet,
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
    newcombe_interval,
    stratified_independent_interval,
    stratified_independent_z,
)
from vla_eval.stats.means import (
    LatencyRatio,
    PairedScores,
    latency_ratio,
)
from vla_eval.stats.multiplicity import (
    attempt_alpha,
    benjamini_hochberg,
    compact_letters,
    holm,
)
from vla_eval.stats.operating import (
    Operating,
    operating_characteristics,
)
from vla_eval.stats.paired import (
    PairedTable,
    bonett_price_interval,
    newcombe_paired_interval,
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
    clopper_pearson_interval,
    jeffreys_interval,
    wilson_interval,
)
from vla_eval.stats.seeds import (
    Checkpoints,
    NoiseFloor,
    SeedInference,
    compare_distilled,
    compare_methods,
    compare_with_frozen,
    noise_floor,
    rerun_sd,
)
from vla_eval.stats.sequential import (
    Decision,
    SequentialPlan,
    obrien_fleming_bounds,
    obrien_fleming_spending,
    repeated_interval,
)
from vla_eval.stats.strata import (
    Heterogeneity,
    heterogeneity,
    heterogeneity_paired,
    stratified_paired_interval,
    stratified_paired_p_noninferior,
    stratified_paired_z,
)
from vla_eval.stats.superiority import (
    cochran_q,
    mcnemar_p,
)
from vla_eval.stats.verdicts import (
    Flag,
    Guards,
    Judgement,
    Scope,
    Verdict,
    is_ceiling,
    is_floor,
    judge,
    judge_at_look,
    judge_clustered,
    judge_independent,
    judge_paired,
)

__all__ = [
    "CLUSTER_TESTS",
    "AmdahlFit",
    "AssumedPairing",
    "Bets",
    "Checkpoints",
    "ClusterPower",
    "ClusterTest",
    "ClusteredPairs",
    "ClusteredRate",
    "CrossCheck",
    "Decision",
    "Flag",
    "Guards",
    "Heterogeneity",
    "Judgement",
    "LatencyRatio",
    "NoiseFloor",
    "Operating",
    "PairedCase",
    "PairedScores",
    "PairedTable",
    "PairingEnvelope",
    "Scope",
    "SeedInference",
    "SequentialPlan",
    "Spread",
    "Verdict",
    "amdahl_fit",
    "attempt_alpha",
    "benjamini_hochberg",
    "bet_interval",
    "bet_p_above",
    "bonett_price_interval",
    "clopper_pearson_interval",
    "cochran_q",
    "compact_letters",
    "compare_distilled",
    "compare_methods",
    "compare_with_frozen",
    "confidence_sequence",
    "cross_checks_independent",
    "cross_checks_paired",
    "episodes_per_arm",
    "estimated_icc",
    "exact_p_above",
    "exact_p_noninferior",
    "failure_ratio_independent",
    "failure_ratio_paired",
    "grim_counts",
    "growth_optimal_bet",
    "heterogeneity",
    "heterogeneity_paired",
    "holm",
    "is_ceiling",
    "is_floor",
    "jeffreys_interval",
    "judge",
    "judge_at_look",
    "judge_clustered",
    "judge_independent",
    "judge_paired",
    "latency_ratio",
    "margin_from_control",
    "mcnemar_p",
    "miettinen_nurminen_interval",
    "miettinen_nurminen_p_noninferior",
    "miettinen_nurminen_z",
    "minimum_pairs",
    "minimum_pairs_exact",
    "minimum_states",
    "newcombe_disagreement",
    "newcombe_interval",
    "newcombe_paired_interval",
    "noise_floor",
    "obrien_fleming_bounds",
    "obrien_fleming_spending",
    "operating_characteristics",
    "pairing_envelope",
    "pairs_by_formula",
    "pairs_needed",
    "power_clustered",
    "power_independent",
    "power_paired",
    "prefix_for_speedup",
    "repeated_interval",
    "rerun_sd",
    "smallest_margin",
    "spread_kind",
    "stratified_independent_interval",
    "stratified_independent_z",
    "stratified_paired_interval",
    "stratified_paired_p_noninferior",
    "stratified_paired_z",
    "tango_interval",
    "tango_p_noninferior",
    "tango_z",
    "wilson_interval",
]
