"""A function gets what its annotation names."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flyball.errors import DeclarationError
from flyball.features import to_user

FRAME = pl.DataFrame({"a": [1, None], "b": [True, False], "c": [0.5, 1.5]})


def fit(X: pl.DataFrame, y: np.ndarray, weight, group: "pd.DataFrame", run: "np.ndarray | None" = None):  # noqa: F821, UP037
    raise NotImplementedError


def typed(X: np.ndarray, y: pl.Series):
    raise NotImplementedError


def test_annotations_decide():
    assert to_user.kind_of(typed, "X") == "numpy"
    assert to_user.kind_of(typed, "y") == "polars"


def test_a_name_that_only_a_type_checker_imports_still_decides():
    assert to_user.kind_of(fit, "group") == "pandas"
    assert to_user.kind_of(fit, "y") == "numpy"
    assert to_user.kind_of(fit, "X") == "polars"


def test_nothing_written_means_polars():
    assert to_user.kind_of(fit, "weight") == "polars"
    assert to_user.given(fit, "weight", FRAME) is FRAME


def test_numbers_and_bools_become_one_float_array_with_nan_for_null():
    made = to_user.given(typed, "X", FRAME)
    assert made.dtype == np.float64
    np.testing.assert_array_equal(made, [[1, 1, 0.5], [np.nan, 0, 1.5]])


def test_a_column_keeps_its_own_type():
    assert to_user.as_kind(pl.Series([1, 2]), "numpy").dtype == np.int64


def test_text_makes_an_object_array():
    assert to_user.as_kind(pl.DataFrame({"a": ["x"], "b": [1.0]}), "numpy").tolist() == [["x", 1.0]]


def test_pandas_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(DeclarationError, match="pandas is not installed"):
        to_user.as_kind(FRAME, "pandas")
