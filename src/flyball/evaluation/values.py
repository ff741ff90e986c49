"""Columns as a few values: what slices, groups and searches go by. Numbers fall into bins of equal mass, rare values into one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.evaluation.answers import Rows

FEW = 20
"""Numbers of up to so many different values are values; of more, they are cut into bins."""

BINS = 10
"""Bins of equal mass of a column of numbers."""

LEAST_SHARE = 0.01
"""Texts rarer than this are one value: the others."""

MOST = 50
"""Values of a column of text beyond the most frequent are the others too."""

OTHERS = "any other"

MOST_VALUES = 200
"""A slice is a column of few values: of more, a report has the most frequent, and a gate judges none."""


class Values(NamedTuple):
    """`names`: what the values are called; `codes`: shape (n,), the place of each row's value in `names`."""

    names: tuple[str, ...]
    codes: npt.NDArray[np.int64]


def text_of(value: object) -> str:
    """The one name of a column's value, wherever it is told: live rows are counted under it as well.

    >>> text_of(None), text_of(True), text_of(2.50), text_of(1234567.5)
    ('null', 'true', '2.5', '1234567.5')
    """
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def rounded(value: object) -> str:
    """A value to look at, which names nothing.

    >>> rounded(1234567.5), rounded("a")
    ('1.23457e+06', 'a')
    """
    return f"{value:.6g}" if isinstance(value, float) else text_of(value)


def said(column: str, value: str) -> str:
    """A column's value, or bin, for people.

    >>> said("colour", "red"), said("age", "(30, 40]"), said("age", "> 60")
    ('colour=red', 'age in (30, 40]', 'age > 60')
    """
    if value.startswith(("≤ ", "> ")):
        return f"{column} {value}"
    return f"{column} in {value}" if value.startswith("(") and value.endswith("]") else f"{column}={value}"


def few_values(column: pl.Series, bins: int = BINS) -> Values | None:
    """A column as a few values, nulls one of them. None for one that has no such values: times, lists, texts of which each is rare.

    `bins`: into how many parts of equal mass a column of many numbers is cut, named as `(3, 7]`.
    """
    if column.dtype == pl.Boolean or (column.dtype.is_numeric() and column.n_unique() <= FEW):
        return _coded(column, column.unique().sort(nulls_last=True))
    if column.dtype.is_numeric():
        return _binned(column, bins)
    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        texts = column.cast(pl.String)
        counts = texts.value_counts(name="__n").filter(pl.col("__n") >= max(1.0, LEAST_SHARE * len(texts)))
        kept = counts.top_k(MOST, by="__n")[column.name].sort(nulls_last=True)
        return _coded(texts, kept) if len(kept) else None
    return None


def with_declared(present: pl.Series, declared: Sequence[object]) -> pl.Series:
    """The values that a column has and those that it is declared to have, each once, in order, a null last."""
    if not declared:
        return present.unique().sort(nulls_last=True)
    there = present.cast(pl.Series(declared, strict=False).dtype) if present.dtype == pl.Null else present
    more = pl.Series(there.name, declared, dtype=there.dtype, strict=False).drop_nulls()
    return pl.concat([there, more]).unique().sort(nulls_last=True)


def rows_by(column: pl.Series, kept: pl.Series) -> list[tuple[str, Rows]]:
    """Each of the `kept` values as text, with the numbers of the column's rows that have it, which may be none."""
    rows = pl.DataFrame({"value": column.cast(kept.dtype)}).with_row_index("row").group_by("value").agg("row")
    found = pl.DataFrame({"value": kept}).join(rows, on="value", how="left", nulls_equal=True, maintain_order="left")
    none = np.empty(0, np.int64)
    return [
        (text_of(value), none if of is None else np.asarray(of.to_numpy(), dtype=np.int64))
        for value, of in zip(found["value"], found["row"], strict=True)
    ]


def _coded(column: pl.Series, kept: pl.Series) -> Values:
    """Codes of the `kept` values, and one more for all others where there are any."""
    places = pl.Series(np.arange(len(kept)))
    codes = column.replace_strict(kept, places, default=len(kept), return_dtype=pl.Int64).to_numpy()
    names = tuple(text_of(value) for value in kept.to_list())
    return Values((*names, OTHERS) if bool((codes == len(kept)).any()) else names, codes)


def _binned(column: pl.Series, bins: int) -> Values:
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    present = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(present, np.arange(1, bins) / bins, method="inverted_cdf"))
    codes = np.searchsorted(edges, numbers, side="left").astype(np.int64)
    shown = [rounded(float(edge)) for edge in edges]
    names = [f"≤ {shown[0]}", *(f"({low}, {high}]" for low, high in itertools.pairwise(shown)), f"> {shown[-1]}"]
    if present.size < numbers.size:
        codes[np.isnan(numbers)] = len(names)
        names.append("null")
    return Values(tuple(names), codes)
