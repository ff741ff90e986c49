"""The live log as evidence: tails the prediction log, joins labels by request id, and hands on counts, never rows.

Nothing is kept on disk but the cursor, which is the caller's. After a restart the frames before the cursor are read again to
rebuild what was waiting for labels, and what they count is thrown away: it was handed on before. Reading never touches a gateway.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import polars as pl

from flyball.clock import Instant
from flyball.declare.live import attribute_text
from flyball.errors import Corrupt
from flyball.evaluation.counts import Folder, LabelTally
from flyball.evaluation.counts_columns import ATTRIBUTE, LABELS, LIST, ROWS, SCORES, held
from flyball.records.evidence import MINUTE, Batch, Cursor, Refusals, Watch, tallied
from flyball.records.serving import SegmentRow
from flyball.serving import plain, wal
from flyball.serving.sealer import unseal
from flyball.store.blobs import Blobs

Sealed: TypeAlias = Callable[[], Iterable[SegmentRow]]
"""The segments that became Parquet: the rows of SEGMENTS."""

_ROWS = ROWS | {SCORES: pl.List(pl.Float64), LIST: pl.String()}
_NO_ROWS = pl.DataFrame()
_SLACK = 3_600_000_000
"""Files last written longer before the oldest waiting row than this hold nothing that waits."""

_AT_ONCE = 3 << 20
"""Bytes of a log that are read together: its frames are gone through field by field, and more of them would be fetched from memory each time."""

_BUSY, _MOST_UNREAD = 64 << 10, 8 << 20
"""A log that has grown by less than so many bytes since the last look is read at once. A busier one waits for the end of the minute, or for so many bytes,
where no rollout is under way: what rows cost when they are counted together is a tenth of what they cost a second at a time. What is judged by closed minutes (objectives, contracts,
volume) loses nothing by it, and all else is told within a minute; a rollout alone decides within seconds."""

_EACH = 100_000
"""What it costs to count the rows of one model, if only of one row, is some milliseconds: the next look at a log waits so long (µs) for each model that the
last one had to count, until the minute ends at most. So it takes less than a tenth of a processor, whether ten models answer or five hundred.
"""

_ROLLOUT = 10_000_000
"""So long (µs) it waits at most where a rollout is under way: its guards are to decide within seconds."""


class LiveEvidence:
    """Implements `records.evidence.Evidence` on `.flyball/log`. One caller; not for two threads.

    A segment is to be sealed and deleted only after a call of `since` that came after its end: the tick reads first.
    """

    def __init__(self, root: Path, *, blobs: Blobs | None = None, sealed: Sealed | None = None) -> None:
        """`root` is the project's `.flyball` folder; `sealed` and `blobs` give the segments whose files are gone, if any."""
        self._log = root / "log"
        self._blobs = blobs
        self._sealed = sealed
        self._folders: dict[str, Folder] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._unreadable: set[str] = set()
        self._last: Cursor | None = None
        self._left = 0
        """Bytes that the last look left unread."""
        self._counted = 0
        """Models of which the last look that read had something to count."""
        self._given: Cursor | None = None

    def since(self, cursor: Cursor, until: Instant, watches: dict[str, Watch]) -> tuple[Batch, Cursor]:
        """Counts of all that became visible in (cursor, until], for the models in `watches`, and the cursor after it. Of others it counts
        the records.

        A cursor other than the one last returned (a restart, a transaction that failed) makes it read back; so does not the one last
        given, where nothing was counted since: a caller need not store a cursor for that. A file in the log that is not a segment is
        left out, and told once.
        """
        back = self._last is None or cursor not in (self._last, self._given)
        if not back and self._can_wait(until, watches):
            return Batch(until=until), cursor
        if back:
            self._rebuild(cursor, watches)
        self._fit(watches)
        intake = _Intake(self._names, watches)
        offsets = self._read(cursor.offsets if back or self._last is None else self._last.offsets, intake, back=back)
        self._counted = len(intake.models)
        intake.into(self._folders)
        batch = _joined(until, [self._folders[model].take(until) for model in sorted(self._folders)], intake)
        self._last, self._left = Cursor(until=max(until, cursor.until), offsets=offsets), 0
        self._given = None if batch.holds else cursor
        return batch, self._last

    def _can_wait(self, until: Instant, watches: dict[str, Watch]) -> bool:
        """Whether what has come can be counted with what comes next. A segment that is finished is read: it is sealed after that."""
        if self._last is None or until // MINUTE != self._last.until // MINUTE:
            return False
        if self._folders.keys() != watches.keys():
            return False
        known, unread = self._last.offsets, 0
        sizes = wal.sizes(self._log)
        newest = dict(sorted(sizes))
        for (gateway, number), (name, size) in sizes.items():
            more = size - known.get(name, 0)
            if more > 0 and number != newest[gateway]:
                return False
            unread += more
        before, self._left = self._left, unread
        if unread >= _MOST_UNREAD:
            return False
        rollout, pause = any(watch.arms or watch.slow_us for watch in watches.values()), self._counted * _EACH
        if until - self._last.until < (min(pause, _ROLLOUT) if rollout else pause):
            return True
        return unread - before >= _BUSY and not rollout

    def labels(self) -> Mapping[str, LabelTally]:
        """What became of labels since this process began, by model."""
        return {model: folder.labels for model, folder in self._folders.items()}

    def _fit(self, watches: dict[str, Watch]) -> None:
        for model in [name for name in self._folders if name not in watches]:
            del self._folders[model]
        for model, watch in watches.items():
            if model in self._folders:
                self._folders[model].rewatch(watch)
            else:
                self._folders[model] = Folder(watch)

    def _rebuild(self, cursor: Cursor, watches: dict[str, Watch]) -> None:
        self._folders.clear()
        self._names.clear()
        self._fit(watches)
        if not cursor.offsets:
            return
        intake = _Intake(self._names, watches)
        # first exposures count from a rollout's beginning; else only rows that wait for labels matter
        started = min((watch.started for watch in watches.values() if watch.arms or watch.slow_us), default=cursor.until)
        longest = max((int(watch.label_delay) + int(watch.patience) for watch in watches.values()), default=0)
        oldest = min(started, cursor.until - longest) - _SLACK
        for name, end in sorted(cursor.offsets.items()):
            path = self._log / name
            if end and path.exists() and path.stat().st_mtime_ns // 1000 >= oldest:
                for frames in _until(path, end):
                    intake.take_stretch(frames)
        highest = highest_of(cursor.offsets)
        for row in self._gone():
            if row.number <= highest.get(row.gateway, -1) and row.last >= oldest:
                intake.take(record for record in self._unsealed(row) if record.at >= oldest)
        intake.into(self._folders)
        for folder in self._folders.values():
            folder.take(cursor.until)

    def _read(self, known: Mapping[str, int], intake: _Intake, *, back: bool) -> dict[str, int]:
        offsets: dict[str, int] = {}
        files = {f"{file.gateway}/{file.path.name}": file.path for file in wal.segments(self._log)}
        for name, path in files.items():
            offset = known.get(name, 0)
            try:
                if offset and path.stat().st_size == offset:
                    offsets[name] = offset
                    continue
                if offset and not self._names:
                    self._names.update(wal.signatures(path))
                offsets[name] = self._tail(path, offset, intake)
            except Corrupt as error:
                # a header lost in a power cut: what that file held is gone, and the others still count
                if name not in self._unreadable:
                    self._unreadable.add(name)
                    print(f"left out of the evidence: {error}", file=sys.stderr, flush=True)
                offsets[name] = offset
            except FileNotFoundError:
                # sealed between the listing and the read, and sealed only after it was read to its end
                offsets[name] = offset
        highest = highest_of(known)
        # there are more and more sealed segments, and while this process reads on, each was read before it was sealed
        for row in self._gone() if back else ():
            if row.number > highest.get(row.gateway, -1) and _name(row) not in files:
                intake.take(self._unsealed(row))
                offsets[_name(row)] = 0
        # a gateway's highest number stays, so that a segment that is gone is not taken for a new one
        last = highest_of({**known, **offsets})
        kept = {f"{gateway}/{number:06d}.wal" for gateway, number in last.items()} | set(files)
        return {name: offset for name, offset in {**known, **offsets}.items() if name in kept}

    def _tail(self, path: Path, offset: int, intake: _Intake) -> int:
        while True:
            found = wal.stretch(path, offset, limit=_AT_ONCE)
            if not found.ends:
                return max(found.after, offset)
            intake.take_stretch(found)
            offset = found.after

    def _gone(self) -> list[SegmentRow]:
        rows = () if self._sealed is None or self._blobs is None else self._sealed()
        return [row for row in rows if not (self._log / _name(row)).exists()]

    def _unsealed(self, row: SegmentRow) -> list[wal.LogRecord]:
        assert self._blobs is not None
        return unseal(self._blobs.get(row.parquet_sha256))


def _name(row: SegmentRow) -> str:
    return f"{row.gateway}/{row.number:06d}.wal"


def highest_of(offsets: Mapping[str, int]) -> dict[str, int]:
    """The highest segment number of each gateway."""
    found: dict[str, int] = {}
    for name in offsets:
        gateway, _, file = name.partition("/")
        found[gateway] = max(found.get(gateway, -1), int(file.removesuffix(".wal")))
    return found


def _until(path: Path, end: int) -> Iterator[wal.Stretch]:
    """What lies before the offset `end`."""
    found = wal.read_header(path)
    offset = found[1] if found else end
    while offset < end:
        frames = wal.stretch(path, offset, limit=min(_AT_ONCE, end - offset))
        if not frames.ends:
            return
        yield frames
        offset = frames.after


class _Intake:
    """Log records as columns, by model. A request of several rows without a key is one unit: its rows fell on one arm together."""

    def __init__(self, names: dict[str, tuple[str, ...]], watches: Mapping[str, Watch]) -> None:
        self.gaps = 0
        self.refusals: dict[tuple[str, int], Refusals] = {}
        self.uncounted: Counter[str] = Counter()
        self._names = names
        self._wanted = {model: {*watch.slices, *watch.reads, *(bins.column for bins in watch.bins)} for model, watch in watches.items()}
        self._ranked = {model for model, watch in watches.items() if watch.ranked}
        self._classes = {model for model, watch in watches.items() if watch.task == "multiclass"}
        self._attributes = {model: tuple(watch.attributes) for model, watch in watches.items()}
        self._elsewhere = {model for model, watch in watches.items() if watch.patience}
        self._rows: dict[str, dict[str, list[Any]]] = {}
        self._labels: dict[str, dict[str, list[Any]]] = {}
        self._frames: list[tuple[str, bool, pl.DataFrame]] = []

    @property
    def models(self) -> set[str]:
        """Those of which there is something to hand on."""
        return {*self._rows, *self._labels, *(model for model, _, _ in self._frames)}

    def take(self, records: Iterable[wal.LogRecord]) -> None:
        """Add records in the order of the log."""
        for record in records:
            match record.kind:
                case "answer" | "shadow" | "shadow_dropped":
                    self._scored(record)
                case "label":
                    self._label(record)
                case "signature":
                    if record.input:
                        self._names[record.version] = tuple(record.input[0])
                case "gap":
                    self.gaps += record.rows
                case "refused":
                    self._refused(record)
                case "views":
                    pass

    def take_stretch(self, found: wal.Stretch) -> None:
        """Add frames of one file: what is plain as columns, all else as records."""
        answers, labels, rest = plain.split(found)
        # what says how the others are read comes first
        self.take(found.records(rest))
        for group in (*answers, *labels):
            model = group.version.partition("@")[0]
            if model not in self._wanted:
                self.uncounted[model] += len(group)
                continue
            # rows and labels of what is served elsewhere bear their own times
            frame = None if model in self._elsewhere else self._plain(model, group, found.shift_ns)
            if frame is None:
                self.take(found.records(group.frames.tolist()))
            else:
                self._frames.append((model, group.split is None, frame))

    def _plain(self, model: str, group: plain.Group, shift_ns: int) -> pl.DataFrame | None:
        return self._plain_labels(group, shift_ns) if group.split is None else self._plain_rows(model, group, shift_ns)

    def _plain_labels(self, group: plain.Group, shift_ns: int) -> pl.DataFrame | None:
        if len(group.output) != 1:
            return None
        return pl.DataFrame([group.ids, group.at(shift_ns), group.output[0].alias("value")])

    def _plain_rows(self, model: str, group: plain.Group, shift_ns: int) -> pl.DataFrame | None:
        names, output, sent = self._names.get(group.version), group.output, group.input
        if names is None or len(names) != len(sent) or not 1 <= len(output) <= 2:
            return None
        if len(output) == 2 and not (output[1].dtype.is_numeric() or output[1].null_count() == len(output[1])):
            return None
        wanted, n = self._wanted[model], len(group)
        assert group.split is not None
        row: list[pl.Series | None] = [
            group.ids,
            group.at(shift_ns),
            pl.Series([group.version.partition("@")[2]], dtype=pl.String),
            pl.Series([group.role], dtype=pl.String),
            pl.Series([group.split.rollout], dtype=pl.String),
            pl.Series([group.split.weight], dtype=pl.Int64),
            group.keys,
            pl.Series(["ok"], dtype=pl.String),
            group.latency_us(),
            output[1].cast(pl.Float64) if len(output) == 2 else pl.Series([None], dtype=pl.Float64),
            pl.Series([False], dtype=pl.Boolean),
        ]
        told = {name: series for name, series in zip(ROWS, row, strict=True) if series is not None}
        told["value"] = output[0]
        if model in self._ranked:
            told[LIST] = group.ids
        told |= {held(name): series for name, series in zip(names, sent, strict=True) if name in wanted}
        return pl.DataFrame([(series if len(series) == n else series.new_from_index(0, n)).alias(name) for name, series in told.items()])

    def into(self, folders: Mapping[str, Folder]) -> None:
        """Hand everything on."""
        for model, of_labels, frame in self._frames:
            folders[model].add(*((_NO_ROWS, frame) if of_labels else (self._whole(model, frame), _NO_ROWS)))
        self._frames = []
        for model, folder in folders.items():
            rows, labels = self._rows.pop(model, None), self._labels.pop(model, None)
            for name in self._unasked(model):
                (rows or {}).pop(held(name), None)
            if rows or labels:
                folder.add(_frame(rows, _ROWS), _frame(labels, LABELS))

    def _whole(self, model: str, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with nulls in what they were not asked for, and another version was."""
        absent = [held(name) for name in sorted(self._wanted[model] - self._unasked(model)) if held(name) not in rows.columns]
        return rows.hstack([pl.Series(name, [None]).new_from_index(0, rows.height) for name in absent]) if absent else rows

    def _unasked(self, model: str) -> set[str]:
        # what no version is asked for (a transform) is not in the log: that says nothing about its values
        return self._wanted[model].difference(*(names for ref, names in self._names.items() if ref.partition("@")[0] == model))

    def _scored(self, record: wal.LogRecord) -> None:
        model, _, version = record.version.partition("@")
        wanted = self._wanted.get(model)
        marks = record.marks or {}
        if wanted is None:
            self.uncounted[model] += 1
            return
        # the declared fallback is no version's answer; the failure before it is in the log on its own
        if record.status == "fallback" or marks.get("fb") == "value":
            return
        stand_in = marks.get("fb") == "champion"
        key = record.key_hash or (record.request_id if record.rows > 1 else None)
        latency = None if stand_in or record.kind == "shadow_dropped" else max((record.answered_ns - record.picked_ns) // 1000, 0)
        times: list[Instant] = []
        if model in self._elsewhere:
            times, latency = marks.get("t") or [], latency if record.answered_ns else None
        if "cv" in marks and record.kind == "answer" and not stand_in:
            for place, row in enumerate(marks["cv"]):
                # a share of requests is one of those of the same minutes
                if row:
                    at = times[place] if place < len(times) else record.at
                    self._broken(model, at, [f"{done} {name}" for name, done in row.items()])
        dropped = record.kind == "shadow_dropped"
        names = self._names.get(record.version, ())
        places = [(place, name) for place, name in enumerate(names) if name in wanted]
        scores = (SCORES,) if model in self._classes else (LIST,) if model in self._ranked else ()
        columns = self._rows.setdefault(model, {name: [] for name in (*ROWS, "value", *scores, *map(held, sorted(wanted)))})
        absent = wanted.difference(names)
        for place, request in enumerate(record.row_ids() if record.rows else [record.request_id]):
            output = record.output[place] if record.output and place < len(record.output) else None
            status = "dropped" if dropped else "ok" if output is not None and record.status == "ok" else "error"
            score = output[1] if output is not None and len(output) > 1 and isinstance(output[1], float | int) else None
            fixed = (
                request,
                times[place] if place < len(times) else record.at,
                version,
                record.role,
                str(marks.get("ro", "")),
                int(marks.get("w", 0)),
                key,
                status,
                latency,
                score,
                stand_in,
            )
            for name, value in zip(ROWS, fixed, strict=True):
                columns[name].append(value)
            columns["value"].append(output[0] if output else None)
            if scores == (LIST,):
                columns[LIST].append(record.request_id)
            elif scores:
                columns[SCORES].append(output[1] if output is not None and len(output) > 1 and isinstance(output[1], list) else None)
            row = record.input[place] if record.input and place < len(record.input) else None
            for index, name in places:
                columns[held(name)].append(None if row is None else row[index])
            for name in absent:
                columns[held(name)].append(None)

    def _refused(self, record: wal.LogRecord) -> None:
        model, marks = record.version, record.marks or {}
        if model in self._wanted:
            # what an older gateway wrote names columns only
            told = marks.get("br") or [f"refused {name}" for row in marks.get("cv", ()) if row for name in row] or ["other *"]
            self._broken(model, record.at, told, refused=1)

    def _broken(self, model: str, at: Instant, told: Iterable[str], *, refused: int = 0) -> None:
        known = self.refusals.setdefault((model, at // MINUTE), Refusals(model=model, minute=at // MINUTE))
        self.refusals[model, at // MINUTE] = msgspec.structs.replace(
            known, refused=known.refused + refused, breaches=tallied(known.breaches, dict(Counter(told)))
        )

    def _label(self, record: wal.LogRecord) -> None:
        if record.version not in self._wanted:
            self.uncounted[record.version] += 1
            return
        if not record.output:
            return
        own, elsewhere = self._attributes[record.version], record.version in self._elsewhere
        named = (*LABELS, "value", *(("came",) if elsewhere else ()), *(ATTRIBUTE + name for name in own))
        columns = self._labels.setdefault(record.version, {name: [] for name in named})
        columns["request_id"].append(record.request_id)
        # what was answered elsewhere is labelled elsewhere: that a label came late is no reason to think that it was known late
        columns["at"].append((record.marks or {}).get("t", record.at) if elsewhere else record.at)
        if elsewhere:
            columns["came"].append(record.at)
        columns["value"].append(record.output[0][0])
        given = (record.marks or {}).get("a") or {}
        for name in own:
            value = given.get(name)
            columns[ATTRIBUTE + name].append(attribute_text(value) if isinstance(value, str | int | float) else None)


def _frame(columns: dict[str, list[Any]] | None, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    if columns is None:
        return pl.DataFrame()
    return pl.DataFrame([pl.Series(name, values, dtype=types.get(name), strict=False) for name, values in columns.items()])


def _joined(until: Instant, batches: list[Batch], intake: _Intake) -> Batch:
    return Batch(
        until=until,
        traffic=tuple(one for batch in batches for one in batch.traffic),
        quality=tuple(one for batch in batches for one in batch.quality),
        pairs=tuple(one for batch in batches for one in batch.pairs),
        blocks=tuple(one for batch in batches for one in batch.blocks),
        labels=tuple(one for batch in batches for one in batch.labels),
        inputs=tuple(one for batch in batches for one in batch.inputs),
        refusals=tuple(intake.refusals[key] for key in sorted(intake.refusals)),
        answered=tuple(one for batch in batches for one in batch.answered),
        unmatched={model: count for batch in batches for model, count in batch.unmatched.items()},
        uncounted=dict(intake.uncounted),
        gaps=intake.gaps,
    )
