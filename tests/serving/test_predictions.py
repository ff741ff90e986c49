"""Predictions that were made elsewhere are taken one by one, and each is in the log before it is said to be accepted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flyball.records.models import Field, Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import explain, wal
from flyball.serving.labels import UNTOLD
from flyball.serving.layout import Layout
from flyball.serving.limits import Limits
from flyball.serving.table import RoutesFile, Table

from .conftest import SIGNATURES, Answered, Border

MARK = "mark"
ELSEWHERE = {
    "risk": Signature(
        task="binary",
        fields=(
            Field(name="amount", type="float", low=0, high=1000, on_request=MARK),
            Field(name="purpose", type="str", one_of=("car", "home"), on_request=MARK),
        ),
        classes=(0, 1),
    ),
    "cost": Signature(task="regression", fields=(Field(name="n", type="int", on_request=MARK),)),
    "mood-there": Signature(task="multiclass", fields=(Field(name="n", type="int", on_request=MARK),), classes=("no", "so", "yes")),
}
PATH = "/models/risk/predictions"


def watched(made: Border) -> Border:
    """The gateway's application, whose table also has models that are served elsewhere."""
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    models = {name: ModelRoute(signature=one, arms=(arm,)) for name, one in SIGNATURES.items()}
    made.dispatcher.table = Table(RoutesFile(stamp=1, table=RouteTable(epoch=3, models=models, elsewhere=ELSEWHERE)))
    return made


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Border]:
    made = watched(Border(tmp_path))
    yield made
    made.writer.close()


def one(**more: Any) -> dict[str, Any]:
    return {"id": "a", "row": {"amount": 12.5, "purpose": "car"}, "value": 1, "score": 0.8} | more


def send(gateway: Border, *predictions: Any, path: str = PATH) -> Answered:
    return gateway.post(path, json.dumps({"predictions": predictions}).encode())


def records(gateway: Border, kind: str = "answer") -> list[wal.LogRecord]:
    gateway.dispatcher.flush()
    return [record for record in wal.read(gateway.writer.path)[0] if record.kind == kind]


def test_a_field_that_is_not_declared_is_left_out_and_named(gateway: Border) -> None:
    answer = send(gateway, one(row={"amout": 12.5, "purpose": "car"}), one(id="b", row={"amount": 1.0, "purpose": "car", "amout": 2}))
    assert answer.document == {"accepted": 2, "duplicates": 0, "refused": [], "ignored": ["amout"]}
    many = send(gateway, one(id="c", row={"amount": 1.0, "purpose": "car"} | {f"extra {n}": n for n in range(30)}))
    assert many.document["ignored"] == [f"extra {n}" for n in range(20)]


def test_a_prediction_becomes_an_answer_of_the_version_that_made_it(gateway: Border) -> None:
    made = datetime.now(UTC) - timedelta(days=1)
    sent = one(time=made.isoformat(), version="2026-01", key="customer-7", latency_ms=12.5)
    answer = send(gateway, sent)
    assert (answer.status, answer.document) == (200, {"accepted": 1, "duplicates": 0, "refused": []})
    (signature,) = records(gateway, "signature")
    assert (signature.version, signature.input) == ("risk@2026-01", [["amount", "purpose"]])
    (record,) = records(gateway)
    assert (record.request_id, record.version, record.role, record.status, record.epoch) == ("a", "risk@2026-01", "champion", "ok", 3)
    assert (record.input, record.output) == ([[12.5, "car"]], [[1, 0.8]])
    assert record.answered_ns - record.picked_ns == 12_500_000
    assert record.marks == {"t": [int(made.timestamp() * 1_000_000)]}
    assert record.key_hash
    assert "customer" not in record.key_hash
    assert abs(record.at - time.time_ns() // 1000) < 60_000_000, "it came now, whenever it was made"


def test_what_is_not_said_of_a_prediction_is_not_made_up(gateway: Border) -> None:
    before = time.time_ns() // 1000
    send(gateway, one())
    (record,) = records(gateway)
    assert record.version == "risk@unversioned"
    assert record.answered_ns == 0, "no latency is known"
    assert record.key_hash == ""
    assert before <= (record.marks or {})["t"][0] <= time.time_ns() // 1000


def test_a_failed_prediction_is_an_error_of_its_version(gateway: Border) -> None:
    failed = one(error="timeout after 2 s")
    del failed["value"], failed["score"]
    assert send(gateway, failed).document["accepted"] == 1
    (record,) = records(gateway)
    assert (record.status, record.output, (record.marks or {})["why"]) == ("error", None, "timeout after 2 s")


def test_what_breaks_its_contract_is_marked_and_never_refused(gateway: Border) -> None:
    answer = send(
        gateway,
        one(id="high", row={"amount": 5_000, "purpose": "car"}),
        one(id="new", row={"amount": 1, "purpose": "boat"}),
        one(id="gone", row={"amount": 1}),
        one(id="renamed", row={"amount": 1, "purpose_code": "car"}),
        one(id="sound"),
    )
    assert answer.document == {"accepted": 5, "duplicates": 0, "refused": [], "ignored": ["purpose_code"]}
    marks = {record.request_id: (record.marks or {}).get("cv") for record in records(gateway)}
    assert marks == {
        "high": [{"amount": "marked"}],
        "new": [{"purpose": "marked"}],
        "gone": [{"purpose": "marked"}],
        "renamed": [{"purpose": "marked"}],
        "sound": None,
    }
    assert {record.request_id: record.input for record in records(gateway)}["renamed"] == [[1.0, None]]
    counted = gateway.dispatcher._metrics.text()
    assert 'model="risk",column="purpose",action="marked"} 3' in counted


BAD: list[tuple[dict[str, Any], str, str]] = [
    (one(row={"amount": "12", "purpose": "car"}), '"12" is text', "without quotes"),
    (one(row={"amount": float("nan"), "purpose": "car"}), "the value is NaN", "null"),
    (one(row={"amount": float("inf"), "purpose": "car"}), "the value is infinite", "null"),
    (one(row=[1]), "row is [1]", "an object of fields"),
    (one(value=2), "2 is not a class of risk", "send one of these"),
    (one(value="1"), '"1" is not a class of risk', "without quotes"),
    (one(value=None), "the prediction has no value", "error"),
    (one(error="it broke"), "has a value and an error", "where there was no answer"),
    (one(score=float("nan")), "score is NaN", "leave it out"),
    (one(score=1.5), "score is 1.5", "leave it out"),
    (one(score=True), "score is true", "0.7"),
    (one(scores={"0": 0.2, "1": 0.8}), "the prediction has scores", "leave scores out"),
    (one(id=""), "the id of the prediction is empty: it has 1 to 200 characters", "the label can name"),
    (one(id="x" * 201), "the id of the prediction has 201 characters: it has 1 to 200 characters", "the label can name"),
    (one(id="p_mine"), "cannot be a caller's id", "another prefix"),
    (one(id=7), "id is 7", '"id": "…"'),
    (one(version="a@b"), '"a@b" is not a version', "such as"),
    (one(version="../x"), '"../x" is not a version', "such as"),
    (one(key=""), "the key has 0 characters", "leave it out"),
    (one(latency_ms=-1), "latency_ms is -1", "leave it out"),
    (one(latency_ms=float("nan")), "latency_ms is NaN", "leave it out"),
    (one(time="yesterday"), '"yesterday" is not a time', "2026-01-31"),
    (one(time="2026-01-31T12:00:00"), "has no zone", "add Z"),
    (one(time="2100-01-01T00:00:00Z"), "lies in the future", "leave time out"),
    (one(time="0001-01-01T00:00:00Z"), "is too far away", "2026"),
    (one(weight=1), 'no member "weight"', "leave it out"),
    (one(row={"amount": 1, "purpose": "\ud83d"}), "half of a surrogate pair", "whole characters"),
]


@pytest.mark.parametrize(("bad", "detail", "fix"), BAD, ids=[detail for _, detail, _ in BAD])
def test_a_bad_prediction_stops_only_itself(gateway: Border, bad: dict[str, Any], detail: str, fix: str) -> None:
    answer = send(gateway, one(id="good"), bad)
    assert answer.status == 200
    assert answer.document["accepted"] == 1
    (refused,) = answer.document["refused"]
    assert refused["index"] == 1
    assert detail in refused["detail"]
    assert fix in refused["fix"] or fix in refused["detail"]
    assert [record.request_id for record in records(gateway)] == ["good"]
    assert len(records(gateway, "refused")) == 1, "what was refused is counted"


def test_only_where_all_are_refused_the_request_is(gateway: Border) -> None:
    answer = send(gateway, one(value=7), one(value=8))
    assert answer.status == 422
    assert [refused["index"] for refused in answer.document["refused"]] == [0, 1]


def test_a_prediction_sent_again_is_told_and_not_logged_twice(gateway: Border) -> None:
    assert send(gateway, one(), one(value=0)).document == {"accepted": 1, "duplicates": 1, "refused": []}
    assert send(gateway, one()).document == {"accepted": 0, "duplicates": 1, "refused": []}
    assert [(record.request_id, record.output) for record in records(gateway)] == [("a", [[1, 0.8]])]


def test_the_same_id_of_another_model_is_another_prediction(gateway: Border) -> None:
    send(gateway, one())
    answer = send(gateway, {"id": "a", "row": {"n": 3}, "value": 1.5}, path="/models/cost/predictions")
    assert answer.document["accepted"] == 1


def test_scores_of_many_classes_are_kept_in_the_order_of_the_classes(gateway: Border) -> None:
    path = "/models/mood-there/predictions"
    scores = {"yes": 0.7, "no": 0.1, "so": 0.2}
    assert send(gateway, {"id": "a", "row": {"n": 1}, "value": "yes", "scores": scores}, path=path).document["accepted"] == 1
    (record,) = records(gateway)
    assert record.output == [["yes", [0.1, 0.2, 0.7]]]
    lacking = send(gateway, {"id": "b", "row": {"n": 1}, "value": "yes", "scores": {"yes": 1.0}}, path=path)
    assert (lacking.status, "name each class once" in lacking.document["refused"][0]["fix"]) == (422, True)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "an object"),
        (b"{}", 400, "the body has no predictions"),
        (b'{"predictions": []}', 400, "empty"),
        (b'{"predictions": 3}', 400, "predictions is 3"),
        (json.dumps({"predictions": [0] * (explain.MOST_ROWS + 1)}).encode(), 413, "10,001 predictions"),
        (b'{"predictions": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "nested too deeply"),
    ],
)
def test_a_body_that_is_none_is_refused_whole(gateway: Border, body: bytes, status: int, said: str) -> None:
    answer = gateway.post(PATH, body)
    assert answer.status == status
    assert said in answer.document["detail"]
    assert records(gateway) == []


def test_a_huge_body_is_refused_by_its_size(tmp_path: Path) -> None:
    gateway = watched(Border(tmp_path, Limits(body_bytes=1_000)))
    answer = send(gateway, one(row={"amount": 1, "purpose": "x" * 2_000}))
    gateway.writer.close()
    assert answer.status == 413


def test_a_model_that_is_served_here_takes_no_predictions(gateway: Border) -> None:
    answer = send(gateway, {"id": "a", "row": {"n": 1}, "value": 1}, path="/models/wins/predictions")
    assert answer.status == 409
    assert "is in the log by that" in answer.document["detail"]
    assert "POST /models/wins/predict" in answer.document["fix"]


def test_an_unknown_model_is_named_with_a_near_one(gateway: Border) -> None:
    answer = send(gateway, one(), path="/models/rissk/predictions")
    assert (answer.status, answer.document["fix"]) == (404, 'did you mean "risk"?')


def test_predictions_are_not_sent_to_one_version(gateway: Border) -> None:
    answer = send(gateway, one(), path="/models/risk@7/predictions")
    assert (answer.status, "says by itself" in answer.document["detail"]) == (422, True)


@pytest.mark.parametrize("path", ["/models/risk/predict", "/models/risk/explain", "/v2/models/risk/infer", "/v2/models/risk/ready"])
def test_nobody_here_answers_for_a_model_that_is_served_elsewhere(gateway: Border, path: str) -> None:
    method = gateway.get if path.endswith("ready") else lambda path: gateway.post(path, b'{"row": {"amount": 1, "purpose": "car"}}')
    answer = method(path)
    assert answer.status == 409
    assert '"risk" is served elsewhere' in json.dumps(
        answer.document["detail"] if "detail" in answer.document else answer.document["error"]
    ).replace('\\"', '"')


def test_its_schema_says_what_a_row_is(gateway: Border) -> None:
    found = gateway.get("/models/risk/schema").document
    assert (found["version"], [field["name"] for field in found["fields"]], found["classes"]) == ("", ["amount", "purpose"], [0, 1])


def test_labels_are_taken_of_it_and_one_without_a_time_makes_none_up(gateway: Border) -> None:
    send(gateway, one())
    known = "2026-01-31T12:00:00Z"
    assert (
        gateway.labels({"id": "a", "value": 1}, {"id": "b", "value": 0, "time": known}, {"id": "c", "value": 5}, model="risk").document[
            "accepted"
        ]
        == 2
    )
    first, second = records(gateway, "label")
    assert ((first.marks or {})["t"], (second.marks or {})["t"]) == (UNTOLD, explain.moment(known))


def test_a_full_disk_takes_no_prediction_and_the_next_try_is_no_duplicate(gateway: Border, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(gateway.writer, "_write", lambda _data: False)
        answer = send(gateway, one())
    assert (answer.status, answer.document["retry"]) == (503, "later")
    assert send(gateway, one()).document == {"accepted": 1, "duplicates": 0, "refused": []}


def test_a_version_a_request_is_a_mistake_and_told(gateway: Border) -> None:
    many = [one(id=f"r{index}", version=f"build-{index}") for index in range(201)]
    answer = send(gateway, *many)
    assert answer.document["accepted"] == 200
    assert "one version too many" in answer.document["refused"][0]["detail"]


def test_what_is_ready_does_not_wait_for_models_that_are_served_elsewhere(gateway: Border) -> None:
    gateway.dispatcher.table = Table(RoutesFile(stamp=1, table=RouteTable(epoch=0, elsewhere=ELSEWHERE)))
    assert gateway.get("/v2/health/ready").status == 200


def test_the_layout_of_the_log_is_that_of_every_answer(gateway: Border, tmp_path: Path) -> None:
    send(gateway, one(version="7"))
    assert wal.signatures(wal.segments(Layout(tmp_path).log)[0].path) == {"risk@7": ("amount", "purpose")}
