"""What is computed without a query is what Polars computes, to the last bit and of the same type; what would not be is left to Polars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.features import transforms
from flyball.features.direct import MOST_ROWS, direct, same

SCHEMA = {
    "a": pl.Float64(),
    "b": pl.Float64(),
    "i": pl.Int64(),
    "j": pl.Int64(),
    "t": pl.Boolean(),
    "u": pl.Boolean(),
    "s": pl.String(),
    "w": pl.String(),
}
C = pl.col
OF_LOOPS = {
    "price_gap": C.a - C.b,
    "hour_sin": (C.i * (2 * np.pi / 24)).sin(),
    "hour_cos": (C.i * (2 * np.pi / 24)).cos(),
    "debt_to_income": C.a / (C.b + 1),
    "abroad": C.s != C.w,
    "amount_vs_usual": C.a / (C.b / (C.i + 1) + 1),
    "for_car": (C.s == "car").cast(pl.Float64),
    "for_none": (~C.s.is_in(["a", "b"])).cast(pl.Float64),
}
OTHERS = {
    "case": pl.when(C.a > 1).then(2).otherwise(C.b),
    "words": pl.when(C.t).then(C.s).otherwise(C.w),
    "logic": C.a.is_null() & (C.t | ~C.u),
    "log": C.a.log(),
    "log1p": C.a.log1p(),
    "exp": C.i.exp(),
    "root": C.b.sqrt(),
    "filled": C.i.fill_null(3) * C.a.fill_null(0.5),
    "whole": C.i * C.j - C.i,
    "quotient": C.i / C.j,
    "order": (C.a >= C.b) | (C.s < C.w) | (C.i > 1.5),
    "known": C.w.is_not_null() & (C.t == C.u),
    "flag": C.t.cast(pl.Int64) + 1,
}

floats = st.none() | st.floats(width=64) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324])
ints = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-30, 30)
bools = st.none() | st.booleans()
words = st.none() | st.sampled_from(["", "a", "b", "car", "ä", "\U0001f6b2"])
rows = st.lists(st.tuples(floats, floats, ints, ints, bools, bools, words, words), min_size=1, max_size=MOST_ROWS)


MADE = {name: direct(SCHEMA, {name: each}, [{name: each}]) for name, each in (OF_LOOPS | OTHERS).items()}


def test_every_kind_of_expression_of_the_loops_is_computed_without_a_query() -> None:
    assert [name for name, made in MADE.items() if made is None] == []


@given(rows)
@settings(max_examples=150, deadline=None)
def test_every_expression_gives_what_polars_gives_to_the_last_bit(given_rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(given_rows, schema=SCHEMA, orient="row")
    large = any(abs(number or 0) > 2**31 for row in given_rows for number in row[2:4])
    for name, expression in (OF_LOOPS | OTHERS).items():
        made = MADE[name]
        assert made is not None
        found = made.add(frame)
        # a whole number beyond 64 bits is left to Polars
        assert found is not None or large, name
        assert found is None or same(found, frame.with_columns(**{name: expression})), name


numbers = st.sampled_from([C.a, C.b, C.i, C.j]) | st.floats(allow_nan=False, width=64).map(pl.lit) | st.integers(-5, 5).map(pl.lit)


@st.composite
def trees(draw: st.DrawFn) -> pl.Expr:
    """Arithmetic, comparisons and functions of numbers, nested."""
    found = draw(st.sampled_from([C.a, C.b, C.i, C.j]))
    for _ in range(draw(st.integers(1, 4))):
        other = draw(numbers)
        kind = draw(st.sampled_from(["+", "-", "*", "/", "sin", "sqrt", "log", "swap", "fill"]))
        if kind in "+-*/":
            left, right = (found, other) if draw(st.booleans()) else (other, found)
            found = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[kind]
        elif kind == "swap":
            found = pl.when(C.t).then(found).otherwise(other)
        elif kind == "fill":
            found = found.fill_null(0.0)
        else:
            found = {"sin": found.sin(), "sqrt": found.sqrt(), "log": found.log()}[kind]
    return found > 0.5 if draw(st.booleans()) else found


@given(trees(), rows)
@settings(max_examples=100, deadline=None)
def test_any_tree_of_numbers_is_the_same_or_left_to_polars(tree: pl.Expr, given_rows: list[tuple[Any, ...]]) -> None:
    frame = pl.DataFrame(given_rows, schema=SCHEMA, orient="row")
    made = direct(SCHEMA, {"x": tree}, [{"x": tree}])
    found = None if made is None else made.add(frame)
    assert found is None or same(found, frame.with_columns(x=tree)), str(tree)


@pytest.mark.parametrize(
    "expression",
    [
        C.a.mean(),
        C.a.round(1),
        C.a // 2,
        C.s.str.to_uppercase(),
        C.s.cast(pl.Int64, strict=False),
        C.a.cast(pl.Int64),
        C.a.cast(pl.Float32),
        pl.when(C.t).then(1).otherwise(0),
        pl.lit(1.5),
        C.a.shift(1),
        C.s.is_in(["a", None]),
        C.t & 1,
    ],
)
def test_what_it_does_not_know_is_left_to_polars(expression: pl.Expr) -> None:
    assert direct(SCHEMA, {"x": expression}, [{"x": expression}]) is None


def test_an_expression_that_would_come_out_otherwise_is_left_to_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    from flyball.features import direct as module

    assert direct(SCHEMA, {"x": C.a.sin()}, [{"x": C.a.sin()}]) is not None
    monkeypatch.setitem(module._ONE, "Trigonometry.Sin", lambda x: math.nextafter(math.sin(x), 2) if math.isfinite(x) else math.nan)
    assert direct(SCHEMA, {"x": C.a.sin()}, [{"x": C.a.sin()}]) is None, "one bit is a difference"


DATA = Dataset(
    "d",
    source="d.csv",
    time="at",
    columns={"x": Column(float, known_after="-1d", nulls="50%"), "n": Column(int, known_after="-1d"), "y": Column(float, known_after="1d")},
)


def test_a_model_gets_the_same_of_one_row_of_few_and_of_many() -> None:
    read = {"half": C.x / 2, "again": C.half + C.n, "wave": (C.n * 0.25).sin(), "over": C.again > C.wave}
    model = Model("m", task="regression", data=DATA, label="y", transforms=read)
    frame = pl.DataFrame({"x": [None, 0.1, math.nan, *np.linspace(-3, 3, 97)], "n": range(100)})
    whole = transforms.apply(model, frame)
    for size in (1, 7, MOST_ROWS, MOST_ROWS + 1):
        parts = [transforms.apply(model, frame[start : start + size]) for start in range(0, 100, size)]
        assert same(pl.concat(parts), whole)
    assert transforms._prepared[model].made is not None, "it was computed without a query"


def test_columns_of_another_type_are_other_columns() -> None:
    model = Model("m", task="regression", data=DATA, label="y", transforms={"half": C.x / 2})
    one = pl.DataFrame({"x": [1.0], "n": [1]})
    other = pl.DataFrame({"x": [None], "n": [1]})
    for frame in (one, other, one):
        assert same(transforms.apply(model, frame), frame.with_columns(half=C.x / 2))
