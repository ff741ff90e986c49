"""A transform that looks at other rows is found on a sample, and named."""

from __future__ import annotations

import polars as pl
import pytest

from flyball.declare.columns import Column
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
        pl.col("x").sort(),
        pl.col("x").reverse(),
        pl.col("x").shuffle(seed=1),
        pl.col("x").mean().over("word"),
        pl.col("x").rolling_mean(3),
        pl.col("x").diff(),
        pl.col("x") - pl.col("x").first(),
        pl.col("word").cum_count(),
        pl.int_range(pl.len()),
        pl.col("x").is_duplicated(),
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


def test_a_transform_that_counts_rows_is_named():
    [problem] = prove(model({"bad": pl.col("x") / pl.len()}), ROWS)
    assert problem.what == 'transform "bad" is not row by row'


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


CALM = Dataset(
    "d",
    source="d.csv",
    time="at",
    columns={"x": Column(float, between=(0, 1)), "sometimes": Column(float, nulls="90%"), "at_": str, "y": float},
)
STILL = pl.DataFrame(
    {"x": [0.5] * 150, "sometimes": [1.0] * 150, "at_": [f"k{place}" for place in range(150)], "y": [0.0] * 150, "at": ROWS["at"]}
)


@pytest.mark.parametrize(
    "bad",
    [
        pl.col("x") - pl.col("x").mean(),
        pl.col("x").shift(1, fill_value=0.5),
        pl.col("x").rank() / pl.len(),
        pl.col("x").mean().over("at_"),
        pl.col("sometimes").forward_fill(),
        pl.col("sometimes").interpolate(),
        pl.col("sometimes").fill_null(pl.col("sometimes").mean()),
        pl.col("x").sort_by("at_"),
    ],
)
def test_a_sample_in_which_columns_do_not_vary_hides_nothing(bad):
    calm = Model("m", task="regression", data=CALM, label="y", inputs=["x", "sometimes", "at_"], transforms={"bad": bad})
    (problem,) = prove(calm, STILL)
    assert problem.what == 'transform "bad" is not row by row'
    assert prove(calm.replace(transforms={"fine": pl.col("x").fill_null(0.0) * pl.col("sometimes").fill_null(1.0)}), STILL) == []


@pytest.mark.parametrize(("kind", "between"), [(int, (0, 1e19)), (int, (-1e300, 1e300)), (float, (-1.7e308, 1.7e308))])
def test_a_range_beyond_what_numbers_of_64_bits_hold_is_no_obstacle(kind, between):
    data = Dataset("d", source="d.csv", time="at", columns={"x": Column(kind, between=between), "y": float})
    wide = Model("m", task="regression", data=data, label="y", transforms={"double": pl.col("x") * 2})
    assert prove(wide, ROWS.with_columns(pl.col("x").cast(pl.Int64 if kind is int else pl.Float64))) == []


def test_what_stands_in_the_way_of_made_up_rows_is_no_problem_of_the_real_ones():
    def strict(rows: pl.DataFrame) -> pl.DataFrame:
        if (rows["x"] > 100).any():
            raise ValueError("no more than 100")
        return rows.with_columns(z=pl.col("x") + 1)

    assert prove(model(strict), ROWS) == []


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda rows: rows.filter(pl.col("x") > 50), "gave"),
        (lambda rows: pl.concat([rows, rows]), "gave"),
        (lambda rows: rows.sort("x").with_columns(z=pl.col("x") * 2), 'changes "x"'),
        (lambda rows: rows.sample(fraction=1.0, shuffle=True, seed=3), 'changes "x"'),
        (lambda rows: rows.with_columns(x=pl.col("x") + 1), 'changes "x"'),
        (lambda rows: rows["x"], "gave Series"),
        (lambda rows: rows.with_columns(z=pl.col("nothing")), "raised ColumnNotFoundError"),
        (lambda rows: rows.with_columns(z=pl.lit(1) // 0) if rows.height > 1 else 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_function_that_raises_or_gives_other_rows_is_told_what_it_did(function, what):
    (problem,) = prove(model(function), ROWS)
    assert what in problem.what, problem


def test_a_function_may_give_only_what_it_adds():
    assert prove(model(lambda rows: rows.select(z=pl.col("x") * 2)), ROWS) == []
