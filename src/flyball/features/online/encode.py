"""Rows of a data set to what is kept of them online. Pure: what is given decides every byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from flyball.data.types import arrivals, instants
from flyball.declare.views import FeatureView
from flyball.errors import BadInput
from flyball.features.aggregates import doubles
from flyball.features.keys import row_keys
from flyball.features.online.form import ALONE, Row, entities, plain
from flyball.features.online.merge import head_body, tile_body
from flyball.features.online.plan import HEAD, Plan, Stream
from flyball.features.reading import masked, needed, read
from flyball.store.online import Part

_E, _T, _A, _P = "__e", "__t", "__a", "__p"


@dataclass(frozen=True)
class Taken:
    """Rows of a view's data set, in order of entity, time, arrival and place, with the values that are kept. `as_of`: see `newest`."""

    frame: pl.DataFrame
    names: tuple[bytes, ...]
    as_of: int

    @property
    def count(self) -> int:
        """How many entities they are of."""
        return len(self.names)

    def of(self, low: int, high: int) -> Taken:
        """Those of entities low to high − 1."""
        entity = self.frame[_E].to_numpy()
        start, stop = np.searchsorted(entity, [low, high]).tolist()
        return Taken(self.frame.slice(start, stop - start), self.names, self.as_of)

    def upto(self, low: int, entities: int, rows: int) -> int:
        """Where a part from entity `low` on ends that has at most so many entities, and rows, but one entity at least."""
        entity = self.frame[_E].to_numpy()
        end = int(np.searchsorted(entity, low)) + rows
        full = int(entity[end]) if end < len(entity) else self.count
        return min(max(full, low + 1), low + entities, self.count)

    def since(self, moment: int) -> Taken:
        """All rows of the entities that have any from this moment on."""
        meant = self.frame.filter(pl.col(_T) >= moment).select(pl.col(_E).unique().sort())
        own = self.frame.join(meant.with_columns(pl.int_range(pl.len()).alias("new")), on=_E, how="inner", maintain_order="left")
        names = tuple(self.names[number] for number in meant[_E])
        return Taken(own.drop(_E).rename({"new": _E}), names, self.as_of)


def columns(made: Plan) -> list[str]:
    """The columns of the data set that a view needs, in the data set's order."""
    return needed(made.view)


def ties(view: FeatureView) -> list[pl.Expr]:
    """What rows have in common of which only their order in the data set says which is the newer."""
    data = view.data
    return [*map(pl.col, view.entity), instants(data.time), arrivals(data)]


def take(made: Plan, rows: pl.DataFrame, first: int | pl.Series = 0) -> Taken:
    """Take rows up: evaluate what is kept, and order them. `first`: the place of the first row, or every row's.

    Rows without a time or an entity are nobody's. Raises BadInput where an expression of the view cannot be computed.
    """
    view, data = made.view, made.view.data
    if lacking := [name for name in columns(made) if name not in rows.columns]:
        raise BadInput(f'view "{view.name}": the rows of data set "{data.name}" have no column "{lacking[0]}"')
    place = pl.int_range(first, first + rows.height, eager=True) if isinstance(first, int) else first
    keys = row_keys(view, rows)
    own = [] if keys is None else [keys.alias("__k")]
    frame = rows.select(instants(data.time).alias(_T), arrivals(data).alias(_A), *own).with_columns(
        place.alias(_P),
        *(read(view, item.name, item.value, rows).alias(f"r{item.place}") for item in made.newest),
        *(_stream(made, stream, rows).alias(f"s{number}") for number, stream in enumerate(made.streams)),
    )
    frame = frame.filter(pl.col(_T).is_not_null())
    names: list[bytes | None] = [ALONE]
    if keys is not None:
        unique = frame["__k"].drop_nulls().unique().sort()
        names = entities(unique)
        table = pl.DataFrame({"__k": unique, _E: np.arange(len(unique))})
        frame = frame.join(table, on="__k", how="inner", maintain_order="left").drop("__k")
    else:
        frame = frame.with_columns(pl.lit(0, dtype=pl.Int64).alias(_E))
        names = names if frame.height else []
    as_of = frame.select(pl.max_horizontal(pl.col(_T).max(), pl.col(_A).max())).item() if frame.height else 0
    return Taken(frame.sort(_E, _T, _A, _P), tuple(name for name in names if name is not None), as_of)


def parts(made: Plan, taken: Taken, present: int) -> Iterator[Part]:
    """Every part of these rows, as if nothing else were there. `present`: the newest moment that there was, µs."""
    for entity, rows in head_rows(made, taken, present):
        body = head_body(made, rows, present)
        if body is not None:
            yield Part(entity, HEAD, body)
    for entity, number, rows in tile_rows(made, taken, present):
        yield Part(entity, number, tile_body(made, rows))


def head_rows(made: Plan, taken: Taken, present: int) -> Iterator[tuple[bytes, list[Row]]]:
    """Entities with those of their rows that a head may keep, in order."""
    if not made.newest or not taken.frame.height:
        return
    frame = _unsurpassed(made, taken.frame, present)
    yield from _grouped(taken, frame, [f"r{item.place}" for item in made.newest])


def tile_rows(made: Plan, taken: Taken, present: int) -> Iterator[tuple[bytes, int, list[Row]]]:
    """Entities and tiles with their rows, in order, of those that moments may still reach."""
    if not made.streams:
        return
    frame = taken.frame.filter(pl.col(_T) >= made.floor(present) * made.width)
    frame = frame.filter(pl.any_horizontal(pl.col(f"s{number}").is_not_null() for number in range(len(made.streams))))
    if not frame.height:
        return
    tile = frame[_T].to_numpy() // made.width
    entity = frame[_E].to_numpy()
    starts = np.flatnonzero(np.diff(entity, prepend=-1) | np.diff(tile, prepend=tile[0]))
    rows = _rows(frame, [f"s{number}" for number in range(len(made.streams))])
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        yield taken.names[entity[start]], int(tile[start]), rows[start:stop]


def _stream(made: Plan, stream: Stream, rows: pl.DataFrame) -> pl.Series:
    """What aggregates read of each row; null where it does not count. Where rows are only counted: true."""
    view, feature = made.view, stream.feature
    values = read(view, stream.name, feature.column, rows) if feature.column else pl.repeat(value=True, n=rows.height, eager=True)
    if stream.numeric:
        values = pl.Series(doubles(feature.column, values), nan_to_null=True)
    if feature.where is None:
        return values
    return values.zip_with(pl.Series(masked(view, stream.name, feature.where, rows)), pl.Series([None], dtype=values.dtype))


def _unsurpassed(made: Plan, frame: pl.DataFrame, present: int) -> pl.DataFrame:
    """Without rows that a newer one has surpassed before anybody who may still ask could see them."""
    keep = pl.lit(value=False)
    for delay in made.delays:
        known = pl.max_horizontal(pl.col(_A), pl.col(_T) + delay)
        # from when on some newer row of the entity is known
        surpassed = known.cum_min(reverse=True).shift(-1).over(_E)
        # the earliest that may be asked about, over a model's own stream, sees what is known before it
        keep |= surpassed.is_null() | ((surpassed > known) & (surpassed >= present - made.kept))
    return frame.filter(keep)


def _grouped(taken: Taken, frame: pl.DataFrame, names: list[str]) -> Iterator[tuple[bytes, list[Row]]]:
    entity = frame[_E].to_numpy()
    starts = np.flatnonzero(np.diff(entity, prepend=-1))
    rows = _rows(frame, names)
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
        yield taken.names[entity[start]], rows[start:stop]


def _rows(frame: pl.DataFrame, names: list[str]) -> list[Row]:
    lists = [plain(frame[name]).to_list() for name in (_T, _A, _P, *names)]
    return [list(row) for row in zip(*lists, strict=True)]
