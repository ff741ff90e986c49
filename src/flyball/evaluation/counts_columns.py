"""The columns of the rows and labels that counts are made of, and under which name an input stands beside them."""

from __future__ import annotations

import polars as pl

ROWS: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "at": pl.Int64(),
    "version": pl.String(),
    "role": pl.String(),
    "rollout": pl.String(),
    "weight": pl.Int64(),
    "key": pl.String(),
    "status": pl.String(),
    "latency_us": pl.Int64(),
    "score": pl.Float64(),
    "stand_in": pl.Boolean(),
}
"""Columns of a row beside `value` and the inputs. `stand_in`: the champion answered because the challenger had failed."""

LABELS: dict[str, pl.DataType] = {"request_id": pl.String(), "at": pl.Int64()}
"""Columns of a label beside `value`; `at` is when it became known."""


SLICE = "slice:"
"""What stands before the name of a column with the values of a slice."""

SCORES = "scores:all"
"""The column with the scores of all classes, in their order, where there are more than two."""

LIST = "list:id"
"""The column with the id of the request that an item of a ranking was asked in."""

ATTRIBUTE = "attribute:"
"""What stands before the name of a column of a label that is a slice of its row, as in `sex=f`."""


def held(name: str) -> str:
    """Under which name a row has an input or a slice: its own, unless that is one of `ROWS`, or `value`.

    >>> held("amount"), held("weight")
    ('amount', 'input:weight')
    """
    return f"input:{name}" if name in ROWS or name == "value" else name
