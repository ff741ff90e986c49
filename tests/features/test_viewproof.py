"""What a view makes of a row it makes of that row alone: what looks at other rows, raises or gives others is named before it is used."""

from __future__ import annotations

import polars as pl
import pytest

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, Window
from flyball.errors import BadInput
from flyball.features import windows
from flyball.features.viewproof import prove_view

HOUR = 3_600_000_000
DATA = Dataset("d", source="d.csv", time="at", columns={"x": float, "word": str, "flag": bool, "who": Column(str, personal=True)})
ROWS = pl.DataFrame(
    {
        "x": [float(value * 37 % 101) for value in range(150)],
        "word": [f"w{value % 3}" for value in range(150)],
        "flag": [value % 2 == 0 for value in range(150)],
        "who": [f"p{value}" for value in range(150)],
        "at": pl.Series([value * HOUR for value in range(150)]).cast(pl.Datetime("us")),
    }
)


def view(**features):
    return FeatureView("v", DATA, features=features)


def test_what_looks_at_its_own_row_passes():
    fine = view(
        a="x", b=pl.col("x").log1p(), c=Window("1h").count(where=pl.col("x") > 5), d=Window("1h").sum("x", where="flag"), e=pl.lit(1)
    )
    assert prove_view(fine, ROWS) == []


@pytest.mark.parametrize("bad", [pl.col("x") - pl.col("x").mean(), pl.col("x").rank(), pl.col("x").shift(1), pl.col("x").cum_sum()])
def test_a_feature_that_looks_at_other_rows_is_named(bad):
    (problem,) = prove_view(view(fine="x", bad=bad), ROWS)
    assert problem.what == 'feature "bad" is not row by row'
    assert problem.where == 'View "v"'
    assert "alone" in problem.why


def test_a_condition_that_looks_at_other_rows_is_named():
    (problem,) = prove_view(view(bad=Window("1h").count(where=pl.col("x") > pl.col("x").mean())), ROWS)
    assert problem.what == 'where= of feature "bad" is not row by row'


def test_rows_that_are_alike_are_looked_at_more_than_once():
    (problem,) = prove_view(view(bad=pl.col("x").is_duplicated()), ROWS.head(40))
    assert problem.what == 'feature "bad" is not row by row'


STILL = Dataset("d", source="d.csv", time="at", columns={"x": float, "word": str, "sometimes": Column(float, nulls="20%")})
SOMETIMES = pl.col("sometimes")


@pytest.mark.parametrize(
    "bad",
    [
        SOMETIMES.fill_null(strategy="forward"),
        SOMETIMES.fill_null(SOMETIMES.mean()),
        SOMETIMES.interpolate(),
        SOMETIMES.null_count() + pl.col("x"),
        pl.col("x") - pl.col("x").mean(),
        Window("1h").count(where=SOMETIMES.fill_null(strategy="backward") > 0.5),
        Window("1h").count(where=pl.when(SOMETIMES.is_null().any()).then(pl.lit(False)).otherwise(SOMETIMES > 0)),
    ],
)
def test_a_sample_in_which_nothing_is_missing_and_columns_do_not_vary_hides_nothing(bad):
    calm = ROWS.with_columns(x=pl.lit(3.0), sometimes=pl.lit(1.0))
    fine = {"double": SOMETIMES * 2, "filled": SOMETIMES.fill_null(0.0), "some": Window("1h").count(where=SOMETIMES > 0.5)}
    assert prove_view(FeatureView("v", STILL, features=fine), calm) == []
    (problem,) = prove_view(FeatureView("v", STILL, features=fine | {"bad": bad}), calm)
    assert problem.what.endswith('feature "bad" is not row by row')


def test_of_who_a_row_is_of_no_value_is_shown():
    (problem,) = prove_view(view(bad=pl.col("who").shift(1)), ROWS)
    assert "p0" not in problem.why


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        (pl.col("word").dt.year(), 'feature "bad" cannot be computed'),
        (pl.col("x").mean(), 'feature "bad" gave 1 rows for 64'),
        (pl.col("x").filter(pl.col("x") > 50), 'feature "bad" gave'),
        (pl.col("nothing") + 1, 'feature "bad" cannot be computed'),
        (Window("1h").count(where=pl.col("x") + 1), 'where= of feature "bad" is Float64'),
        (Window("1h").count(where=pl.col("word").dt.year() > 1), 'feature "bad" cannot be computed'),
    ],
)
def test_a_view_that_raises_or_gives_other_rows_is_a_problem_not_a_crash(feature, says):
    (problem,) = prove_view(view(bad=feature), ROWS)
    assert says in problem.what
    with pytest.raises(BadInput, match=f'view "v": {says.split(" gave")[0]}'.replace("=", ".")):
        windows.prepare(view(bad=feature), ROWS)


def test_an_undeclared_column_is_never_read():
    rows = ROWS.with_columns(secret=pl.lit(1))
    for feature in (pl.col("secret") + 1, "secret", Window("1h").count(where=pl.col("secret") > 0)):
        with pytest.raises(BadInput):
            windows.prepare(view(bad=feature), rows)


def test_the_label_of_a_row_is_not_seen_before_it_is_known():
    data = Dataset("d", source="d.csv", time="at", columns={"y": Column(float, known_after="2h")})
    rows = pl.DataFrame({"y": [float(value) for value in range(9)], "at": [value * HOUR for value in range(9)]}).with_columns(
        pl.col("at").cast(pl.Datetime("us"))
    )
    peek = FeatureView(
        "v", data, features={"newest": "y", "double": pl.col("y") * 2, "last": Window("9h").last("y"), "best": Window("9h").max("y")}
    )
    times = pl.Series([value * HOUR for value in range(9)])
    got = windows.values(peek, rows, pl.DataFrame({"row_time": times, "moment": times}))
    # two hours after its time a label is known, and then is strictly before the row that asks
    assert got["newest"].to_list() == [None, None, None, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert got["double"].to_list() == [None, None, None, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert got["last"].equals(got["newest"].alias("last"))
    assert got["best"].equals(got["newest"].alias("best"))


def test_a_column_with_an_infinite_value_is_not_summed():
    rows = ROWS.with_columns(pl.when(pl.col("x") == 0).then(float("inf")).otherwise("x").alias("x"))
    asked = pl.DataFrame({"row_time": [HOUR], "moment": [HOUR]})
    with pytest.raises(BadInput, match='column "x" holds an infinite value'):
        windows.values(view(sum=Window("1h").sum("x")), rows, asked)
