"""What a model raised while an incident lasted, by class, from the errors in the prediction log. Of an exception its class alone is told, for its text may
quote what it was given. Looked up wherever the incident is shown, and never recorded.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Final

from flyball.clock import Instant, Span, to_second
from flyball.declare.model import Model
from flyball.errors import Corrupt, Unavailable
from flyball.incidents.rules import tells_of
from flyball.loop.complained import Answers, raised_by
from flyball.loop.findings import alerts_of
from flyball.records.base import Record, State
from flyball.records.incidents import IncidentRow
from flyball.serving import wal
from flyball.serving.link import ENDED, LATE, STARTING
from flyball.serving.sealer import failed

LEAD: Final = Span.parse("10m")
"""So long before it opened is looked, too: an incident is found in errors that came before it."""

MOST: Final = 10_000
"""Errors that are looked at in a segment, the newest; with so many no older segment is looked at."""

LONGEST_S: Final = 5.0
"""So long it is looked at most."""

SHOWN: Final = 5
"""Classes that are named, the most frequent ones."""

OTHER: Final = "without a class"
_OURS: Final = frozenset(map(str, (STARTING, ENDED, LATE)))
"""What flyball says where the model has raised nothing."""


class Class(Record, frozen=True):
    """`what` was raised, the class of an exception or flyball's word for why there was no answer, and in answer to how many requests."""

    what: str
    requests: int


class Raised(Record, frozen=True):
    """What was raised, the most frequent first. `requests` without an answer were looked at, `more` of them beyond these classes. `since`: from when on, and
    `cut`: there may be more than was looked at.
    """

    classes: tuple[Class, ...]
    requests: int
    since: Instant
    more: int = 0
    cut: bool = False

    def __str__(self) -> str:
        told = ", ".join(f"{each.what} {each.requests:,}×" for each in self.classes) or "no error of it is in the prediction log"
        rest = f", others {self.more:,}×" if self.more else ""
        newest = f"the newest {self.requests:,} errors alone, " if self.cut else ""
        return f"{told}{rest} ({newest}since {to_second(self.since)})"


def raised_of(log: Answers, state: State, model: Model | None, row: IncidentRow) -> Raised | None:
    """What was raised of an incident that tells of errors, until it was mitigated; None of any other, and where the log cannot be read."""
    alerts = alerts_of(state, row.model).values() if row.model else ()
    tells = row.failure_mode == "errors" or any(each.finding.failure == "errors" and tells_of(row, each.key) for each in alerts)
    if model is None or not tells:
        return None
    try:
        return raised(log, model, row.opened_at - LEAD, row.mitigated_at or row.closed_at or None)
    except (Unavailable, Corrupt):
        # all else of the incident is shown
        return None


def raised(log: Answers, model: Model, since: Instant, until: Instant | None = None) -> Raised:
    """The errors of a model's answers between two moments (until: None: now), the newest segments first. Raises Unavailable, Corrupt."""
    end = time.monotonic() + LONGEST_S
    counts: Counter[str] = Counter()
    oldest, cut = until or 0, False
    for _, found in log.newest(lambda file: _of_file(file, end), lambda data: failed(data, MOST), until, since):
        names: dict[str, tuple[str, ...]] = {}
        errors = 0
        for record in found or ():
            if record.kind == "signature" and record.input:
                names[record.version] = tuple(record.input[0])
            errors += record.status == "error"
            if _is_of(record, model) and since <= record.at and (until is None or record.at <= until):
                counts[raised_by(model, record, names.get(record.version, ())) or _our(record)] += 1
                oldest = min(oldest or record.at, record.at)
        cut = max(errors, counts.total()) >= MOST or time.monotonic() > end
        if cut:
            break
    named = counts.most_common(SHOWN)
    return Raised(
        classes=tuple(Class(what=what, requests=number) for what, number in named),
        requests=counts.total(),
        since=oldest if cut and oldest else since,
        more=counts.total() - sum(number for _, number in named),
        cut=cut,
    )


def _is_of(record: wal.LogRecord, model: Model) -> bool:
    return record.kind == "answer" and record.status == "error" and record.version.partition("@")[0] == model.name


def _our(record: wal.LogRecord) -> str:
    why = str((record.marks or {}).get("why", ""))
    return why if why in _OURS else OTHER


def _of_file(file: wal.SegmentFile, end: float) -> list[wal.LogRecord]:
    """The errors of a segment that is not sealed yet, the newest of them, and its signatures before them, as far as there is time."""
    signatures: list[wal.LogRecord] = []
    errors: deque[wal.LogRecord] = deque(maxlen=MOST)
    offset = 0
    while (part := wal.stretch(file.path, offset, limit=8 << 20)).ends:
        offset = part.after
        places = [place for place, body in enumerate(map(bytes, part.bodies())) if b"signature" in body[:16] or b"error" in body]
        for record in part.records(places):
            if record.kind == "signature":
                signatures.append(record)
            elif record.status == "error":
                errors.append(record)
        if time.monotonic() > end:
            break
    return [*signatures, *errors]
