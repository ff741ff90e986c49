"""A transform that looks at other rows is found on a sample, and named."""

from __future__ import annotations

import polars as pl
import pytest

from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.views import FeatureView, Window
from flyball.features.rowwise import prove

HOUR = 3_600_000_000
DATA = Dataset("d", source="d.csv", time="at", columns={"x": float, "word": str, "y": float})
ROWS = pl.DataFrame(
    {
        "x": [float(value * 37 % 101) for value in range(150)],
        "word": [f"w{value % 3}" for value in range(150)],
        "y": [0.0] * 150,
        "at": pl.Series([value * HOUR for value in range(150)]).cast(pl.Datetime("us")),
    }
)


def model(transforms, **changes):
    return Model("m", task="regression", data=DATA, label="y", transforms=transforms, **changes)


def test_row_by_row_transforms_pass():
    fine = {
        "log": pl.col("x").log1p(),
        "long": pl.col("word").str.len_chars(),
        "gap": pl.col("log") - pl.col("x"),
        "nan": pl.col("x").sqrt() * float("nan"),
    }
    assert prove(model(fine), ROWS) == []


@pytest.mark.parametrize(
    "bad",
    [
        pl.col("x") - pl.col("x").mean(),
        pl.col("x").rank(),
        pl.col("x").shift(1),
        pl.col("x").cum_sum(),
        pl.col("x").fill_null(strategy="forward").max(),
    ],
)
def test_a_transform_that_looks_at_other_rows_is_named(bad):
    (problem,) = prove(model({"fine": pl.col("x") + 1, "bad": bad}), ROWS)
    assert problem.what == 'transform "bad" is not row by row'
    assert problem.where == 'Model "m"'
    assert "alone" in problem.why


def test_a_function_that_looks_at_other_rows_is_named_by_its_column():
    (problem,) = prove(model(lambda rows: rows.with_columns(z=pl.col("x") / pl.col("x").max())), ROWS)
    assert problem.what == 'transform "z" is not row by row'


def test_a_transform_that_cannot_be_computed_is_a_problem_not_a_crash():
    (problem,) = prove(model({"bad": pl.col("word").dt.year()}), ROWS)
    assert "cannot be computed" in problem.what


def test_transforms_on_views_of_any_data_set_are_proven():
    other = Dataset("o", source="o.csv", time="t", columns={"v": float})
    views = [
        FeatureView("own", DATA, features={"mean": Window("5h").mean("x")}),
        FeatureView("far", other, features={"v_last": Window("5h").last("v")}),
    ]
    assert prove(model({"sum": pl.col("mean") + pl.col("v_last")}, features=views), ROWS) == []
    found = prove(model({"a": pl.col("mean").shift(1), "b": pl.col("v_last").max()}, features=views), ROWS)
    assert [problem.what for problem in found] == ['transform "a" is not row by row', 'transform "b" is not row by row']


def test_nothing_to_prove_is_no_problem():
    assert prove(model(None), ROWS) == []
    assert prove(model({"bad": pl.col("x").mean()}), ROWS.clear()) == []
