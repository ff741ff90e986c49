"""Training/serving skew, exact and row by row: every value that was served against the one that training would have had at its moment.

The offline engine is the judge: what a view gives for a row as of its moment of prediction, from the newest version of its data set. A
served value is also held against what the engine gives on the rows that the online side had taken up by then: where that is what was
served, the computation was right and the store was behind. Nothing is rounded: sums are defined exactly (`features.exact`), so equal is
equal to the last bit. Pure: rows in, verdicts out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from flyball.clock import Instant
from flyball.data.types import DTYPES, instants, schema
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import FlyballError
from flyball.features.assemble import moments
from flyball.features.windows import prepare
from flyball.records.skew import FeatureSkew, Skew


@dataclass(frozen=True)
class ServedRow:
    """What one view gave for one row of a request, as it was logged.

    `row` is the row's id, `moment` its moment of prediction (µs), `key` what looked the view up (None for a view without an entity).
    `values` go by the names of the features. `content` and `as_of` say which rows of the view's data set the online side had taken up:
    those of this version that were known by `as_of` (0: all of them; no content: no rows at all).
    """

    row: str
    moment: Instant
    key: Any
    values: dict[str, Any]
    content: str = ""
    as_of: Instant = 0


@dataclass(frozen=True)
class Truth:
    """The newest version of a view's data set: its rows, and until when everything that was known is in it.

    `erased` says of a key and a moment whether rows that the value then rested on may have been erased since.
    """

    rows: pl.DataFrame
    content: str
    as_of: Instant
    erased: Callable[[Any, Instant], bool] = lambda _key, _moment: False


class Difference(NamedTuple):
    """One value that was not equal: what was served, and what training would have had."""

    row: str
    moment: Instant
    view: str
    feature: str
    key: Any
    skew: Skew
    served: Any
    offline: Any


@dataclass(frozen=True)
class Judged:
    """One view's rows, judged. `problem` says why none of them could be; each of their values is unknown then."""

    features: tuple[FeatureSkew, ...]
    differences: tuple[Difference, ...]
    problem: str = ""


Taken = Callable[[str], pl.DataFrame | None]
"""The rows of the view's data set under a content; None where they are not held any more as they were."""


def logged(values: pl.DataFrame) -> list[list[Any]]:
    """The values of views row by row, as the log has them: plain, times in µs."""
    columns = [(column.cast(pl.Int64) if column.dtype.is_temporal() else column).to_list() for column in values.iter_columns()]
    return [list(row) for row in zip(*columns, strict=True)] if columns else []


def judge(model: Model, view: FeatureView, rows: Sequence[ServedRow], truth: Truth, taken: Taken) -> Judged:
    """How each value of `rows` stands. `view` is the model's, as its version declares it."""
    try:
        offline = _values(model, view, rows, truth.rows)
        own = _as_taken_up(model, view, rows, truth, taken, offline)
        nothing = _of_nothing(view)
    except (PolarsError, FlyballError) as error:
        # the data set is not what the version was declared on any more
        counted = tuple(FeatureSkew(view=view.name, feature=name, unknown=len(rows)) for name in view.features)
        return Judged(counted, (), problem=str(error).splitlines()[0])
    counts: dict[str, Counter[Skew]] = {name: Counter() for name in view.features}
    differences = []
    for place, row in enumerate(rows):
        lost = truth.erased(row.key, row.moment)
        absent = all(same(row.values.get(name), value) for name, value in nothing.items())
        for name in view.features:
            skew, should = Skew.UNKNOWN, None
            if name in row.values and not lost:
                settled, at_hand = row.moment <= truth.as_of, own.get(place)
                should = offline[place][name] if settled else _NOTHING
                skew, should = _skew(row.values[name], should, _NOTHING if at_hand is None else at_hand[name], absent=absent)
            counts[name][skew] += 1
            if skew not in (Skew.EQUAL, Skew.UNKNOWN):
                differences.append(Difference(row.row, row.moment, view.name, name, row.key, skew, row.values[name], should))
    tallies = tuple(
        FeatureSkew(view=view.name, feature=name, **{skew.value: count for skew, count in found.items()}) for name, found in counts.items()
    )
    return Judged(tallies, tuple(differences))


class _Nothing:
    """A value that is not known, as apart from null."""


_NOTHING = _Nothing()


def same(served: Any, offline: Any) -> bool:
    """Whether two values are the same: of one type, and equal. 1 is not 1.0, nor True: a model would not see the same."""
    return type(served) is type(offline) and bool(served == offline)


def _skew(served: Any, offline: Any, own: Any, *, absent: bool) -> tuple[Skew, Any]:
    """How a value stands, and the value that it should have been. `offline` is what all data says, `own` what was taken up says.

    absent: all values of the row are those of a key without rows, of which a count is 0 and no null.
    """
    if offline is not _NOTHING and same(served, offline):
        return Skew.EQUAL, offline
    if own is _NOTHING:
        return Skew.UNKNOWN, None
    if same(served, own):
        return (Skew.STALE, offline) if offline is not _NOTHING else (Skew.UNKNOWN, None)
    should = own if offline is _NOTHING else offline
    if served is None or (absent and should is not None):
        return Skew.MISSING, should
    return (Skew.EXTRA if should is None else Skew.WRONG), should


def _values(model: Model, view: FeatureView, rows: Sequence[ServedRow], frame: pl.DataFrame) -> list[dict[str, Any]]:
    """What the engine gives for each row from these rows of the data set."""
    keys = None
    if view.entity is not None:
        keys = _keys(model, view, rows)
        # a value rests on its own entity's rows alone
        frame = frame.filter(pl.col(view.entity).is_in(keys.cast(frame.schema[view.entity], strict=False).unique().implode()))
    times = pl.Series([row.moment + int(model.framing.horizon) for row in rows], dtype=pl.Int64).to_numpy()
    found = prepare(view, frame).values(moments(model, view, times, keys)).select(list(view.features))
    return [dict(zip(found.columns, values, strict=True)) for values in logged(found)]


def _of_nothing(view: FeatureView) -> dict[str, Any]:
    """What a key without rows has."""
    moment = pl.Series([0], dtype=pl.Int64)
    asked = {"row_time": moment, "moment": moment} | (
        {} if view.entity is None else {"key": pl.Series([None], dtype=DTYPES[schema(view.data)[view.entity]])}
    )
    found = prepare(view, _no_rows(view)).values(pl.DataFrame(asked))
    return dict(zip(found.columns, logged(found)[0], strict=True))


def _no_rows(view: FeatureView) -> pl.DataFrame:
    return pl.DataFrame(schema={name: DTYPES[type_] for name, type_ in schema(view.data).items()})


def _keys(model: Model, view: FeatureView, rows: Sequence[ServedRow]) -> pl.Series:
    dtype, keys = DTYPES[schema(model.data)[view.key]], [row.key for row in rows]
    # times are µs in the log
    return pl.Series("key", keys, dtype=pl.Int64).cast(dtype) if dtype.is_temporal() else pl.Series("key", keys, dtype=dtype, strict=False)


def _as_taken_up(
    model: Model, view: FeatureView, rows: Sequence[ServedRow], truth: Truth, taken: Taken, offline: list[dict[str, Any]]
) -> dict[int, dict[str, Any]]:
    """What the engine gives on what the online side had taken up, for the rows that it is asked of: those that are not simply right."""
    groups: dict[tuple[str, Instant], list[int]] = {}
    for place, row in enumerate(rows):
        right = row.moment <= truth.as_of and all(same(value, offline[place].get(name)) for name, value in row.values.items())
        if not right:
            groups.setdefault((row.content, row.as_of), []).append(place)
    found: dict[int, dict[str, Any]] = {}
    for (content, as_of), places in groups.items():
        whole = _whole(view, truth, taken, content)
        if whole is None:
            continue
        known = whole.filter(_known(view) <= as_of) if as_of else whole
        values = _values(model, view, [rows[place] for place in places], known)
        found |= dict(zip(places, values, strict=True))
    return found


def _whole(view: FeatureView, truth: Truth, taken: Taken, content: str) -> pl.DataFrame | None:
    if not content:
        return _no_rows(view)
    return truth.rows if content == truth.content else taken(content)


def _known(view: FeatureView) -> pl.Expr:
    """When a row was there, whatever of it was known only later."""
    time = instants(view.data.time)
    return pl.max_horizontal(time, instants(view.data.arrived)) if view.data.arrived else time
