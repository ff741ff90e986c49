"""A function's frames come and go in the form it names; without pandas there is a clear error, and everything else works."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Annotated, Optional

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from flyball.data.forms import first_for, polars_of

FRAME = pl.DataFrame({"a": [1, 2], "b": [0.5, None], "word": ["x", "y"]})


def test_the_first_parameter_says_the_form_whatever_its_name() -> None:
    def pandas(rows: pd.DataFrame) -> object: ...

    def numpy(values: np.ndarray) -> object: ...

    def polars(rows: pl.DataFrame) -> object: ...

    def silent(rows) -> object: ...

    assert isinstance(first_for(pandas)(FRAME), pd.DataFrame)
    assert isinstance(first_for(numpy)(FRAME), np.ndarray)
    assert first_for(polars)(FRAME) is FRAME
    assert first_for(silent)(FRAME) is FRAME
    assert first_for(len)(FRAME) is FRAME
    assert first_for(object())(FRAME) is FRAME


NAMED = """
from __future__ import annotations
from typing import TYPE_CHECKING
import pandas
import pandas as frames
from numpy.typing import NDArray
from pandas import DataFrame
if TYPE_CHECKING:
    import pandas as pd
def taken(rows: DataFrame): ...
def renamed(rows: frames.DataFrame): ...
def checked(rows: pd.DataFrame | None): ...
def quoted(rows: "pandas.DataFrame"): ...
def array(rows: NDArray[float]): ...
def unknown(rows: nowhere.Frame): ...
"""


def test_an_annotation_is_what_it_names_however_it_is_written() -> None:
    made: dict[str, object] = {}
    exec(NAMED, made)

    def either(rows: pd.DataFrame | None) -> object: ...

    def maybe(rows: Optional[pd.DataFrame]) -> object: ...  # noqa: UP045

    def noted(rows: Annotated[pd.DataFrame, "all of them"]) -> object: ...

    both = functools.partial(made["taken"])
    for function in (*(made[name] for name in ("taken", "renamed", "checked", "quoted")), either, maybe, noted, both):
        assert isinstance(first_for(function)(FRAME), pd.DataFrame), function
    assert isinstance(first_for(made["array"])(FRAME), np.ndarray)
    assert first_for(made["unknown"])(FRAME) is FRAME


def test_a_frame_of_any_kind_comes_back_as_polars() -> None:
    assert polars_of(FRAME) is FRAME
    assert polars_of(FRAME.lazy()).equals(FRAME)
    assert polars_of(pd.DataFrame({"a": [1, 2]}, index=[7, 8])).equals(FRAME.select("a")), "the index is no column"
    assert polars_of(pa.table({"a": [1, 2]})).equals(FRAME.select("a"))
    assert polars_of(pd.DataFrame({"b": [0.5, float("nan")]}))["b"].to_list() == [0.5, None], "pandas has no other way to say it"
    for other in (FRAME["a"], [1, 2], None, {"a": [1]}):
        assert polars_of(other) is None


def test_a_pandas_frame_that_is_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="there twice"):
        polars_of(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises((ValueError, TypeError)):
        polars_of(pd.DataFrame({"a": [1, "x"]}))


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
sys.meta_path.insert(0, Absent())
import polars as pl
import flyball as fb
from flyball.data.forms import first_for
from flyball.errors import FlyballError
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.features import transforms
data = fb.Dataset("d", source="d.csv", time="at", columns={"x": fb.column(float, known_after="-1d"), "y": fb.column(float, known_after="1d")})
def add(rows: "pd.DataFrame"):
    return rows
def plain(rows: pl.DataFrame):
    return rows.with_columns(z=pl.col("x") + 1)
def gate(rows: "pandas.DataFrame"):
    return True
rows = pl.DataFrame({"x": [1.0, 2.0]})
print(transforms.apply(fb.Model("m", task="regression", data=data, label="y", transforms=plain), rows)["z"].to_list())
try:
    transforms.apply(fb.Model("m", task="regression", data=data, label="y", transforms=add), rows)
except FlyballError as error:
    print(error)
print(judge([gate], Holdout(pl.DataFrame({"y": [1.0]}), "regression"))[0].why)
assert "pandas" not in sys.modules
"""


@pytest.mark.process
def test_without_pandas_what_asks_for_it_is_told_so_and_the_rest_works() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout.splitlines()
    assert said[0] == "[2.0, 3.0]"
    assert "asks for pandas, which is not installed" in said[1]
    assert sum("pip install pandas" in line for line in said) == 2, said
    assert any(line.startswith("it raised BadInput") and "asks for pandas" in line for line in said), "a gate lacks data, and says why"
