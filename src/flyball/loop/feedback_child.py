"""The child that looks for the model's own answers in what a version learned from: it reads the data set and the prediction log, and gives counts.

Run as `python -P -m flyball.loop.feedback_child TASK` (a file, see `Task`); the answer goes to standard output. Rows are in its memory alone.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import polars as pl

from flyball.clock import Instant
from flyball.data.commit import scan
from flyball.data.types import DTYPES, arrivals
from flyball.declare.live import label_delay, sent
from flyball.declare.model import Label, Model
from flyball.errors import Corrupt, NotFound, Unavailable
from flyball.evaluation.feedback import Examined, examine
from flyball.ledger.bounds import clipped
from flyball.loop.asked import Asked, Log, answer
from flyball.loop.library import BlobLibrary
from flyball.records.base import Record
from flyball.records.feedback import FeedbackExamined
from flyball.serving import wal
from flyball.store.blobs import Blobs

MOST = 500_000
"""Answers, and rows, the newest, that are looked at."""

_COLUMN = "column:"


class Answering(Record, frozen=True):
    """A version that has answered: rows known by `as_of` it may have learned by heart; `evidence` is the blob of its hold-out."""

    version: str
    as_of: Instant
    evidence: str


class Task(Asked, frozen=True):
    """Which version is looked at, by `declaration`; where its data set's rows lie, of which those known by `as_of` were used; who had answered since
    `since`, by the `log`.
    """

    model: str
    version: str
    declaration: str
    content: str
    as_of: Instant
    since: Instant
    answering: tuple[Answering, ...]
    log: Log

    @property
    def key(self) -> str:
        """Of the version, among all."""
        return f"{self.model}/{self.version}"


def look(task: Task, blobs: Blobs) -> FeedbackExamined:
    """What is found. Raises NotFound, Corrupt."""
    model = BlobLibrary(blobs).model(task.declaration)
    if (why := unjoinable(model)) != "":
        return FeedbackExamined(model=task.model, version=task.version, why=why)
    keys = key_columns(model)
    answers = logged(task, model, keys, blobs)
    rows = learned(task, model, keys, blobs)
    found = examine(rows, answers, {one.version: _holdout(one, blobs) for one in task.answering}, task=model.task)
    return _told(task, model, found)


def _told(task: Task, model: Model, found: Examined) -> FeedbackExamined:
    return FeedbackExamined(
        model=task.model,
        version=task.version,
        data=model.data.name,
        joined_by="id" if model.data.id else "values",
        rows=found.rows,
        answered=found.answered,
        equal=found.equal,
        copied=found.copied,
        columns=found.columns,
        coverage=found.coverage,
    )


def unjoinable(model: Model) -> str:
    """Why rows and answers of a model cannot be compared; empty if they can."""
    if isinstance(model.label, Label):
        return "its label arrives in another data set"
    if model.task == "ranking":
        return "the answer to a list is an order, and a label is of one item"
    return "" if model.data.id or key_columns(model) else "neither an id nor a column that callers send says which row an answer is of"


def key_columns(model: Model) -> tuple[str, ...]:
    """The columns by whose values a row is told where it has no id: all that callers send, but for the label."""
    return tuple(name for name in sent(model) if name in model.data.columns and name != model.label_column)


def learned(task: Task, model: Model, keys: Sequence[str], blobs: Blobs) -> pl.DataFrame:
    """The data set's labelled rows known by then, as `examine` takes them; the newest where there are very many."""
    data, label = model.data, str(model.label)
    numbers = [name for name, column in data.columns.items() if column.type == "float" and name != label]
    names = list(dict.fromkeys(filter(None, (data.id, *keys, *numbers, label, data.time, data.arrived))))
    parts: list[pl.DataFrame] = []
    for frame in scan(task.content, blobs, names):
        known = arrivals(data) if data.time else pl.lit(0, pl.Int64)
        part = frame.select(
            _key(model, keys, frame),
            known=known + int(label_delay(model)) if data.time else pl.lit(task.as_of, pl.Int64),
            label=pl.col(label),
            **{_COLUMN + name: pl.col(name) for name in numbers},
        )
        parts.append(part.filter(pl.col("known") <= task.as_of))
        if sum(each.height for each in parts) > 2 * MOST:
            parts = [_newest(parts)]
    return _newest(parts)


def _newest(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows that were known last; of those known at once the last read."""
    return pl.concat(parts).sort("known", maintain_order=True).tail(MOST)


def _key(model: Model, keys: Sequence[str], frame: pl.DataFrame) -> pl.Expr:
    """What tells a row from all others, as text."""
    if model.data.id:
        return pl.col(model.data.id).cast(pl.String).alias("key")
    # a time is compared as the log has it
    plain = [pl.col(name).dt.epoch("us") if frame[name].dtype.is_temporal() else pl.col(name) for name in keys]
    return pl.concat_str([each.cast(pl.String).fill_null("\0") for each in plain], separator="\x1f").alias("key")


def logged(task: Task, model: Model, keys: Sequence[str], blobs: Blobs) -> pl.DataFrame:
    """The answers that the model gave, as `examine` takes them. Of rows that the version which answered may have learned itself none is taken."""
    as_of = {one.version: one.as_of for one in task.answering}
    names: dict[str, tuple[str, ...]] = {}
    taken: dict[str, list[Any]] = {name: [] for name in ("id", "at", "version", "value", "score")}
    given: dict[str, list[Any]] = {name: [] for name in keys}
    for part in task.log.read(blobs, task.since):
        for record in part:
            name, _, version = record.version.partition("@")
            if record.kind == "signature" and record.input:
                names[record.version] = tuple(record.input[0])
            elif record.kind == "answer" and name == model.name and version in as_of and record.at > as_of[version]:
                _take(record, names.get(record.version, ()), taken, given)
        if len(taken["id"]) > 2 * MOST:
            taken, given = _last(taken, given)
    taken, given = _last(taken, given)
    kinds = {name: pl.Int64() if model.data.columns[name].type == "time" else DTYPES[model.data.columns[name].type] for name in keys}
    frame = pl.DataFrame([pl.Series(name, values, dtype=kinds[name], strict=False) for name, values in given.items()])
    key = pl.Series("key", taken["id"], dtype=pl.String) if model.data.id else frame.select(_key(model, keys, frame)).to_series()
    due = task.as_of - int(label_delay(model))
    return pl.DataFrame(
        [
            key,
            pl.Series("at", taken["at"], dtype=pl.Int64),
            pl.Series("version", taken["version"], dtype=pl.String),
            pl.Series("value", taken["value"], strict=False),
            pl.Series("score", taken["score"], dtype=pl.Float64, strict=False),
        ]
    ).with_columns(due=pl.col("at") <= due)


def _last(taken: dict[str, list[Any]], given: dict[str, list[Any]]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The answers that were given last: gateways' logs are read one after the other."""
    places = sorted(range(len(taken["at"])), key=taken["at"].__getitem__)[-MOST:]
    left, beside = ({name: [values[place] for place in places] for name, values in each.items()} for each in (taken, given))
    return left, beside


def _take(record: wal.LogRecord, names: Sequence[str], taken: dict[str, list[Any]], given: dict[str, list[Any]]) -> None:
    if record.status != "ok" or (record.marks or {}).get("fb") == "value":
        return
    for place, request in enumerate(record.row_ids()):
        output = record.output[place] if record.output and place < len(record.output) else None
        if output is None:
            continue
        row = dict(zip(names, record.input[place] if record.input and place < len(record.input) else (), strict=False))
        score = output[1] if len(output) > 1 and isinstance(output[1], float) else None
        for name, value in zip(taken, (request, record.at, record.version.partition("@")[2], output[0], score), strict=True):
            taken[name].append(value)
        for name, values in given.items():
            values.append(row.get(name))


def _holdout(one: Answering, blobs: Blobs) -> pl.DataFrame:
    """`y` and `value` of what a version was judged on; no row where that cannot be read any more."""
    try:
        return pl.read_parquet(io.BytesIO(blobs.get(one.evidence)), columns=["y", "value"])
    except (NotFound, Corrupt, pl.exceptions.PolarsError):
        return pl.DataFrame({"y": [], "value": []}, schema={"y": pl.Float64, "value": pl.Float64})


def refused(task: Task, error: Exception) -> FeedbackExamined:
    """Why there is nothing to find. Raises what passes: without an answer it is looked at again."""
    if isinstance(error, Unavailable):
        raise error
    return FeedbackExamined(model=task.model, version=task.version, why=clipped(str(error)))


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1:], Task, look, refused))
