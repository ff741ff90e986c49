"""Every metric that `/metrics` tells, in one table: its labels, and what it says. Beside it, how the loop's own are written.

What the monitors know is written as text by the control plane, so that a gateway that is asked appends a file and computes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple


class Told(NamedTuple):
    """One metric: its type, its labels, what it says, and whose it is."""

    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    says: str
    of: Literal["gateway", "loop"] = "loop"


class Sample(NamedTuple):
    """One value of a metric; the values of its labels are in the table's order."""

    name: str
    labels: tuple[str, ...]
    value: float


def _gateway(kind: Literal["counter", "gauge", "histogram"], labels: tuple[str, ...], says: str) -> Told:
    return Told(kind, labels, says, "gateway")


METRICS: Mapping[str, Told] = MappingProxyType(
    {
        "flyball_requests_total": _gateway(
            "counter", ("model", "version", "role", "status"), "Requests; those of status fallback were answered the declared value."
        ),
        "flyball_request_seconds": _gateway("histogram", ("model",), "Time from the pick to the answer."),
        "flyball_unlogged_total": _gateway("counter", (), "Answers that a full disk kept out of the log."),
        "flyball_feature_values_total": _gateway(
            "counter", ("model", "view", "feature", "skew"), "Served feature values that were verified, by how they stand to training's."
        ),
        "flyball_contract_violations_total": _gateway(
            "counter", ("model", "column", "action"), "Values of requests that broke their column's contract, and what became of them."
        ),
        "flyball_feature_age_seconds": _gateway(
            "gauge", ("view",), "Time since the newest row was known that a view in the online store holds."
        ),
        "flyball_loop_age_seconds": _gateway("gauge", (), "Time since the loop's last pass: what watches the watcher."),
        "flyball_loop_pass_seconds": _gateway("gauge", (), "How long the loop's last pass took."),
        "flyball_champion": Told("gauge", ("model", "version"), "1 for the version that answers by default."),
        "flyball_rollout": Told("gauge", ("model", "version", "state"), "1 for the rollout under way."),
        "flyball_traffic_ratio": Told("gauge", ("model", "version"), "Share of requests that a version is to answer."),
        "flyball_run": Told("gauge", ("model", "state", "trigger"), "1 for the run under way."),
        "flyball_last_training_timestamp_seconds": Told("gauge", ("model",), "When the newest attempt to train began."),
        "flyball_champion_since_timestamp_seconds": Told("gauge", ("model",), "When the champion took over."),
        "flyball_alert": Told("gauge", ("model", "monitor", "part", "failure", "severity", "state"), "1 for each alert that is not well."),
        "flyball_incidents": Told("gauge", ("model", "failure", "urgency", "state"), "Incidents that are not closed."),
        "flyball_incident_opened_timestamp_seconds": Told("gauge", ("model", "incident"), "When an incident opened that is not closed."),
        "flyball_proposals": Told("gauge", ("model", "action"), "Proposals that wait for a person."),
        "flyball_drift_effect": Told(
            "gauge",
            ("model", "column", "test", "window"),
            "How far a column is from its reference: PSI of cells, else a difference in shares.",
        ),
        "flyball_drift_verdict": Told("gauge", ("model", "column", "test", "window"), "0 none, 1 warning, 2 alert."),
        "flyball_quality": Told("gauge", ("model", "version", "metric"), "A metric of labelled rows since the release."),
        "flyball_quality_low": Told("gauge", ("model", "version", "metric"), "Lower end of its 95% interval."),
        "flyball_quality_high": Told("gauge", ("model", "version", "metric"), "Upper end of its 95% interval."),
        "flyball_quality_at_release": Told("gauge", ("model", "version", "metric"), "The same metric on the hold-out at its release."),
        "flyball_label_coverage_ratio": Told("gauge", ("model",), "Share of the rows that matured in seven days that have a label."),
        "flyball_labels": Told("gauge", ("model",), "Labels since the release."),
        "flyball_outcome": Told("gauge", ("model", "version", "outcome"), "Mean business outcome of the champion's due answers."),
        "flyball_outcome_low": Told("gauge", ("model", "version", "outcome"), "Lower end of its 95% interval."),
        "flyball_outcome_high": Told("gauge", ("model", "version", "outcome"), "Upper end of its 95% interval."),
        "flyball_outcome_coverage_ratio": Told("gauge", ("model", "version", "outcome"), "Share of due answers with a row of the outcome."),
        "flyball_outcome_known_timestamp_seconds": Told("gauge", ("model", "outcome"), "How far the outcome's data set reaches."),
        "flyball_evidence_ratio": Told(
            "gauge", ("model", "detector"), "Evidence that the loss has risen, log M over log A: an alarm at 1. detector: page, retrain."
        ),
        "flyball_error_budget_left_ratio": Told("gauge", ("model", "objective"), "Share of an objective's error budget that is left."),
        "flyball_error_budget_spent": Told("gauge", ("model", "objective"), "1 while it is spent, and flyball releases nothing by itself."),
        "flyball_error_budget_burn_ratio": Told("gauge", ("model", "objective", "window"), "How many times as fast as allowed it burns."),
        "flyball_data_newest_timestamp_seconds": Told("gauge", ("model", "data"), "When the newest row of a data set was known."),
        "flyball_data_stale": Told("gauge", ("model", "data"), "1 while a data set is older than it may be."),
        "flyball_thousand_predictions_cpu_seconds": Told(
            "gauge", ("model", "version"), "Processor time that 1,000 predictions of the champion take."
        ),
        "flyball_thousand_predictions_joules": Told(
            "gauge", ("model", "version"), "Energy that they take: an estimate, by the setting cpu_watts."
        ),
        "flyball_thousand_predictions_cost": Told(
            "gauge", ("model", "version", "currency"), "What they cost, by the setting cpu_hour_price; none without it."
        ),
        "flyball_worker_busy_ratio": Told("gauge", ("model", "version"), "Share of a processor that the champion's worker takes."),
        "flyball_false_pages_per_year": Told("gauge", ("model",), "Pages a year, at most, with which nothing is wrong."),
    }
)
"""Units as Prometheus has them: seconds, ratios, and moments as seconds since 1970."""


def render(samples: Iterable[Sample]) -> str:
    """The text of the loop's metrics, each with its help and type. Raises ValueError for a metric, or labels, that are not in the table.

    >>> print(render([Sample("flyball_labels", ("m",), 3)]))
    # HELP flyball_labels Labels since the release.
    # TYPE flyball_labels gauge
    flyball_labels{model="m"} 3
    <BLANKLINE>
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    lines: list[str] = []
    for name, found in by_name.items():
        told = METRICS.get(name)
        if told is None:
            raise ValueError(f"{name} is in no table of metrics")
        lines += [f"# HELP {name} {told.says}", f"# TYPE {name} {told.kind}"]
        # two of the same labels would spoil the whole page for whoever scrapes it
        lines += [f"{name}{labelled(told.labels, key)} {value:.10g}" for key, value in {one.labels: one.value for one in found}.items()]
    return "\n".join(lines) + "\n" if lines else ""


def labelled(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Labels as Prometheus writes them; empty where a metric has none."""
    shown = ",".join(f'{name}="{escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{shown}}}" if shown else ""


def escaped(text: str) -> str:
    """The value of a label, whatever is in it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def beat(told: Any, now: int) -> str:
    """How long ago the loop's last pass was, and what it took. told: run/loop.json; nothing where it never ran."""
    if not isinstance(told, dict) or "at" not in told:
        return ""
    age, took = max(now - int(told["at"]), 0) / 1e6, float(told.get("tick_ms", 0)) / 1e3
    return render([Sample("flyball_loop_age_seconds", (), round(age, 3)), Sample("flyball_loop_pass_seconds", (), took)])
