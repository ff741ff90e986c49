"""Predictions that lie in a folder come into the prediction log, beside the loop: each row once, whatever is killed when.

A data set with a column `prediction`, of a model without `train=`, is its predictions. What a new version of it has more than the last one that was
taken is appended through the same writer as a gateway's, under a name of its own: `x0`. A row whose label is filled in later is no new prediction:
its id is known, and only the label is appended. Which rows those are, two manifests say by the chunks that they do not share; what a killed attempt
wrote, the log itself says.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import msgspec
import polars as pl

from flyball.clock import Instant
from flyball.data import manifest
from flyball.declare.elsewhere import LATENCY, PREDICTION, SCORE, UNVERSIONED, VERSION, is_folder
from flyball.declare.model import Label, Model
from flyball.errors import Corrupt, FlyballError, NotFound, Unavailable
from flyball.loop.elsewhere import elsewhere, prediction, readable
from flyball.loop.ports import Memory, Ports
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.data import DATASETS, Chunk
from flyball.records.declarations import DECLARATIONS
from flyball.records.models import ModelRef
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.predictions import Made
from flyball.store.blobs import Blobs

GATEWAY: Final = "x0"
"""What the log calls who writes here: no gateway, but the loop."""

FRAMES: Final = 2_000
"""Frames that are appended with one write."""

REST_S: Final = 60.0
"""How long what could not be taken is left alone."""

_KEY = "1/predictions taken/"
"""Of what is kept in the operational memory, by model; the number is that of its form."""

_STRANGE = re.compile(r"[^A-Za-z0-9._+-]+")


class Taken(Record, frozen=True):
    """The content of the data set whose rows are in the log (empty: none yet), and the newest segment by then: what is in later ones, or in it, may be of an
    attempt that was killed. `begun` are the contents that attempts since then began with. `gone` is the time of the newest row that was taken and is in the
    data set no more (0: there is none): rows of up to then may be back, and lie in any segment.
    """

    content: str = ""
    segment: int = 0
    gone: Instant = 0
    begun: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogOf:
    """Where what `GATEWAY` wrote lies: files, and sealed segments."""

    files: Callable[[], list[wal.SegmentFile]]
    sealed: Callable[[], Iterable[SegmentRow]]
    unseal: Callable[[SegmentRow], list[wal.LogRecord]]

    def records(self, least: int) -> Iterator[wal.LogRecord]:
        """Its records from the segment of this number on."""
        files = {file.number: file.path for file in self.files() if file.gateway == GATEWAY and file.number >= least}
        for row in self.sealed():
            if row.gateway == GATEWAY and row.number >= least and row.number not in files:
                yield from self.unseal(row)
        for path in files.values():
            offset = 0
            while (found := wal.read(path, offset))[0]:
                yield from found[0]
                offset = found[1]


@dataclass
class Known:
    """Ids of a model that are in the log, with the labels that are."""

    labels: dict[str, set[Any]] = field(default_factory=dict)

    @classmethod
    def of_log(cls, records: Iterable[wal.LogRecord], model: str) -> Known:
        """What some records say."""
        found = cls()
        for record in records:
            if record.kind == "answer" and record.version.partition("@")[0] == model:
                found.labels.setdefault(record.request_id, set())
            elif record.kind == "label" and record.version == model and record.output:
                found.labels.setdefault(record.request_id, set()).add(record.output[0][0])
        return found


@dataclass(frozen=True)
class _Job:
    model: Model
    content: str
    taken: Taken


class Folders:
    """One data set version at a time, in a thread. `step` is called with every pass of the loop and never waits for a disk."""

    def __init__(self, log: LogOf, writer: Callable[[], wal.Writer], blobs: Blobs, present: Callable[[str, str], str]) -> None:
        """writer: opens the log for writing. present: where the content of a data set (its name, the hash) lies now."""
        self._log, self._open, self._blobs, self._present = log, writer, blobs, present
        self._writer: wal.Writer | None = None
        self._thread: threading.Thread | None = None
        self._made: tuple[str, Taken] | None = None
        self._failed: FlyballError | OSError | None = None
        self._known: dict[str, Taken] = {}
        self._rest: dict[str, float] = {}

    def step(self, ports: Ports) -> None:
        """Keep how far the last version was taken, and begin with the next. Raises what taking one raised, once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._settle(ports)
        job = next(self._due(ports), None)
        if job is not None:
            # before anything of it is written
            self._keep(ports, job.model.name, job.taken)
            self._thread = threading.Thread(target=self._take, args=(job,), name="predictions", daemon=True)
            self._thread.start()

    def finish(self, ports: Ports) -> None:
        """Take all that there is. Raises what it raised."""
        while self._thread is not None:
            self._thread.join()
            self.step(ports)
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _settle(self, ports: Ports) -> None:
        self._thread = None
        if self._failed is not None:
            error, self._failed = self._failed, None
            raise error
        if self._made is not None:
            (model, taken), self._made = self._made, None
            self._keep(ports, model, taken)

    def _keep(self, ports: Ports, model: str, taken: Taken) -> None:
        if taken != self._known.get(model):
            ports.memory.save({_KEY + model: codec.encode(taken)})
            self._known[model] = taken

    def _due(self, ports: Ports) -> Iterator[_Job]:
        state = ports.ledger.state()
        for name, declared in state.scan(DECLARATIONS):
            model = readable(ports, declared)
            if model is None or time.monotonic() < self._rest.get(name, 0.0):
                continue
            row = state.get(DATASETS, model.data.name) if is_folder(model) and elsewhere(state, model) else None
            if row is None or row.head is None or prediction(model) is None:
                continue
            if name not in self._known:
                self._known[name] = _kept(ports.memory, name)
            taken, content = self._known[name], row.head.content
            if taken.content != content:
                yield _Job(model, content, msgspec.structs.replace(taken, begun=tuple(dict.fromkeys((*taken.begun, content)))))

    def _take(self, job: _Job) -> None:
        try:
            if self._writer is None:
                self._writer = self._open()
            gone = self._append(job, self._writer)
            self._writer.sync()
            self._made = job.model.name, Taken(content=job.content, segment=int(self._writer.path.stem), gone=gone)
        except (FlyballError, OSError) as error:
            # the others have their turn meanwhile
            self._rest[job.model.name] = time.monotonic() + REST_S
            self._failed = error

    def _append(self, job: _Job, writer: wal.Writer) -> Instant:
        """Append what is not in the log; return what is `gone` after it."""
        model, name = job.model, job.model.data.name
        fresh, known, lost = self._new(job)
        frames: list[bytes] = []
        now_ns = time.monotonic_ns()
        for chunk in fresh:
            for one, label in rows(model, manifest.read(chunk.content, self._blobs)):
                lost.pop(one.id, None)
                there = known.labels.get(one.id)
                if there is None:
                    ref = str(ModelRef(model=model.name, version=one.version))
                    if not writer.knows(ref):
                        signature = prediction(model)
                        frames.append(writer.declare(ref, [each.name for each in signature.fields] if signature else []))
                    frames.append(one.frame(model.name, now_ns=now_ns, epoch=0, key_hash=""))
                    there = known.labels[one.id] = set()
                if label is not None and label not in there:
                    there.add(label)
                    # by its column's word it was known by then, whenever the file was read
                    frames.append(wal.label_frame(model.name, one.id, label, one.at + int(model.label_delay), now_ns=now_ns))
                if len(frames) >= FRAMES:
                    frames = _written(writer, frames, name)
        _written(writer, frames, name)
        return max(job.taken.gone, max(lost.values(), default=0))

    def _new(self, job: _Job) -> tuple[Sequence[Chunk], Known, dict[str, Instant]]:
        """The chunks that may have rows or labels that are not in the log, what of them is, and the rows that are, or may be, in it and in none of the others
        any more, with their times, unless they are in these.
        """
        model, taken = job.model, job.taken
        new, lost = self._chunks(job, job.content), dict[str, Instant]()
        if taken.content:
            # versions are not kept for good: then the log says what is in it
            with suppress(NotFound, Corrupt):
                old = self._chunks(job, taken.content)
                fresh = manifest.only_in(new, old)
                back = any(chunk.first <= taken.gone for chunk in fresh) if taken.gone else False
                known = Known.of_log(self._log.records(0 if back else taken.segment), model.name)
                # what lay in a chunk that is there no more was taken: it is there again, with more beside it, or it is gone
                for chunk in manifest.only_in(old, new):
                    for one, label in rows(model, manifest.read(chunk.content, self._blobs)):
                        known.labels.setdefault(one.id, set()).update(() if label is None else (label,))
                        lost[one.id] = one.at
                # of what an attempt has begun with, any part may have been taken
                begun = (self._there(job, content) for content in taken.begun)
                for chunk in manifest.only_in(manifest.only_in(tuple(dict.fromkeys(chain.from_iterable(begun))), old), new):
                    lost.update((one.id, one.at) for one, _ in rows(model, manifest.read(chunk.content, self._blobs)))
                return fresh, known, lost
        known, newest = Known.of_log(self._log.records(0), model.name), 0
        # nobody can tell which rows are gone: none is newer than the newest, as a rule
        for content in (*taken.begun, taken.content):
            newest = max([newest, *(chunk.last for chunk in self._there(job, content))])
        return new, known, {"": newest} if known.labels else {}

    def _there(self, job: _Job, content: str) -> Sequence[Chunk]:
        """The chunks of a content; none where it is kept no more."""
        with suppress(NotFound, Corrupt):
            return self._chunks(job, content) if content else ()
        return ()

    def _chunks(self, job: _Job, content: str) -> Sequence[Chunk]:
        return manifest.manifest(self._present(job.model.data.name, content), self._blobs).chunks


def _written(writer: wal.Writer, frames: list[bytes], name: str) -> list[bytes]:
    if frames and not writer.append(frames):
        raise Unavailable(
            f'predictions of data set "{name}" were not taken', why="the disk refuses the log", fix="make room; it is tried again"
        )
    return []


def _kept(memory: Memory, model: str) -> Taken:
    raw = memory.load(_KEY + model)
    return codec.decode(raw, Taken) if raw else Taken()


def rows(model: Model, frame: pl.DataFrame) -> Iterator[tuple[Made, Any]]:
    """The predictions of a data set's rows, each with its label (None: not known yet). A row without a prediction was not answered."""
    data, signature = model.data, prediction(model)
    names = [each.name for each in signature.fields] if signature else []
    values = [_plain(frame[name]) for name in names]
    times, ids = _plain(frame[data.time]), frame[data.id].cast(pl.String).to_list()
    answers, scores, versions, latencies = (
        frame[name].to_list() if name in data.columns else [None] * frame.height for name in (PREDICTION, SCORE, VERSION, LATENCY)
    )
    own = not isinstance(model.label, Label) and model.label_column in frame.columns
    labels = _plain(frame[model.label_column]) if own else [None] * frame.height
    for place, (at, one) in enumerate(zip(times, ids, strict=True)):
        if at is None or not one:
            continue
        latency = latencies[place]
        made = Made(
            id=one,
            row=tuple(column[place] for column in values),
            marks={},
            value=answers[place],
            score=scores[place],
            at=at,
            version=version_of(versions[place]),
            key=None,
            latency_us=None if latency is None else max(0, round(latency * 1000)),
            error="" if answers[place] is not None else "the row has no prediction",
        )
        yield made, labels[place]


def version_of(given: str | None) -> str:
    """What a version is called here: characters that no version has become a hyphen.

    >>> version_of("2026/01 (b)"), version_of(None)
    ('2026-01-b', 'unversioned')
    """
    return _STRANGE.sub("-", given or "")[:64].strip("-._+") or UNVERSIONED


def _plain(series: pl.Series) -> list[Any]:
    """Values as the log has them: times as µs, and no NaN."""
    if series.dtype.is_temporal():
        series = series.dt.epoch("us")
    return (series.fill_nan(None) if series.dtype.is_float() else series).to_list()
