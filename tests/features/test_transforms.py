"""A transform may be a function of pandas or NumPy: the same columns for a training frame and for each row of a request."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.features import transforms
from flyball.features.rowwise import prove

DATA = Dataset(
    "d",
    source="d.csv",
    time="at",
    columns={
        "x": Column(float, nulls="50%", known_after="-1d"),
        "n": Column(int, nulls="50%", known_after="-1d"),
        "k": Column(int, known_after="-1d"),
        "word": Column(str, known_after="-1d"),
        "y": Column(float, known_after="1d"),
    },
)
ROWS = pl.DataFrame(
    {
        "x": [1.5, None, -2.0, 0.0] * 20,
        "n": [1, 2, None, 4] * 20,
        "k": list(range(80)),
        "word": ["a", "b", "c", "d"] * 20,
        "y": [0.0] * 80,
        "at": pl.Series(range(80)).cast(pl.Datetime("us")),
    }
)
INPUTS = ROWS.select("x", "n", "k", "word")


def model(function: object, **changes: object) -> Model:
    return Model("m", task="regression", data=DATA, label="y", transforms=function, **changes)  # type: ignore[arg-type]


def by_pandas(rows: pd.DataFrame) -> pd.DataFrame:
    rows["ratio"] = rows["x"] / (rows["n"] + 1)
    rows["big"] = rows["k"] > 40
    rows["upper"] = rows["word"].str.upper()
    return rows


def by_polars(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(ratio=pl.col("x") / (pl.col("n") + 1), big=pl.col("k") > 40, upper=pl.col("word").str.to_uppercase())


def test_a_function_of_pandas_adds_what_the_same_of_polars_adds() -> None:
    one, two = (transforms.apply(model(each), INPUTS) for each in (by_pandas, by_polars))
    assert one.columns == two.columns
    assert one.drop("ratio").equals(two.drop("ratio"))
    assert one["ratio"].to_list() == pytest.approx(two["ratio"].to_list(), nan_ok=True)
    assert transforms.names(model(by_pandas)) == ["ratio", "big", "upper"]


def test_what_pandas_gives_for_one_row_is_what_it_gives_for_the_frame() -> None:
    assert prove(model(by_pandas), ROWS) == []
    whole = transforms.apply(model(by_pandas), INPUTS)
    for place in range(8):
        assert transforms.apply(model(by_pandas), INPUTS[place : place + 1]).equals(whole[place : place + 1])


def test_a_function_of_pandas_that_looks_at_other_rows_is_found() -> None:
    def centred(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(centred=rows["k"] - rows["k"].mean())

    def sorted_(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.sort_values("word").assign(z=1.0)

    (problem,) = prove(model(centred), ROWS)
    assert problem.what == 'transform "centred" is not row by row'
    (problem,) = prove(model(sorted_), ROWS)
    assert "changes" in problem.what


def test_a_function_of_numpy_gets_numbers_and_its_columns_are_named_after_it() -> None:
    def norms(values: np.ndarray) -> np.ndarray:
        return np.column_stack([values.sum(axis=1), values[:, 0] * 2])

    def total(values: np.ndarray) -> np.ndarray:
        return values.sum(axis=1)

    numbers = INPUTS.select("x", "k")
    declared = model(norms, inputs=["x", "k"])
    made = transforms.apply(declared, numbers)
    assert made.columns == ["x", "k", "norms_0", "norms_1"]
    assert made["norms_1"][0] == 3.0
    assert transforms.names(declared) == ["norms_0", "norms_1"]
    assert transforms.names(model(total, inputs=["x", "k"])) == ["total"]
    assert prove(declared, ROWS) == []


def test_what_is_no_frame_or_cannot_be_one_is_told() -> None:
    def mixed(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(z=[1, *["a"] * (len(rows) - 1)] if len(rows) else [])

    def short(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.dropna()

    for function, what in ((mixed, "cannot be read"), (short, "gave 40 rows for a frame of 80 rows"), (lambda rows: 1, "gave int")):
        with pytest.raises(BadInput, match=what):
            transforms.apply(model(function), INPUTS)
