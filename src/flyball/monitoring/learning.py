"""What is normal for a version that is served elsewhere is learnt from its own first days: how far that is. Pure.

Nobody here trained it, so there is no hold-out to compare with. Too little to learn from is said as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from flyball.clock import Instant, Span
from flyball.records.alerts import Finding
from flyball.records.base import Record
from flyball.records.elsewhere import ElsewhereRow
from flyball.records.evidence import Batch

MONITOR: Final = "what is normal"
"""Name of the built-in monitor of models that are served elsewhere."""

SPAN: Final = Span.parse("7d")
"""From the first prediction of a version to the last one that its reference is made from: a week has all of its days."""

ROWS: Final = 1_000
"""Predictions that a reference is made from, at least; where a week brings fewer, it takes longer."""

LABELS: Final = 500
"""Labels from which on it is said how good a version was."""

UNDERWAY: Final = Span.parse("2d")
"""How long a label of a prediction that was made elsewhere may be on its way: who sends both once a night is a day behind with either."""

BACK: Final = Span.parse("1h")
"""How long another version alone has to answer until it is taken for the one that does."""

MOST: Final = 20
"""Versions of a model whose predictions are counted apart, the newest ones."""

_MINUTE = 60_000_000


class Seen(Record, frozen=True):
    """The predictions of one version that were counted: how many answers, made from `first` to `last` (to the minute), how many with a label."""

    version: str
    rows: int = 0
    first: Instant = 0
    last: Instant = 0
    labels: int = 0


def count(seen: Sequence[Seen], batch: Batch, model: str) -> tuple[Seen, ...]:
    """Add a batch."""
    found = {each.version: each for each in seen}
    for traffic in batch.traffic:
        if traffic.model == model and (answered := traffic.n - traffic.errors) > 0:
            known, at = found.get(traffic.version) or Seen(version=traffic.version), traffic.minute * _MINUTE
            found[traffic.version] = msgspec.structs.replace(
                known,
                rows=known.rows + answered,
                first=min(known.first, at) if known.rows else at,
                last=max(known.last, at) if known.rows else at,
            )
    for part in batch.quality:
        if part.model == model and not part.slice and part.version in found:
            known = found[part.version]
            found[part.version] = msgspec.structs.replace(known, labels=known.labels + part.labelled)
    if len(found) > MOST:
        found = {each.version: each for each in sorted(found.values(), key=lambda each: each.last)[-MOST:]}
    return tuple(found.values())


def of(seen: Sequence[Seen], version: str) -> Seen:
    """What was counted of a version."""
    return next((each for each in seen if each.version == version), Seen(version=version))


def back(seen: Sequence[Seen], version: str) -> tuple[str, Instant] | None:
    """The version that has answered alone for an hour while `version` was taken for the one that does, and since when. It was rolled back elsewhere, or
    its name was a slip.
    """
    last = of(seen, version).last
    newest = max(seen, key=lambda each: each.last, default=None)
    return (newest.version, last) if newest is not None and last and newest.last >= last + BACK else None


def labelled_until(seen: Sequence[Seen], now: Instant) -> Instant:
    """Up to when rows have matured whose labels are no more on their way."""
    return now - UNDERWAY if seen else now


def is_learnt(seen: Seen) -> bool:
    """Whether there is enough to make a version's reference from."""
    return seen.rows >= ROWS and seen.last - seen.first >= SPAN - _MINUTE


def finding(row: ElsewhereRow | None, seen: Sequence[Seen]) -> Finding:
    """How far it is known what is normal."""
    if row is None:
        return _told("no prediction has come yet")
    newest = of(seen, row.version)
    if row.watched == row.version and row.predictions:
        if row.labels:
            known = f"from {row.labels:,} labels of its first predictions"
            return Finding(
                monitor=MONITOR, severity="none", n=row.rows, why=f"{row.version}: what is normal is known, how good it was {known}"
            )
        return _told(
            f"{row.version}: what is normal is known; how good it was is learnt from its labels: {newest.labels:,} of {LABELS:,}",
            newest.rows,
        )
    days = min(int((newest.last - newest.first + _MINUTE) // (86_400 * 1_000_000)), 7)
    other = f"; until then it is compared with {row.watched}" if row.watched not in ("", row.version) else ""
    what = "what its answers are" if row.watched == row.version else "what is normal"
    return _told(
        f"{row.version}: learning {what}: {days} d of {int(SPAN) // 86_400_000_000}, {newest.rows:,} predictions of {ROWS:,}{other}",
        newest.rows,
    )


def _told(why: str, n: int = 0) -> Finding:
    return Finding(monitor=MONITOR, severity="none", standing="insufficient", failure="input_drift", n=n, why=why)
