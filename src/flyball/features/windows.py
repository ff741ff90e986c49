"""Values of a feature view at moments of prediction: the same function for training frames and for one request.

The rules (docs/features.md) are those of `order` (which of two rows is newer), `visible` (which rows a moment sees) and `aggregates`
(what a window makes of them). A moment M of a row with time T sees, in a view over the model's own data set, what is known by M and
before T: never the row itself, nor another row of its own time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import polars as pl

from flyball.declare.views import NUMERIC, FeatureView, RowFeature, WindowFeature
from flyball.errors import DeclarationError
from flyball.features.aggregates import Column, Stretches, reduce
from flyball.features.order import Ints, Ordered, by_number, order
from flyball.features.reading import delay, masked, read
from flyball.features.visible import Asked, Known

CHUNK: Final = 2_000_000
"""Rows looked at one by one at once, where they became known out of order: bounds the memory (about 16 bytes each, a few times over)."""
MANY: Final = 10_000
"""More moments than these are looked up in order of entity and time."""
LARGE: Final = 4_096
"""Rows an entity has on average from which on it matters in which order its moments are looked up."""


class Lookup(Protocol):
    """Anything that has a view's values at moments: prepared rows, or a store that keeps them."""

    def values(self, moments: pl.DataFrame) -> pl.DataFrame:
        """The view's features, in order of declaration, for each row of `moments`, in its order.

        `moments` has `row_time` (T) and `moment` (M), i64 µs, and, for a view with an entity, `key`. A row is seen when it is known
        by M and before T; a view over another data set than the model's is asked with T beyond M.
        """
        ...


@dataclass(frozen=True)
class _Row:
    """A value of the newest row: its values in the order of the frame, and null behind them."""

    values: pl.Series
    known: Known


@dataclass(frozen=True)
class _Window:
    feature: WindowFeature
    column: Column
    known: Known


class Prepared:
    """A view's rows, sorted and masked once; ask it for values as often as you like. Make it with `prepare`."""

    def __init__(self, view: FeatureView, rows: Ordered, features: Mapping[str, _Row | _Window]) -> None:
        self.view = view
        self._rows = rows
        self._features = features

    def values(self, moments: pl.DataFrame) -> pl.DataFrame:
        """As `Lookup.values`.

        count, distinct and sum of nothing are 0; mean, min, max and last of nothing are null, and so is every value whose newest row is
        older than the view's `ttl`, measured back from the end of its window (M − ago; M for a value of the newest row).
        """
        moment = moments["moment"].to_numpy().astype(np.int64, copy=False)
        bound = np.minimum(moment, moments["row_time"].to_numpy().astype(np.int64, copy=False) - 1)
        entity = self._rows.entities.find(moments["key"] if self.view.entity else None, len(moment))
        if len(moment) <= MANY:
            return self._all(Asked(entity, moment, bound), None)
        # neighbours look at neighbouring rows: in order, a million look-ups stay within the processor's caches
        by = self._neighbours(entity, moment)
        return self._all(Asked(entity[by], moment[by], bound[by]), by)

    def _neighbours(self, entity: Ints, moment: Ints) -> Ints:
        """An order of moments in which those stand together that look at the same rows."""
        if (moment[1:] >= moment[:-1]).all() or len(self._rows.time) < LARGE * self._rows.entities.count:
            return by_number(entity)
        return np.argsort(self._rows.axis.at(entity, moment))

    def _all(self, asked: Asked, by: Ints | None) -> pl.DataFrame:
        """The values, where `by` says which of the moments each of `asked` is."""
        back = None
        if by is not None:
            back = np.empty(len(by), dtype=np.int64)
            back[by] = np.arange(len(by))
        places: dict[Known, pl.Series] = {}
        out = []
        for name, item in self._features.items():
            if isinstance(item, _Row):
                if item.known not in places:
                    found = self._newest(item.known, asked)
                    places[item.known] = pl.Series(found if back is None else found[back])
                out.append(item.values.gather(places[item.known]).alias(name))
            else:
                made = self._window(item, asked)
                out.append((made if back is None else made.gather(pl.Series(back))).alias(name))
        return pl.DataFrame(out)

    def _newest(self, known: Known, asked: Asked) -> Ints:
        """Where the newest row that each moment sees lies in the frame; behind its last where there is none, or it is older than `ttl`."""
        found = known.newest(asked)
        seen = found >= 0
        if self.view.ttl is not None and len(self._rows.time):
            seen &= asked.moment - self._rows.time[found] <= int(self.view.ttl)
        nowhere = np.full(len(found), self._rows.rows, dtype=np.int64)
        return np.where(seen, self._rows.place[found], nowhere) if len(self._rows.place) else nowhere

    def _position(self, asked: Asked, back: int) -> Ints:
        """How many rows lie at or before M − `back`, as far as their times let them be seen (of the entity, and all before it)."""
        key = ("time", back)
        if key not in asked.found:
            asked.found[key] = self._rows.upto(asked.entity, np.minimum(asked.moment - back, asked.bound))
        return asked.found[key]

    def _window(self, item: _Window, asked: Asked) -> pl.Series:
        ago, span = int(item.feature.window.ago), int(item.feature.window.span)
        low, high = self._position(asked, ago + span), self._position(asked, ago)
        middle = np.clip(item.known.known(asked), low, high)
        end = np.clip(item.known.unknown(asked), middle, high)
        parts = []
        for part in _chunks(end - middle):
            rows = _stretches(item, low[part], middle[part], end[part], asked.bound[part])
            made = reduce(item.feature.how, item.column, rows)
            parts.append(self._fresh(item, made, rows, asked.moment[part] - ago))
        return pl.concat(parts) if len(parts) > 1 else parts[0]

    def _fresh(self, item: _Window, made: pl.Series, rows: Stretches, end: Ints) -> pl.Series:
        """Take away the values of windows that hold rows, the newest of them older than the view's `ttl`."""
        ttl = self.view.ttl
        if ttl is None or item.feature.window.span <= ttl:
            return made
        some = np.flatnonzero(rows.last >= 0)
        stale = some[end[some] - item.column.time[rows.last[some]] > int(ttl)]
        return made.scatter(stale, None) if len(stale) else made


def prepare(view: FeatureView, rows: pl.DataFrame) -> Prepared:
    """Sort and mask `rows` (the view's data set, in any order) for `view`.

    Raises DeclarationError if a feature cannot be computed of such columns, BadInput if one cannot be computed of these rows.
    """
    ordered = order(view, rows)
    known: dict[int, Known] = {}
    columns: dict[tuple[str, object], Column] = {}
    features: dict[str, _Row | _Window] = {}
    for name, feature in view.features.items():
        late = delay(view, feature)
        if late not in known:
            known[late] = Known(ordered, late)
        if isinstance(feature, RowFeature):
            features[name] = _Row(read(view, name, feature.value, rows).extend_constant(None, 1), known[late])
            continue
        # an expression is known by itself: two that read alike are still two
        key = (feature.column, feature.where if feature.where is None or isinstance(feature.where, str) else id(feature.where))
        if key not in columns:
            columns[key] = _column(view, name, feature, rows, ordered)
        _check(view, name, feature, columns[key])
        features[name] = _Window(feature, columns[key], known[late])
    return Prepared(view, ordered, features)


def values(view: FeatureView, rows: pl.DataFrame, moments: pl.DataFrame) -> pl.DataFrame:
    """`prepare(view, rows).values(moments)`: for a frame that is looked up once."""
    return prepare(view, rows).values(moments)


def _column(view: FeatureView, name: str, feature: WindowFeature, rows: pl.DataFrame, ordered: Ordered) -> Column:
    """The rows that count for a feature."""
    values = read(view, name, feature.column, rows).gather(pl.Series(ordered.place)) if feature.column else None
    counts = np.ones(len(ordered.place), dtype=np.bool_) if values is None else values.is_not_null().to_numpy()
    if feature.where is not None:
        counts = counts & masked(view, name, feature.where, rows)[ordered.place]
    kept = np.flatnonzero(counts)
    count = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    return Column(feature.column, kept, count, ordered.time[kept], None if values is None else values.gather(pl.Series(kept)))


def _check(view: FeatureView, name: str, feature: WindowFeature, column: Column) -> None:
    """Raise DeclarationError for an aggregate of numbers over a column that holds none."""
    if feature.how in NUMERIC:
        dtype = column.values.dtype
        if not (dtype.is_numeric() or dtype == pl.Boolean):
            raise no_numbers(view, name, feature, str(dtype))


def no_numbers(view: FeatureView, name: str, feature: WindowFeature, held: str) -> DeclarationError:
    """What is said of an aggregate of numbers over a column that holds something else."""
    return DeclarationError(
        f'feature "{name}" of view "{view.name}" takes the {feature.how} of column "{feature.column}"',
        why=f"the column holds {held}, not numbers",
        fix="count, last and distinct work on any column",
    )


def _stretches(item: _Window, low: Ints, middle: Ints, end: Ints, bound: Ints) -> Stretches:
    """Rows [low, middle) are all known; of rows [middle, end) those that are known by `bound`."""
    count = item.column.count
    lengths = end - middle
    if not lengths.any():
        return Stretches(count[low], count[middle], np.empty(0, dtype=np.int64), np.zeros(len(low) + 1, dtype=np.int64))
    owner = np.repeat(np.arange(len(low)), lengths)
    rows = np.arange(len(owner)) + np.repeat(middle - (np.cumsum(lengths) - lengths), lengths)
    seen = (item.known.at[rows] <= bound[owner]) & (count[rows + 1] > count[rows])
    bounds = np.searchsorted(owner[seen], np.arange(len(low) + 1), side="left").astype(np.int64, copy=False)
    return Stretches(count[low], count[middle], count[rows[seen]], bounds)


def _chunks(lengths: Ints) -> Iterator[slice]:
    """Cut moments so that each part has at most about CHUNK rows; one part where there is nothing to cut."""
    group = np.cumsum(lengths) // CHUNK
    starts = np.flatnonzero(np.diff(group, prepend=-1)).tolist() or [0]
    for start, stop in zip(starts, [*starts[1:], len(lengths)], strict=True):
        yield slice(start, stop)
