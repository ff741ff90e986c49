"""The child that asks whether what a version answered lately looks like what it was judged on: it reads rows, fits a classifier, and gives two numbers.

Run as `python -P -m flyball.loop.domain_child TASK` (a file, see `Task`); the answer, or why there is none, goes to standard output. Rows are in its
memory alone and are written nowhere: those of the reference are read from the data set's content, from which an erased person is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.data.manifest import manifest, nothing, read
from flyball.declare.model import Model
from flyball.errors import Corrupt, NotFound
from flyball.features.assemble import known_rows
from flyball.ledger.bounds import clipped
from flyball.loop.asked import Asked, answer
from flyball.loop.library import BlobLibrary
from flyball.records.base import Record
from flyball.records.estimates import Estimate
from flyball.records.serving import SegmentRow
from flyball.records.unlabelled import ToldApart
from flyball.serving import wal
from flyball.serving.sealer import unseal
from flyball.store.blobs import Blobs
from flyball.training.domain import SIDE, telling, told_apart

FEWEST = 200
"""Rows of either side."""

BLOCKS = 3
"""So many of the reference's own windows say how far windows differ where nothing is wrong."""

NEWEST = 100_000
"""Rows of either side, the newest, of which a sample is taken: a busy model's week is not read whole."""


class Task(Asked, frozen=True):
    """What is compared. `columns` are watched ones, each numeric or categorical; `content`: where the data set's rows lie that `declaration` was judged on,
    the newest `holdout_rows` known by `as_of`; `log`: its folder; `sealed`: segments of the log that became blobs.
    """

    version: str
    since: Instant
    until: Instant
    columns: dict[str, str]
    declaration: str
    content: str
    as_of: Instant
    holdout_rows: int
    log: str
    sealed: tuple[SegmentRow, ...] = ()
    seed: int = 0


class Answer(Record, frozen=True):
    """What was found, or why nothing."""

    apart: ToldApart | None = None
    why: str = ""


def compare(task: Task, blobs: Blobs) -> Answer:
    """Tell the window's rows from the reference's. Raises NotFound, Corrupt."""
    model = BlobLibrary(blobs).model(task.declaration)
    then, times = reference_rows(task, model, blobs)
    names = then.columns
    now = window_rows(task, names, blobs)
    if min(then.height, now.height) < FEWEST or not names:
        return Answer(
            why=f"{now.height:,} rows of the window and {then.height:,} of the hold-out can be read, and {FEWEST} of each are needed"
        )
    rng = np.random.default_rng(task.seed)
    usual = usually(then, times, task.until - task.since, rng) if model.data.time else None
    found = told_apart(then, now, rng)
    return Answer(
        apart=ToldApart(auc=found, usual=usual, columns=telling(then, now), reference_rows=then.height, rows=now.height),
    )


def usually(then: pl.DataFrame, times: pl.Series, span: int, rng: np.random.Generator) -> Estimate | None:
    """The clearest that one of the reference's own windows of this span (a quarter of it at most) is told from its other rows; None: too few rows.

    Weeks differ where nothing is wrong: what tells them apart is no news.
    """
    first, last = int(times.min() or 0), int(times.max() or 0)  # type: ignore[arg-type]  # of i64
    span = min(span, (last - first) // (BLOCKS + 1))
    found: list[Estimate] = []
    for block in range(BLOCKS):
        inside = times.is_between(last - (block + 1) * span, last - block * span, closed="right")
        one, others = then.filter(inside), then.filter(~inside)
        if span > 0 and min(one.height, others.height) >= FEWEST:
            found.append(told_apart(others, one, rng))
    return max(found, key=lambda each: each.value or 0.0, default=None)


def reference_rows(task: Task, model: Model, blobs: Blobs) -> tuple[pl.DataFrame, pl.Series]:
    """At most 5,000 rows, spread over the newest whose label was known when the version was trained: as many as were held out, or 100,000; and their times."""
    found = manifest(task.content, blobs)
    there = {column.name for column in found.columns}
    names = [name for name in task.columns if name in there]
    data = model.data
    wanted = {
        *names,
        *filter(None, (data.time, data.arrived, model.group)),
        *([model.label] if isinstance(model.label, str) else []),
    } & there
    parts: list[pl.DataFrame] = []
    most = min(task.holdout_rows, NEWEST) if found.time else NEWEST
    # the newest rows lie in the chunks that end last
    for chunk in sorted(found.chunks, key=lambda one: -one.last) if found.time else found.chunks:
        part = known_rows(model, read(chunk.content, blobs, sorted(wanted)), task.as_of)
        parts.append(part.filter(pl.col(model.label).is_not_null()) if isinstance(model.label, str) and model.label in there else part)
        if sum(each.height for each in parts) >= most:
            break
    rows = pl.concat(parts) if parts else known_rows(model, nothing(found, sorted(wanted)), task.as_of)
    if found.time and rows.height:
        rows = rows.sort("__time").tail(most)
    rows = _spread(rows, np.random.default_rng(task.seed))
    return _typed(rows.select(names), task), rows["__time"]


def _spread(rows: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    if rows.height <= SIDE:
        return rows
    return rows[np.sort(rng.choice(rows.height, SIDE, replace=False))]


def window_rows(task: Task, names: Sequence[str], blobs: Blobs) -> pl.DataFrame:
    """At most 5,000 of the newest 100,000 rows that the version answered as champion in the window."""
    found: list[list[Any]] = []
    for segment in _segments(task, blobs):
        found += _answered(segment(), task, names)
        if len(found) >= NEWEST:
            break
    rng = np.random.default_rng(task.seed)
    if len(found) > SIDE:
        found = [found[place] for place in np.sort(rng.choice(len(found), SIDE, replace=False))]
    columns = {name: pl.Series(name, [row[place] for row in found], strict=False) for place, name in enumerate(names)}
    return _typed(pl.DataFrame(columns), task)


class _Segment(NamedTuple):
    """A part of the log, and when it was written last."""

    last: float
    read: Callable[[], Iterable[wal.LogRecord]]


def _segments(task: Task, blobs: Blobs) -> list[Callable[[], Iterable[wal.LogRecord]]]:
    """What may hold rows of the window, the newest first; what is gone or cannot be read holds none."""
    log = Path(task.log)
    files = {f"{file.gateway}/{file.path.name}": file.path for file in wal.segments(log)}
    found = [_Segment(float("inf"), lambda path=path: _of_file(path)) for path in files.values()]  # type: ignore[misc]
    found += [
        _Segment(row.last, lambda row=row: _of_blob(row, blobs))  # type: ignore[misc]
        for row in task.sealed
        if row.last >= task.since and f"{row.gateway}/{row.number:06d}.wal" not in files
    ]
    return [segment.read for segment in sorted(found, key=lambda one: -one.last)]


def _of_file(path: Path) -> Iterator[wal.LogRecord]:
    offset = 0
    try:
        while True:
            records, after = wal.read(path, offset)
            if not records or after == offset:
                return
            yield from records
            offset = after
    except (Corrupt, FileNotFoundError):
        # sealed since it was listed, or no segment: somebody else tells of it
        return


def _of_blob(row: SegmentRow, blobs: Blobs) -> list[wal.LogRecord]:
    try:
        return unseal(blobs.get(row.parquet_sha256))
    except (NotFound, Corrupt):
        # written anew without an erased person since
        return []


def _answered(records: Iterable[wal.LogRecord], task: Task, names: Sequence[str]) -> list[list[Any]]:
    places: list[int | None] = [None] * len(names)
    found: list[list[Any]] = []
    for record in records:
        if record.kind == "signature" and record.version == task.version and record.input:
            sent = {name: place for place, name in enumerate(record.input[0])}
            places = [sent.get(name) for name in names]
        elif record.kind == "answer" and record.version == task.version and record.role == "champion" and record.status == "ok":
            given = record.output is not None and not (record.marks or {}).get("fb")
            if given and task.since <= record.at < task.until:
                found += [[None if place is None else row[place] for place in places] for row in record.input or ()]
    return found


def _typed(frame: pl.DataFrame, task: Task) -> pl.DataFrame:
    """Both sides alike: numbers (times as microseconds) or text, as their drift is counted."""
    columns = []
    for name in frame.columns:
        series = frame[name]
        if task.columns[name] == "numeric":
            series = series.dt.epoch("us") if series.dtype in (pl.Datetime, pl.Date) else series
            columns.append(series.cast(pl.Float64, strict=False))
        else:
            columns.append(series.cast(pl.String, strict=False))
    return pl.DataFrame(columns)


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1:], Task, compare, lambda _task, error: Answer(why=clipped(str(error)))))
