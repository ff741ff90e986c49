"""The metrics that checks may name: for which tasks, in which direction, in what sense. A plain table without any computing.

Which columns a metric needs and how it is computed is `evaluation/metrics.py`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CLASSES = frozenset({"binary", "multiclass"})
NUMBERS = frozenset({"regression", "forecast"})
_RANKING = frozenset({"ranking"})
EVERY = CLASSES | NUMBERS | _RANKING
_BINARY = frozenset({"binary"})


@dataclass(frozen=True)
class MetricInfo:
    """One metric. `higher_is_better` is None where neither is; `bounded`: a share in [0, 1], so a guard may rest on it.

    `source`: "quality" needs labels, "traffic" comes from the gateway (latencies: a run measures them too), "prediction" from the answers alone;
    "run" is a number that each run measures beside its hold-out, for gates alone. `unit` is that of its bounds: "ms" a time, "B" a size,
    "money"; else none. `counted`: additive counts give it, and live rows are kept as nothing else (`declare/live.py`).
    """

    name: str
    tasks: frozenset[str]
    higher_is_better: bool | None
    meaning: str
    source: str = "quality"
    bounded: bool = True
    counted: bool = True
    unit: str = ""


CARD_BLANKS = "card_blanks"
"""Not measured by a run: it changes when a person writes."""


def _table(*infos: MetricInfo) -> Mapping[str, MetricInfo]:
    return MappingProxyType({info.name: info for info in infos})


def _of_run(
    name: str, meaning: str, *, unit: str = "", higher_is_better: bool = False, bounded: bool = False, tasks: frozenset[str] = EVERY
) -> MetricInfo:
    return MetricInfo(name, tasks, higher_is_better, meaning, source="run", bounded=bounded, counted=False, unit=unit)


METRICS: Mapping[str, MetricInfo] = _table(
    MetricInfo("accuracy", CLASSES, higher_is_better=True, meaning="share of rows whose class was right"),
    MetricInfo("precision", _BINARY, higher_is_better=True, meaning="share of the rows called positive that are"),
    MetricInfo("recall", _BINARY, higher_is_better=True, meaning="share of the positive rows that were called so"),
    MetricInfo("f1", _BINARY, higher_is_better=True, meaning="harmonic mean of precision and recall"),
    MetricInfo("roc_auc", _BINARY, higher_is_better=True, meaning="chance that a positive row scores above a negative one"),
    MetricInfo(
        "log_loss",
        CLASSES,
        higher_is_better=False,
        meaning="mean −log of the score given to what happened",
        bounded=False,
    ),
    MetricInfo("brier", _BINARY, higher_is_better=False, meaning="mean squared difference of score and outcome"),
    MetricInfo(
        "calibration_error",
        _BINARY,
        higher_is_better=False,
        meaning="mean distance of score and frequency in 10 equal-mass bins",
    ),
    MetricInfo("false_positive_rate", _BINARY, higher_is_better=False, meaning="share of the negative rows that were called positive"),
    MetricInfo(
        "equalised_odds",
        _BINARY,
        higher_is_better=False,
        meaning="as a gap between groups: the larger of their gaps in recall and in false_positive_rate",
    ),
    MetricInfo(
        "cost_per_1000",
        CLASSES | NUMBERS,
        higher_is_better=False,
        meaning="what 1,000 answers cost by the declared costs",
        bounded=False,
        unit="money",
    ),
    MetricInfo("positive_rate", _BINARY, higher_is_better=None, meaning="share of rows called positive", source="prediction"),
    MetricInfo("mae", NUMBERS, higher_is_better=False, meaning="mean absolute error", bounded=False),
    MetricInfo("rmse", NUMBERS, higher_is_better=False, meaning="root of the mean squared error", bounded=False),
    MetricInfo(
        "mape",
        NUMBERS,
        higher_is_better=False,
        meaning="mean absolute error relative to the truth, rows with truth 0 left out",
        bounded=False,
    ),
    MetricInfo("r2", NUMBERS, higher_is_better=True, meaning="share of the variance that is explained", bounded=False),
    MetricInfo("error_rate", EVERY, higher_is_better=False, meaning="share of requests that failed", source="traffic"),
    MetricInfo("latency_p50", EVERY, higher_is_better=False, meaning="median time to answer", source="traffic", bounded=False, unit="ms"),
    MetricInfo(
        "latency_p95",
        EVERY,
        higher_is_better=False,
        meaning="95th percentile of the time to answer",
        source="traffic",
        bounded=False,
        unit="ms",
    ),
    MetricInfo(
        "latency_p99",
        EVERY,
        higher_is_better=False,
        meaning="99th percentile of the time to answer",
        source="traffic",
        bounded=False,
        unit="ms",
    ),
    _of_run(
        CARD_BLANKS, "texts of the model card that only a person can write and nobody has written: a version waits until they are there"
    ),
    _of_run("leaks", "how many features or rows give the label away"),
    _of_run("duplicates", "share of the hold-out's rows that equal a row of training, label included", bounded=True),
    _of_run("group_overlap", "share of the hold-out's groups that are in training too", bounded=True),
    _of_run("minority_share", "share of the rarest class in the training rows", higher_is_better=True, bounded=True, tasks=CLASSES),
    _of_run("domain_auc", "how well a classifier tells the hold-out from what is served: 0.5 not at all, 1 always", bounded=True),
    _of_run("recency_gap", "by how much the objective is better on the hold-out than on older rows: above 0, recent noise was learned"),
    _of_run("weak_slices", "how many groups of rows, found by search, are served clearly worse than the rest", tasks=CLASSES | NUMBERS),
    _of_run("output_shift", "PSI between the candidate's and the champion's answers"),
    _of_run("dominated", "how many of champion and baselines are no worse in every reported metric and better in one"),
    _of_run("robustness_missing", "share of the objective that is lost when a tenth of all values go missing"),
    _of_run("robustness_noise", "share of the objective that is lost when numbers vary by a tenth of their spread"),
    _of_run("robustness_unseen", "share of the objective that is lost when a tenth of all texts are ones never seen"),
    _of_run("robustness_permuted", "share of the objective that is lost when the column that matters most is permuted"),
    _of_run("size", "bytes of the artifact's files", unit="B"),
    _of_run("memory", "most memory of a process that serves it", unit="B"),
    _of_run("train_cpu", "CPU time of the run, all its processes", unit="ms"),
    _of_run("train_memory", "most memory of the run", unit="B"),
    _of_run("train_energy", "energy of the run in Wh, an estimate"),
    _of_run("train_cost", "what the run's CPU time cost; not known without a price", unit="money"),
)
"""Every metric with a fixed name, by name. `recall_at_X%`, `ndcg_at_K` and `recall_at_K` are read by `metric_info`."""

RANKED = ("ndcg_at_10", "recall_at_10")
"""What is reported of every ranking, whatever else is asked for."""

TRAFFIC = frozenset(info.name for info in METRICS.values() if info.source == "traffic")
"""The metrics that need no label and no answer: errors and latencies."""

MEASURED = frozenset(info.name for info in METRICS.values() if info.source == "run" or info.name.startswith("latency_"))
"""What a run measures beside its hold-out: numbers that only gates may name, and the latencies of the candidate's own path."""

_RECALL_AT = re.compile(r"recall_at_(\d{1,2}(?:\.\d{1,3})?)%")
_AT_K = re.compile(r"(ndcg|recall)_at_([1-9]\d{0,3})")
_OF_LISTS = {
    "ndcg": "discounted gain of a list's first {k} items, as a share of the best order's; mean over lists",
    "recall": "share of a list's relevant items that are among its first {k}; mean over lists",
}


def recall_at_share(name: str) -> float | None:
    """The share X of `recall_at_X%` as a fraction, 0 < X < 1, or None if `name` is no such metric.

    >>> recall_at_share("recall_at_1%")
    0.01
    """
    found = _RECALL_AT.fullmatch(name)
    share = float(found.group(1)) / 100 if found else 0.0
    return share if share > 0 else None


def at_k(name: str) -> tuple[str, int] | None:
    """What of a list's first K items `name` is ("ndcg" or "recall") and K, 1 to 9999; None if `name` is no such metric.

    >>> at_k("ndcg_at_10"), at_k("recall_at_10"), at_k("recall_at_10%")
    (('ndcg', 10), ('recall', 10), None)
    """
    found = _AT_K.fullmatch(name)
    return (found.group(1), int(found.group(2))) if found else None


def metric_info(name: str) -> MetricInfo | None:
    """What is known of the metric `name`, or None if there is none of that name.

    >>> metric_info("accuracy").higher_is_better
    True
    """
    if recall_at_share(name) is not None:
        meaning = "share of all positive rows found among the highest scores"
        return MetricInfo(name, _BINARY, higher_is_better=True, meaning=meaning)
    listed = at_k(name)
    if listed is not None:
        kind, k = listed
        return MetricInfo(name, _RANKING, higher_is_better=True, meaning=_OF_LISTS[kind].format(k=k))
    return METRICS.get(name)


def metric_names(task: str) -> tuple[str, ...]:
    """The metrics of `task` that rest on labels or predictions, in the order of the table; for messages and for reports.

    >>> metric_names("forecast")
    ('mae', 'rmse', 'mape', 'r2')
    """
    if task == "ranking":
        return RANKED
    return tuple(info.name for info in METRICS.values() if task in info.tasks and info.source in ("quality", "prediction"))
