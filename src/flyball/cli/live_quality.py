"""How good a model's answers are live, beside what they were at its release: the quality in its line of `flyball status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from flyball.declare.checks import Check, Metric
from flyball.declare.live import loss_metric, prices, tells_quality
from flyball.declare.metrics import RANKED, metric_info
from flyball.monitoring.checks import FEWEST, estimates
from flyball.monitoring.estimates import ESTIMATED
from flyball.monitoring.slabs import Slab
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import ALERTS, AlertState
from flyball.records.base import Record, State
from flyball.records.estimates import Estimate

if TYPE_CHECKING:
    from flyball.declare.model import Model

Standing = Literal["ok", "worse", "insufficient"]


class LiveQuality(Record, frozen=True):
    """A metric since the release, with its interval, beside what it was then."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    at_release: float | None
    verdict: Standing


def quality(state: State, model: Model, kept: MonitorState, slab: Slab) -> LiveQuality:
    """The model's metric since the release; worse when its interval excludes what it was, or a monitor says so."""
    name = main_metric(model)
    found = next((each for _, each in estimates(Metric(name), slab, prices(model))), Estimate(value=None))
    then = kept.at_release.get(name)
    return LiveQuality(
        metric=name,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        at_release=then.value if then else None,
        verdict="worse" if _alarmed(state, model.name) else _compared(name, found, then),
    )


def main_metric(model: Model) -> str:
    """The first declared metric that live rows can give; else accuracy of classes, mean absolute error of numbers, NDCG of rankings."""
    checks = [each for each in (*model.monitors, *model.rollout.guards, *model.gates) if isinstance(each, Check)]
    named = [check.metric.name for check in checks if not check.metric.of_gap and tells_quality(model, check.metric.name)]
    return named[0] if named else (loss_metric(model.task) or RANKED[0])


def _compared(name: str, found: Estimate, then: Estimate | None) -> Standing:
    if found.value is None or found.n < FEWEST or then is None or then.value is None:
        return "insufficient"
    info = metric_info(name)
    if info is not None and info.higher_is_better is False:
        worse = found.low is not None and found.low > then.value
    else:
        worse = found.high is not None and found.high < then.value
    return "worse" if worse else "ok"


def _alarmed(state: State, model: str) -> bool:
    firing = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
    rows = (row for _, row in state.scan(ALERTS, f"{model}/") if row.monitor != ESTIMATED)
    return any(row.finding.failure == "performance" and row.state in firing for row in rows)
