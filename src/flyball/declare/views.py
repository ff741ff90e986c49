"""Feature views: the values of an entity at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from flyball.clock import Span
from flyball.declare.data import Dataset
from flyball.declare.functions import Expr, is_expression
from flyball.declare.units import fail, fill, mapping, maybe_span, name_of, names, span, text, words

How: TypeAlias = Literal["count", "sum", "mean", "min", "max", "last", "distinct"]
NUMERIC: Final = frozenset({"sum", "mean", "min", "max"})
"""Aggregates of numbers: a column that holds none has none of them."""


@dataclass(frozen=True, init=False)
class Window:
    """The rows with T − ago − span < time ≤ T − ago, of those known before the moment of prediction T."""

    span: Span
    ago: Span

    def __init__(self, span: str | Span, *, ago: str | Span = "0s") -> None:
        fill(self, {"span": _span(span, "window", least=1), "ago": _span(ago, "ago")})

    def count(self, *, where: str | Expr | None = None) -> WindowFeature:
        """How many rows."""
        return WindowFeature(self, "count", "", where)

    def sum(self, column: str, *, where: str | Expr | None = None) -> WindowFeature:
        """The sum of a column; 0 without rows."""
        return WindowFeature(self, "sum", column, where)

    def mean(self, column: str, *, where: str | Expr | None = None) -> WindowFeature:
        """The mean of a column; null without rows."""
        return WindowFeature(self, "mean", column, where)

    def min(self, column: str, *, where: str | Expr | None = None) -> WindowFeature:
        """The smallest value; null without rows."""
        return WindowFeature(self, "min", column, where)

    def max(self, column: str, *, where: str | Expr | None = None) -> WindowFeature:
        """The largest value; null without rows."""
        return WindowFeature(self, "max", column, where)

    def last(self, column: str, *, where: str | Expr | None = None) -> WindowFeature:
        """The newest value; null without rows."""
        return WindowFeature(self, "last", column, where)

    def distinct(self, column: str, *, where: str | Expr | None = None) -> WindowFeature:
        """How many different values."""
        return WindowFeature(self, "distinct", column, where)


_span = span


def window(span: str | Span, *, ago: str | Span = "0s") -> Window:
    """Open a window of time before each moment."""
    return Window(span, ago=ago)


@dataclass(frozen=True, init=False, eq=False)
class WindowFeature:
    """One aggregate. `where` is a bool column's name or an expression on the row (None: every row counts)."""

    window: Window
    how: How
    column: str
    where: str | Expr | None

    def __init__(self, window: Window, how: How, column: str, where: str | Expr | None = None) -> None:
        if where is not None and not isinstance(where, str) and not is_expression(where):
            raise fail("where", f"{where!r} is not a column or an expression", fix='name a bool column, such as where="declined"')
        fill(self, {"window": window, "how": how, "column": column if how == "count" else text(column, how), "where": where})


@dataclass(frozen=True, init=False, eq=False)
class RowFeature:
    """A value of the newest row that is known: a plain column (its name), or what an expression makes of the row's columns."""

    value: str | Expr

    def __init__(self, value: str | Expr) -> None:
        fill(self, {"value": value if is_expression(value) else text(value, "feature")})


Feature: TypeAlias = WindowFeature | RowFeature


@dataclass(frozen=True, init=False, eq=False)
class FeatureView:
    """Values of an entity at a moment. `entity` are the columns that say whose a row is (none: all rows are one series), `key` the model's
    columns that look one up, in the same order.

    A feature is an aggregate of a window, or what the newest row that is known says: a column's name, or an expression on its columns.
    """

    name: str
    data: Dataset
    entity: tuple[str, ...]
    features: dict[str, Feature]
    ttl: Span | None
    owner: str
    about: str
    key: tuple[str, ...]

    def __init__(
        self,
        name: str,
        data: Dataset,
        *,
        entity: str | Sequence[str] | None = None,
        features: Mapping[str, Feature | str | Expr],
        ttl: str | Span | None = None,
        owner: str = "",
        about: str = "",
        key: str | Sequence[str] = (),
    ) -> None:
        if not isinstance(data, Dataset):
            raise fail("data", f"{data!r} is not a data set", fix="pass the fb.Dataset the view reads")
        listed = mapping(features, "features")
        if not listed:
            raise fail("features", "a view without features", fix='write features={"price": fb.window("30m").last("price")}')
        own = names(entity, "entity")
        if len(set(own)) < len(own):
            raise fail("entity", f"{', '.join(own)}: a column is named twice", fix="name each column once")
        fill(
            self,
            {
                "name": name_of(name, "view"),
                "data": data,
                "entity": own,
                "features": {feature: _feature(feature, value) for feature, value in listed.items()},
                "ttl": maybe_span(ttl, "ttl"),
                "owner": words(owner, "owner"),
                "about": words(about, "about"),
                "key": names(key or None, "key") or own,
            },
        )

    def on(self, *columns: str) -> FeatureView:
        """Look the view up by other columns of the model's rows: one for each of `entity`, in its order."""
        if not self.entity:
            raise fail("on", f'view "{self.name}" has no entity to look up', fix="declare entity= on the view")
        if len(columns) != len(self.entity):
            wanted = ", ".join(self.entity)
            raise fail(
                "on", f'{len(columns)} columns for view "{self.name}"', why=f"its entity is {wanted}", fix=f"name {len(self.entity)}"
            )
        return replace(self, key=names(columns, "on"))


def _feature(name: str, given: object) -> Feature:
    if isinstance(given, WindowFeature | RowFeature):
        return given
    if isinstance(given, str) or is_expression(given):
        return RowFeature(given)
    fix = 'write fb.window("1d").mean("column"), a column\'s name, or an expression such as pl.col("a") / pl.col("b")'
    raise fail(f"features[{name!r}]", f"{given!r:.80} is not a feature", fix=fix)
