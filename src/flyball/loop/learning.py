"""Learns what is normal for versions that are served elsewhere, beside the loop: a week of the log is too much for a tick.

The reference is made once there is enough, from the version's own first predictions; where the model's data set has rows (what it was trained on),
its inputs are compared with those, at once. Done again after a kill it comes to the same. What the loop had read before it used a reference is
counted after it, by the same rules: a model of which weeks were sent at once is watched as one of which each prediction came in its time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import polars as pl

from flyball.clock import Instant, Span
from flyball.data.commit import scan
from flyball.data.types import DTYPES
from flyball.declare.elsewhere import classes, is_folder
from flyball.declare.live import label_delay
from flyball.declare.metrics import CLASSES, metric_names
from flyball.declare.model import Model
from flyball.errors import FlyballError, Unavailable
from flyball.evaluation.counts_columns import SLICE, held
from flyball.evaluation.counts_inputs import inputs
from flyball.evaluation.counts_labels import plain
from flyball.evaluation.counts_quality import slice_names, slices_of
from flyball.evaluation.detector import loss_bound
from flyball.evaluation.metrics import measure
from flyball.evaluation.reference import reference
from flyball.evaluation.slices import by_slice
from flyball.features.fields import watched
from flyball.loop import memory as memories
from flyball.loop.elsewhere import NoteReference, decide_note_reference, elsewhere, readable
from flyball.loop.ports import Ports
from flyball.loop.watch import declared, watch
from flyball.monitoring import learning
from flyball.monitoring.learning import LABELS, ROWS, SPAN
from flyball.monitoring.state import caught_up
from flyball.monitoring.windows import KEPT, WEEK
from flyball.records.base import State
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS
from flyball.records.elsewhere import ELSEWHERE, SEEN, ElsewhereRow, ReferenceMade
from flyball.records.estimates import Estimate
from flyball.records.evidence import Bins, Cursor, InputCounts, Watch
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.evidence import highest_of
from flyball.serving.labels import UNTOLD
from flyball.store.blobs import Blobs

ACTOR: Final = "loop"

EVERY: Final = Span.parse("2s")
"""How often it is looked for what there is enough of by now."""

GROWN: Final = 1.25
"""How much more labels there have to be before it is tried again, where too few of those that came were known in time."""

MOST: Final = 500_000
"""Rows that a reference is made from at most: more say nothing more of what is normal."""

SLICED: Final = 50
"""Values of slices, of all together, in which it is noted how good a version was."""

PART: Final = 2 << 20
"""Bytes of a file of the log that are read at once: decoded they are about ten times as many."""

AT_ONCE: Final = 10_000
"""Answers, or labels, that are held as they were decoded: in columns they take a tenth of that."""

_BESIDE: Final = {"request_id": pl.String, "__time": pl.Int64, "value": None, "score": None}

_OF_ROW: Final = "of row:"
"""What stands before the name of a row's own column: it may be called as one of those beside it, or as a label's."""

REST_S: Final = 60.0
"""How long a version is left alone of which nothing could be learnt."""


class Records(Protocol):
    """The log, a part at a time, oldest first within each gateway."""

    def __call__(self, since: Instant, /, behind: Cursor | None = None) -> Iterator[Iterable[wal.LogRecord]]:
        """From a moment on, up to where a cursor is (None: to its end)."""
        ...


def log_records(
    log: Callable[[], list[wal.SegmentFile]],
    sealed: Callable[[], Iterable[SegmentRow]],
    unseal: Callable[[SegmentRow], list[wal.LogRecord]],
) -> Records:
    """How the project's log is read: what is sealed from its blobs, all else from its files. Reading raises Unavailable where a file is gone meanwhile
    and no sealed segment is in its place: what was read is not the whole.
    """

    def opened(row: SegmentRow, behind: Cursor | None) -> list[wal.LogRecord]:
        # offsets are those of the file that it was
        return [each for each in unseal(row) if behind is None or each.at <= behind.until]

    def read(since: Instant, /, behind: Cursor | None = None) -> Iterator[Iterable[wal.LogRecord]]:
        last = highest_of(behind.offsets) if behind else {}
        files = {(file.gateway, file.number): file.path for file in log()}
        for row in sealed():
            if row.last >= since and (row.gateway, row.number) not in files and (behind is None or row.number <= last.get(row.gateway, -1)):
                yield opened(row, behind)
        for name, path in files.items():
            offset = given = 0
            end = None if behind is None else behind.offsets.get(f"{name[0]}/{path.name}", 0)
            while end is None or offset < end:
                try:
                    if end is not None and not offset:
                        # where frames begin: what is read is counted from there
                        offset = (wal.read_header(path) or (None, end))[1]
                    records, after = wal.read(path, offset, limit=PART if end is None else max(min(PART, end - offset), 0))
                except FileNotFoundError:
                    became = next((each for each in sealed() if (each.gateway, each.number) == name), None)
                    if became is None or (given and became.erased):
                        raise Unavailable("a segment of the log was sealed while it was read", why="/".join(map(str, name))) from None
                    if became.last >= since:
                        yield opened(became, behind)[given:]
                    break
                if not records:
                    break
                yield records
                offset, given = after, given + len(records)

    return read


def segments(log: Path, listed: Iterable[tuple[str, int]]) -> list[wal.SegmentFile]:
    """The files of the log, and those that were there when it was `listed` (gateway, number), though one is sealed by now."""
    return sorted(
        {*wal.segments(log), *(wal.SegmentFile(gateway, number, log / gateway / f"{number:06d}.wal") for gateway, number in listed)}
    )


@dataclass(frozen=True)
class Behind:
    """What is to be counted of a version that is compared with `reference`: its rows in the log before `cursor`, first seen at `seen_at`, that were made
    from `since` on.
    """

    model: Model
    version: str
    reference: str
    seen_at: Instant
    since: Instant
    watch: Watch
    cursor: Cursor


@dataclass(frozen=True)
class Wanted:
    """A version whose reference is to be made. `content`: of the data set that it was trained on; empty: there is none. `answers`: whether there
    are enough of its own predictions.
    """

    model: Model
    row: ElsewhereRow
    seen: learning.Seen
    content: str
    answers: bool


class Learning:
    """One reference at a time, in a thread. `step` is called with every pass of the loop and never waits for a disk."""

    def __init__(self, records: Records, blobs: Blobs, present: Callable[[str, str], str]) -> None:
        """present: where the content of a data set (its name, the hash) lies now."""
        self._records, self._blobs, self._present = records, blobs, present
        self._looked: Instant = 0
        self._tried: dict[tuple[str, str], int] = {}
        self._rest: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._made: ReferenceMade | None = None
        self._counted: tuple[Behind, tuple[InputCounts, ...]] | None = None
        self._failed: FlyballError | OSError | None = None

    def step(self, ports: Ports, now: Instant) -> None:
        """Record what was learnt, and begin with the next version of which there is enough. Raises what learning raised, once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._settle(ports)
        if abs(now - self._looked) < EVERY:
            return
        self._looked = now
        wanted = next(self._wanted(ports), None)
        if wanted is not None:
            self._tried[wanted.model.name, wanted.row.version] = wanted.seen.labels
            self._begin(self._learn, wanted)
        elif (behind := next(_behind(ports, self._rest), None)) is not None:
            self._begin(self._count, behind)

    def _begin(self, work: Callable[[Any], None], what: Wanted | Behind) -> None:
        self._thread = threading.Thread(target=work, args=(what,), name="learn", daemon=True)
        self._thread.start()

    def finish(self, ports: Ports, now: Instant) -> None:
        """Learn all that there is enough of. Raises what it raised."""
        while self._thread is not None:
            self._thread.join()
            self._looked = 0
            self.step(ports, now)

    def _settle(self, ports: Ports) -> None:
        self._thread = None
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error
        if self._made is not None:
            made, self._made = self._made, None
            command = NoteReference(id=ports.clock.new_id("cmd"), actor=ACTOR, model=made.model, made=made)
            if decide_note_reference(ports.ledger.state(), command, ports.clock.now()):
                ports.ledger.execute(command, decide_note_reference)
        if self._counted is not None:
            (behind, counts), self._counted = self._counted, None
            kept = memories.load(ports.memory)
            known = kept.monitor(behind.model.name)
            # of windows that have begun anew meanwhile, all is to be counted anew
            if (known.reference, known.behind) == (behind.reference, behind.cursor):
                memories.save(ports.memory, kept.with_monitor(caught_up(known, counts, behind.watch.bins, behind.cursor)))

    def _wanted(self, ports: Ports) -> Iterator[Wanted]:
        """Versions of which more can be learnt than is known."""
        state = ports.ledger.state()
        kept = memories.load(ports.memory)
        for name, row in state.scan(ELSEWHERE):
            row_declared = state.get(DECLARATIONS, name)
            known = row.watched == row.version
            if row_declared is None or (known and row.predictions and row.labels):
                continue
            model, seen = readable(ports, row_declared), learning.of(kept.monitor(name).seen, row.version)
            if model is None or not elsewhere(state, model) or time.monotonic() < self._rest.get(name, 0.0):
                continue
            content = "" if is_folder(model) else self._content(state, model)
            answers, labels = learning.is_learnt(seen), seen.labels >= LABELS
            more = (content and not known) or (answers and not (known and row.predictions)) or (answers and labels and not row.labels)
            tried = self._tried.get((name, row.version), 0)
            again = not (known and row.predictions) or not tried or seen.labels >= tried * GROWN
            if more and again:
                yield Wanted(model, row, seen, content, answers)

    def _content(self, state: State, model: Model) -> str:
        """What the model's data set holds now; empty where it has no rows."""
        data = state.get(DATASETS, model.data.name)
        rows = data is not None and data.head is not None and data.head.rows
        return self._present(model.data.name, data.head.content) if data is not None and data.head is not None and rows else ""

    def _learn(self, wanted: Wanted) -> None:
        try:
            self._made = learn(wanted, self._records, self._blobs)
            if self._made is None:
                self._rest[wanted.model.name] = time.monotonic() + REST_S
        except (FlyballError, OSError) as error:
            # the others have their turn meanwhile
            self._rest[wanted.model.name] = time.monotonic() + REST_S
            self._failed = error

    def _count(self, behind: Behind) -> None:
        try:
            self._counted = behind, count(behind, self._records)
        except (FlyballError, OSError) as error:
            self._rest[behind.model.name] = time.monotonic() + REST_S
            self._failed = error


def _behind(ports: Ports, rest: Mapping[str, float]) -> Iterator[Behind]:
    """Versions that the loop had read more of when their windows began than these hold."""
    state, kept = ports.ledger.state(), memories.load(ports.memory)
    for name, row in state.scan(ELSEWHERE):
        known, row_declared = kept.monitor(name), state.get(DECLARATIONS, name)
        seen = state.get(SEEN, f"{name}/{known.version}")
        # a reference that was made since is used with the next pass
        if known.behind is None or known.reference != row.reference or row_declared is None or seen is None:
            continue
        model = readable(ports, row_declared)
        if model is not None and elsewhere(state, model) and time.monotonic() >= rest.get(name, 0.0):
            own = watch(declared(model), state, ports.library)
            # where the reference is of its own first days, those that came after them
            since = max(row.watched_since, 0 if row.of else row.until + 1, known.behind.until - (KEPT + 1) * WEEK)
            yield Behind(model, known.version, known.reference, seen.seen_at, since, own, known.behind)


def count(behind: Behind, records: Records) -> tuple[InputCounts, ...]:
    """Rows of a version that were read before its reference was used, as the loop counts them: those that came since the release, and after what the
    reference was made from; of weeks that nobody looks at any more, none. Raises Unavailable, Corrupt.
    """
    model, until = behind.model, behind.cursor.until
    # what says a later time is counted when that has come
    due = pl.col("__time").is_between(behind.since, until)
    read = records(max(behind.seen_at, behind.since) - int(SPAN), behind.cursor)
    rows = _answers(model, behind.version, read, lambda answers: answers.filter(due))
    if rows.is_empty():
        return ()
    found, _ = inputs(rows.select(pl.col("__time").alias("at"), plain(rows["value"]).alias("value"), *_own(model)), behind.watch, 0)
    return found


def learn(wanted: Wanted, records: Records, blobs: Blobs) -> ReferenceMade | None:
    """What is normal for a version, as far as there is enough; None where there is less in the log than was counted. Raises NotFound, Corrupt."""
    model, version = wanted.model, wanted.row.version
    began = wanted.row.seen_at - int(SPAN)
    labels = _labels(model, records(began)) if wanted.answers and wanted.seen.labels else pl.DataFrame()
    answers = _answers(model, version, records(began), partial(_of_use, model, labels)) if wanted.answers else pl.DataFrame()
    first = _first_days(answers)
    if not wanted.content and first.is_empty():
        return None
    rows = _trained_on(model, wanted.content, blobs) if wanted.content else _rows(model, first)
    columns = [name for name in watched(model) if name in rows.columns]
    bins = list[Bins](reference(rows, columns))
    if first.height:
        bins += reference(first.select("__time", plain(first["value"]).alias("prediction")), ["prediction"])
    judged = _judged(model, answers, first, labels)
    bound, cap = loss_bound(model.task, judged) if judged.height else (1.0, 1.0)
    costs = {name: each.amount for name, each in model.costs.items()}
    return ReferenceMade(
        model=model.name,
        version=version,
        reference=blobs.put(msgspec.json.encode(bins)),
        rows=rows.height,
        since=_moment(rows, "min"),
        until=_moment(rows, "max"),
        of=model.data.name if wanted.content else "",
        predictions=first.height,
        labels=judged.height,
        loss_bound=bound,
        loss_cap=cap,
        metrics=measure(model.task, judged, classes=classes(model), costs=costs) if judged.height else {},
        by_slice=_by_slice(model, judged) if judged.height else {},
    )


def _by_slice(model: Model, judged: pl.DataFrame) -> dict[str, dict[str, Estimate]]:
    """The metric that adds up over groups, in each value of the slices by which live rows are counted: what a later change of it is split by.

    Slices of many values are left out, and so are those after so many that an event would hold no more.
    """
    metric = "accuracy" if model.task in CLASSES else "mae"
    if metric not in metric_names(model.task):
        return {}
    rows = judged.select("y", "value", "score").with_columns(slices_of(judged.select(_own(model)), declared(model)))
    found: dict[str, dict[str, Estimate]] = {}
    for name in slice_names(rows):
        there = rows.filter(pl.col(SLICE + name).is_not_null())
        if not there.height or there[SLICE + name].n_unique() > SLICED - len(found):
            continue
        parts = by_slice(model.task, there, [SLICE + name], [metric], classes=classes(model))
        found |= {part.removeprefix(SLICE): each for part, each in parts.items()}
    return found


def _own(model: Model) -> list[pl.Expr]:
    """A row's own columns, as the loop holds them where it counts."""
    return [pl.col(_OF_ROW + name).alias(held(name)) for name in watched(model)]


def _rows(model: Model, answers: pl.DataFrame) -> pl.DataFrame:
    """The rows of answers, as those of a data set lie, with their times."""
    return answers.select("__time", *(pl.col(_OF_ROW + name).alias(name) for name in watched(model)))


def _moment(frame: pl.DataFrame, which: str) -> Instant:
    value = getattr(frame["__time"], which)() if "__time" in frame.columns and frame.height else None
    return int(value) if value is not None else 0


def _trained_on(model: Model, content: str, blobs: Blobs) -> pl.DataFrame:
    """The columns of a data set that are watched, with the rows' times as µs; of very many rows the last."""
    time = model.data.time
    names = list(dict.fromkeys([*watched(model), *([time] if time else [])]))
    frames, rows = list[pl.DataFrame](), 0
    for frame in scan(content, blobs, names):
        frames.append(frame)
        rows += frame.height
        while rows - frames[0].height >= MOST:
            rows -= frames.pop(0).height
    whole = pl.concat(frames)
    # the place of a row says nothing of how days differ
    return whole.with_columns(whole[time].dt.epoch("us").alias("__time")).sort("__time") if time else whole


def _answers(
    model: Model, version: str, parts: Iterator[Iterable[wal.LogRecord]], of_use: Callable[[pl.DataFrame], pl.DataFrame]
) -> pl.DataFrame:
    """The version's answers in order of their times, each id once. A row's own columns have `_OF_ROW` before their names. `of_use` gives those of what was
    read so far, in this order, that may be of use once all is read: no others are held.
    """
    ref, fields = f"{model.name}@{version}", tuple[str, ...]()
    columns = [*_BESIDE, *(_OF_ROW + name for name in watched(model))]
    held, rows = list[list[Any]](), pl.DataFrame()
    for record in (record for part in parts for record in part):
        if record.version != ref:
            continue
        if record.kind == "signature" and record.input:
            fields = tuple(record.input[0])
        elif record.kind == "answer" and record.status == "ok" and record.input and record.output:
            value, score = (*record.output[0], None)[:2]
            own = [record.input[0][fields.index(name)] if name in fields else None for name in watched(model)]
            held.append([record.request_id, ((record.marks or {}).get("t") or [record.at])[0], value, score, *own])
            if len(held) >= AT_ONCE:
                rows, held = of_use(_in_order(model, rows, held, columns)), []
    return of_use(_in_order(model, rows, held, columns))


def _in_order(model: Model, rows: pl.DataFrame, held: list[list[Any]], columns: Sequence[str]) -> pl.DataFrame:
    """Answers with those that were read after them."""
    values = zip(*held, strict=True) if held else ([] for _ in columns)
    more = pl.DataFrame([_typed(model, name, list(each)) for name, each in zip(columns, values, strict=True)])
    whole = pl.concat([rows, more], how="vertical_relaxed") if rows.width else more
    return whole.unique("request_id", keep="first", maintain_order=True).sort("__time", "request_id")


def _labels(model: Model, parts: Iterator[Iterable[wal.LogRecord]]) -> pl.DataFrame:
    """The labels of the model in the order in which they came: `request_id`, when each was `known`, and `y`."""
    held, frames = list[tuple[str, Instant, Any]](), list[pl.DataFrame]()

    def take() -> None:
        columns = zip(("request_id", "known", "y"), zip(*held, strict=True), strict=True)
        frames.append(pl.DataFrame([pl.Series(name, list(values), strict=False) for name, values in columns]))
        held.clear()

    for record in (record for part in parts for record in part):
        if record.kind == "label" and record.version == model.name and record.output:
            held.append((record.request_id, (record.marks or {}).get("t", UNTOLD), record.output[0][0]))
            if len(held) >= AT_ONCE:
                take()
    if held:
        take()
    return pl.concat(frames, how="vertical_relaxed") if frames else pl.DataFrame()


def _typed(model: Model, name: str, values: list[Any]) -> pl.Series:
    if name in _BESIDE:
        return pl.Series(name, values, dtype=_BESIDE[name], strict=False)
    kind = model.data.columns[name.removeprefix(_OF_ROW)].type
    # the log has times as µs
    return pl.Series(name, values, dtype=pl.Int64 if kind == "time" else DTYPES[kind], strict=False)


def _of_use(model: Model, labels: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Answers of the first days, as far as it is known which these are, and the first of all others that have a label."""
    end = _end(answers)
    if end is None:
        return answers
    early, later = answers.filter(pl.col("__time") <= end), answers.filter(pl.col("__time") > end)
    return pl.concat([early, later.join(_known(model, later, labels).head(LABELS), on="request_id", how="semi")])


def _end(answers: pl.DataFrame) -> Instant | None:
    """When the first days are over: after a week, or with the first thousand where a week brought fewer; None: there are not so many."""
    return max(answers["__time"][0] + int(SPAN), answers["__time"][ROWS - 1]) if answers.height >= ROWS else None


def _first_days(answers: pl.DataFrame) -> pl.DataFrame:
    """The answers of the first days; of very many, some of each moment."""
    end = _end(answers)
    if end is None:
        return answers.clear() if answers.width else answers
    first = answers.filter(pl.col("__time") <= end)
    return first if first.height <= MOST else first.gather_every(-(-first.height // MOST))


def _known(model: Model, answers: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Answers, in order of their times, with their labels (`y`) that were known in time or say no time; of several the last."""
    if answers.is_empty() or labels.is_empty():
        return answers.clear()
    known = answers.join(labels, on="request_id", how="inner").filter(pl.col("known") <= pl.col("__time") + int(label_delay(model)))
    return known.sort("known").unique("request_id", keep="last", maintain_order=True).sort("__time", "request_id")


def _judged(model: Model, answers: pl.DataFrame, first: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Answers with their labels: those of the first days, or the first so many of all where these have too few; else none."""
    known = _known(model, answers, labels)
    early = known.filter(pl.col("__time") <= _moment(first, "max")) if first.height else known.clear()
    judged = early if early.height >= LABELS else known.head(LABELS)
    return judged if judged.height >= LABELS else pl.DataFrame()
