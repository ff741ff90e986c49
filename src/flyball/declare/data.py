"""Data sets: rows, where they come from, and what must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flyball.clock import Span
from flyball.declare.columns import Column
from flyball.declare.functions import Frame, Function, is_frame
from flyball.declare.schemas import carried, is_schema
from flyball.declare.units import count, fail, fill, items, mapping, maybe_span, maybe_text, name_of, names, near, one_of, text, words


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


@dataclass(frozen=True)
class ForeignKey:
    """Values that a column may have: those of a column of another data set."""

    data: Dataset
    column: str


@dataclass(frozen=True, init=False)
class Dataset:
    """Rows and their contract. `time` is the moment a row is about; `arrived` when flyball could know it, if rows say so.

    Names of columns that are not given are empty text. `columns` keeps the declared order. `references`: column → where its values must be
    found. Of times: `gap` is the longest time without a row, `ahead` how far beyond now one may lie, `disorder` how far behind an earlier
    row of the source; None: nothing is required. `on_breach` is of these rules, `unique` and `min_rows`; a column has its own. `keep`: how
    long versions are kept that no model was made from (None: for good). `columns` may be a pandera schema; `untold` is what of one is not
    carried.
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
    references: dict[str, ForeignKey]
    gap: Span | None
    ahead: Span | None
    disorder: Span | None
    on_breach: Literal["block", "warn"]
    keep: Span | None
    owner: str
    licence: str
    about: str
    untold: tuple[str, ...]

    def __init__(
        self,
        name: str,
        *,
        source: Any,
        columns: Mapping[str, Column | type[Any]] | Any,
        time: str = "",
        arrived: str | None = None,
        id: str | None = None,  # noqa: A002 - the public name
        freshness: str | Span | None = None,
        min_rows: int = 0,
        unique: str | Iterable[str] = (),
        subject: str | None = None,
        references: Mapping[str, Dataset | ForeignKey | tuple[Dataset, str]] | None = None,
        gap: str | Span | None = None,
        ahead: str | Span | None = None,
        disorder: str | Span | None = None,
        on_breach: str = "block",
        keep: str | Span | None = None,
        owner: str = "",
        licence: str = "",
        about: str = "",
        untold: Iterable[str] = (),
    ) -> None:
        declared, unique, untold = _columns(columns, unique, untold)
        if not isinstance(source, str | Sql | Function) and not callable(source) and not is_frame(source):
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
                "references": {key: _foreign_key(key, value) for key, value in mapping(references, "references").items()},
                "gap": maybe_span(gap, "gap"),
                "ahead": maybe_span(ahead, "ahead", least=0),
                "disorder": maybe_span(disorder, "disorder", least=0),
                "on_breach": one_of(on_breach, ("block", "warn"), "on_breach"),
                "keep": maybe_span(keep, "keep"),
                "owner": words(owner, "owner"),
                "licence": words(licence, "licence"),
                "about": words(about, "about"),
                "untold": items(untold, "untold"),
            },
        )
        _check_names(self)

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


def _check_names(data: Dataset) -> None:
    for key in data.names:
        if is_pattern(key):
            raise fail(
                "columns", f'"{key}" stands for other columns, to whoever reads frames', fix="rename the column where its rows are made"
            )
    for argument, keys in (("unique", data.unique), ("references", data.references)):
        for key in keys:
            if key not in data.names:
                raise fail(argument, f'"{key}" is not a column of data set "{data.name}"', fix=near(key, data.names))


def is_pattern(name: str) -> bool:
    """Whether Polars takes a name for those of other columns."""
    return name == "*" or (name.startswith("^") and name.endswith("$"))


def _columns(
    given: Any, unique: str | Iterable[str], untold: Iterable[str]
) -> tuple[dict[str, Column], str | Iterable[str], Iterable[str]]:
    """Columns by name, what must be unique, and what a schema asks for besides."""
    if is_schema(given):
        found = carried(given)
        given, unique, untold = found.columns, unique or found.unique, (*untold, *found.told(unique))
    declared = {key: value if isinstance(value, Column) else Column(value) for key, value in mapping(given, "columns").items()}
    if not declared:
        raise fail("columns", "no column is declared", fix='write columns={"amount": float}; an undeclared column is never seen')
    return declared, unique, untold


def _foreign_key(key: str, given: Any) -> ForeignKey:
    """A data set alone means its `id`."""
    data, column = (
        (given, "") if isinstance(given, Dataset) else (given.data, given.column) if isinstance(given, ForeignKey) else (None, "")
    )
    if isinstance(given, tuple) and len(given) == 2:
        data, column = given
    if not isinstance(data, Dataset):
        raise fail(f"references[{key!r}]", f"{given!r:.80} is not a data set", fix='write references={"merchant_id": merchants}')
    column = column or data.id
    if column not in data.names:
        what = f'"{column}" is not a column of data set "{data.name}"' if column else f'data set "{data.name}" has no id'
        raise fail(f"references[{key!r}]", what, fix=f'write (merchants, "column"); columns: {", ".join(data.names[:8])}')
    return ForeignKey(data, column)
