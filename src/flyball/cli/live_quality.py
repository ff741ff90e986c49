"""How good a model's answers are live, beside what they were at its release: the quality in its line of `flyball status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from flyball.clock import Instant
from flyball.declare.checks import Check, Metric
from flyball.declare.live import label_delay, loss_metric, prices, tells_quality
from flyball.declare.metrics import RANKED, metric_info
from flyball.monitoring.checks import FEWEST, estimates, seen
from flyball.monitoring.estimates import ESTIMATED
from flyball.monitoring.slabs import MINUTE, Slab
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import ALERTS, AlertState
from flyball.records.base import Record, State
from flyball.records.elsewhere import ELSEWHERE
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


class Former(Record, frozen=True):
    """The version that the monitors compare with while it is learnt what is normal for the one that answers, and how good it was for as long as it did."""

    version: str
    quality: LiveQuality


class Live(Record, frozen=True):
    """The version that answers, since when, and how good it is; `counts` are what that is told from. `former`: as above, None where there is no such."""

    version: str
    since: Instant
    quality: LiveQuality
    counts: Slab
    former: Former | None = None


def live(state: State, model: Model, kept: MonitorState, now: Instant) -> Live:
    """The model's version that is watched, or, of a model that is served elsewhere, the one that answers there: none of another's rows are counted for it."""
    row, since = state.get(ELSEWHERE, model.name), max(kept.released_at, 0)
    metric = Metric(main_metric(model))
    if row is None or row.version == kept.version:
        counts = seen(metric, kept.slabs, since, now)
        return Live(kept.version, kept.released_at, quality(state, model, kept, counts), counts)
    # rows are judged when their labels are due: those of its predecessors until then; what counts both together is of neither
    judged = row.since + int(label_delay(model))
    if not kept.version:
        counts = seen(metric, [slab for slab in kept.slabs if slab.start * MINUTE >= judged], judged, now)
        return Live(row.version, row.since, quality(state, model, kept, counts), counts)
    before = seen(metric, [slab for slab in kept.slabs if slab.end * MINUTE <= judged], since, now)
    then = msgspec.structs.replace(quality(state, model, kept, before), verdict=_told(model, kept, before))
    unknown = quality(state, model, msgspec.structs.replace(kept, at_release={}), Slab(start=0))
    return Live(row.version, row.since, unknown, Slab(start=0), Former(kept.version, then))


def quality(state: State, model: Model, kept: MonitorState, slab: Slab) -> LiveQuality:
    """The model's metric since the release; worse when its interval excludes what it was, or a monitor says so."""
    name = main_metric(model)
    found, then = _estimated(model, slab), kept.at_release.get(name)
    return LiveQuality(
        metric=name,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        at_release=then.value if then else None,
        verdict="worse" if _alarmed(state, model.name) else _compared(name, found, then),
    )


def _estimated(model: Model, slab: Slab) -> Estimate:
    return next((each for _, each in estimates(Metric(main_metric(model)), slab, prices(model))), Estimate(value=None))


def _told(model: Model, kept: MonitorState, slab: Slab) -> Standing:
    """What the counts alone say."""
    name = main_metric(model)
    return _compared(name, _estimated(model, slab), kept.at_release.get(name))


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
