"""Polars expressions of a declaration: a column's name, the user's own `pl.Expr`, or one read back from canonical JSON."""

from __future__ import annotations

import io
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from flyball.errors import DeclarationError


def expression(value: Any) -> pl.Expr:
    """The `pl.Expr` that `value` stands for: a column name, a `pl.Expr`, or a decoded `Expression` (its `text` is JSON).

    Raises DeclarationError if the text is not an expression of this Polars.
    """
    if isinstance(value, pl.Expr):
        return value
    if isinstance(value, str):
        return pl.col(value)
    try:
        return pl.Expr.deserialize(io.StringIO(value.text), format="json")
    except PolarsError as error:
        raise DeclarationError(
            "an expression of the declaration cannot be read back",
            why=f"it was written by another version of Polars: {error}",
            fix="apply the declaration again",
        ) from error


def roots(value: Any) -> list[str]:
    """The columns an expression reads, in order, each once."""
    return list(dict.fromkeys(expression(value).meta.root_names()))
