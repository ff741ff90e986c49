"""The answer that a complaint is about, found in the prediction log by its id. It is looked up wherever the incident is shown, and never recorded:
who is erased is gone from there too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flyball.clock import Instant, rfc3339, to_second
from flyball.data.cells import brief
from flyball.declare.model import Model
from flyball.errors import BadInput, Corrupt, NotFound, Unavailable, escaped
from flyball.records.base import Record
from flyball.records.incidents import IncidentRow
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.forget import Left, everything
from flyball.serving.sealer import bearing
from flyball.store.blobs import Blobs

if TYPE_CHECKING:
    from flyball.loop.eraser import Subjects

MOST: Final = 5_000
"""Sealed segments that are looked through at most, the newest: an hour each at least, of each gateway that is asked anything."""

LONGEST_S: Final = 20.0
"""So long it is looked at most, one segment at least: an id that is nowhere has every segment read."""

_LONGEST: Final = 200
"""Characters of a value that a line shows."""

_SHORT: Final = 3
_RAISED = re.compile(r"(?:^|: )([A-Za-z_]\w*)(?=: |:$)")
"""What was raised, in words such as "model "m" failed to predict 1 rows: ValueError: …"."""

HIDDEN: Final = "…"
"""What stands for a value that may say who a row is of."""


class About(Record, frozen=True):
    """One row that was asked about, and what was answered. `status` as in the log: ok, error, refused; `why` says why there is no answer, of an exception its class.

    `row` has the fields as they were sent, times in RFC 3339, and `HIDDEN` for columns that say whose a row is, or are protected. `score` is a probability, or those
    of the classes in order. `rows` is how many rows the request had where its first stands for all.
    """

    request: str
    at: Instant
    version: str
    status: str
    row: dict[str, Any]
    value: Any = None
    score: Any = None
    why: str = ""
    rows: int = 1

    def __str__(self) -> str:
        # what callers sent, and what a model's code said, goes to terminals
        told = ", ".join(f"{name}={brief(value, _LONGEST)}" for name, value in self.row.items())
        scored = f" (score {brief(self.score, _LONGEST)})" if self.score is not None else ""
        failed = f"{self.status}{f': {brief(self.why, _LONGEST)}' if self.why else ''}"
        given = f"answered {brief(self.value, _LONGEST)}{scored}" if self.status == "ok" else failed
        several = f" (the first of {self.rows} rows)" if self.rows > 1 else ""
        return f"{to_second(self.at)}  {self.version}  {told or 'no row'}{several}  → {given}"


@dataclass(frozen=True)
class Looked:
    """What was looked at: how many segments of the log, and back to which moment (0: there is none). `about`: what was found."""

    about: About | None
    segments: int
    since: Instant


@dataclass(frozen=True)
class Answers:
    """The prediction log: its files, and its sealed segments with their bytes. `forget` leaves out rows of persons who were erased."""

    files: Callable[[], list[wal.SegmentFile]]
    sealed: Callable[[], Iterable[SegmentRow]]
    blob: Callable[[str], bytes]
    forget: Callable[[], Callable[[list[wal.LogRecord]], Left]] = lambda: everything

    @classmethod
    def of(cls, log: Path, blobs: Blobs, subjects: Subjects) -> Answers:
        """Over the log under a folder, and the blobs in which it lies now."""
        return cls(lambda: wal.segments(log), subjects.segments, blobs.get, lambda: subjects.forgetting().forget)

    def find(self, model: Model, request: str, until: Instant | None = None) -> Looked:
        """The newest answer of a model to a request, or to a row of one, by its id. until: it was in the log by then. Raises BadInput, Unavailable, Corrupt."""
        half = next((letter for letter in request if "\ud800" <= letter <= "\udfff"), "")
        if half:
            raise BadInput(
                "the id of the request is no text", why=f"{escaped(half)} alone is no character", fix="copy the id from the answer"
            )
        # the rows of a request are called by its id and their place, where they have no ids of their own
        names = tuple(dict.fromkeys((request, request.rpartition("/")[0] or request)))
        forget, looked, since, end = self.forget(), 0, 0, time.monotonic() + LONGEST_S
        for began, found in self.newest(lambda file: _of_file(file, names), lambda data: bearing(data, names), until):
            about = None
            if found is not None:
                looked, since = looked + 1, min(since or began, began) if began else since
                about = _about(model, request, forget(found).records) if any(one.kind in ("answer", "refused") for one in found) else None
            if about is not None or time.monotonic() > end:
                return Looked(about, looked, since)
        return Looked(None, looked, since)

    def newest(
        self,
        of_file: Callable[[wal.SegmentFile], list[wal.LogRecord]],
        of_sealed: Callable[[bytes], list[wal.LogRecord]],
        until: Instant | None,
        since: Instant = 0,
    ) -> Iterator[tuple[Instant, list[wal.LogRecord] | None]]:
        """When each segment began (a sealed one: ended), and what is read of it, the newest segments first. None: it is damaged, which keeps none of the
        others from being read. What was full before `since` is left out.
        """
        before: set[str] = set()
        listed = sorted(self.files(), key=lambda file: -file.number)
        there = {(file.gateway, file.number) for file in listed}
        for file in listed:
            if file.gateway in before:
                continue
            try:
                began = _began(file)
                found = of_file(file) if until is None or began <= until else None
            except FileNotFoundError:
                # sealed meanwhile: it is a blob by now
                there.discard((file.gateway, file.number))
                continue
            except Corrupt:
                yield 0, None
                continue
            if began <= since:
                before.add(file.gateway)
            if found is not None:
                yield began, found
        rows = [row for row in _begun(self.sealed(), until) if (row.gateway, row.number) not in there and row.last >= since]
        for row in sorted(rows, key=lambda row: -row.last)[:MOST]:
            try:
                found = of_sealed(self.blob(row.parquet_sha256))
            except (NotFound, Corrupt):
                found = None
            yield row.last, found


def known(log: Answers, model: Model, request: str) -> About:
    """What a complaint is about. Raises BadInput, and NotFound, which says what was looked at."""
    looked = log.find(model, request)
    if looked.about is None:
        where = f"in {looked.segments:,} segment{'' if looked.segments == 1 else 's'} of the log, the oldest of {to_second(looked.since)}"
        why = f"it was looked for {where}" if looked.segments else "the log is empty, or none of it can be read"
        fix = "copy the id from the answer (predictions[].id), or leave --request out and say in --what which answer it is"
        raise NotFound(f'{model.name} has answered no request "{escaped(request)}", as far as its log goes', why=why, fix=fix)
    return looked.about


def about_of(log: Answers, model: Model | None, row: IncidentRow) -> About | None:
    """What an incident's request was, as far as the log still has it; None where it names none."""
    if not row.request or model is None:
        return None
    try:
        return log.find(model, row.request, row.opened_at).about
    except (Unavailable, Corrupt):
        # all else of the incident is shown
        return None


def _begun(rows: Iterable[SegmentRow], until: Instant | None) -> list[SegmentRow]:
    """The segments that had begun by then: before one begins, the one before it of its gateway is full."""
    ordered = sorted(rows, key=lambda row: (row.gateway, row.number))
    before = [None, *ordered[:-1]]
    return [
        row
        for row, last in zip(ordered, before, strict=False)
        if until is None or last is None or last.gateway != row.gateway or last.last <= until
    ]


def _began(file: wal.SegmentFile) -> Instant:
    found = wal.read_header(file.path)
    return found[0].wall_ns // 1000 if found is not None else 0


def _of_file(file: wal.SegmentFile, names: Sequence[str]) -> list[wal.LogRecord]:
    """What `sealer.bearing` finds in a sealed segment: frames have ids as they are, so that few are opened."""
    wanted = [name.encode() for name in names]
    found: list[wal.LogRecord] = []
    offset = 0
    while (part := wal.stretch(file.path, offset)).ends:
        offset = part.after
        places = [
            place for place, body in enumerate(map(bytes, part.bodies())) if b"signature" in body[:16] or any(one in body for one in wanted)
        ]
        found += part.records(places)
    return found


def _about(model: Model, request: str, records: Iterable[wal.LogRecord]) -> About | None:
    names: dict[str, tuple[str, ...]] = {}
    found = None
    for record in records:
        if record.kind == "signature" and record.input:
            names[record.version] = tuple(record.input[0])
        elif record.kind in ("answer", "refused") and record.version.partition("@")[0] == model.name:
            ids = record.row_ids()
            if request in ids or request == record.request_id:
                place = ids.index(request) if request in ids else 0
                found = _told(model, request, record, place, names.get(record.version, ()))
    return found


def _told(model: Model, request: str, record: wal.LogRecord, place: int, names: Sequence[str]) -> About:
    values = record.input[place] if record.input and place < len(record.input) else []
    output = record.output[place] if record.output and place < len(record.output) else [None, None]
    times, why = (record.marks or {}).get("t"), str((record.marks or {}).get("why", ""))
    row = {name: _shown(model, name, value) for name, value in zip(names, values, strict=False)}
    return About(
        request=request,
        at=times[place] if times and place < len(times) else record.at,
        version=record.version,
        status="refused" if record.kind == "refused" else record.status,
        row=row,
        value=output[0],
        score=output[1] if len(output) > 1 else None,
        # of a request that never reached a worker it is a code
        why=why if record.kind == "refused" else _said(model, why, record.input, names),
        rows=1 if request in record.row_ids() else record.rows,
    )


def _said(model: Model, why: str, rows: Sequence[Sequence[Any]] | None, names: Sequence[str]) -> str:
    """What an error says: up to the class of an exception, for its text may quote what it was given; other words unless they bear a value that is not
    shown.
    """
    raised = _RAISED.search(why)
    told, shown = f"{why[: raised.end()]}: {HIDDEN}" if raised else why, _told_of(model)
    unshown = [value for row in rows or () for name, value in zip_longest(names, row) if name not in shown]
    return HIDDEN if (why and not rows and not raised) or any(_bears(told, value) for value in unshown) else told


def raised_by(model: Model, record: wal.LogRecord, names: Sequence[str]) -> str:
    """The class of the exception that an error in the log tells of, where that says nothing that is not shown; empty: none. names: the fields of its rows."""
    found = _RAISED.search(_said(model, str((record.marks or {}).get("why", "")), record.input, names))
    return found[1] if found else ""


def _bears(text: str, value: Any) -> bool:
    """Whether a text has a value in it: a short one as a word."""
    wanted = "" if value is None else str(value).strip().casefold()
    found = re.escape(wanted) if len(wanted) >= _SHORT else rf"(?<!\w){re.escape(wanted)}(?!\w)"
    return bool(wanted) and re.search(found, text.casefold()) is not None


def _told_of(model: Model) -> frozenset[str]:
    """The fields whose values are shown: columns of the model's data set, and keys of its views, but those that say whose a row is, or are protected.

    What is declared no more may have been any of these when it was sent.
    """
    keys = {key: (view.data, name) for view in model.features for key, name in zip(view.key, view.entity, strict=True)}
    fields = [*((name, model.data, name) for name in model.data.names), *((key, *of) for key, of in keys.items())]
    hidden = {field for field, data, name in fields if name in data.identifying or ((own := data.columns.get(name)) and own.protected)}
    return frozenset(field for field, _, _ in fields if field not in hidden)


def _shown(model: Model, name: str, value: Any) -> Any:
    if name not in _told_of(model):
        return HIDDEN
    column = model.data.columns.get(name)
    return rfc3339(value) if column is not None and column.type == "time" and isinstance(value, int) else value
