"""Proof on a sample that what a view's features make of a row, they make of that row alone.

An expression is computed on all rows of a data set, and online on those that have just come: one that looks at other rows (a mean over
the frame, a rank, a shift) has one value here and another there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from flyball.declare.views import FeatureView, RowFeature
from flyball.errors import BadInput, Problem
from flyball.features.expressions import roots
from flyball.features.reading import masked, read
from flyball.features.rowwise import agree, made_up, sampled


def prove_view(view: FeatureView, frame: pl.DataFrame) -> list[Problem]:
    """Compare on up to 64 rows spread over `frame` (rows of the view's data set), in their order and mixed, each once more than once, and on
    rows made of their values.

    One Problem for each expression or `where=` that differs, raises, or gives other rows than it got.
    """
    if not frame.height:
        return []
    sample = sampled(frame)
    mixed = np.random.default_rng(0).choice(sample.height, 2 * sample.height)
    found = []
    for each in _expressions(view):
        try:
            problem = _differing(view, each, sample, mixed)
        except BadInput as error:
            problem = Problem(f'View "{view.name}"', error.what, error.why, error.fix)
        if problem is not None:
            found.append(problem)
    return found


class _Expression(NamedTuple):
    """An expression of a view, what it is called in messages, and what computes it for rows of the data set."""

    called: str
    value: Any
    compute: Callable[[pl.DataFrame], pl.Series]


def _expressions(view: FeatureView) -> Iterator[_Expression]:
    """Those of its features; a column's own value depends on no other row."""
    for name, feature in view.features.items():
        if isinstance(feature, RowFeature):
            if not isinstance(feature.value, str):
                yield _Expression(f'feature "{name}"', feature.value, partial(read, view, name, feature.value))
        elif feature.where is not None and not isinstance(feature.where, str):
            yield _Expression(f'where= of feature "{name}"', feature.where, partial(_holds, view, name, feature.where))


def _holds(view: FeatureView, name: str, where: Any, rows: pl.DataFrame) -> pl.Series:
    return pl.Series(masked(view, name, where, rows))


def _differing(view: FeatureView, each: _Expression, sample: pl.DataFrame, mixed: Any) -> Problem | None:
    whole, alone = _both(each, sample)
    where = f'View "{view.name}"'
    if whole.dtype != alone.dtype:
        return Problem(where, f"{each.called} gives {whole.dtype} for a frame and {alone.dtype} for one row")
    pairs = [(whole, alone), (each.compute(sample[mixed]), alone[mixed])]
    for rows in made_up(sample, {column: item for column, item in view.data.columns.items() if column in sample.columns}):
        # real values in a row that never was may be more than an expression can take: then they prove nothing
        with suppress(BadInput, pl.exceptions.PolarsError):
            pairs.append(_both(each, rows))
    for made, wanted in pairs:
        same = agree(made, wanted)
        if not same.all():
            row = int((~same).arg_true()[0])
            told = f"a row gives {_shown(view, each.value, made[row])} among others and {_shown(view, each.value, wanted[row])} alone"
            return Problem(
                where,
                f"{each.called} is not row by row",
                why=f"{told}; {int((~same).sum())} of {len(same)} rows of the sample differ",
                fix="compute it from the row's own columns; what needs other rows is a window's",
            )
    return None


def _both(each: _Expression, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """What comes of the rows as a frame, and of each alone."""
    return each.compute(rows), pl.concat([each.compute(rows.slice(place, 1)) for place in range(rows.height)])


def _shown(view: FeatureView, part: Any, value: object) -> str:
    """A value as it may be told: none of a column that says who a row is of."""
    return "one value" if set(roots(part)) & view.data.identifying else repr(value)
