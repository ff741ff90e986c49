"""MLflow's scoring protocol: what its clients send is answered, and logged as any other request is."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.records.models import Field, Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import dataframes, protocol_mlflow, wal
from flyball.serving.dataframes import Broken
from flyball.serving.dispatch import Answer
from flyball.serving.http import Gateway
from flyball.serving.layout import Layout
from flyball.serving.table import RoutesFile, Table
from flyball.serving.tokens import Guard, publish

from .conftest import SIGNATURES, Answered, Border, Up
from .grades import grading
from .test_guard import row as token
from .test_tritonclient import GRADES, ROWS

LATE = SIGNATURES["late"]
MIXED = Signature(
    task="regression",
    fields=(
        Field(name="km", type="float", nullable=True),
        Field(name="n", type="int", nullable=True, low=0),
        Field(name="new", type="bool", nullable=True),
        Field(name="note", type="str", nullable=True),
        Field(name="at", type="time", nullable=True),
    ),
)
NOON = 1_769_860_800_000_000


def sent(data: pd.DataFrame | np.ndarray | list[Any]) -> bytes:
    """As `mlflow.pyfunc.scoring_server.client.ScoringServerClient.invoke` has it: the json module's, NaN as it writes it."""
    if isinstance(data, pd.DataFrame):
        return json.dumps({"dataframe_split": data.to_dict(orient="split")}, default=lambda one: one.isoformat()).encode()
    return json.dumps({"inputs": data.tolist() if isinstance(data, np.ndarray) else data}).encode()


def invoke(border: Border, body: bytes | dict[str, Any], model: str = "late", **headers: str) -> Answered:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return border.post(f"/invocations?model={model}" if model else "/invocations", data, **headers)


def alone(border: Border, *names: str, starting: tuple[str, ...] = ()) -> None:
    """These models are served and no others; `starting` have no route yet."""
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    models = {name: ModelRoute(signature=SIGNATURES[name], arms=(arm,)) for name in names}
    file = RoutesFile(stamp=1, table=RouteTable(epoch=1, models=models), starting=dict.fromkeys(starting, "w"))
    border.dispatcher.table = Table(file)


FRAME = pd.DataFrame({"km": [1900.0, 15.0], "tonnes": [39, 1]}, index=[7, 9])
ROWS_OF = [(1900.0, 39.0), (15.0, 1.0)]


@pytest.mark.parametrize(
    "body",
    [
        sent(FRAME),
        sent(FRAME[["tonnes", "km"]]),
        sent(FRAME.to_numpy()),
        sent(FRAME.set_axis([0, 1], axis=1)),
        {"dataframe_split": {"data": [[1900, 39], [15, 1]]}},
        {"dataframe_records": FRAME.to_dict(orient="records")},
        {"instances": FRAME.to_dict(orient="records")},
        {"instances": [[1900, 39], [15, 1]]},
        {"instances": {"km": [1900, 15], "tonnes": [39, 1]}},
        {"inputs": {"tonnes": [39, 1], "km": [1900, 15]}},
        {"inputs": {"km": [1900, 15], "tonnes": [39, 1]}, "params": None},
        {"inputs": [{"km": 1900, "tonnes": 39}, {"km": 15, "tonnes": 1}], "params": {}},
    ],
)
def test_every_form_of_a_table_is_the_same_rows(border: Border, body: bytes | dict[str, Any]) -> None:
    border.answers(True, 0.75)
    answer = invoke(border, body)
    assert (answer.status, answer.document["predictions"], border.said) == (200, [True, True], [])
    records = [one for one in wal.read(border.writer.path)[0] if one.kind == "answer"]
    assert [tuple(row) for one in records for row in one.input] == ROWS_OF
    assert [(one.version, one.row_ids()) for one in records] == [("late@1.0.0", answer.document["ids"])]
    assert (answer.document["model"], answer.document["version"]) == ("late", "1.0.0")


@pytest.mark.parametrize("content_type", ["text/csv", "text/csv; charset=utf-8", "Text/CSV"])
@pytest.mark.parametrize("index", [True, False])
def test_what_pandas_writes_as_csv_is_read(border: Border, content_type: str, index: bool) -> None:
    border.answers(True, 0.75)
    answer = invoke(border, b"\xef\xbb\xbf" + FRAME.to_csv(index=index).encode(), content_type=content_type)
    assert (answer.status, answer.document["predictions"]) == (200, [True, True])
    records = [one for one in wal.read(border.writer.path)[0] if one.kind == "answer"]
    assert [tuple(row) for one in records for row in one.input] == ROWS_OF


def read(body: bytes, *, is_csv: bool = False, signature: Signature = MIXED) -> Any:
    found = dataframes.read(body, signature, is_csv=is_csv)
    return [(one.where, one.what, one.fix) for one in found.told.problems] if isinstance(found, Broken) else found.rows


def test_what_is_missing_in_pandas_is_null_of_any_type() -> None:
    frame = pd.DataFrame(
        {"km": [1.5, np.nan], "n": [3, None], "new": [True, None], "note": ["a", None], "at": [None, "2026-01-31T12:00:00"]}
    )
    rows = [(1.5, 3, True, "a", None), (None, None, None, None, NOON)]
    assert "NaN" in sent(frame).decode()
    assert read(sent(frame)) == rows
    assert read(json.dumps({"dataframe_records": frame.to_dict(orient="records")}).encode()) == rows
    assert read(frame.to_csv(index=False).encode(), is_csv=True) == rows


def test_values_of_csv_have_the_types_of_the_schema() -> None:
    lines = [
        "note,km,n,new,at",
        '"a ""quoted""\nline", 1e3 ,+7,TRUE,2026-01-31T12:00:00Z',
        "007,.5,3.0,False,",
        "",
        "nan,nan,NaN,,",
    ]
    assert read("\r\n".join(lines).encode(), is_csv=True) == [
        (1000.0, 7, True, 'a "quoted"\nline', NOON),
        (0.5, 3, False, "007", None),
        (None, None, None, "nan", None),
    ]


@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**63 - 1), st.booleans(), st.text(max_size=9)),
        min_size=1,
        max_size=9,
    )
)
def test_csv_and_json_say_the_same(rows: list[tuple[float, int, bool, str]]) -> None:
    names = ["km", "n", "new", "note", "at"]
    with_times = [(*row, "2026-01-31T12:00:00Z") for row in rows]
    written = io.StringIO()
    writer = csv.writer(written, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(names)
    writer.writerows(with_times)
    try:
        body = written.getvalue().encode()
    except UnicodeEncodeError:
        return
    found = read(body, is_csv=True)
    split = {"dataframe_split": {"columns": names, "data": [[*row[:3], row[3] or None, row[4]] for row in with_times]}}
    assert found == read(json.dumps(split).encode())
    assert found == [(*row[:3], row[3] or None, NOON) for row in rows]


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, [("", "the body names no rows", dataframes._FIX)]),
        ({"inputs": [], "instances": []}, [("", "the body names rows in 2 ways", dataframes._FIX)]),
        ({"messages": [], "inputs": {"km": [1], "tonnes": [1]}}, [("/messages", 'there is no member "messages"', "leave it out")]),
        ({"inputs": {"km": [1], "tonnes": [1]}, "params": {"a": 1}}, [("/params", "there are no parameters", "leave params out")]),
        ({"inputs": []}, [("/inputs", "inputs is []", 'send "inputs": [{"km": 1.5}]')]),
        ({"instances": "x"}, [("/instances", 'instances is "x"', 'send "instances": [{"km": 1.5}]')]),
        ({"instances": [[1, 2], [1], 3]}, [("/instances/1", "the row has 1 values", None), ("/instances/2", "the row is 3", None)]),
        ({"instances": [[1, "2"], [None, 4]]}, [("/instances/1/0", "the value is null", None), ("/instances/0/1", '"2" is text', None)]),
        ({"inputs": [{"km": 1, "tonnes": 2}, [1, 2]]}, [("/inputs/1", "a row is an object, not a list", None)]),
        ({"inputs": {"km": [1], "tons": [1]}}, [("/inputs/tonnes", "the field is missing", None), ("/inputs/tons", None, None)]),
        ({"inputs": {"km": 1, "tonnes": [1]}}, [("/inputs/km", "a column is a list of values", None)]),
        ({"inputs": {"km": [1, 2], "tonnes": [1]}}, [("/inputs", "the columns differ in length", None)]),
        ({"dataframe_records": {"km": [1]}}, [("/dataframe_records", 'dataframe_records is {"km": [1]}', None)]),
        ({"dataframe_records": [{"km": 1}, 5]}, [("/dataframe_records/0/tonnes", "the field is missing", None), ("/dataframe_records/1", None, None)]),
        ({"dataframe_split": [1]}, [("/dataframe_split", "a table is an object, not a list", None)]),
        ({"dataframe_split": {"columns": ["km"], "dat": []}}, [("/dataframe_split/data", "a table has no data", None), ("/dataframe_split/dat", None, None)]),
        ({"dataframe_split": {"columns": ["km", "km", 7], "data": [[1, 2, 3], [1]]}}, [("/dataframe_split/columns/1", None, None), ("/dataframe_split/columns/2", None, None), ("/dataframe_split/data/1", "the row has 1 values", None)]),
        ({"dataframe_split": {"columns": ["tonnes", "km"], "data": [[1, 2], [1, "x"]]}}, [("/dataframe_split/data/1/1", '"x" is text', None)]),
        ({"dataframe_split": {"columns": ["tonnes", "mk"], "data": [[1, 2]]}}, [("/dataframe_split/columns", "the field is missing", None), ("/dataframe_split/columns/1", "there is no such field", None)]),
        ({"dataframe_split": {"columns": ["tonnes", "km"], "data": []}}, [("/dataframe_split", "the table is empty", None)]),
        ({"dataframe_split": {"columns": [0, 1], "data": [[1, math.inf]]}}, [("/dataframe_split/data/0/1", "the value is infinite", None)]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place_in_the_body(
    border: Border, body: dict[str, Any], problems: list[tuple[str, str | None, str | None]]
) -> None:
    answer = invoke(border, body)
    assert (answer.status, answer.headers["content-type"], border.said) == (422, "application/problem+json", [])
    found = [(one["where"], one["what"], one["fix"]) for one in answer.document["problems"]]
    assert [(where, what or found[index][1], fix or found[index][2]) for index, (where, what, fix) in enumerate(problems)] == found


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", [("/header/km", "the field is missing"), ("/header/tonnes", "the field is missing")]),
        ("km,tonnes", [("/rows", "the table is empty")]),
        ("km,tonnes\n1,2\n3\n4,5,6\n", [("/rows/1", "the line has 1 values"), ("/rows/2", "the line has 3 values")]),
        ("km,km\n1,2\n", [("/header/1", '"km" is given twice')]),
        ("km,tonnes\n1,2\nx,\n", [("/rows/1/km", '"x" is text'), ("/rows/1/tonnes", "the value is null")]),
        ("km,tons\n1,2\n", [("/header/tonnes", "the field is missing"), ("/header/tons", "there is no such field")]),
        ("km,tonnes\n1_000,0x1\n", [("/rows/0/km", '"1_000" is text'), ("/rows/0/tonnes", '"0x1" is text')]),
        ("km,tonnes\n1e999,inf\n", [("/rows/0/km", "the value is infinite"), ("/rows/0/tonnes", '"inf" is text')]),
    ],
)
def test_what_is_wrong_in_csv_is_told_with_its_line_and_name(text: str, problems: list[tuple[str, str]]) -> None:
    found = read(text.encode(), is_csv=True, signature=LATE)
    assert [(where, what) for where, what, _ in found] == problems
    assert all(fix and "quotes" not in fix for _, _, fix in found)


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"[1]", {}, 400, "the body is not an object"),
        (b"{", {}, 400, "not JSON"),
        (b'{"inputs": {"km": [1], "km": [2], "tonnes": [1]}}', {}, 400, "twice in one object"),
        (b"km,tonnes\n\xff,1", {"content_type": "text/csv"}, 400, "not UTF-8"),
        (b'km,tonnes\n"1,1', {"content_type": "text/csv"}, 400, "not CSV"),
        (b'km,tonnes\n"1"x,1', {"content_type": "text/csv"}, 400, "not CSV"),
        (b"km,tonnes\n" + b"1" * 140_000 + b",1", {"content_type": "text/csv"}, 400, "not CSV"),
        (b"km,tonnes\n" + b"1,1\n" * 10_001, {"content_type": "text/csv"}, 413, "more than 10,000 rows"),
        (b'{"inputs": [' + b"[1,1]," * 10_000 + b"[1,1]]}", {}, 413, "10,001 rows"),
        (b'{"dataframe_records": [' + b"{}," * 10_000 + b"{}]}", {}, 413, "10,001 rows"),
        (b"km\n1", {"content_type": "text/csv; charset=latin-1"}, 415, "latin-1"),
        (b"{}", {"content_encoding": "gzip"}, 415, "gzip"),
        (b"{}", {"inference_header_content_length": "2"}, 415, "binary tensors are not taken here"),
    ],
)
def test_what_cannot_be_read_is_refused_as_elsewhere(border: Border, body: bytes, headers: dict[str, str], status: int, says: str) -> None:
    # as in a gateway, which reads no data set: that raises it for its whole process
    limit = csv.field_size_limit(131_072)
    try:
        answer = invoke(border, body, **headers)
    finally:
        csv.field_size_limit(limit)
    assert (answer.status, answer.headers["content-type"], border.said) == (status, "application/problem+json", [])
    assert says in answer.document["detail"]


def test_a_ranking_is_asked_elsewhere(border: Border) -> None:
    answer = invoke(border, {"inputs": {"price": [1]}}, "shop")
    assert answer.status == 422
    assert "POST /models/shop/predict" in answer.document["fix"]


@pytest.mark.parametrize("body", [sent(FRAME[["km"]]), b"km\n1", {"instances": [{"km": 1}]}, {"inputs": {"km": [1]}}])
def test_a_refusal_is_counted_by_its_field_whatever_its_form(border: Border, body: bytes | dict[str, Any]) -> None:
    assert invoke(border, body, content_type="text/csv" if body == b"km\n1" else "application/json").status == 422
    border.dispatcher.flush()
    (record,) = [one for one in wal.read(border.writer.path)[0] if one.kind == "refused"]
    assert (record.version, record.marks["br"], record.marks["cv"]) == ("late", ["missing tonnes"], [{"tonnes": "refused"}])


def test_which_model_is_said_where_there_are_several(border: Border) -> None:
    border.answers(True, 0.75)
    body = json.dumps({"inputs": {"km": [1], "tonnes": [1]}}).encode()
    answer = border.post("/invocations", body)
    assert (answer.status, answer.document["code"]) == (422, "bad-input")
    assert answer.document["detail"] == "the request does not say which model: served: late, mood, price, shop, wins"
    assert answer.document["fix"] == "POST /invocations?model=late"
    assert border.post("/invocations", body, flyball_model="late").status == 200
    assert border.post("/invocations?model=late&other=1", body, flyball_model="late").status == 200
    assert border.post("/invocations?model=late%401.0.0", body).status == 200
    assert "names two models" in border.post("/invocations?model=late", body, flyball_model="mood").document["detail"]
    assert border.post("/invocations?model=late@9.9.9", body).status == 404
    assert "the version of" in border.post("/invocations?model=late@", body).document["detail"]
    assert 'did you mean "late"?' in border.post("/invocations?model=lat", body).document["fix"]


def test_the_only_model_need_not_be_named(border: Border) -> None:
    border.answers(True, 0.75)
    alone(border, "late")
    body = {"inputs": {"km": [1], "tonnes": [1]}}
    assert invoke(border, body, "").document["model"] == "late"
    alone(border, "late", starting=("mood",))
    assert "late, mood" in invoke(border, body, "").document["detail"], "one that is still to come may be meant"
    alone(border, starting=("late",))
    assert invoke(border, body, "").status == 503
    alone(border)
    assert (invoke(border, body, "").status, invoke(border, body, "").document["detail"]) == (
        404,
        "no model is served: nothing is served yet",
    )
    border.dispatcher.table = Table(RoutesFile(stamp=-1, table=RouteTable(epoch=0)))
    assert border.dispatcher.table.known is (invoke(border, body, "").status == 404)


def test_what_is_marked_or_answered_by_a_fallback_says_so(border: Border) -> None:
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    fields = (Field(name="km", type="float", low=0, on_request="impute", usual=5.0),)
    signature = Signature(task="regression", fields=fields)
    routes = {"late": ModelRoute(signature=signature, arms=(arm,), fallback=0.5)}
    border.dispatcher.table = Table(RoutesFile(stamp=1, table=RouteTable(epoch=1, models=routes)))
    answer = invoke(border, {"inputs": [[-1], [2]]})
    assert (answer.document["predictions"], answer.document["fallback"]) == ([0.5, 0.5], "value")
    assert answer.document["marks"] == [{"km": "imputed"}, None]


def test_rows_that_went_to_different_versions_say_which(border: Border) -> None:
    served = border.dispatcher.table.find("late")
    answer = Answer(served, "a", ["a/0", "a/1"], ["1.0.0", "1.1.0"], [[True, 0.75], [False, 0.5]], "", logged=True)
    document = protocol_mlflow._answer(served, answer)
    assert document == {"predictions": [True, False], "model": "late", "versions": ["1.0.0", "1.1.0"], "ids": ["a/0", "a/1"]}


def test_a_token_for_some_models_asks_those_and_is_told_of_no_others(border: Border, tmp_path: Path) -> None:
    from flyball.records.identity import Scope

    layout = Layout(tmp_path / "guarded")
    layout.prepare()
    publish(layout, (token("ana", Scope.PREDICT, models=("late",)), token("bo", Scope.FEEDBACK)))
    guard = Guard(layout, "g0")
    guard.look()
    border.app = Gateway(border.dispatcher, border.app._metrics, border.app._limits, border._fresh, guard=guard)
    body = {"inputs": {"km": [1], "tonnes": [1]}}
    ana = {"authorization": "Bearer fb_ana"}
    border.answers(True, 0.75)
    assert invoke(border, body, **ana).status == 200
    assert invoke(border, body, "mood", **ana).status == 403
    unnamed = invoke(border, body, "", **ana)
    assert (unnamed.status, "mood" in json.dumps(unnamed.document)) == (403, False)
    alone(border, "late")
    assert invoke(border, body, "", **ana).status == 200
    assert invoke(border, body, authorization="Bearer fb_bo").status == 403
    assert [invoke(border, body, model).status for model in ("late", "")] == [401, 401]


def test_the_scoring_servers_other_routes_say_whether_it_can_answer(border: Border) -> None:
    assert [border.get(path).status for path in ("/ping", "/health")] == [503, 503]
    link = border.answers(True, 0.75)
    link.up = asyncio.Event()  # type: ignore[attr-defined]
    link.up.set()  # type: ignore[attr-defined]
    assert [border.get(path).status for path in ("/ping", "/health")] == [200, 200]


JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.sampled_from(["km", "tonnes"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["km", "tonnes", "data", "columns", "index"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_no_table_whatever_it_is_causes_more_than_a_refusal_in_words() -> None:
    seen: set[int] = set()
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        border = Border(Path(folder))
        border.answers(True, 0.75)
        pairs = st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=3)

        @settings(max_examples=200, deadline=None, database=None)
        @given(
            st.one_of(
                st.dictionaries(st.sampled_from([*dataframes.FORMS, "params"]), JUNK, max_size=2),
                st.dictionaries(st.sampled_from(["instances", "inputs"]), pairs, min_size=1, max_size=1),
                JUNK,
                st.binary(max_size=30),
                st.text(st.sampled_from('km,tonnes\n"1. \r\0'), max_size=30),
            )
        )
        def check(body: Any) -> None:
            data, content = json.dumps(body).encode() if not isinstance(body, bytes | str) else body, "application/json"
            if isinstance(body, bytes | str):
                data, content = body.encode() if isinstance(body, str) else body, "text/csv"
            asked = border.ask("/invocations?model=late", data, headers={"content-type": content})
            answer = runner.run(asked)
            seen.add(answer.status)
            assert border.said == []
            assert answer.status == 200 or (400 <= answer.status < 500 and answer.document["detail"])

        check()
        border.writer.close()
    assert seen >= {200, 400, 422}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with grading(tmp_path_factory.mktemp("grades")) as up:
        yield up


@pytest.mark.process
@pytest.mark.parametrize("form", ["split", "csv"])
def test_a_data_frame_is_answered_by_a_real_worker(served: Up, form: str) -> None:
    assert served.http.get("/ping").status_code == 200
    assert served.http.get("/health").status_code == 200
    assert served.http.get("/version").text == json.loads(served.http.get("/v2").content)["version"]
    frame = pd.DataFrame({name: values for name, (_, values) in ROWS.items()})
    frame.loc[1, "word"] = "no text is none"
    body, kind = (sent(frame), "application/json") if form == "split" else (frame.to_csv().encode(), "text/csv")
    answer = served.http.post("/invocations", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["predictions"]) == (200, GRADES)
    ids = answer.json()["ids"]
    told = served.http.post("/models/grades/labels", json={"labels": [{"id": one, "value": "low"} for one in ids]}).json()
    assert (told["accepted"], told["refused"]) == (4, [])
