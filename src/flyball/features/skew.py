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

from flyball.clock import FARTHEST, Instant
from flyball.data.types import DTYPES, empty, instants, schema
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import FlyballError
from flyball.features import reading
from flyball.features.assemble import moments
from flyball.features.keys import key_type
from flyball.features.windows import prepare
from flyball.records.skew import FeatureSkew, Skew


class State(NamedTuple):
    """What the online side had taken up of a view's data set: of this version (no content: no rows at all) what was known by `as_of`.

    An `as_of` beyond the version's own, and `pushed` (the number of the last of them), say that rows came in that were of no version then. `as_of` 0:
    all of the version.
    """

    content: str
    as_of: Instant = 0
    pushed: int = 0


@dataclass(frozen=True)
class ServedRow:
    """What one view gave for one row of a request, as it was logged.

    `row` is the row's id, `moment` its moment of prediction (µs), `key` what looked the view up: the values of the columns `view.key`.
    `values` go by the names of the features. `states` are those that the online side may have been in: the one that the worker knew of,
    and the next, where it had gone on to that by then.
    """

    row: str
    moment: Instant
    key: tuple[Any, ...]
    values: dict[str, Any]
    states: tuple[State, ...] = (State(""),)


class Held(NamedTuple):
    """Rows of a version of a data set: all that `needed` asks for. `as_of`: until when everything that was known is in it."""

    rows: pl.DataFrame
    as_of: Instant


@dataclass(frozen=True)
class Truth:
    """The newest version of a view's data set.

    `erased` says of a key and a moment whether rows that the value then rested on may have been erased since. `through`: the last of the rows pushed to
    the data set that the version holds.
    """

    held: Held
    content: str
    erased: Callable[[tuple[Any, ...], Instant], bool] = lambda _key, _moment: False
    through: int = 0


class Difference(NamedTuple):
    """One value that was not equal: what was served, and what training would have had."""

    row: str
    moment: Instant
    view: str
    feature: str
    key: tuple[Any, ...]
    skew: Skew
    served: Any
    offline: Any


@dataclass(frozen=True)
class Judged:
    """One view's rows, judged. `problem` says why none of them could be; each of their values is unknown then."""

    features: tuple[FeatureSkew, ...]
    differences: tuple[Difference, ...]
    problem: str = ""


Taken = Callable[[str], Held | None]
"""The rows of the view's data set under a content; None where they are not held any more as they were."""


def logged(values: pl.DataFrame) -> list[list[Any]]:
    """The values of views row by row, as the log has them: plain, times in µs."""
    return [list(row) for row in _plain(values).rows()]


def _plain(values: pl.DataFrame) -> pl.DataFrame:
    if not any(dtype.is_temporal() for dtype in values.dtypes):
        return values
    return pl.DataFrame([column.cast(pl.Int64) if column.dtype.is_temporal() else column for column in values.iter_columns()])


def judge(model: Model, view: FeatureView, rows: Sequence[ServedRow], truth: Truth, taken: Taken) -> Judged:
    """How each value of `rows` stands. `view` is the model's, as its version declares it."""
    try:
        offline = _values(model, view, rows, truth.held.rows)
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
                settled = row.moment <= truth.held.as_of
                right = [values[name] for values in own.get(place, ())]
                skew, should = _skew(row.values[name], offline[place][name], right, settled=settled, absent=absent)
            counts[name][skew] += 1
            if skew not in (Skew.EQUAL, Skew.UNKNOWN):
                differences.append(Difference(row.row, row.moment, view.name, name, row.key, skew, row.values[name], should))
    tallies = tuple(
        FeatureSkew(view=view.name, feature=name, **{skew.value: count for skew, count in found.items()}) for name, found in counts.items()
    )
    return Judged(tallies, tuple(differences))


def same(served: Any, offline: Any) -> bool:
    """Whether two values are the same: of one type, and equal. 1 is not 1.0, nor True: a model would not see the same."""
    return type(served) is type(offline) and bool(served == offline)


def _skew(served: Any, offline: Any, own: Sequence[Any], *, settled: bool, absent: bool) -> tuple[Skew, Any]:
    """How a value stands, and the value that it should have been. `offline` is what the newest version says, `own` what was taken up may say.

    settled: the newest version reaches the moment. absent: all values of the row are those of a key without rows, of which a count is 0
    and no null.
    """
    if same(served, offline):
        return (Skew.EQUAL if settled else Skew.UNKNOWN), offline
    if not own:
        return Skew.UNKNOWN, None
    if any(same(served, value) for value in own):
        return (Skew.STALE if settled else Skew.UNKNOWN), offline
    if not absent and any(not same(value, own[0]) for value in own):
        # it was on its way from one to another, and may have stood in between
        return Skew.UNKNOWN, None
    should = offline if settled else own[0]
    if served is None or (absent and should is not None):
        return Skew.MISSING, should
    return (Skew.EXTRA if should is None else Skew.WRONG), should


def _values(model: Model, view: FeatureView, rows: Sequence[ServedRow], frame: pl.DataFrame) -> list[dict[str, Any]]:
    """What the engine gives for each row from these rows of the data set."""
    times = pl.Series([row.moment + int(model.framing.horizon) for row in rows], dtype=pl.Int64).to_numpy()
    found = prepare(view, frame).values(moments(model, view, times, _keys(model, view, rows))).select(list(view.features))
    return [dict(zip(found.columns, values, strict=True)) for values in logged(found)]


def _of_nothing(view: FeatureView) -> dict[str, Any]:
    """What a key without rows has."""
    moment = pl.Series([0], dtype=pl.Int64)
    dtype = key_type(view)
    asked = {"row_time": moment, "moment": moment} | ({} if dtype is None else {"key": pl.Series([None], dtype=dtype)})
    found = prepare(view, empty(view.data)).values(pl.DataFrame(asked))
    return dict(zip(found.columns, logged(found)[0], strict=True))


def _keys(model: Model, view: FeatureView, rows: Sequence[ServedRow]) -> pl.DataFrame:
    """The columns of the model by which the rows looked the view up."""
    made = []
    for name, keys in zip(view.key, zip(*(row.key for row in rows), strict=True), strict=True):
        dtype = DTYPES[schema(model.data)[name]]
        # times are µs in the log
        typed = pl.Series(keys, dtype=pl.Int64).cast(dtype) if dtype.is_temporal() else pl.Series(keys, dtype=dtype, strict=False)
        made.append(typed.alias(name))
    return pl.DataFrame(made)


def _as_taken_up(
    model: Model, view: FeatureView, rows: Sequence[ServedRow], truth: Truth, taken: Taken, offline: list[dict[str, Any]]
) -> dict[int, list[dict[str, Any]]]:
    """What the engine gives on what the online side may have taken up, for the rows that it is asked of: those that are not simply right."""
    groups: dict[State, list[int]] = {}
    for place, row in enumerate(rows):
        right = row.moment <= truth.held.as_of and all(same(value, offline[place].get(name)) for name, value in row.values.items())
        for state in () if right else row.states:
            groups.setdefault(state, []).append(place)
    found: dict[int, list[dict[str, Any]]] = {}
    for state, places in groups.items():
        for known in _rows_of(view, truth, taken, state):
            values = _values(model, view, [rows[place] for place in places], known)
            for place, own in zip(places, values, strict=True):
                found.setdefault(place, []).append(own)
    return found


def _rows_of(view: FeatureView, truth: Truth, taken: Taken, state: State) -> list[pl.DataFrame]:
    """The rows that a state stands for; two where it was between these; none where they cannot be told."""
    held = truth.held if state.content == truth.content else taken(state.content) if state.content else Held(empty(view.data), 0)
    if held is None:
        return []
    if not state.pushed and state.as_of <= held.as_of:
        return [held.rows.filter(_known(view) <= state.as_of) if 0 < state.as_of < held.as_of else held.rows]
    # rows came in that were of no version then: of the newest one, those that were known by that moment, unless some of these came later
    there = state.pushed <= truth.through and 0 < state.as_of <= truth.held.as_of
    return [truth.held.rows.filter(_known(view) <= state.as_of), held.rows] if there else []


class Needed(NamedTuple):
    """Which rows of a view's data set some values can rest on: `rows`, none of which lies outside of `first` to `last` (µs), in these columns."""

    rows: pl.Expr
    columns: list[str]
    first: Instant
    last: Instant


def needed(model: Model, view: FeatureView, rows: Sequence[ServedRow]) -> Needed:
    """Those of the rows' keys that no window, nor the TTL of a newest row, has left behind, and none from after their moments."""
    data = view.data
    last, reach = max(row.moment for row in rows), reading.reach(view)
    first = -FARTHEST if reach is None else min(row.moment for row in rows) - int(reach)
    expr = instants(data.time).is_between(first, last)
    for name, keys in zip(view.entity, _keys(model, view, rows), strict=True):
        expr &= pl.col(name).is_in(keys.cast(DTYPES[schema(data)[name]], strict=False).unique().drop_nulls().implode())
    return Needed(expr, reading.needed(view), first, last)


def _known(view: FeatureView) -> pl.Expr:
    """When a row was there, whatever of it was known only later."""
    time = instants(view.data.time)
    return pl.max_horizontal(time, instants(view.data.arrived)) if view.data.arrived else time
