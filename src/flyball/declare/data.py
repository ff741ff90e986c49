"""Data sets with their contract, and views: the values of an entity at a moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from flyball.clock import Span
from flyball.declare.functions import Expr, Frame, Function, is_expression
from flyball.declare.units import count, fail, fill, mapping, maybe_span, maybe_text, name_of, names, near, one_of, share, span, text, words
from flyball.records.models import FieldType

Value: TypeAlias = int | float | str | bool
Type: TypeAlias = type[Any] | FieldType
How = Literal["count", "sum", "mean", "min", "max", "last", "distinct"]

_TYPES: dict[Any, FieldType] = {int: "int", float: "float", bool: "bool", str: "str", dt.datetime: "time"}


@dataclass(frozen=True, init=False)
class Column:
    """What must hold of a column. `between` is inclusive, `nulls` the largest share allowed, `known_after` may be negative."""

    type: FieldType
    between: tuple[float, float] | None
    one_of: tuple[Value, ...] | None
    nulls: float
    known_after: Span
    personal: bool
    protected: bool
    on_breach: Literal["block", "warn"]
    about: str

    def __init__(
        self,
        type: Type,  # noqa: A002 - the public name
        *,
        between: tuple[float, float] | None = None,
        one_of: Iterable[Value] | None = None,
        nulls: str | float = 0.0,
        known_after: str | Span = "0s",
        personal: bool = False,
        protected: bool = False,
        on_breach: str = "block",
        about: str = "",
    ) -> None:
        fill(
            self,
            {
                "type": _field_type(type),
                "between": _between(between),
                "one_of": None if one_of is None else _options(one_of),
                "nulls": share(nulls, "nulls"),
                "known_after": span(known_after, "known_after", least=None),
                "personal": bool(personal),
                "protected": bool(protected),
                "on_breach": _one_of(on_breach, ("block", "warn"), "on_breach"),
                "about": words(about, "about"),
            },
        )


def column(
    type: Type,  # noqa: A002 - the public name
    *,
    between: tuple[float, float] | None = None,
    one_of: Iterable[Value] | None = None,
    nulls: str | float = "0%",
    known_after: str | Span = "0s",
    personal: bool = False,
    protected: bool = False,
    on_breach: str = "block",
    about: str = "",
) -> Column:
    """Say what must hold of a column, when it is known and who may see it.

    >>> column(float, between=(0, 1), known_after="-6h").known_after
    Span.parse('-6h')
    """
    return Column(
        type,
        between=between,
        one_of=one_of,
        nulls=nulls,
        known_after=known_after,
        personal=personal,
        protected=protected,
        on_breach=on_breach,
        about=about,
    )


_one_of = one_of


def _field_type(given: object) -> FieldType:
    if isinstance(given, str):
        return _one_of(given, ("int", "float", "bool", "str", "time"), "type")
    if isinstance(given, type) and given in _TYPES:
        return _TYPES[given]
    raise fail("type", f"{given!r} is not a column type", fix="use int, float, bool, str or datetime.datetime")


def _between(given: Any) -> tuple[float, float] | None:
    if given is None:
        return None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise fail("between", f"{given!r} is not a pair", fix="write between=(low, high), both inclusive")
    low, high = given
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low <= high):
        raise fail("between", f"{low!r} to {high!r} is not a range", fix="write between=(low, high), both inclusive, low first")
    return float(low), float(high)


def _options(given: Iterable[Value]) -> tuple[Value, ...]:
    options = tuple(given)
    if not options or isinstance(given, str):
        raise fail("one_of", "no values are given", fix='write one_of=("a", "b")')
    for option in options:
        if not isinstance(option, int | float | str | bool):
            raise fail("one_of", f"{option!r} is not a number, text or bool")
    return options


@dataclass(frozen=True)
class Secret:
    """A secret's name; the process that uses it resolves it."""

    name: str


def secret(name: str) -> Secret:
    """Name a secret."""
    return Secret(text(name, "secret"))


@dataclass(frozen=True)
class Sql:
    """A query or a target table at a database."""

    text: str
    url: str | Secret


def sql(query: str, *, url: str | Secret) -> Sql:
    """Read from a database, or write to a table of it."""
    if not isinstance(url, str | Secret):
        raise fail("url", f"{url!r} is not a URL or a secret", fix='write url=fb.secret("NAME")')
    return Sql(text(query, "sql"), url)


@dataclass(frozen=True, init=False)
class Dataset:
    """Rows and their contract. `time` is the moment a row is about; `arrived` when flyball could know it, if rows say so.

    Names of columns that are not given are empty text. `columns` keeps the declared order.
    """

    name: str
    source: str | Sql | Callable[..., Any] | Function | Frame | Any
    columns: dict[str, Column]
    time: str
    arrived: str
    id: str
    freshness: Span | None
    min_rows: int
    unique: tuple[str, ...]
    subject: str
    owner: str
    licence: str

    def __init__(
        self,
        name: str,
        *,
        source: Any,
        columns: Mapping[str, Column | type[Any]],
        time: str = "",
        arrived: str | None = None,
        id: str | None = None,  # noqa: A002 - the public name
        freshness: str | Span | None = None,
        min_rows: int = 0,
        unique: str | Iterable[str] = (),
        subject: str | None = None,
        owner: str = "",
        licence: str = "",
    ) -> None:
        declared = {key: value if isinstance(value, Column) else Column(value) for key, value in mapping(columns, "columns").items()}
        if not declared:
            raise fail("columns", "no column is declared", fix='write columns={"amount": float}; an undeclared column is never seen')
        if not isinstance(source, str | Sql | Function | Frame) and not callable(source) and not hasattr(source, "hash_rows"):
            raise fail("source", f"{source!r:.80} is not a source", fix="write a path, a glob, a URL or fb.sql(…)")
        fill(
            self,
            {
                "name": name_of(name, "data set"),
                "source": text(source, "source") if isinstance(source, str) else source,
                "columns": declared,
                "time": maybe_text(time, "time"),
                "arrived": maybe_text(arrived, "arrived"),
                "id": maybe_text(id, "id"),
                "freshness": maybe_span(freshness, "freshness"),
                "min_rows": count(min_rows, "min_rows"),
                "unique": names(unique, "unique"),
                "subject": maybe_text(subject, "subject"),
                "owner": words(owner, "owner"),
                "licence": words(licence, "licence"),
            },
        )
        for key in self.unique:
            if key not in self.names:
                raise fail("unique", f'"{key}" is not a column of data set "{name}"', fix=near(key, self.names))

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a row has: the declared columns, then time, arrived, id and subject where they are not declared as columns."""
        roles = (self.time, self.arrived, self.id, self.subject)
        return (*self.columns, *dict.fromkeys(role for role in roles if role and role not in self.columns))

    @property
    def roles(self) -> frozenset[str]:
        """Names that say who or when a row is: time, arrived, id, subject."""
        return frozenset(role for role in (self.time, self.arrived, self.id, self.subject) if role)

    @property
    def identifying(self) -> frozenset[str]:
        """Names of columns whose values may say who a row is of: id, subject, and personal columns."""
        personal = (name for name, column in self.columns.items() if column.personal)
        return frozenset((*(role for role in (self.id, self.subject) if role), *personal))


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
class FeatureView:
    """Values of an entity at a moment; with `entity` None there is one series. `key` is the model's column that looks it up."""

    name: str
    data: Dataset
    entity: str | None
    features: dict[str, WindowFeature]
    ttl: Span | None
    owner: str
    key: str

    def __init__(
        self,
        name: str,
        data: Dataset,
        *,
        entity: str | None = None,
        features: Mapping[str, WindowFeature],
        ttl: str | Span | None = None,
        owner: str = "",
        key: str = "",
    ) -> None:
        if not isinstance(data, Dataset):
            raise fail("data", f"{data!r} is not a data set", fix="pass the fb.Dataset the view reads")
        listed = mapping(features, "features")
        if not listed:
            raise fail("features", "a view without features", fix='write features={"price": fb.window("30m").last("price")}')
        for feature, value in listed.items():
            if not isinstance(value, WindowFeature):
                raise fail(
                    f"features[{feature!r}]", f"{value!r} is not an aggregate of a window", fix='write fb.window("1d").mean("column")'
                )
        fill(
            self,
            {
                "name": name_of(name, "view"),
                "data": data,
                "entity": None if entity is None else text(entity, "entity"),
                "features": listed,
                "ttl": maybe_span(ttl, "ttl"),
                "owner": words(owner, "owner"),
                "key": key or (entity or ""),
            },
        )

    def on(self, column: str) -> FeatureView:
        """Look the view up by another column of the model's rows."""
        if self.entity is None:
            raise fail("on", f'view "{self.name}" has no entity to look up', fix="declare entity= on the view")
        return replace(self, key=text(column, "on"))
