"""Training rows of data sets that are larger than memory, batch by batch: those of `features.assemble.training_rows`, row for row.

It stands here and not beside the join because it writes: `features` never touches a disk. Views are looked up one part of their entities at
a time. What is asked of a view and the rows that it reads are cut by a hash of the entity into files of a scratch folder; each part is
answered in memory; a part that is too large for that (one entity, or a view that has none) is answered piece by piece of time, with
the rows that later moments may still see carried on. At most about `held` rows of a view, with the columns it reads, are held at once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.data.types import DTYPES, instants, schema
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import BadInput
from flyball.features import assemble, labels
from flyball.features.assemble import PreparedHistory
from flyball.features.carry import carried
from flyball.features.keys import alike, clean, key_type, row_keys
from flyball.features.reading import needed
from flyball.features.windows import prepare

Streams: TypeAlias = Mapping[str, Callable[[], Iterable[pl.DataFrame]]]
"""Data set name → its rows in order of time, in pieces, as often as they are asked for."""

HELD: Final = 4_000_000
PARTS: Final = 64

_BATCH, _ROW = "__batch", "__row"


@dataclass
class _Files:
    """Frames of one kind, in the order in which they were written, with how many rows each has."""

    folder: Path
    sizes: list[int] = field(default_factory=list)

    def write(self, frame: pl.DataFrame) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        frame.write_ipc(self._path(len(self.sizes)), compression="uncompressed")
        self.sizes.append(frame.height)

    def read(self) -> Iterator[pl.DataFrame]:
        for place in range(len(self.sizes)):
            yield pl.read_ipc(self._path(place))

    def between(self, low: int, high: int) -> list[pl.DataFrame]:
        """Rows [low, high) of all of them together."""
        found, start = [], 0
        for place, size in enumerate(self.sizes):
            if start < high and low < start + size:
                whole = pl.scan_ipc(self._path(place)).slice(max(low - start, 0), min(high, start + size) - max(low, start))
                found.append(whole.collect())
            start += size
        return found

    def _path(self, place: int) -> Path:
        return self.folder / f"{place}.arrow"


class _Question:
    """One view (or the labels), what is asked of it, and its rows, each cut into parts."""

    def __init__(self, view: FeatureView, folder: Path, parts: int) -> None:
        self.view = view
        count = parts if view.entity else 1
        self.asked = [_Files(folder / f"asked-{place}") for place in range(count)]
        self.rows = [_Files(folder / f"rows-{place}") for place in range(count)]
        self.values = [_Files(folder / f"values-{place}") for place in range(count)]
        self.upto: list[list[int]] = [[0] for _ in range(count)]
        """How many moments of each part belong to the batches so far."""

    def ask(self, moments: pl.DataFrame, batch: int) -> None:
        marked = moments.with_columns(pl.lit(batch, dtype=pl.UInt32).alias(_BATCH), pl.int_range(pl.len(), dtype=pl.UInt32).alias(_ROW))
        for part, mine in enumerate(self._cut(marked, marked["key"] if self.view.entity else None)):
            if mine.height:
                self.asked[part].write(mine)
            self.upto[part].append(self.upto[part][-1] + mine.height)

    def take(self, rows: pl.DataFrame) -> None:
        # without a time a row is seen by nobody
        timed = rows.select(needed(self.view)).filter(pl.col(self.view.data.time).is_not_null())
        for part, mine in enumerate(self._cut(timed, row_keys(self.view, timed))):
            if mine.height:
                self.rows[part].write(mine)

    def _cut(self, frame: pl.DataFrame, keys: pl.Series | None) -> list[pl.DataFrame]:
        dtype = key_type(self.view)
        if keys is None or dtype is None:
            return [frame]
        part = (alike(clean(keys), dtype).hash(seed=0) % len(self.rows)).to_numpy()
        bounds = np.searchsorted(np.sort(part), np.arange(len(self.rows) + 1)).tolist()
        together = frame[np.argsort(part, kind="stable")]
        return [together[start:stop] for start, stop in pairwise(bounds)]

    @cached_property
    def nothing(self) -> pl.DataFrame:
        """The values for no moment."""
        asked: dict[str, pl.DataType] = {"row_time": pl.Int64(), "moment": pl.Int64()}
        if (dtype := key_type(self.view)) is not None:
            asked["key"] = dtype
        return prepare(self.view, _no_rows(self.view)).values(pl.DataFrame(schema=asked))

    def answer(self, held: int) -> None:
        """Look every part up."""
        for asked, rows, values in zip(self.asked, self.rows, self.values, strict=True):
            pieces = _pieces(rows, held) if sum(rows.sizes) > held else [pl.concat(list(rows.read()))] if rows.sizes else []
            _answered(self.view, iter(pieces), asked, values)

    def of(self, batch: int) -> pl.DataFrame:
        """The values for one batch, in its order."""
        found = []
        for part, values in enumerate(self.values):
            found += values.between(self.upto[part][batch], self.upto[part][batch + 1])
        return pl.concat(found).sort(_ROW).drop(_ROW) if found else self.nothing


@dataclass(frozen=True)
class _Given:
    """A `Lookup` that was asked already."""

    found: pl.DataFrame

    def values(self, moments: pl.DataFrame) -> pl.DataFrame:
        assert moments.height == self.found.height
        return self.found


def training_batches(
    model: Model,
    streams: Streams,
    scratch: Path,
    *,
    as_of: Instant,
    since: Instant | None = None,
    held: int = HELD,
    parts: int = PARTS,
) -> Iterator[pl.DataFrame]:
    """The rows of `training_rows`, in its order, a frame for each piece of the model's own stream.

    `scratch` is a folder for files that are gone when the last batch is taken, or the iterator is closed: about as many bytes as
    the columns that are read. Raises BadInput if a data set is missing, or its rows are not in order of time.
    """
    label = labels.label_view(model)
    for name in (model.data.name, *(view.data.name for view in model.features), labels.label_data(model)):
        if name not in streams:
            raise BadInput(f'no rows of data set "{name}"', why=f'model "{model.name}" is made from it')
    with tempfile.TemporaryDirectory(prefix="join-", dir=scratch) as folder:
        views = [_Question(view, Path(folder) / f"view-{place}", parts) for place, view in enumerate(model.features)]
        about = [_Question(label, Path(folder) / "labels", parts)] if label is not None else []
        rows = _Files(Path(folder) / "own")
        for batch, known in enumerate(_known(model, streams, as_of, since, held)):
            times = known["__time"].to_numpy()
            for question in views:
                view = question.view
                question.ask(assemble.moments(model, view, times, known), batch)
            for question in about:
                question.ask(labels.label_moments(model, known, known["__time"]), batch)
            rows.write(known)
        for question in (*views, *about):
            for frame in _in_order(streams, question.view.data.name, question.view.data.time):
                question.take(frame)
            question.answer(held)
        for batch, known in enumerate(rows.read()):
            y = labels.settled(model, about[0].of(batch)["label"]) if about else known[model.label_column]
            given = [_Given(question.of(batch).filter(y.is_not_null())) for question in views]
            yield assemble.labelled_rows(model, known.filter(y.is_not_null()), y.drop_nulls(), PreparedHistory(tuple(given)))


def _known(model: Model, streams: Streams, as_of: Instant, since: Instant | None, held: int) -> Iterator[pl.DataFrame]:
    """The model's own rows whose label is settled, piece by piece; at least one, so that there is a batch."""
    first, most = True, max(1, held // 4)
    for frame in _in_order(streams, model.data.name, model.data.time):
        # no piece is cut of no rows
        for piece in frame.iter_slices(most) if frame.height else [frame]:
            known = assemble.known_rows(model, piece, as_of, since)
            if known.height or first:
                first = False
                yield known


def _in_order(streams: Streams, name: str, time: str) -> Iterator[pl.DataFrame]:
    """A data set's rows. Raises BadInput where one lies before an earlier one's time."""
    newest: int | None = None
    if not time:
        raise BadInput(
            f'data set "{name}" has no time', why="rows are joined piece by piece of time", fix=f'give data set "{name}" a time= column'
        )
    for frame in streams[name]():
        times = frame.select(instants(time).alias("t"))["t"].drop_nulls()
        low, high = times.min(), times.max()
        if low is not None and (not times.is_sorted() or (newest is not None and low < newest)):  # type: ignore[operator]  # of integers
            raise BadInput(f'the rows of data set "{name}" are not in order of time', why="they are joined piece by piece of time")
        newest = high if high is not None else newest  # type: ignore[assignment]
        yield frame


def _pieces(files: _Files, held: int) -> Iterator[pl.DataFrame]:
    """The rows of files, a few files at once."""
    some: list[pl.DataFrame] = []
    for frame in files.read():
        for piece in frame.iter_slices(max(1, held // 4)):
            some.append(piece)
            if sum(each.height for each in some) >= held // 4:
                yield pl.concat(some)
                some = []
    if some:
        yield pl.concat(some)


def _answered(view: FeatureView, pieces: Iterator[pl.DataFrame], asked: _Files, values: _Files) -> None:
    """Look moments up, which come in their order as the rows do: each once all rows are there that it may see, and before any is let go."""
    rows, later = _no_rows(view), next(pieces, None)
    waiting = asked.read()
    moments = next(waiting, None)
    while moments is not None:
        if later is not None:
            rows = pl.concat([rows, later], how="vertical_relaxed")
            later = next(pieces, None)
        until = None if later is None else int(later.select(instants(view.data.time).min()).item())
        looked = prepare(view, rows)
        while moments is not None:
            upto = moments.height if until is None else int(moments["moment"].search_sorted(until, side="left"))
            now = moments.head(upto)
            if now.height:
                values.write(looked.values(now.drop(_BATCH, _ROW)).with_columns(now[_ROW]))
            if upto < moments.height:
                moments = moments.tail(moments.height - upto)
                break
            moments = next(waiting, None)
        if until is not None:
            rows = carried(view, rows, until)


def _no_rows(view: FeatureView) -> pl.DataFrame:
    return pl.DataFrame(schema={name: DTYPES[schema(view.data)[name]] for name in needed(view)})
