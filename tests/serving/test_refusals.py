"""What a gateway refuses it names: what it is, why, and what to send instead."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest

from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import explain, wal
from flyball.serving.dispatch import Dispatcher
from flyball.serving.layout import UNSAID, write_json
from flyball.serving.link import Link
from flyball.serving.table import EMPTY, RoutesFile, Table

from .conftest import SIGNATURES, Border

ROW = b'{"row": {"km": 812, "tonnes": 3}}'
KM = {"name": "km", "shape": [2], "datatype": "FP64", "data": [1, 2]}
TONNES = {"name": "tonnes", "shape": [2], "datatype": "FP64", "data": [1, 2]}


def worker_of(border: Border, model: str) -> tuple[Dispatcher, str]:
    champion = border.dispatcher.table.find(model).champion
    assert champion is not None
    return border.dispatcher, champion.worker


def link_to(border: Border, model: str) -> Link:
    """A connection that has not been made."""
    dispatcher, worker = worker_of(border, model)
    made = dispatcher._links[worker] = Link(worker, border.dispatcher._layout.socket(worker), dispatcher._settle)
    return made


@pytest.mark.parametrize("path", ["/models/late/predict", "/v2/models/late/infer"])
def test_a_worker_that_was_never_met_is_starting_and_has_not_ended(border: Border, path: str) -> None:
    link_to(border, "late")
    body = ROW if path.startswith("/models") else json.dumps({"inputs": [KM, TONNES]}).encode()
    answer = border.post(path, body)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    told = json.dumps(answer.document)
    assert "late@1.0.0 could not answer: its worker is starting" in told
    assert "try again" in told
    assert "ended" not in told
    assert "restart" not in told


def test_a_worker_that_could_not_start_says_why(border: Border) -> None:
    link_to(border, "late")
    dispatcher, worker = worker_of(border, "late")
    write_json(dispatcher._layout.failed(worker), {"reason": "No module named 'lightgbm'\n    fix  install it"})
    answer = border.post("/models/late/predict", ROW)
    assert (answer.status, answer.document["retry"]) == (503, "later")
    assert answer.document["detail"] == "late@1.0.0 could not answer: its worker could not start: No module named 'lightgbm'"
    assert "flyball status" in answer.document["fix"]
    ready = border.get("/v2/models/late/ready")
    assert (ready.status, ready.headers["retry-after"]) == (503, "10")
    assert "lightgbm" in ready.document["error"]


def test_a_worker_that_was_there_has_ended(border: Border) -> None:
    async def run() -> Any:
        link = link_to(border, "late")
        link.connection_made(asyncio.Transport())
        assert border.dispatcher.absence(border.dispatcher.table.find("late")) is None
        link.connection_lost(None)
        answer = await border.ask("/models/late/predict", ROW)
        link.close()
        return answer

    answer = asyncio.run(run())
    assert answer.status == 503
    assert "its worker ended" in answer.document["detail"]
    assert "restarted" in answer.document["fix"]


def test_readiness_names_the_model_that_is_not_and_why(border: Border) -> None:
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    border.dispatcher.table = Table(
        RoutesFile(stamp=2, table=RouteTable(epoch=2, models={"late": ModelRoute(signature=SIGNATURES["late"], arms=(arm,))}))
    )
    link_to(border, "late")
    answer = border.get("/v2/health/ready")
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.document["error"].startswith("late does not answer yet: its worker is starting")


ASKED = [
    ("POST", "/models/price/predict", b"{}"),
    ("POST", "/models/price/labels", b"{}"),
    ("GET", "/models/price/schema", b""),
    ("POST", "/v2/models/price/infer", b"{}"),
    ("GET", "/v2/models/price", b""),
    ("GET", "/v2/models/price/ready", b""),
    ("GET", "/v2/health/ready", b""),
]


def told_later(border: Border, why: str, *, asked: list[tuple[str, str, bytes]] = ASKED) -> None:
    for method, path, body in asked:
        answer = asyncio.run(border.ask(path, body, method=method))
        assert (answer.status, answer.headers.get("retry-after")) == (503, "2"), path
        assert why in json.dumps(answer.document), path


def test_a_gateway_that_was_told_of_no_table_yet_sends_nobody_away_for_ever(border: Border) -> None:
    border.dispatcher.table = Table(EMPTY)
    told_later(border, "has not been told yet which models are served")


def test_a_model_that_is_to_be_served_and_has_no_route_yet_is_starting(border: Border) -> None:
    worker = "price@1.0.0-aaaaaaaaaaaa"
    border.dispatcher.table = Table(RoutesFile(stamp=2, table=RouteTable(epoch=2), starting={"price": worker}))
    told_later(border, "price does not answer yet: its worker is starting")
    assert border.get("/v2/models/prize/ready").status == 404, "what nobody wants to serve is not waited for"
    write_json(border.dispatcher._layout.failed(worker), {"reason": "No module named 'lightgbm'"})
    assert "its worker could not start: No module named 'lightgbm'" in border.get("/v2/health/ready").document["error"]


def test_the_first_release_of_a_model_takes_no_gateway_away_from_the_others(border: Border) -> None:
    starting, route = {"new": "new@1.0.0-aaaaaaaaaaaa"}, {"price": border.dispatcher.table.find("price").route}

    def ready(file: RoutesFile, *, before: RoutesFile | None = None) -> list[int]:
        """Readiness, with the worker of `price` there, under one table after another."""

        async def run() -> list[int]:
            border.dispatcher._was_ready = False
            seen = []
            for each in (before, file):
                if each is not None:
                    border.dispatcher.table = Table(each)
                    seen.append((await border.ask("/v2/health/ready", b"", method="GET")).status)
            return seen

        return asyncio.run(run())

    border.dispatcher.table = Table(RoutesFile(stamp=2, table=RouteTable(epoch=2, models=route)))
    link_to(border, "price").up.set()
    others = RoutesFile(stamp=2, table=RouteTable(epoch=2, models=route))
    released = RoutesFile(stamp=3, table=RouteTable(epoch=3, models=route), starting=starting)
    assert ready(released, before=others) == [200, 200]
    assert border.get("/v2/models/new/ready").status == 503
    assert ready(released) == [503], "at its start a gateway is waited for"
    nobody = RoutesFile(stamp=2, table=RouteTable(epoch=2))
    assert ready(RoutesFile(stamp=3, table=RouteTable(epoch=3), starting=starting), before=nobody) == [200, 503], "there were no others"


def test_of_the_routes_of_the_last_up_nobody_knows_that_they_are_all(border: Border) -> None:
    route = {"price": border.dispatcher.table.find("price").route}
    border.dispatcher.table = Table(RoutesFile(stamp=UNSAID, table=RouteTable(epoch=2, models=route)))
    link_to(border, "price").up.set()
    assert border.get("/v2/health/ready").status == 200
    assert border.get("/v2/models/price/ready").status == 200
    answer = border.post("/models/new/predict", b"{}")
    assert (answer.status, "has not been told yet" in answer.document["detail"]) == (503, True)
    # those that come up now are waited for: nobody could know of them before
    starting = {"new": "model-2.0.0"}
    border.dispatcher.table = Table(RoutesFile(stamp=2, table=RouteTable(epoch=2, models=route), starting=starting))
    assert border.get("/v2/health/ready").status == 503


def test_where_nothing_is_to_be_served_the_gateway_is_ready_and_says_so(border: Border) -> None:
    border.dispatcher.table = Table(RoutesFile(stamp=2, table=RouteTable(epoch=0)))
    assert border.get("/v2/health/ready").status == 200
    answer = border.post("/models/price/predict", b"{}")
    assert (answer.status, "nothing is served yet" in answer.document["detail"]) == (404, True)


@pytest.mark.parametrize(
    ("body", "detail", "fix"),
    [
        ('{"labels": [{"id": "a", "value": 1}], "x": 1}', 'there is no member "x": the body has labels', "leave it out"),
        ('{"label": []}', "the body has no labels: labels is a list of labels", '{"id": "…", "value": 1}'),
        ('{"labels": 1}', "labels is 1: it has to be a list of labels", "send"),
        ('{"labels": []}', "the list of labels is empty", "send"),
        ("[]", "the body is an object, not a list", '"labels"'),
        ('{"labels": [], "\\ud800": 1}', "there is no member", "leave it out"),
    ],
)
def test_a_body_of_labels_of_the_wrong_shape_names_what_is_wrong(border: Border, body: str, detail: str, fix: str) -> None:
    answer = border.post("/models/price/labels", body.encode())
    assert (answer.status, answer.document["code"]) == (400, "unparsable")
    assert answer.document["detail"].startswith(detail)
    assert fix in answer.document["fix"]


@pytest.mark.parametrize(
    ("model", "label", "detail", "fix"),
    [
        ("price", {"id": "a", "value": None}, "value is null: it has to be a number, text, true or false", 'send "value": 1'),
        ("price", {"id": "a", "value": 1, "valeu": 2}, 'there is no member "valeu": a label has id', 'did you mean "value"?'),
        ("price", {"value": 1}, "a label has no id: id is text", 'send "id"'),
        ("price", {"id": 5, "value": 1}, "id is 5: it has to be text", 'send "id"'),
        ("price", [1], "a label is an object, not a list", '"value": 1'),
        ("price", {"id": "", "value": 1}, "the id of the prediction is empty: it has 1 to 200 characters", "the id of the prediction"),
        ("price", {"id": "a", "value": "yes"}, '"yes" is not a number: price is a regression model', "without quotes"),
        ("late", {"id": "a", "value": "yes"}, '"yes" is not a class of late: classes: false, true', "send one of these"),
        ("late", {"id": "a", "value": "true"}, '"true" is not a class of late: classes: false, true', "without quotes"),
        ("mood", {"id": "a", "value": "yess"}, '"yess" is not a class of mood: classes: "no", "yes"', 'did you mean "yes"?'),
        ("mood", {"id": "a", "value": True}, 'true is not a class of mood: classes: "no", "yes"', "send one of these"),
        (
            "wins",
            {"id": "a", "value": math.nan},
            "the value is NaN or infinite: what wins answers, and its label, is one of its classes: 0, 1",
            "leave out",
        ),
        (
            "price",
            {"id": "a", "value": math.inf},
            "the value is NaN or infinite: what price answers, and its label, is a finite number",
            "leave out",
        ),
        ("wins", {"id": "a", "value": "1"}, '"1" is not a class of wins: classes: 0, 1', "without quotes"),
        ("price", {"id": "a", "value": 1, "time": "noon"}, '"noon" is not a time: times are RFC 3339', "2026-01-31T12:00:00Z"),
        ("price", {"id": "a", "value": 1, "time": "2100-01-01T00:00:00Z"}, '"2100-01-01T00:00:00Z" lies in the future', "leave time out"),
        ("price", {"id": "a", "value": 1, "time": "9999-01-01T00:00:00Z"}, '"9999-01-01T00:00:00Z" is too far away', "write"),
        ("price", {"id": "a", "value": 1, "time": "1000-01-01T00:00:00Z"}, '"1000-01-01T00:00:00Z" is too far away', "write"),
    ],
)
def test_a_refused_label_is_told_in_plain_words_with_a_fix(border: Border, model: str, label: Any, detail: str, fix: str) -> None:
    answer = border.labels(label, {"id": "good", "value": {"late": True, "mood": "no"}.get(model, 1)}, model=model)
    assert (answer.status, answer.document["accepted"]) == (200, 1)
    (refused,) = answer.document["refused"]
    assert refused["detail"].startswith(detail)
    assert fix in refused["fix"]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("late", '{"row": {"km": 812, "km": 900, "tonnes": 3}}'),
        ("late", '{"row": {"km": 812, "tonnes": 3}, "row": {"km": 900, "tonnes": 3}}'),
        ("late", '{"row": {"km": 812, "tonnes": 3}, "id": "a", "id": "b"}'),
        ("late", '{"row": {"km": 812, "tonnes": 3}, "id": "a", "id": null}'),
        ("late", '{"rows": [{"km": 812, "km": 900, "tonnes": 3}]}'),
        ("late", '{"columns": {"km": [812], "km": [900], "tonnes": [3]}}'),
        ("price", '{"row": {"n": 1, "x": 1, "note": "a", "note": null}}'),
        ("price", '{"row": {"n": 1, "x": 1, "note": null, "note": "\\"km\\": 1"}}'),
        ("late/labels", '{"labels": [{"id": "a", "value": true, "value": false}]}'),
        ("late/infer", json.dumps({"inputs": [KM, TONNES]}).replace('"id"', "").replace("{", '{"id": "a", "id": "b", ', 1)),
    ],
)
def test_a_name_given_twice_is_refused_wherever_it_stands(border: Border, model: str, body: str) -> None:
    path = {"late/labels": "/models/late/labels", "late/infer": "/v2/models/late/infer"}.get(model, f"/models/{model}/predict")
    answer = border.post(path, body.encode())
    assert answer.status == 400
    assert "twice in one object" in json.dumps(answer.document)


@pytest.mark.parametrize(
    "row", [{"note": 'a "quoted" word'}, {"note": '\\"'}, {"note": ""}, {"note": None}, {"note": "é", "id": "x", "key": "k"}]
)
def test_quotes_in_a_text_are_no_name_given_twice(border: Border, row: dict[str, Any]) -> None:
    reader = border.dispatcher.table.find("price").reader
    own = {name: row[name] for name in ("id", "key") if name in row}
    asked = reader.read(json.dumps({"row": {"n": 1, "x": 1.5, "note": row["note"]}, **own}).encode())
    assert asked.rows == [(1, 1.5, row["note"])]


@pytest.mark.parametrize("member", [{"time": "9999-12-31T00:00:00Z"}, {"time": "0001-01-01T00:00:00Z"}, {"times": ["9999-12-31"]}])
def test_a_time_that_is_too_far_away_is_refused(border: Border, member: dict[str, Any]) -> None:
    rows = {"rows": [{"km": 1, "tonnes": 1}]} if "times" in member else {"row": {"km": 1, "tonnes": 1}}
    answer = border.post("/models/late/predict", json.dumps(rows | member).encode())
    assert answer.status == 422
    assert "is too far away: times lie between the years 1685 and 2255" in answer.document["detail"]
    assert answer.document["fix"]


def infer(border: Border, *inputs: dict[str, Any], **more: Any) -> str:
    answer = border.post("/v2/models/late/infer", json.dumps({"inputs": inputs, **more}).encode())
    assert answer.status in (400, 422), answer.document
    assert isinstance(answer.document["error"], str)
    return str(answer.document["error"])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (
            {"datatype": "FOO"},
            ["/inputs/0/datatype", 'datatype "FOO" does not fit "km"', "FP64, FP32, INT64 or INT32", 'send "datatype": "FP64"'],
        ),
        ({"shape": [2, 2], "data": [1, 2, 3, 4]}, ["/inputs/0/shape", "[2, 2]", "[n] or [n, 1]", 'send "shape": [4]']),
        ({"shape": [3]}, ["shape [3] does not fit the 2 values in data", "send 3 values"]),
        ({"data": [[1], [2]]}, ["data is nested as [2, 1], and shape is [2]", 'with "shape": [2, 1]']),
        ({"data": [[1, 2]], "shape": [2, 1]}, ["data is nested as [1, 2], and shape is [2, 1]"]),
        ({"data": [[1], 2], "shape": [2, 1]}, ["differ in length", "flat"]),
        ({"datatype": "INT64", "data": [1.5, 2]}, ["/inputs/0/data/0", "1.5 is not INT64", 'send "datatype": "FP64"']),
        ({"datatype": "INT32", "data": [1, 2**31]}, ["/inputs/0/data/1", "too large for INT32", "32 bits"]),
        ({"parameters": {"binary_data_size": 0}}, ["/inputs/0/parameters/binary_data_size", "a tensor has data twice"]),
        (
            {"data": None, "parameters": {"binary_data_size": 16}},
            ["/inputs the tensors say 16 bytes", "0 follow the JSON", "Inference-Header-Content-Length"],
        ),
        ({"parameters": {"shared_memory_region": "r"}}, ["/inputs/0/parameters/shared_memory_region", "memory is not shared"]),
        ({"data": None}, ["/inputs/0/data", "no data"]),
        ({"shape": None}, ["/inputs/0/shape shape is null", "a list of integers"]),
        ({"shape": ["2"]}, ["/inputs/0/shape", "a list of integers"]),
        ({"name": 5}, ["/inputs/0/name name is 5", "it has to be text"]),
    ],
)
def test_a_tensor_that_does_not_fit_is_told_what_is_expected_and_what_to_do(
    border: Border, changed: dict[str, Any], says: list[str]
) -> None:
    error = infer(border, KM | changed, TONNES)
    assert all(part in error for part in says), error


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"outputs": [{"name": "zzz"}]}, ['there is no output "zzz"', "outputs: prediction, probability"]),
        ({"outputs": [{"name": "predictoin"}]}, ["/outputs/0/name", 'did you mean "prediction"?']),
        ({"outputs": [{}]}, ["an output has no name"]),
        ({"outputs": [{"name": "prediction", "parameters": {"binary_data": 1}}]}, ["/outputs/0/parameters/binary_data", "true or false"]),
        ({"outputs": [{"name": "prediction", "parameters": {"classification": 2}}]}, ["/outputs/0/parameters/classification"]),
        ({"parameters": {"binary_data_output": "yes"}}, ["/parameters/binary_data_output", "true or false"]),
        ({"parameters": {"key": 5}}, ["/parameters/key key is 5", 'send "key": "ana"']),
        ({"id": "p_mine"}, ["/id", "use another prefix"]),
    ],
)
def test_what_the_protocol_has_and_flyball_does_not_is_refused(border: Border, more: dict[str, Any], says: list[str]) -> None:
    error = infer(border, KM, TONNES, **more)
    assert all(part in error for part in says), error


@pytest.mark.parametrize(
    ("datatype", "data", "says"),
    [("FOO", [1, 2], 'datatype "FOO" does not fit'), ("INT64", [1.5, 2], "1.5 is not INT64"), ("FP64", [[1], [2]], "nested as [2, 1]")],
)
def test_a_tensor_of_all_fields_is_checked_as_one_of_a_field_is(border: Border, datatype: str, data: list[Any], says: str) -> None:
    assert says in infer(border, {"name": "rows", "shape": [1, 2], "datatype": datatype, "data": data})


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ([KM | {"data": [[1], [2]], "shape": [2, 1]}, TONNES | {"shape": [2, 1]}], [(1.0, 1.0), (2.0, 2.0)]),
        ([KM | {"datatype": "INT64", "data": [1, 2.0]}, TONNES], [(1.0, 1.0), (2.0, 2.0)]),
        ([{"name": "rows", "shape": [2, 2], "datatype": "FP64", "data": [[1, 2], [3, 4]]}], [(1.0, 2.0), (3.0, 4.0)]),
        ([{"name": "rows", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}], [(1.0, 2.0), (3.0, 4.0)]),
    ],
)
def test_flat_and_nested_data_of_the_shape_it_says_are_the_same_rows(border: Border, inputs: list[Any], rows: list[Any]) -> None:
    from flyball.serving import tensors

    served = border.dispatcher.table.find("late")
    more = {"outputs": [{"name": "prediction", "parameters": {"binary_data": False}}], "custom": 1}
    asked = tensors.parse(json.dumps({"inputs": inputs, **more}).encode(), ("prediction", "probability"))
    assert asked.outputs == ("prediction",)
    assert served.reader.read_columns(tensors.columns(asked, served.signature), "inputs").rows == rows


@pytest.mark.parametrize("path", ["/models/late/predict", "/models/late/labels", "/v2/models/late/infer"])
def test_what_is_not_plain_json_is_refused_as_such(border: Border, path: str) -> None:
    packed = border.post(path, b"\x1f\x8b", content_encoding="gzip")
    assert packed.status == 415
    assert "plain" in json.dumps(packed.document)
    assert "gzip" in json.dumps(packed.document)
    binary = border.post(path, b"{}\0\0", inference_header_content_length="2")
    assert binary.status == (400 if path.endswith("/infer") else 415)
    assert ("a request has no inputs" if path.endswith("/infer") else "binary tensors are not taken here") in json.dumps(binary.document)
    assert border.post(path, b"{", content_encoding="identity").status == 400


@pytest.mark.parametrize(
    "path", ["/models/late@/predict", "/models/late%40/predict", "/models/late@/labels", "/v2/models/late/versions//infer"]
)
def test_an_empty_version_is_none(border: Border, path: str) -> None:
    answer = border.post(path, ROW)
    assert answer.status == 404
    assert 'the version of \\"late\\" is empty' in json.dumps(answer.document)


def test_what_wrong_labels_were_meant_to_be_is_guessed_of_the_first_alone(border: Border, monkeypatch: pytest.MonkeyPatch) -> None:
    guessed: list[str] = []
    monkeypatch.setattr(explain, "get_close_matches", lambda name, *_, **__: guessed.append(name) or [])
    wrong = [{"id": str(place), "value": f"yess{place}"} for place in range(5_000)]
    answer = border.post("/models/mood/labels", json.dumps({"labels": wrong}).encode())
    assert (answer.status, len(answer.document["refused"])) == (422, 5_000)
    assert {one["fix"] for one in answer.document["refused"]} == {"send one of these"}
    assert len(guessed) == explain.MOST_PROBLEMS


def test_labels_are_not_sent_to_a_version(border: Border) -> None:
    answer = border.post("/models/late@1.0.0/labels", b'{"labels": [{"id": "a", "value": 1}]}')
    assert (answer.status, answer.document["fix"]) == (422, "POST /models/late/labels")


def test_what_lies_under_v2_is_told_in_its_form(border: Border) -> None:
    for path in ("/v2/", "/v2/nothing"):
        answer = border.get(path)
        assert (answer.status, list(answer.document)) == (404, ["error"])


def test_a_gap_is_written_as_soon_as_there_is_room_though_nobody_asks(border: Border, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = border.writer
    monkeypatch.setattr(writer, "_write", lambda _data: False)
    for name in ("a", "b"):
        frames = [] if writer.knows("late@1.0.0") else [writer.declare("late@1.0.0", ["km", "tonnes"])]
        assert not writer.append([*frames, wal.frame("answer", name, version="late@1.0.0", rows=1)])
    border.dispatcher.sweep()
    monkeypatch.undo()
    border.dispatcher.sweep()
    border.dispatcher.sweep()
    records, _ = wal.read(writer.path)
    assert [(one.kind, one.rows) for one in records] == [("gap", 2)], "what only says how to read records is none"
