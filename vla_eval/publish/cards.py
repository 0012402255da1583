"""Blocks for model cards: ``model-index``, and entries for a benchmark's leaderboard.

Intervals and counts are in ``metrics[].args``, the only place where readers of cards keep them. No card
of a user is changed: the blocks are for pasting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vla_eval.certificate.model import Certificate
from vla_eval.errors import MissingExtraError
from vla_eval.judging.ledger import ArmEpisodes, won
from vla_eval.judging.rates import rate_interval
from vla_eval.judging.timings import inference_ms, quantile
from vla_eval.publish.source import Source
from vla_eval.record import EpisodeRecord

__all__ = ["Benchmark", "leaderboard_entry", "model_index"]

_RUN = "vla_eval run folder"


@dataclass(frozen=True)
class Benchmark:
    """A leaderboard of the hub, as its dataset's ``eval.yaml`` names it."""

    dataset: str
    """``ORG/NAME``."""
    task_id: str


def model_index(source: Source, arm: str, *, model: str, url: str | None) -> str:
    """Return the head of a model card, YAML between two lines of dashes.

    Args:
        source: the run.
        arm: the arm that is the model.
        model: name of the model, ``USER/POLICY`` on the hub.
        url: address of the published run; None: unknown.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError:
        raise MissingExtraError("vlaeval publish", "publish") from None
    results = [
        EvalResult(
            task_type="robotics",
            source_url=url,
            source_name=_RUN if url else None,
            **part,
            **metric,
        )
        for part, metrics in _parts(source, arm)
        for metric in metrics
    ]
    data = ModelCardData(
        model_name=model, eval_results=results, tags=["robotics"], pipeline_tag="robotics"
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _parts(source: Source, arm: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield the data set and the metrics of each suite and, if there are several, of all together."""
    episodes, suites = source.arms[arm], source.suites
    if len(suites) > 1:
        for suite in suites:
            own = _of_suite(episodes, suite)
            yield _dataset(source, suite), [_rate(source, own, episodes), *_score(own)]
    name = suites[0] if len(suites) == 1 else " + ".join(suites)
    metrics = [_rate(source, episodes, episodes), *_score(episodes), *_latency(source, episodes)]
    yield _dataset(source, name), [*metrics, *_differences(source, arm)]


def _of_suite(episodes: ArmEpisodes, suite: str) -> ArmEpisodes:
    return ArmEpisodes(
        episodes.name,
        {key: record for key, record in episodes.finals.items() if key.suite == suite},
        missing=tuple(key for key in episodes.missing if key.suite == suite),
        retried=frozenset(key for key in episodes.retried if key.suite == suite),
    )


def _dataset(source: Source, name: str) -> dict[str, Any]:
    protocol = source.header.protocol
    return {
        "task_name": name,
        "dataset_name": f"{name}, {protocol.label}",
        "dataset_type": name.partition("_")[0].partition(" ")[0],
        "dataset_config": name,
        "dataset_split": "test",
        "dataset_args": {
            "protocol": f"{protocol.protocol}@{protocol.version}",
            "protocol_sha256": protocol.sha256,
            "modified": protocol.overrides is not None,
            "episodes": sum(key.suite == name or name not in source.suites for key in source.keys),
        },
    }


def _rate(source: Source, own: ArmEpisodes, whole: ArmEpisodes) -> dict[str, Any]:
    """Return the success rate; missing episodes are named, with the rates that they would allow."""
    low, high = rate_interval(own, source.header.protocol.analysis)
    missing, records = len(own.missing), list(whole.finals.values())
    inferences = sum(record.inferences for record in records)
    args: dict[str, Any] = {
        "successes": own.successes,
        "n": own.n,
        "missing": missing,
        "retried": len(own.retried),
        "interval": "wilson",
        "level": 0.95,
        "low": round(low, 4),
        "high": round(high, 4),
        "nfe": _plain(sum(record.nfe for record in records) / inferences) if inferences else None,
    }
    if missing:
        total = own.n + missing
        args["rate_if_missing_failed"] = round(own.successes / total, 4)
        args["rate_if_missing_succeeded"] = round((own.successes + missing) / total, 4)
    return {
        "metric_type": "success_rate",
        "metric_name": "Success rate",
        "metric_value": round(own.successes / max(1, own.n), 4),
        "metric_args": args,
    }


def _plain(value: float) -> float:
    """Return a number that a card shows without needless digits: 10 and not 10.0."""
    return round(value) if value == round(value) else round(value, 4)


def _score(own: ArmEpisodes) -> Iterator[dict[str, Any]]:
    """Yield the mean score where a failure has partial credit."""
    records: list[EpisodeRecord] = list(own.finals.values())
    if any(record.score not in (0.0, float(won(record))) for record in records):
        yield {
            "metric_type": "score",
            "metric_name": "Mean score (partial credit)",
            "metric_value": round(sum(record.score for record in records) / len(records), 4),
            "metric_args": {"n": len(records)},
        }


def _latency(source: Source, own: ArmEpisodes) -> Iterator[dict[str, Any]]:
    times = inference_ms(own.finals.values())
    median, high = quantile(times, 0.5), quantile(times, 0.95)
    if median is not None and high is not None:
        device = _identity(source, own.name).get("device")
        yield {
            "metric_type": "inference_ms",
            "metric_name": "Inference time, median, ms",
            "metric_value": round(median, 3),
            "metric_args": {
                "p95": round(high, 3),
                "inferences": len(times),
                "device": device,
                **source.header.machine,
            },
        }


def _identity(source: Source, arm: str) -> Mapping[str, Any]:
    return next(each.identity or {} for each in source.header.arms if each.name == arm)


def _differences(source: Source, arm: str) -> Iterator[dict[str, Any]]:
    """Yield the paired difference of each certificate in which the arm is the candidate."""
    for name, certificate in source.certificates.items():
        if not isinstance(certificate, Certificate) or certificate.comparison.candidate != arm:
            continue
        found = certificate.comparison
        measure = certificate.measured.name if certificate.measured else "success rate"
        yield {
            "metric_type": "paired_difference",
            "metric_name": f"Paired difference of {measure} to {found.reference}",
            "metric_value": round(found.difference, 4),
            "metric_args": {
                "reference": _spec(source, found.reference),
                "verdict": str(certificate.verdict),
                "margin": certificate.margin,
                "flags": [str(flag) for flag in certificate.flags],
                "interval": found.method,
                "level": 0.95,
                "low": round(found.ci95[0], 4),
                "high": round(found.ci95[1], 4),
                "both": found.n11,
                "only_this": found.n10,
                "only_reference": found.n01,
                "neither": found.n00,
                "certificate": f"run/{name}",
            },
        }


def _spec(source: Source, arm: str) -> str:
    return next(each.spec for each in source.header.arms if each.name == arm)


def leaderboard_entry(source: Source, arm: str, benchmark: Benchmark, *, url: str | None) -> str:
    """Return an ``.eval_results`` entry as YAML; the interval is in ``notes``, its only place.

    The value is in per cent.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    try:
        import yaml
        from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    except ImportError:
        raise MissingExtraError("vlaeval publish", "publish") from None
    protocol, rate = source.header.protocol, _rate(source, source.arms[arm], source.arms[arm])
    args = rate["metric_args"]
    notes = (
        f"{args['successes']}/{args['n']}, {args['missing']} missing, Wilson 95% "
        f"[{100 * args['low']:.1f}, {100 * args['high']:.1f}]; {protocol.protocol}@{protocol.version} "
        f"{protocol.sha256[:12]}{' modified' if protocol.overrides else ''}; nfe={args['nfe']}"
    )
    entry = EvalResultEntry(
        dataset_id=benchmark.dataset,
        task_id=benchmark.task_id,
        value=round(100 * rate["metric_value"], 2),
        date=source.header.created_at[:10],
        source_url=url,
        source_name=_RUN if url else None,
        notes=notes,
    )
    entries = eval_result_entries_to_yaml([entry])
    return str(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True))
