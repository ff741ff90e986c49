"""What `flyball status` says of performance that no label tells yet: always called an estimate, beside what the classifier of rows found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyball.cli.output import Output, ago, dated, number
from flyball.clock import Instant, rfc3339
from flyball.records.base import Record, State
from flyball.records.unlabelled import ESTIMATES, PerformanceEstimated
from flyball.records.versions import MODELS


def estimate_of(state: State, model: str) -> PerformanceEstimated | None:
    """The newest estimate of the champion; None where there is none of it."""
    row, roles = state.get(ESTIMATES, model), state.get(MODELS, model)
    return row.newest if row is not None and roles is not None and row.newest.version == roles.champion else None


def document(state: State, line: Record, model: str) -> dict[str, Any]:
    """One model's line as a document, with its estimate (null: there is none)."""
    own = {name: value for name, value in dated(line).items() if name != "watched"}
    return own | {"estimate": told(estimate_of(state, model))}


def told(found: PerformanceEstimated | None) -> dict[str, Any] | None:
    """An estimate as a document."""
    return None if found is None else dated(found) | {"until": rfc3339(found.until)}


def tell(out: Output, state: State, models: Sequence[str], now: Instant) -> None:
    """A line for each model of which labels do not tell how good it is."""
    for model in models:
        found = estimate_of(state, model)
        if found is not None and found.blind:
            out.line(f"{out.paint('estimate', 'unsure')}  {model}: {_text(found, now)}")


def _text(found: PerformanceEstimated, now: Instant) -> str:
    rows = ""
    if found.apart is not None and found.apart.auc.value is not None:
        rows = f"; its rows are told from the hold-out's with AUC {number(found.apart.auc.value)}"
    value = found.estimates.get(found.metric)
    if found.refused or value is None or value.value is None:
        text = f"no estimate without labels: {found.refused or f'{found.metric} is not defined on these rows'}"
    else:
        text = f"{found.metric} {number(value.value)}"
        text += "" if value.low is None or value.high is None else f" [{number(value.low)}, {number(value.high)}]"
        text += f" without labels, an estimate over {found.n:,} answers up to {ago(found.until, now)} ago"
    return text + rows
