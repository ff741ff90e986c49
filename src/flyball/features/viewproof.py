"""Proof on a sample that what a view's features make of a row, they make of that row alone.

An expression is computed on all rows of a data set, and online on those that have just come: one that looks at other rows (a mean over
the frame, a rank, a shift) has one value here and another there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

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
    for name, feature in view.features.items():
        parts = [feature.value] if isinstance(feature, RowFeature) else [feature.where]
        for part in parts:
            if part is None or isinstance(part, str):
                continue
            try:
                problem = _differing(view, name, part, sample, mixed, is_value=isinstance(feature, RowFeature))
            except BadInput as error:
                problem = Problem(f'View "{view.name}"', error.what, error.why, error.fix)
            if problem is not None:
                found.append(problem)
    return found


def _differing(view: FeatureView, name: str, part: Any, sample: pl.DataFrame, mixed: Any, *, is_value: bool) -> Problem | None:
    whole, alone = _both(view, name, part, sample, is_value=is_value)
    what = "feature" if is_value else "where= of feature"
    where = f'View "{view.name}"'
    if whole.dtype != alone.dtype:
        return Problem(where, f'{what} "{name}" gives {whole.dtype} for a frame and {alone.dtype} for one row')
    pairs = [(whole, alone), (_computed(view, name, part, sample[mixed], is_value=is_value), alone[mixed])]
    for rows in made_up(sample, {column: item for column, item in view.data.columns.items() if column in sample.columns}):
        # real values in a row that never was may be more than an expression can take: then they prove nothing
        with suppress(BadInput, pl.exceptions.PolarsError):
            pairs.append(_both(view, name, part, rows, is_value=is_value))
    for made, wanted in pairs:
        same = agree(made, wanted)
        if not same.all():
            row = int((~same).arg_true()[0])
            told = f"a row gives {_shown(view, part, made[row])} among others and {_shown(view, part, wanted[row])} alone"
            return Problem(
                where,
                f'{what} "{name}" is not row by row',
                why=f"{told}; {int((~same).sum())} of {len(same)} rows of the sample differ",
                fix="compute it from the row's own columns; what needs other rows is a window's",
            )
    return None


def _both(view: FeatureView, name: str, part: Any, rows: pl.DataFrame, *, is_value: bool) -> tuple[pl.Series, pl.Series]:
    """What comes of the rows as a frame, and of each alone."""
    alone = [_computed(view, name, part, rows.slice(place, 1), is_value=is_value) for place in range(rows.height)]
    return _computed(view, name, part, rows, is_value=is_value), pl.concat(alone)


def _computed(view: FeatureView, name: str, part: Any, rows: pl.DataFrame, *, is_value: bool) -> pl.Series:
    return read(view, name, part, rows) if is_value else pl.Series(masked(view, name, part, rows))


def _shown(view: FeatureView, part: Any, value: object) -> str:
    """A value as it may be told: none of a column that says who a row is of."""
    return "one value" if set(roots(part)) & view.data.identifying else repr(value)
