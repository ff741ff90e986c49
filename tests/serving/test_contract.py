"""A request is held to the contract of the data: what breaks it is refused, imputed or marked, as declared, and counted."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.records.evidence import Cursor, Watch, tallied
from flyball.records.models import Field, Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import wal
from flyball.serving.evidence import LiveEvidence
from flyball.serving.forget import _kept
from flyball.serving.table import RoutesFile, Table
from flyball.serving.validate import RowReader

from .conftest import Border, champion, eventually

SIGNATURE = Signature(
    task="binary",
    fields=(
        Field(name="age", type="int", low=18, high=99, on_request="mark"),
        Field(name="amount", type="float", low=0, high=1000, on_request="impute", usual=250.0),
        Field(name="word", type="str", one_of=("new", "used"), on_request="impute", usual="used"),
        Field(name="year", type="int", low=1990),
    ),
    classes=(0, 1),
)
GOOD = {"age": 40, "amount": 3.5, "word": "new", "year": 2020}
READER = RowReader(SIGNATURE)


def read(row: dict[str, Any]):
    return READER.read(json.dumps({"row": row}).encode())


@pytest.mark.parametrize(
    ("changes", "row", "marks"),
    [
        ({}, (40, 3.5, "new", 2020), None),
        ({"amount": None}, (40, 250.0, "new", 2020), {"amount": "imputed"}),
        ({"amount": -1}, (40, 250.0, "new", 2020), {"amount": "imputed"}),
        ({"word": "old"}, (40, 3.5, "used", 2020), {"word": "imputed"}),
        ({"age": 7}, (7, 3.5, "new", 2020), {"age": "marked"}),
        ({"age": None}, (None, 3.5, "new", 2020), {"age": "marked"}),
        ({"age": 7, "amount": 1e9, "word": None}, (7, 250.0, "used", 2020), {"age": "marked", "amount": "imputed", "word": "imputed"}),
    ],
)
def test_what_breaks_the_contract_becomes_what_is_declared_and_says_so(changes, row, marks) -> None:
    found = read({**GOOD, **changes})
    assert found.rows == [row]
    assert found.marks == (None if marks is None else [marks])


def test_a_field_that_is_not_there_counts_as_null() -> None:
    found = read({"year": 2020})
    assert found.rows == [(None, 250.0, "used", 2020)]
    assert found.marks == [{"age": "marked", "amount": "imputed", "word": "imputed"}]
    found = READER.read(b'{"columns": {"year": [2020, 2021], "age": [40, 41]}}')
    assert found.rows == [(40, 250.0, "used", 2020), (41, 250.0, "used", 2021)]


@pytest.mark.parametrize(
    "changes", [{"amount": "3"}, {"age": 7.5}, {"word": 1}, {"year": 1980}, {"year": None}, {"amout": 3}, {"amount": [1]}, {"age": 2**64}]
)
def test_what_has_another_type_or_belongs_to_a_strict_field_is_refused(changes) -> None:
    with pytest.raises(BadInput):
        read({**GOOD, **changes})


@pytest.mark.parametrize(("field", "way_out"), [("amount", "send null"), ("year", "send a number")])
def test_not_a_number_is_refused_with_what_the_field_may_have_instead(field, way_out) -> None:
    with pytest.raises(BadInput) as caught:
        read({**GOOD, field: float("nan")})
    assert [(one.what, one.fix) for one in caught.value.problems] == [("the value is NaN", way_out)]


def test_without_a_usual_value_nothing_is_made_up() -> None:
    fields = (Field(name="x", type="float", on_request="impute"),)
    with pytest.raises(BadInput, match="null"):
        RowReader(Signature(task="regression", fields=fields)).read(b'{"row": {"x": null}}')


def test_rows_and_columns_have_marks_one_a_row() -> None:
    rows = [GOOD, {**GOOD, "amount": None}, {**GOOD, "age": 7}]
    by_rows = READER.read(json.dumps({"rows": rows}).encode())
    by_columns = READER.read(json.dumps({"columns": {name: [row[name] for row in rows] for name in GOOD}}).encode())
    assert by_rows == by_columns
    assert by_rows.marks == [None, {"amount": "imputed"}, {"age": "marked"}]


SENT = st.one_of(st.none(), st.integers(-5, 2_000), st.floats(allow_nan=False), st.sampled_from(["new", "old"]), st.booleans())


@given(row=st.fixed_dictionaries({}, optional={name: st.one_of(SENT, st.just(value)) for name, value in GOOD.items()}))
def test_no_row_that_is_read_breaks_its_contract_without_a_mark(row) -> None:
    try:
        found = read(row)
    except BadInput:
        return
    marks = (found.marks or [{}])[0] or {}
    strict = {field.name: field for field in msgspec.structs.replace(SIGNATURE).fields}
    for name, value in zip(strict, found.rows[0], strict=True):
        field = strict[name]
        holds = value is not None and (field.one_of is None or value in field.one_of)
        holds = holds and (field.low is None or value >= field.low) and (field.high is None or value <= field.high)
        assert holds or marks[name] == "marked"
        if marks.get(name) == "imputed":
            assert value == field.usual


def routed(border: Border) -> None:
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    table = RouteTable(epoch=1, models={"loans": ModelRoute(signature=SIGNATURE, arms=(arm,))})
    border.dispatcher.table = Table(RoutesFile(stamp=1, table=table))


def test_refused_values_are_counted_by_column_and_stand_in_the_log(border: Border) -> None:
    routed(border)
    body = json.dumps({"rows": [{**GOOD, "year": 1980}, {**GOOD, "year": None}, {**GOOD, "amount": "x"}]}).encode()
    assert border.post("/models/loans/predict", body).status == 422
    infer = [
        {"name": name, "shape": [1], "datatype": kind, "data": [value]}
        for name, kind, value in (("age", "INT64", 40), ("year", "INT64", 1))
    ]
    assert border.post("/v2/models/loans/infer", json.dumps({"inputs": infer}).encode()).status == 422
    told = border.app._metrics.text()
    assert 'flyball_contract_violations_total{model="loans",column="year",action="refused"} 3' in told
    assert 'flyball_contract_violations_total{model="loans",column="amount",action="refused"} 1' in told
    border.dispatcher.flush()
    records, _ = wal.read(border.writer.path)
    assert [one.marks["cv"] for one in records if one.kind == "refused"] == [
        [{"year": "refused", "amount": "refused"}],
        [{"year": "refused"}],
    ]


def test_how_each_column_broke_its_contract_reaches_the_counts_and_a_callers_names_only_where_a_column_could_have_them(
    border, tmp_path
) -> None:
    routed(border)
    renamed = {**{name: value for name, value in GOOD.items() if name != "year"}, "yeer": 2020}
    bodies = [
        {"row": renamed},
        {"row": {**GOOD, "year": 1980}},
        {"row": {**GOOD, "year": "2020"}},
        {"row": {**GOOD, "year": None}},
        {"row": {**GOOD, "Ana Silva, 44": 1}},
    ]
    for body in bodies:
        assert border.post("/models/loans/predict", json.dumps(body).encode()).status == 422
    assert border.post("/models/loans/predict", b"[]").status == 400
    border.dispatcher.flush()
    records, _ = wal.read(border.writer.path)
    told = [one.marks.get("br") for one in records if one.kind == "refused"]
    assert told[:5] == [["missing year", "unknown yeer"], ["range year"], ["type year"], ["missing year"], ["unknown *"]]
    watch = Watch(model="loans", task="binary", label_delay=Span(0))
    until = records[-1].at + 1
    batch, _ = LiveEvidence(border.writer.path.parents[2]).since(Cursor(until=records[0].at - 1), until, {"loans": watch})
    expected = {"missing year": 2, "unknown yeer": 1, "range year": 1, "type year": 1, "unknown *": 1, "other *": len(told) - 5}
    summed: dict[str, int] = {}
    for one in batch.refusals:
        summed = tallied(summed, one.breaches)
    assert summed == {key: count for key, count in expected.items() if count}
    assert sum(one.refused for one in batch.refusals) == len(told)
    assert batch.holds


def test_what_was_imputed_or_marked_is_counted_once_for_each_row(tmp_path) -> None:
    writer = wal.Writer(tmp_path / "log", "g0", reserve_bytes=0)
    row = msgspec.msgpack.encode([[1.0]] * 3)
    marks = {"cv": [{"age": "marked"}, None, {"age": "marked", "amount": "imputed"}]}
    frame = {"version": "loans@1.0.0", "rows": 3, "packed_input": row, "packed_output": msgspec.msgpack.encode([[1, 0.5]] * 3)}
    writer.append(
        [
            writer.declare("loans@1.0.0", ["x"]),
            wal.frame("answer", "a", role="champion", marks=marks, **frame),
            # a shadow, and who stands in, are asked the same again
            wal.frame("shadow", "a", role="shadow", marks=marks, **frame),
            wal.frame("answer", "b", role="champion", marks=marks | {"fb": "champion"}, **frame),
        ]
    )
    writer.close()
    watch = Watch(model="loans", task="binary", label_delay=Span(0))
    batch, _ = LiveEvidence(tmp_path).since(Cursor(), 2**60, {"loans": watch})
    assert [(one.refused, one.breaches) for one in batch.refusals] == [(0, {"marked age": 2, "imputed amount": 1})]


def test_the_schema_says_what_is_not_refused(border: Border) -> None:
    routed(border)
    fields = {field["name"]: field.get("on_request") for field in border.get("/models/loans/schema").document["fields"]}
    assert fields == {"age": "mark", "amount": "impute", "word": "impute", "year": None}


@pytest.mark.process
def test_a_real_gateway_imputes_marks_and_refuses_and_counts_each(loans, start) -> None:
    one = loans.artifact()
    amount, age = ({field.name: field for field in loans.signature.fields}[name] for name in ("amount", "age"))
    lax = (msgspec.structs.replace(age, on_request="mark"), msgspec.structs.replace(amount, on_request="impute", usual=200.0))
    loans.signature = msgspec.structs.replace(loans.signature, fields=lax)
    up = start(gateways=1)
    up.make(loans.route(champion(one)))
    usual = up.predict({"amount": 200, "age": 40}).json()["predictions"][0]
    assert "marks" not in usual
    given = up.predict({"age": 40}).json()["predictions"][0]
    assert (given["score"], given["marks"]) == (usual["score"], {"amount": "imputed"})
    marked = up.predict({"amount": 5000, "age": 120}, key="k").json()["predictions"][0]
    assert marked["marks"] == {"amount": "imputed", "age": "marked"}
    assert up.predict({"amount": "much", "age": 40}).status_code == 422
    inputs = [{"name": "age", "shape": [2], "datatype": "INT64", "data": [40, 3]}]
    infer = up.http.post("/v2/models/credit/infer", json={"inputs": inputs}).json()
    assert infer["parameters"]["marks"] == [{"amount": "imputed"}, {"amount": "imputed", "age": "marked"}]

    def counted() -> object:
        lines = [line for line in up.http.get("/metrics").text.splitlines() if line.startswith("flyball_contract_violations_total")]
        return {line.split("column=")[1].split("}")[0]: int(line.split()[-1]) for line in lines}

    wanted = {'"age",action="marked"': 2, '"amount",action="imputed"': 4, '"amount",action="refused"': 1}
    eventually(lambda: counted() == wanted, f"the counts are not these: {counted()}")
    up.stop()
    records = [record for segment in wal.segments(loans.layout.log) for record in wal.read(segment.path)[0] if record.kind == "answer"]
    assert [record.marks.get("cv") if record.marks else None for record in records] == [
        None,
        [{"amount": "imputed"}],
        [{"age": "marked", "amount": "imputed"}],
        [{"amount": "imputed"}, {"amount": "imputed", "age": "marked"}],
    ]
    assert records[1].input == [[40, 200.0]]
    left = _kept(records[-1], {0})
    assert left is not None
    assert left.marks["cv"] == [{"amount": "imputed", "age": "marked"}]
