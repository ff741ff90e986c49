"""What is normal for a version that is served elsewhere is learnt from its own first days: how far that is. Pure.

Nobody here trained it, so there is no hold-out to compare with. Too little to learn from is said as such.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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

ENOUGH: Final = ((Span.parse("1h"), 100), (Span.parse("1d"), 10))
"""How long, and how often, another version has to answer until it is taken for the one that does. Either will do; where the present one came back
itself, the day: versions that take turns do not change places by day and night."""

OUTWEIGHS: Final = 10
"""Answers of another version that one of the version that is taken for the one that answers makes up for."""

MOST: Final = 20
"""Versions of a model whose predictions are counted apart, the newest ones."""

_MINUTE = 60_000_000


class Seen(Record, frozen=True):
    """The predictions of one version that were counted: how many answers, made from `first` to `last` (to the minute), how many with a label.

    `ahead` of them speak for it in the place of the version that is taken for the one that answers: those since `ahead_since` that answers of this
    one do not make up for.
    """

    version: str
    rows: int = 0
    first: Instant = 0
    last: Instant = 0
    labels: int = 0
    ahead: int = 0
    ahead_since: Instant = 0


def count(seen: Sequence[Seen], batch: Batch, model: str, row: ElsewhereRow | None) -> tuple[Seen, ...]:
    """Add a batch. `row` says which version is taken for the one that answers. A request that failed is no sign that a version answers."""
    found = {each.version: each if _runs(each, row) else msgspec.structs.replace(each, ahead=0, ahead_since=0) for each in seen}
    answered: dict[int, Counter[str]] = {}
    for traffic in batch.traffic:
        if traffic.model == model and traffic.n > traffic.errors:
            answered.setdefault(traffic.minute, Counter())[traffic.version] += traffic.n - traffic.errors
    for minute, by_version in sorted(answered.items()):
        at = minute * _MINUTE
        for version, n in by_version.items():
            known = found.get(version) or Seen(version=version, first=at, last=at)
            found[version] = msgspec.structs.replace(known, rows=known.rows + n, first=min(known.first, at), last=max(known.last, at))
        if row is not None:
            found |= {each.version: each for each in _weighed(found, by_version, at, row)}
    for part in batch.quality:
        if part.model == model and not part.slice and part.version in found:
            known = found[part.version]
            found[part.version] = msgspec.structs.replace(known, labels=known.labels + part.labelled)
    if len(found) > MOST:
        taken = row.version if row is not None else ""
        found = {each.version: each for each in sorted(found.values(), key=lambda each: (each.version == taken, each.last))[-MOST:]}
    return tuple(found.values())


def _runs(each: Seen, row: ElsewhereRow | None) -> bool:
    """Whether what speaks for a version does so against the one that is taken now."""
    return row is not None and each.version != row.version and each.ahead_since >= row.since


def _weighed(found: Mapping[str, Seen], answered: Mapping[str, int], at: Instant, row: ElsewhereRow) -> Iterator[Seen]:
    """The other versions for which more, or less, speaks by what was answered in the minute `at`. What is of a time before the taken one's last answer
    says nothing: both may have answered then.
    """
    taken = found.get(row.version)
    late = at < max(taken.last if taken is not None else 0, row.since)
    against = OUTWEIGHS * answered.get(row.version, 0)
    for version, each in found.items():
        since = each.ahead_since if each.ahead else at
        if version == row.version or at < since:
            continue
        ahead = max(each.ahead + (0 if late else answered.get(version, 0)) - against, 0)
        if ahead != each.ahead:
            yield msgspec.structs.replace(each, ahead=ahead, ahead_since=since if ahead else 0)


def of(seen: Sequence[Seen], version: str) -> Seen:
    """What was counted of a version."""
    return next((each for each in seen if each.version == version), Seen(version=version))


def back(seen: Sequence[Seen], row: ElsewhereRow) -> tuple[str, Instant] | None:
    """The version that answers in the place of the one that is taken for it, and since when; None: no other one does. The taken one was rolled back
    elsewhere, or its name was a slip.
    """
    enough = ENOUGH[1:] if row.back else ENOUGH
    others = [each for each in seen if any(each.last - each.ahead_since >= span and each.ahead >= n for span, n in enough)]
    most = max(others, key=lambda each: (each.ahead, each.version), default=None)
    return (most.version, most.ahead_since) if most is not None else None


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
