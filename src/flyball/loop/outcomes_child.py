"""The child that joins outcomes to answers: it reads the prediction log and the outcomes' data sets, and gives counts.

Run as `python -P -m flyball.loop.outcomes_child TASK` (a file, see `Task`); the answer goes to standard output. Rows are in its memory alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import polars as pl

from flyball.clock import Instant
from flyball.data.commit import scan
from flyball.data.manifest import manifest, nothing
from flyball.data.types import arrivals, instants
from flyball.declare.model import Model, Outcome
from flyball.declare.outcomes import joined_by, known_after
from flyball.evaluation import outcomes as counting
from flyball.evaluation.counts_columns import SLICE, held
from flyball.evaluation.counts_quality import with_slices
from flyball.evaluation.outcomes import ANSWERS
from flyball.ledger.bounds import clipped
from flyball.loop.asked import Asked, Log, answer
from flyball.loop.library import BlobLibrary
from flyball.records.base import Record
from flyball.records.evidence import Watch
from flyball.records.outcomes import OutcomeCounts
from flyball.records.rollouts import RolloutRow
from flyball.serving import wal
from flyball.serving.ids import Ids
from flyball.store.blobs import Blobs

MOST = 500_000
"""Answers that are held at once; of more, those of a part of the keys are read. So many labels are held before it is known of which answers they are."""

MOST_ROWS = 2_000_000
"""Rows of an outcome, of keys that were answered, that are held at once; of more, those of a part of the keys are."""

AT_ONCE = 1_000_000
"""Rows of which it is looked at once which correct others."""

_SENT = "sent:"


class Source(Record, frozen=True):
    """Where an outcome's rows lie, of which version they are (`content`), and how far they reach."""

    outcome: str
    content: str
    lies: str
    reaches: Instant


class Task(Asked, frozen=True):
    """What is counted: days from `since` on, and what was dealt in `rollouts`. `declaration`: the model's; `watch`: how its log is sliced; `key`: the file with
    the key by which keys of callers are hashed; `near`: the error up to which a number is called right.
    """

    model: str
    declaration: str
    watch: Watch
    since: Instant
    sources: tuple[Source, ...]
    rollouts: tuple[RolloutRow, ...]
    log: Log
    key: str
    near: float | None = None


class Answer(Record, frozen=True):
    """What was counted, or why nothing."""

    counts: tuple[OutcomeCounts, ...] = ()
    share_of: int = 1
    why: str = ""


def count(task: Task, blobs: Blobs) -> Answer:
    """The counts of every outcome. Raises NotFound, Corrupt."""
    model = BlobLibrary(blobs).model(task.declaration)
    sources = {source.outcome: source for source in task.sources}
    counts, shared = [], 1
    for outcome in model.outcomes:
        source = sources.get(outcome.name)
        if source is None:
            continue
        found, share = _counted(task, model, outcome, source, blobs)
        counts.append(found)
        shared = max(shared, share)
    return Answer(counts=tuple(counts), share_of=shared)


def reads_from(task: Task, within: int) -> Instant:
    """From when on the log is read: an outcome may belong to an answer that was given before the first day that is counted, and values are cut off
    at what was usual before a rollout.
    """
    return min([task.since - within, *(row.planned_at - 3 * within for row in task.rollouts)])


def _counted(task: Task, model: Model, outcome: Outcome, source: Source, blobs: Blobs) -> tuple[OutcomeCounts, int]:
    within = int(outcome.within)
    asked = counting.Asked(how=outcome.how, within=within, known=source.reaches - int(known_after(outcome)))
    since = reads_from(task, within)
    # the log keeps a hash of the key
    hashed = _hasher(task.key) if joined_by(model, outcome) == "key" else None
    kind = pl.String() if hashed is not None else nothing(manifest(source.lies, blobs), [outcome.on]).schema[outcome.on]
    log = _Log(task, model, outcome, blobs)
    records, share = log.read(since, kind)
    while True:
        found = matching(outcome_rows(outcome, source.lies, blobs, since, asked.known), records["on"], hashed, share, task.since)
        if found is not None:
            break
        share *= 2
        records = records.filter(_chosen(records["on"], share))
    joined = counting.join(records, found.rows, asked, task.since)
    judged = counting.judged(joined.answers, log.labels(since, joined.answers["request_id"]), task=model.task, near=task.near)
    trials = (counting.trial(joined, records, asked, row) for row in task.rollouts)
    return OutcomeCounts(
        outcome=outcome.name,
        content=source.content,
        declared=told(outcome),
        known=asked.known,
        days=counting.days(judged, asked, task.since),
        trials=tuple(trial for trial in trials if trial is not None),
        rows=joined.rows + found.strange,
        unmatched=joined.unmatched + found.strange,
    ), share


@dataclass(frozen=True)
class Matching:
    """`rows` of an outcome that may belong to an answer; `strange`: how many there are, since a moment, of keys that no answer has."""

    rows: pl.DataFrame
    strange: int


def matching(
    frames: Iterable[pl.DataFrame], answered: pl.Series, hashed: Callable[[str], str] | None, share: int, since: Instant
) -> Matching | None:
    """The rows whose key is among those that were `answered`, of one in `share` keys; None where these are more than may be held. hashed: how the log
    has a key.
    """
    keys = answered.drop_nulls().unique()
    kept, strange = list[pl.DataFrame](), 0
    for frame in frames:
        rows = frame
        if hashed is not None:
            on = pl.Series("on", [None if value is None else hashed(str(value)) for value in rows["on"]], dtype=pl.String)
            rows = rows.with_columns(on)
        rows = rows.filter(_chosen(rows["on"], share) if share > 1 else rows["on"].is_not_null())
        there = rows["on"].is_in(keys.implode())
        strange += int((rows.filter(~there)["when"] >= since).sum())
        kept.append(rows.filter(there))
        if sum(each.height for each in kept) > MOST_ROWS:
            return None
    return Matching(pl.concat(kept), strange)


def told(outcome: Outcome) -> str:
    """What an outcome is, in a word: counts of another one are not added to its."""
    return f"{outcome.how} {outcome.source.name}.{outcome.column} on {outcome.on} within {outcome.within}"


def outcome_rows(outcome: Outcome, content: str, blobs: Blobs, since: Instant, known: Instant) -> Iterator[pl.DataFrame]:
    """An outcome's rows from a moment on that are `known` as `on`, `when` (µs) and `value`, some at a time. Of rows with one id the one that was known
    last: it corrects the others. There may be many of them, so those of a part of the ids are read at once, and the others in another reading.
    """
    data = outcome.source
    names = list(dict.fromkeys(filter(None, (outcome.on, outcome.column, data.time, data.arrived, data.id))))
    # texts of rows that are left out would be held with the others
    ids = [pl.col(data.id).hash(seed).alias(f"id{seed}") for seed in (0, 1)] if data.id else []
    value = pl.lit(1.0) if outcome.how == "count" else pl.col(outcome.column).cast(pl.Float64)
    there = pl.when(pl.col(outcome.column).is_not_null()).then(value)
    columns = [pl.col(outcome.on).alias("on"), instants(data.time).alias("when"), arrivals(data).alias("came"), there.alias("value"), *ids]
    counts = pl.col("when").is_between(since, known) & pl.col("value").is_finite()

    def frames() -> Iterator[pl.DataFrame]:
        return (frame.select(columns) for frame in scan(content, blobs, names))

    if not data.id:
        yield from (frame.filter(counts).select("on", "when", "value") for frame in frames())
        return
    parts = -(-sum(chunk.rows for chunk in manifest(content, blobs).chunks) // AT_ONCE) or 1
    for part in range(parts):
        rows = pl.concat(frame.filter(pl.col("id0") % parts == part) for frame in frames())
        rows = rows.sort("came", maintain_order=True).unique(["id0", "id1"], keep="last", maintain_order=True)
        yield rows.filter(counts).select("on", "when", "value")


def _chosen(values: pl.Series, share: int) -> pl.Series:
    return pl.Series([value is not None and crc32(str(value).encode()) % share == 0 for value in values.to_list()], dtype=pl.Boolean)


class _Labels:
    """The newest label of each request."""

    def __init__(self) -> None:
        self._newest: dict[str, tuple[Instant, Any]] = {}

    @property
    def height(self) -> int:
        return len(self._newest)

    def add(self, record: wal.LogRecord) -> None:
        """Take a label in, unless a newer one of its request is there."""
        known, before = (record.marks or {}).get("t", record.at), self._newest.get(record.request_id)
        if record.output and (before is None or known >= before[0]):
            self._newest[record.request_id] = (known, record.output[0][0])

    def frame(self) -> pl.DataFrame:
        """As columns `request_id`, `known` and `label`."""
        values = list(self._newest.values())
        columns: dict[str, list[Any]] = {
            "request_id": list(self._newest),
            "known": [known for known, _ in values],
            "label": [label for _, label in values],
        }
        return pl.DataFrame([pl.Series(name, column, strict=False) for name, column in columns.items()])


class _Log:
    """The model's answers and labels, as far as an outcome is joined to them."""

    def __init__(self, task: Task, model: Model, outcome: Outcome, blobs: Blobs) -> None:
        self._task, self._model, self._outcome = task, model, outcome
        self._by = joined_by(model, outcome)
        self._blobs = blobs
        self._wanted = tuple(dict.fromkeys((*task.watch.slices, *task.watch.reads)))
        self._names: dict[str, tuple[str, ...]] = {}
        self._found, self._many = _Labels(), False

    def read(self, since: Instant, kind: pl.DataType) -> tuple[pl.DataFrame, int]:
        """Attempts to answer (`ANSWERS`, `on`, `value`, slices) from a moment on; one in how many keys was read. kind: of `on` in the rows."""
        # an input may have the name of what stands beside it
        taken: dict[str, list[Any]] = {name: [] for name in (*ANSWERS, "on", "value", *(_SENT + name for name in self._wanted))}
        share = 1
        for part in self._task.log.read(self._blobs, since):
            for record in part:
                if record.kind == "signature" and record.input:
                    self._names[record.version] = tuple(record.input[0])
                elif record.kind == "answer" and record.version.partition("@")[0] == self._model.name:
                    self._answered(record, taken, since)
                elif self._is_label(record):
                    self._found.add(record)
            if self._found.height > MOST:
                # there is another reading for them, once it is known of which answers
                self._found, self._many = _Labels(), True
            while len(taken["at"]) > MOST:
                share *= 2
                keep = _chosen(pl.Series(taken["on"], strict=False).cast(kind, strict=False), share).to_list()
                taken = {name: [value for value, chosen in zip(values, keep, strict=True) if chosen] for name, values in taken.items()}
        return self._frame(taken, kind, share), share

    def labels(self, since: Instant, answered: pl.Series) -> pl.DataFrame:
        """The newest label (`request_id`, `known`, `label`) of each of these answers, after `read`."""
        if not self._many:
            return self._found.frame()
        ids, found = set(answered), _Labels()
        for part in self._task.log.read(self._blobs, since):
            for record in part:
                if self._is_label(record) and record.request_id in ids:
                    found.add(record)
        return found.frame()

    def _is_label(self, record: wal.LogRecord) -> bool:
        return record.kind == "label" and record.version == self._model.name and bool(record.output)

    def _frame(self, taken: dict[str, list[Any]], kind: pl.DataType, share: int) -> pl.DataFrame:
        columns = [pl.Series(name, taken[name], dtype=dtype, strict=False) for name, dtype in ANSWERS.items()]
        on = pl.Series("on", taken["on"], strict=False).cast(kind, strict=False)
        found = pl.DataFrame([*columns, on, pl.Series("value", taken["value"], strict=False)])
        if self._wanted:
            sent = pl.DataFrame([pl.Series(held(name), taken[_SENT + name], strict=False) for name in self._wanted])
            found = pl.concat([found, with_slices(sent, self._task.watch).select(pl.col(f"^{SLICE}.*$"))], how="horizontal")
        return found.filter(_chosen(found["on"], share)) if share > 1 else found

    def _answered(self, record: wal.LogRecord, taken: dict[str, list[Any]], since: Instant) -> None:
        marks = record.marks or {}
        if record.status == "fallback" or marks.get("fb") == "value":
            return
        names, times = self._names.get(record.version, ()), marks.get("t") if self._task.watch.patience else None
        shared = record.key_hash or (record.request_id if record.rows > 1 else "")
        for place, request in enumerate(record.row_ids() if record.rows else [record.request_id]):
            at = times[place] if times and place < len(times) else record.at
            if at < since:
                continue
            row = record.input[place] if record.input and place < len(record.input) else []
            given = dict(zip(names, row, strict=False))
            output = record.output[place] if record.output and place < len(record.output) else None
            fixed = (
                request,
                at,
                record.version.partition("@")[2],
                record.role,
                str(marks.get("ro", "")),
                int(marks.get("w", 0)),
                shared or request,
                output is not None and record.status == "ok",
                marks.get("fb") == "champion",
            )
            for name, value in zip(ANSWERS, fixed, strict=True):
                taken[name].append(value)
            on = {"column": given.get(self._outcome.on), "id": request, "key": record.key_hash or None}.get(self._by)
            taken["on"].append(on)
            taken["value"].append(None if output is None else output[0])
            for name in self._wanted:
                taken[_SENT + name].append(given.get(name))


def _hasher(path: str) -> Callable[[str], str]:
    key = Path(path)
    ids = Ids(key.read_bytes(), 0) if key.exists() else None
    return lambda value: ids.key_hash(value) if ids is not None else ""


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1:], Task, count, lambda _task, error: Answer(why=clipped(str(error)))))
