"""Texts as codes: what they stand for is what was there, however a column is cut, joined or held."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.evaluation.counts_groups import coded

short = st.text("ab\x00é", max_size=4)
texts = st.lists(st.one_of(short, short, st.text("ab\x00é", min_size=4, max_size=15)), min_size=1, max_size=40)


def same(column: pl.Series) -> None:
    found = coded(column)
    told = [None if code < 0 else found.values[code] for code in found.codes.tolist()]
    assert told == column.to_list()
    # each once, in the order in which they first come
    assert found.values == [value for value in dict.fromkeys(told) if value is not None]


@settings(max_examples=300, deadline=None)
@given(texts, texts, st.integers(0, 40))
def test_codes_stand_for_the_values(first: list[str], second: list[str], cut: int) -> None:
    same(pl.Series(first))
    joined = pl.concat([pl.Series(first), pl.Series(second)])
    same(joined)
    if cut < len(joined):
        same(joined[cut:])
        same(joined[cut:].gather(range(0, len(joined) - cut, 2)))


@pytest.mark.parametrize(
    "values", [["a", None, "b", None, "a"], [None, None], [], ["x" * 7, "x" * 8, "x" * 7], ["", "\x00", "\x00\x00", ""]]
)
def test_nulls_long_texts_and_bytes_of_nothing_are_told_apart(values: list[str | None]) -> None:
    same(pl.Series(values, dtype=pl.String))
