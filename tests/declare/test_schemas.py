"""A real pandera schema is taken as columns; what it asks for and a contract cannot is named."""

from __future__ import annotations

import polars as pl
import pytest

import flyball as fb
from flyball.data.contract import violations
from flyball.declare import codec
from flyball.declare.columns import Column
from flyball.declare.problems import warnings
from flyball.errors import BadInput, DeclarationError
from flyball.features.fields import signature
from flyball.features.rowwise import prove
from flyball.loop.sample import made_up
from flyball.serving.validate import RowReader

pa = pytest.importorskip("pandera.polars", reason="pandera is an extra")
pp = pytest.importorskip("pandera.pandas", reason="so is pandas")


def data(schema, **more):
    return fb.Dataset("d", **{"source": "d.csv", "columns": schema, **more})


def test_types_nulls_ranges_values_and_words_are_carried() -> None:
    schema = pa.DataFrameSchema(
        {
            "a": pa.Column(float, pa.Check.in_range(0, 1), nullable=True, description="a share"),
            "b": pa.Column(str, pa.Check.isin(["x", "y"])),
            "c": pa.Column(int, [pa.Check.gt(3), pa.Check.le(9)]),
            "d": pa.Column(pl.Datetime),
            "e": pa.Column(pl.Enum(["p", "q"])),
            "f": pa.Column(bool),
            "g": pa.Column(float, pa.Check.in_range(0, 1, include_max=False)),
            "h": pa.Column(int, pa.Check.eq(5)),
        }
    )
    made = data(schema)
    assert made.columns == {
        "a": Column(float, between=(0, 1), nulls=1, about="a share"),
        "b": Column(str, one_of=("x", "y")),
        "c": Column(int, between=(4, 9)),
        "d": Column("time"),
        "e": Column(str, one_of=("p", "q")),
        "f": Column(bool),
        "g": Column(float, between=(0, 0.9999999999999999)),
        "h": Column(int, one_of=(5,)),
    }
    assert made.untold == ()


def test_a_class_of_pandas_columns_is_carried_too() -> None:
    class Loans(pp.DataFrameModel):
        amount: float = pp.Field(ge=0)
        years: int = pp.Field(ge=1, le=30, unique=True)
        word: str = pp.Field(nullable=True, isin=["a", "b"])
        at: pp.DateTime

    made = data(Loans, time="at")
    assert {name: column.type for name, column in made.columns.items()} == {"amount": "float", "years": "int", "word": "str", "at": "time"}
    assert made.columns["amount"].between == (0, 1.7976931348623157e308)
    assert made.columns["word"].nulls == 1
    assert made.unique == ("years",)
    assert made.untold == ()


def test_a_range_with_one_end_goes_all_the_way_to_a_request() -> None:
    schema = pa.DataFrameSchema(
        {"n": pa.Column(int, pa.Check.ge(0)), "x": pa.Column(float, pa.Check.le(9)), "y": pa.Column(int, pa.Check.isin([0, 1]))}
    )
    rows = data(schema, time="at")
    model = fb.Model("m", task="binary", data=rows, label="y", inputs=["n", "x"], transforms={"double": pl.col("n") * 2})
    text = codec.encode(model)
    assert codec.digests(text)
    assert codec.decode(text).data.columns == rows.columns
    assert violations(rows, made_up(rows)) == ()
    assert prove(model, made_up(rows)) == []
    assert RowReader(signature(model)).read(b'{"row": {"n": 7, "x": -1.5}}').rows == [(7, -1.5)]
    with pytest.raises(BadInput, match="below 0"):
        RowReader(signature(model)).read(b'{"row": {"n": -7, "x": -1.5}}')


def test_what_the_schema_refuses_the_contract_refuses() -> None:
    schema = pa.DataFrameSchema(
        {"a": pa.Column(float, pa.Check.gt(0)), "n": pa.Column(int, pa.Check.lt(5)), "k": pa.Column(str, pa.Check.isin(["x"]))},
        unique=["k", "n"],
    )
    made = data(schema)
    good = pl.DataFrame({"a": [0.1, 9e300], "n": [4, -5], "k": ["x", "x"]})
    bad = pl.DataFrame({"a": [0.0, 1.0], "n": [5, 5], "k": ["x", "z"]})
    for rows, holds in ((good, True), (bad, False)):
        try:
            schema.validate(rows, lazy=True)
            assert holds
        except pa.errors.SchemaErrors:
            assert not holds
        assert (violations(made, rows) == ()) is holds
    assert [text.split(":")[0] for text in violations(made, bad)] == ["a", "n", "k"]
    assert violations(made, pl.concat([good, good.head(1)]))[0].startswith("k, n: must be unique")


def test_what_is_not_carried_is_named_and_shown_by_the_check() -> None:
    schema = pa.DataFrameSchema(
        {
            "a": pa.Column(float, [pa.Check.in_range(0, 1), pa.Check(lambda it: it, name="mine")], coerce=True, required=False),
            "b": pa.Column(str, pa.Check.str_matches("x"), unique=True),
            "c": pa.Column(int, unique=True),
            "^z.*$": pa.Column(int, regex=True),
        },
        checks=[pa.Check(lambda it: it, name="whole")],
        strict=True,
    )
    made = data(schema, time="at")
    assert made.unique == ("b",)
    assert [what.split(":")[0] for what in made.untold] == [
        'column "a"',
        'column "a" may be absent in the schema; a declared column is always there',
        'column "a"',
        'column "b"',
        'column "^z.*$" is a pattern',
        "c must be unique too",
        "check whole of the whole frame",
        "strict=True",
    ]
    model = fb.Model("m", task="regression", data=made, label="a", framing=fb.Framing("test"))
    again = codec.decode(codec.encode(model))
    assert again.data == made
    told = [item.what for item in warnings(again)]
    assert 'data set "d": its schema asks for more than is checked: column "a": check mine' in told
    assert data(schema, unique="a").untold[-1] == "b must be unique too: the data set declares another unique="


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (lambda: pa.Column(pl.List(pl.Int64)), "has the type List"),
        (lambda: pa.Column(float, [pa.Check.ge(3), pa.Check.le(2)]), "can have no value"),
    ],
)
def test_a_column_that_no_data_set_can_have_is_refused(column, says) -> None:
    with pytest.raises(DeclarationError, match=says):
        data(pa.DataFrameSchema({"x": column()}))


def test_a_mapping_is_a_mapping_and_the_library_is_not_imported() -> None:
    import subprocess
    import sys

    code = "import sys, flyball as fb; fb.Dataset('d', source='d.csv', columns={'x': int}); print('pandera' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "False"
