"""Whether labels have stopped: they came for nearly every row, and of what matured in the last day hardly any has one. Pure.

That fewer come than did is a warning of its own; this is about a feed that is gone, without which every judgement of quality goes blind.
"""

from __future__ import annotations

from flyball.clock import Instant, Span
from flyball.monitoring.checks import FEWEST
from flyball.monitoring.learning import labelled_until
from flyball.monitoring.slabs import within
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import Finding
from flyball.records.evidence import Quality

STOPPED, CAME = 0.1, 0.8
"""Shares of matured rows with a label: at most so many now, at least so many in one of the weeks before."""

DAY, WEEK, WEEKS = Span.parse("1d"), Span.parse("7d"), 4


def outage(state: MonitorState, now: Instant, *, monitor: str, label: str) -> Finding | None:
    """An alert in the name of `monitor` that labels of the column `label` have stopped; None where they come, never came, or too few rows matured to say."""
    end = labelled_until(state.seen, now)
    last = _whole(state, end - DAY, end)
    if last is None or last.matured < FEWEST or last.labelled > STOPPED * last.matured:
        return None
    for week in range(WEEKS):
        until = end - DAY - week * WEEK
        before = _whole(state, until - WEEK, until)
        if before is not None and before.matured >= FEWEST and before.labelled >= CAME * before.matured:
            share = last.labelled / last.matured
            which = "the last day" if end == now else "the day that ended two days ago"
            return Finding(
                monitor=monitor,
                severity="alert",
                effect=share,
                floor=STOPPED,
                n=last.matured,
                failure="late_labels",
                why=f"labels ({label}) have stopped: {100 * share:.3g}% of the {last.matured:,} rows that matured in {which} have one; "
                f"it was {100 * before.labelled / before.matured:.3g}% of {before.matured:,} in {'the week' if not week else f'a week {week} weeks'} before",
            )
    return None


def _whole(state: MonitorState, since: Instant, until: Instant) -> Quality | None:
    return next((part for part in within(state.slabs, since, until).quality if not part.slice), None)
