"""Steps on a column that do without the query engine: they say what Polars says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation import direct

TEXTS = st.lists(st.none() | st.text(max_size=100), max_size=30)


@given(TEXTS)
def test_hashes_are_those_of_the_series(values):
    column = pl.Series("id", values, dtype=pl.String)
    assert direct.hashes(column).tolist() == column.hash().to_list()


@given(st.lists(st.none() | st.floats(), max_size=30), TEXTS)
def test_what_is_no_null_is_known_whatever_it_is(numbers, texts):
    for column in (pl.Series(numbers, dtype=pl.Float64), pl.Series(texts, dtype=pl.String)):
        assert direct.known(column).tolist() == column.is_not_null().to_list()


@given(TEXTS, st.integers(0, 90))
def test_texts_are_cut_after_so_many_characters(values, most):
    column = pl.Series("text", values, dtype=pl.String)
    assert direct.shortened(column, most).equals(column.str.slice(0, most), check_names=True)
    assert direct.shortened(column[1:], most).equals(column[1:].str.slice(0, most)), "a part of a longer one"


@pytest.mark.parametrize("places", [[], [0], [4, 1, 1]])
def test_rows_are_taken_from_all_columns(places):
    frame = pl.DataFrame({"a": range(5), "b": list("vwxyz")})
    found = direct.rows_at(frame, np.array(places, dtype=np.int64))
    assert found.rows() == [frame.row(place) for place in places]
