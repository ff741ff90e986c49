"""Values of a feature view at moments of prediction: the same function for training frames and for one request.

What a moment M of a row with time T may see of a view's rows: those with M − ago − span < time ≤ M − ago, time < T, and known by
M, where a row's value is known at the latest of its time, its arrival, and its time + the column's `known_after`. A row therefore
never sees itself, nor any other row of its own time.

Every sum runs over the rows of its own window, in order of time: a value depends on the rows in its window alone and not on how
much history lies before them, so a request with a short tail gets bit for bit what the training frame had.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.data import Dataset
from flyball.declare.views import Feature, FeatureView, RowFeature, WindowFeature
from flyball.errors import DeclarationError
from flyball.features.expressions import expression, roots

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

CHUNK = 2_000_000
"""Window rows laid out at once where rows must be looked at one by one: bounds the memory (about 16 bytes each, a few times over)."""
MANY = 10_000
"""More moments than these are looked up in order of entity and time."""
FEW = 64
"""Keys up to this many are looked up in a dictionary; more are joined."""


@dataclass(frozen=True)
class _Column:
    """One feature's rows: those with a value, by (entity, time, arrival). `place` orders (entity, time) as one number."""

    feature: WindowFeature
    place: Ints
    time: Ints
    known: Ints
    lag: int
    on_time: bool
    numbers: Floats
    values: pl.Series
    codes: Ints


@dataclass(frozen=True)
class _Asked:
    """Moments, the newest time that each may see of its own stream, and whose values are wanted (-1: nobody's).

    `ranks` keeps what is looked up once for all features: places in the order of times, by distance back from the moment.
    """

    moment: Ints
    before: Ints
    entity: Ints | None
    ranks: dict[int, npt.NDArray[np.intp]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Rows:
    """Each window's rows: `order[low:high]`, or places low to high themselves where there is no `order`."""

    low: Ints
    high: Ints
    order: Ints | None = None


class Prepared:
    """A view's rows, sorted and masked once; ask it for values as often as you like. Make it with `prepare`."""

    def __init__(self, view: FeatureView, times: Ints, entities: pl.Series | None, columns: dict[str, _Column]) -> None:
        self.view = view
        self._times = times
        self._entities = entities
        self._codes = {} if entities is None else {value: code for code, value in enumerate(entities)}
        self._columns = columns

    def values(self, moments: pl.DataFrame) -> pl.DataFrame:
        """The view's features for each row of `moments`, in its order.

        `moments` has `row_time` and `moment` (i64 µs) and, for a view with an entity, `key`. count, distinct and sum of nothing are 0;
        mean, min, max and last of nothing are null, and so is every value whose newest row is older than the view's `ttl`,
        measured back from the end of its window (M − ago).
        """
        moment = moments["moment"].to_numpy().astype(np.int64, copy=False)
        before = moments["row_time"].to_numpy().astype(np.int64, copy=False) - 1
        entity = None if self._entities is None else self._lookup(moments["key"])
        if len(moment) <= MANY:
            return self._all(_Asked(moment, before, entity))
        # neighbours look at neighbouring rows: in order, a million look-ups stay within the processor's caches
        order = np.argsort(moment, kind="stable") if entity is None else np.lexsort((moment, entity))
        made = self._all(_Asked(moment[order], before[order], None if entity is None else entity[order]))
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return made[back]

    def _all(self, asked: _Asked) -> pl.DataFrame:
        return pl.DataFrame([self._value(name, column, asked) for name, column in self._columns.items()])

    def _lookup(self, keys: pl.Series) -> Ints:
        assert self._entities is not None
        if len(keys) <= FEW:
            return np.array([self._codes.get(key, -1) for key in keys], dtype=np.int64)
        known = pl.DataFrame({"key": self._entities, "code": np.arange(len(self._entities))})
        asked = keys.cast(self._entities.dtype, strict=False).alias("key").to_frame()
        return asked.join(known, on="key", how="left", maintain_order="left")["code"].fill_null(-1).to_numpy().astype(np.int64, copy=False)

    def _positions(self, column: _Column, asked: _Asked, back: int) -> Ints:
        """How many of the column's places lie at or before M − `back`, and before T (of the entity asked for)."""
        rank = asked.ranks.get(back)
        if rank is None:
            rank = np.searchsorted(self._times, np.minimum(asked.moment - back, asked.before), side="right")
            if asked.entity is not None:
                rank = rank + asked.entity * (len(self._times) + 1)
            asked.ranks[back] = rank
        return np.searchsorted(column.place, rank, side="left").astype(np.int64, copy=False)

    def _value(self, name: str, column: _Column, asked: _Asked) -> pl.Series:
        window = column.feature.window
        end = asked.moment - int(window.ago)
        low = self._positions(column, asked, int(window.ago) + int(window.span))
        high = np.maximum(self._positions(column, asked, column.lag if column.on_time else int(window.ago)), low)
        if asked.entity is not None:
            high = np.where(asked.entity < 0, low, high)
        if (column.on_time and column.feature.how != "distinct") or not len(low):
            return self._fresh(column, _reduce(column, _Rows(low, high)), _Rows(low, high), end).alias(name)
        parts = []
        for part in _chunks(high - low):
            rows, owner = _one_by_one(column, low[part], high[part], asked.moment[part])
            made = _distinct(column, rows, owner) if column.feature.how == "distinct" else _reduce(column, rows)
            parts.append(self._fresh(column, made, rows, end[part]))
        return pl.concat(parts).alias(name)

    def _fresh(self, column: _Column, made: pl.Series, rows: _Rows, end: Ints) -> pl.Series:
        """Take away the values of windows that hold rows, the newest of them older than the view's `ttl`."""
        ttl = self.view.ttl
        if ttl is None or column.feature.window.span <= ttl:
            return made
        some = np.flatnonzero(rows.high > rows.low)
        newest = rows.high[some] - 1 if rows.order is None else rows.order[rows.high[some] - 1]
        stale = some[end[some] - column.time[newest] > int(ttl)]
        return made.scatter(stale, None) if len(stale) else made


def prepare(view: FeatureView, rows: pl.DataFrame) -> Prepared:
    """Sort and mask `rows` (the view's data set, in any order) for `view`. Raises DeclarationError if a feature cannot be computed."""
    data = view.data
    if not data.time:
        raise DeclarationError(f'view "{view.name}" needs a data set with a time', fix=f'give data set "{data.name}" a time= column')
    columns = [pl.col(data.time).cast(pl.Datetime("us")).cast(pl.Int64).alias("__t")]
    if data.arrived:
        columns.append(pl.col(data.arrived).cast(pl.Datetime("us")).cast(pl.Int64).alias("__a"))
    frame = rows.with_columns(columns).filter(pl.col("__t").is_not_null())
    arrived = pl.max_horizontal("__t", "__a") if data.arrived else pl.col("__t")
    frame = frame.with_columns(arrived.alias("__a"))
    times = frame["__t"].unique().sort()
    entities = None
    code = pl.lit(0, dtype=pl.Int64)
    if view.entity is not None:
        frame = frame.filter(pl.col(view.entity).is_not_null())
        entities = frame[view.entity].unique(maintain_order=True)
        code = pl.col(view.entity).replace_strict(entities, np.arange(len(entities)), return_dtype=pl.Int64) if len(entities) else code
    frame = frame.with_columns((code * (len(times) + 1)).alias("__c"))
    frame = frame.sort("__c", "__t", "__a", maintain_order=True)
    stamps = times.to_numpy().astype(np.int64, copy=False)
    return Prepared(view, stamps, entities, {name: _column(view, name, feature, frame, stamps) for name, feature in view.features.items()})


def values(view: FeatureView, rows: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
    """`prepare(view, rows).values(moments)`: for a frame that is looked up once."""
    return prepare(view, rows).values(moments)


def _known_after(data: Dataset, name: str) -> int:
    column = data.columns.get(name)
    return 0 if column is None else int(column.known_after)


def _column(view: FeatureView, name: str, feature: Feature, frame: pl.DataFrame, times: Ints) -> _Column:
    if isinstance(feature, RowFeature):
        raise DeclarationError(f'feature "{name}" of view "{view.name}" is no window', fix="declare a window")
    used = [feature.column] if feature.column else []
    if feature.column:
        frame = frame.filter(pl.col(feature.column).is_not_null())
    if feature.where is not None:
        where = expression(feature.where)
        used += [root for root in roots(where) if root in view.data.columns]
        frame = frame.filter(where)
    delay = max([0, *(_known_after(view.data, column) for column in used)])
    time = frame["__t"].to_numpy().astype(np.int64, copy=False)
    known = np.maximum(frame["__a"].to_numpy().astype(np.int64, copy=False), time + delay)
    lag = max(int(feature.window.ago), delay)
    place = frame["__c"].to_numpy().astype(np.int64, copy=False) + np.searchsorted(times, time, side="left")
    raw = frame[feature.column] if feature.column else pl.Series("none", [], dtype=pl.Int64)
    numbers = np.empty(0)
    if feature.how in ("sum", "mean", "min", "max"):
        if not (raw.dtype.is_numeric() or raw.dtype == pl.Boolean):
            raise DeclarationError(
                f'feature "{name}" of view "{view.name}" takes the {feature.how} of column "{feature.column}"',
                why=f"the column holds {raw.dtype}, not numbers",
                fix="count, last and distinct work on any column",
            )
        numbers = np.append(raw.cast(pl.Float64).to_numpy(), 0.0)
    codes = raw.rank("dense").cast(pl.Int64).to_numpy() if feature.how == "distinct" and feature.column else np.empty(0, dtype=np.int64)
    return _Column(feature, place, time, known, lag, bool((known <= time + lag).all()), numbers, raw.extend_constant(None, 1), codes)


def _chunks(lengths: Ints) -> Iterator[slice]:
    """Cut moments so that each part has at most about CHUNK window rows."""
    group = np.cumsum(lengths) // CHUNK
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True):
        yield slice(int(start), int(stop))


def _one_by_one(column: _Column, low: Ints, high: Ints, moment: Ints) -> tuple[_Rows, Ints]:
    """Lay the windows' rows out one after another without those that arrived after the moment; also say whose each of them is."""
    lengths = high - low
    owner = np.repeat(np.arange(len(low)), lengths)
    order = np.arange(len(owner)) + np.repeat(low - (np.cumsum(lengths) - lengths), lengths)
    seen = column.known[order] <= moment[owner]
    owner, order = owner[seen], order[seen]
    upto = np.searchsorted(owner, np.arange(len(low)), side="right").astype(np.int64, copy=False)
    return _Rows(np.concatenate([np.zeros(1, dtype=np.int64), upto[:-1]]), upto, order), owner


def _distinct(column: _Column, rows: _Rows, owner: Ints) -> pl.Series:
    assert rows.order is not None
    kinds = int(column.codes.max(initial=0)) + 1
    pairs = np.unique(owner * kinds + column.codes[rows.order]) // kinds
    return pl.Series(np.bincount(pairs, minlength=len(rows.low)).astype(np.int64))


def _reduce(column: _Column, rows: _Rows) -> pl.Series:
    how, low, high = column.feature.how, rows.low, rows.high
    count = high - low
    if how in ("count", "distinct"):  # distinct comes here only when no moment is asked for
        return pl.Series(count, dtype=pl.Int64)
    if how == "last":
        none, filled = len(column.values) - 1, count > 0
        newest = high[filled] - 1 if rows.order is None else rows.order[high[filled] - 1]
        at = np.full(len(low), none, dtype=np.int64)
        at[filled] = newest
        return column.values[at]
    numbers = column.numbers if rows.order is None else np.append(column.numbers[rows.order], 0.0)
    if how in ("sum", "mean"):
        out = _segments(np.add, numbers, low, high, 0.0)
        if how == "mean":
            out = np.divide(out, count, out=np.full(len(out), np.nan), where=count > 0)
    else:
        out = _segments(np.minimum if how == "min" else np.maximum, numbers, low, high, np.nan)
    return pl.Series(out, nan_to_null=True)


def _segments(reduce: np.ufunc, numbers: Floats, low: Ints, high: Ints, empty: float) -> Floats:
    """Reduce numbers[low:high] of every window. Windows are taken in order of their start: `reduceat` then passes over each gap once."""
    out = np.full(len(low), empty)
    some = np.flatnonzero(high > low)
    some = some[np.argsort(low[some], kind="stable")]
    if len(some):
        out[some] = reduce.reduceat(numbers, np.column_stack([low[some], high[some]]).ravel())[::2]
    return out
