"""The data plane as it runs: a real supervisor, gateways and workers, over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from flyball.records.serving import RouteTable
from flyball.serving import wal
from flyball.serving.client import GatewayClient
from flyball.serving.routes import FileRoutes

from .conftest import Loans, Up, challenger, champion, eventually

pytestmark = pytest.mark.process

GOOD = {"amount": 5.0, "age": 30}


@dataclass
class Running:
    loans: Loans
    up: Up
    good: str
    other: str
    broken: str
    epoch: int = 0

    def route(self, *arms, **more) -> float:
        self.epoch += 1
        return self.up.make(self.loans.route(*arms, epoch=self.epoch, **more))

    def log(self) -> list[wal.LogRecord]:
        return [record for file in wal.segments(self.loans.layout.log) for record in wal.read(file.path)[0]]

    def about(self, request: str, kinds: tuple[str, ...] = ("answer", "shadow", "shadow_dropped")) -> list[wal.LogRecord]:
        return [record for record in self.log() if record.request_id == request and record.kind in kinds]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    loans = Loans(tmp_path_factory.mktemp("loans"))
    good, other, broken = loans.artifact(), loans.artifact(seed=1), loans.artifact(broken=True)
    up = Up(loans)
    try:
        yield Running(loans, up, good, other, broken)
    finally:
        code, _, err = up.stop()
        assert code == 0
        assert "Traceback" not in err


@pytest.fixture
def alone(running: Running) -> Running:
    running.route(champion(running.good))
    return running


def only_prediction(response: httpx.Response) -> dict[str, object]:
    assert response.status_code == 200, response.text
    (prediction,) = response.json()["predictions"]
    return prediction


def test_an_answer_is_in_the_log_with_its_input_before_it_arrives(alone: Running) -> None:
    prediction = only_prediction(alone.up.predict(GOOD))
    (record,) = alone.about(prediction["id"])
    assert (record.version, record.role, record.status, record.input) == ("credit@1.0.0", "champion", "ok", [[30, 5.0]])
    assert record.output == [[prediction["value"], prediction["score"]]]
    assert record.epoch == alone.epoch


def test_rows_and_columns_are_answered_in_order(alone: Running) -> None:
    rows = [{"amount": 5.0, "age": age} for age in (20, 50, 90)]
    one_by_one = [only_prediction(alone.up.predict(row))["score"] for row in rows]
    by_rows = alone.up.http.post("/models/credit/predict", json={"rows": rows, "ids": ["a", "b", "c"]}).json()["predictions"]
    columns = {"amount": [5.0, 5.0, 5.0], "age": [20, 50, 90]}
    by_columns = alone.up.http.post("/models/credit/predict", json={"columns": columns}).json()["predictions"]
    assert [one["score"] for one in by_rows] == pytest.approx(one_by_one)
    assert [one["score"] for one in by_columns] == pytest.approx(one_by_one)
    assert [one["id"] for one in by_rows] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "says"),
    [
        ("/models/credit/predict", b'{"row": {"amount": 5.0}}', 422, "bad-input", "/row/age"),
        ("/models/credit/predict", b'{"row": {"amount": 5.0, "age": 30, "agee": 1}}', 422, "bad-input", "/row/agee"),
        ("/models/credit/predict", b'{"row": {"amount": "5", "age": 30}}', 422, "bad-input", "/row/amount"),
        ("/models/credit/predict", b'{"row": {"amount": NaN, "age": 30}}', 422, "bad-input", "NaN"),
        ("/models/credit/predict", b'{"row": {"amount": 5.0, "age": 30}', 400, "unparsable", "not JSON"),
        ("/models/credit/predict", b'{"row": {"amount": 5.0, "age": 30}, "id": "p_mine"}', 422, "bad-input", "p_mine"),
        ("/models/credt/predict", b"{}", 404, "not-found", 'did you mean "credit"?'),
        ("/models/credit@9.9.9/predict", b'{"row": {"amount": 5.0, "age": 30}}', 404, "not-found", "9.9.9"),
        ("/models/credit/predikt", b"{}", 404, "not-found", "predikt"),
        ("/nowhere", b"{}", 404, "not-found", "/nowhere"),
        ("/models/credit/labels", b"[]", 400, "unparsable", "labels"),
        ("/metrics", b"", 405, "method", "use GET"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_as_a_problem_document(
    alone: Running, path: str, body: bytes, status: int, code: str, says: str
) -> None:
    response = alone.up.http.post(path, content=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert says in response.text.replace('\\"', '"')


def test_requests_that_no_log_could_hold_cost_nobody_else_an_answer(alone: Running) -> None:
    good = json.dumps({"row": GOOD}).encode()
    row = good.rstrip(b"}") + b"}"
    poison = [
        row + b', "id": "\\ud800"}',
        row + b', "id": "\xed\xa0\x80"}',
        row + b', "key": "\\ud800"}',
        row + b', "\\ud800": 1}',
        b'{"row": {"amount": 5.0, "age": ' + b"9" * 5_000 + b"}}",
        b'{"row": {"amount": 5.0, "age": ' + b"9" * 400 + b"}}",
        b'{"row": ' + b"[" * 100_000,
    ]

    def post(body: bytes) -> int:
        return alone.up.http.post("/models/credit/predict", content=body).status_code

    bodies = [body for bad in poison for body in (good, good, bad, good, good)] * 3
    with ThreadPoolExecutor(16) as callers:
        statuses = list(callers.map(post, bodies))
    assert {status for status, body in zip(statuses, bodies, strict=True) if body == good} == {200}
    assert {status for status, body in zip(statuses, bodies, strict=True) if body != good} == {400, 422}
    assert not any("failed:" in file.read_text() for file in alone.loans.layout.output("g0").parent.glob("g*.log"))


def test_ten_megabytes_are_refused_and_the_gateway_goes_on(alone: Running) -> None:
    for content in (b'{"row": "' + b"x" * 10_000_000 + b'"}', iter([b"x" * 100_000] * 100)):
        response = alone.up.http.post("/models/credit/predict", content=content)
        assert (response.status_code, response.json()["code"]) == (413, "too-large")
    only_prediction(alone.up.predict(GOOD))


def test_a_label_for_an_id_that_was_never_given_is_refused_and_others_are_counted(alone: Running) -> None:
    own = str(only_prediction(alone.up.predict(GOOD))["id"])
    forged = own[:-1] + ("0" if own[-1] != "0" else "1")
    given = [
        {"id": own, "value": 1},
        {"id": forged, "value": 1},
        {"id": own, "value": 7},
        {"id": "order-1", "value": 0, "time": "2026-01-01T00:00:00Z"},
    ]
    answer = alone.up.http.post("/models/credit/labels", json={"labels": given})
    assert answer.status_code == 200
    told = answer.json()
    assert told["accepted"] == 2
    assert [(one["index"], one["code"]) for one in told["refused"]] == [(1, "forged-id"), (2, "bad-input")]
    (label,) = alone.about("order-1", ("label",))
    assert (label.output, label.marks) == ([[0]], {"t": 1_767_225_600_000_000})
    none = alone.up.http.post("/models/credit/labels", json={"labels": [{"id": forged, "value": 1}]})
    assert none.status_code == 422


def test_a_key_stays_with_its_arm_and_the_share_is_the_weight(running: Running) -> None:
    running.route(champion(running.good, 7_000), challenger(running.other, 3_000), salt="ro_sticky")
    first = {key: running.up.predict(GOOD, key=key).json()["version"] for key in (f"user-{n}" for n in range(60))}
    assert {running.up.predict(GOOD, key=key).json()["version"] == version for key, version in first.items()} == {True}
    assert 5 <= sum(version == "1.1.0" for version in first.values()) <= 33
    running.route(champion(running.good, 2_000), challenger(running.other, 8_000), salt="ro_sticky")
    assert all(running.up.predict(GOOD, key=key).json()["version"] == "1.1.0" for key, version in first.items() if version == "1.1.0")


def test_rows_with_keys_of_their_own_go_to_their_own_arms(running: Running) -> None:
    running.route(champion(running.good, 5_000), challenger(running.other, 5_000), salt="ro_rows")
    keys = [f"user-{n}" for n in range(12)]
    alone = [running.up.predict(GOOD, key=key).json()["version"] for key in keys]
    together = running.up.http.post("/models/credit/predict", json={"rows": [GOOD] * 12, "keys": keys}).json()["predictions"]
    assert [one["version"] for one in together] == alone
    assert len({one["id"] for one in together}) == 12


def test_a_shadow_scores_the_same_request_and_nobody_sees_it(running: Running) -> None:
    running.route(champion(running.good), shadows=(challenger(running.other, 0),), salt="ro_shadow")
    prediction = only_prediction(running.up.predict(GOOD, key="k"))
    records = eventually(lambda: len(found := running.about(prediction["id"])) == 2 and found, "no shadow record")
    assert {(record.kind, record.version, record.role) for record in records} == {
        ("answer", "credit@1.0.0", "champion"),
        ("shadow", "credit@1.1.0", "challenger"),
    }
    assert {record.key_hash for record in records} != {""}
    assert {json.dumps(record.marks) for record in records} == {'{"ro": "ro_shadow", "w": 0}'}
    for version in ("1.1.0", "challenger"):
        pinned = running.up.http.post(f"/models/credit@{version}/predict", json={"row": GOOD})
        assert (pinned.status_code, pinned.json()["code"]) == (403, "refused")


def test_a_failing_challenger_is_recorded_and_the_champion_answers(running: Running) -> None:
    running.route(champion(running.good, 0), challenger(running.broken, 10_000), salt="ro_bad")
    response = running.up.predict({"amount": 600.0, "age": 30}, key="k")
    prediction = only_prediction(response)
    assert response.json()["fallback"] == "champion"
    assert response.json()["version"] == "1.0.0"
    failed, answered = running.about(prediction["id"])
    assert (failed.version, failed.status, failed.output) == ("credit@1.1.0", "error", None)
    assert "amounts over 500" in failed.marks["why"]
    assert (answered.version, answered.status, answered.marks["fb"]) == ("credit@1.0.0", "ok", "champion")
    assert only_prediction(running.up.predict(GOOD))["id"]


def test_only_the_guilty_request_of_a_batch_fails(running: Running) -> None:
    from concurrent.futures import ThreadPoolExecutor

    running.route(champion(running.broken))
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda n: running.up.predict({"amount": 600.0 if n % 8 == 0 else 5.0, "age": 30}).status_code, range(48)))
    assert [code == 500 for code in codes] == [n % 8 == 0 for n in range(48)]
    assert set(codes) == {200, 500}


def test_a_declared_fallback_is_answered_when_the_champion_cannot(running: Running) -> None:
    running.route(champion(running.broken), fallback=0)
    response = running.up.predict({"amount": 600.0, "age": 30})
    assert (only_prediction(response)["value"], response.json()["fallback"]) == (0, "value")


def test_a_route_that_answers_by_its_fallback_asks_the_versions_unheard_and_logs_both(running: Running) -> None:
    running.route(champion(running.good), fallback=0, answers="fallback")
    response = running.up.predict({"amount": 600.0, "age": 30})
    assert (only_prediction(response)["value"], response.json()["fallback"]) == (0, "value")

    def logged() -> set[tuple[str, str, str, str]]:
        request = only_prediction(running.up.predict({"amount": 600.0, "age": 30}))["id"]
        eventually(lambda: len(running.about(request)) == 2, "the log says nothing of the version")
        return {(one.kind, one.version, one.role, one.status) for one in running.about(request)}

    both = {("answer", "credit@1.0.0", "champion", "fallback"), ("shadow", "credit@1.0.0", "champion", "ok")}
    # what is not answered by it is dropped while its connection is being made
    eventually(lambda: logged() == both, "the version was not asked")
    pinned = running.up.predict({"amount": 600.0, "age": 30}, version="1.0.0")
    assert pinned.json().get("fallback", "") == "", "who names a version gets its answer"
    running.route(champion(running.good), fallback=0)
    assert running.up.predict({"amount": 600.0, "age": 30}).json().get("fallback", "") == "", "and the way back leads to the version"


def test_a_worker_that_dies_on_a_request_is_replaced_and_the_champion_answers(running: Running) -> None:
    running.route(champion(running.good, 0), challenger(running.other, 10_000), salt="ro_dies")
    response = running.up.predict({"amount": 999.0, "age": 30})
    # the champion dies of the same row: the caller is told, and both come back
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["retry"] == "later"
    eventually(lambda: running.up.predict(GOOD).json().get("version") == "1.1.0", "the worker did not come back")


def test_a_challenger_that_takes_too_long_is_overtaken_by_the_champion(running: Running) -> None:
    running.route(champion(running.good, 0), challenger(running.other, 10_000), salt="ro_slow")
    response = running.up.predict({"amount": 998.0, "age": 30})
    assert response.json()["fallback"] == "champion"
    failed = running.about(only_prediction(response)["id"])[0]
    assert (failed.version, failed.status) == ("credit@1.1.0", "error")


def test_a_route_change_between_warm_workers_is_in_force_within_a_second(running: Running) -> None:
    running.route(champion(running.good, 5_000), challenger(running.other, 5_000))
    took = [
        running.route(champion(running.good, weight), challenger(running.other, 10_000 - weight)) for weight in (0, 10_000, 0, 10_000, 0)
    ]
    assert max(took) < 1000
    assert {running.up.predict(GOOD).json()["version"] for _ in range(10)} == {"1.1.0"}


def test_the_open_inference_protocol_round_trips(alone: Running) -> None:
    http = alone.up.http
    assert http.get("/v2/health/live").status_code == 200
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get("/v2/models/credit/ready").status_code == 200
    inputs = http.get("/v2/models/credit").json()["inputs"]
    assert [(one["name"], one["datatype"]) for one in inputs] == [("age", "INT64"), ("amount", "FP64")]
    ages = [20, 50, 90]
    score = [only_prediction(alone.up.predict({"amount": 5.0, "age": age}))["score"] for age in ages]
    each = [
        {"name": "amount", "shape": [3], "datatype": "FP32", "data": [5.0] * 3},
        {"name": "age", "shape": [3, 1], "datatype": "INT64", "data": [[age] for age in ages]},
    ]
    matrix = [{"name": "rows", "shape": [3, 2], "datatype": "FP64", "data": [[float(age), 5.0] for age in ages]}]
    for tensors in (each, matrix):
        answer = http.post(
            "/v2/models/credit/versions/1.0.0/infer", json={"id": "order-7", "inputs": tensors, "parameters": {"key": "k"}}
        ).json()
        assert (answer["model_name"], answer["model_version"], answer["id"]) == ("credit", "1.0.0", "order-7")
        prediction, probability = answer["outputs"]
        assert (prediction["datatype"], prediction["shape"]) == ("INT64", [3])
        assert probability["data"][1::2] == pytest.approx(score)
    assert alone.about("order-7")[-1].row_ids() == ["order-7/0", "order-7/1", "order-7/2"]
    bad = http.post("/v2/models/credit/infer", json={"inputs": [{"name": "amount", "shape": [2], "datatype": "BYTES", "data": ["a"]}]})
    assert bad.status_code == 422
    assert "amount" in bad.json()["error"]


def test_metrics_are_the_sum_of_all_gateways(alone: Running) -> None:
    def total() -> int:
        text = alone.up.http.get("/metrics").text
        return sum(int(line.rsplit(" ", 1)[1]) for line in text.splitlines() if 'role="champion",status="ok"' in line)

    before = eventually(lambda: (first := total()) == total() and first, "the counts do not settle")
    for _ in range(20):
        with httpx.Client(base_url=alone.up.url) as fresh:  # a new connection may reach the other gateway
            fresh.post("/models/credit/predict", json={"row": GOOD})
    eventually(lambda: total() == before + 20, f"{total()} is not {before} + 20")


def test_the_client_tells_answers_and_errors_as_flyballs_own(alone: Running) -> None:
    from flyball.errors import BadInput, NotFound, Unavailable

    with GatewayClient(alone.up.url) as client:
        answer = client.predict("credit", GOOD, id="order-9")
        assert answer["predictions"][0]["id"] == "order-9"
        assert client.label("credit", [{"id": "order-9", "value": 1}])["accepted"] == 1
        assert [field["name"] for field in client.schema("credit")["fields"]] == ["age", "amount"]
        with pytest.raises(BadInput) as caught:
            client.predict("credit", {"amount": 5.0})
        assert caught.value.problems[0].where == "/row/age"
        with pytest.raises(NotFound, match="nobody"):
            client.schema("nobody")
    with GatewayClient("http://127.0.0.1:9") as client, pytest.raises(Unavailable, match="nothing answers"):
        client.schema("credit")


def test_a_version_that_cannot_be_loaded_is_named_with_its_reason_and_the_route_stays(running: Running) -> None:
    running.route(champion(running.good))
    table = running.loans.route(champion(running.good, 5_000), challenger("0" * 64, 5_000, "1.3.0"), epoch=running.epoch + 1)
    running.epoch += 1

    def failed() -> object:
        running.up.routes.desire(table, time.time_ns() // 1000, running.loans.proofs(table))
        return running.up.routes.status().failed

    assert "0000000" in eventually(failed, "the failure was not seen")["credit@1.3.0"]
    assert running.up.routes.status().waiting == ("credit",)
    assert only_prediction(running.up.predict(GOOD))
    running.route(champion(running.good))


def test_a_second_up_says_who_holds_the_project(running: Running) -> None:
    argv = [sys.executable, "-m", "flyball.serving.supervisor", "--root", str(running.loans.root), "--port", "0"]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert f"process {running.up.process.pid} serves it on port {running.up.port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_under_json_a_refusal_is_a_document(running: Running) -> None:
    argv = [sys.executable, "-m", "flyball.serving.supervisor", "--root", str(running.loans.root), "--port", "0", "--tell", "json"]
    second = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert (second.returncode, second.stderr) == (1, "")
    assert json.loads(second.stdout)["code"] == "already-up"


def test_a_port_in_use_is_named_with_the_way_out(running: Running, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "flyball.serving.supervisor", "--root", str(tmp_path), "--port", str(running.up.port)]
    other = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert other.returncode == 1
    assert f"port {running.up.port} is in use" in other.stderr
    assert f"--port {running.up.port + 1}" in other.stderr


def test_a_ctrl_c_ends_everything_quietly_with_130(loans: Loans) -> None:
    up = Up(loans, gateways=1)
    (gateway,) = up.gateways().values()
    code, _, err = up.stop(signal.SIGINT)
    assert (code, err) == (130, "")
    with pytest.raises(ProcessLookupError):
        os.kill(gateway, 0)


def test_an_up_does_not_take_what_the_last_one_said_for_all_that_is_to_be_served(loans: Loans) -> None:
    FileRoutes(loans.layout.root).desire(RouteTable(epoch=0), 0)
    up = Up(loans, gateways=1)
    try:
        asked = (up.http.get("/v2/health/ready"), up.predict(GOOD))
        assert [answer.status_code for answer in asked] == [503, 503]
        up.routes.desire(RouteTable(epoch=0), 0)
        eventually(lambda: up.http.get("/v2/health/ready").status_code == 200, "where nothing is served it is never ready")
        assert up.predict(GOOD).status_code == 404
    finally:
        up.stop()


def test_children_of_a_killed_supervisor_go_and_the_next_one_comes_up(loans: Loans) -> None:
    artifact = loans.artifact()
    up = Up(loans, gateways=1)
    up.make(loans.route(champion(artifact)))
    pids = [*up.gateways().values(), *(json.loads(path.read_bytes())["pid"] for path in (loans.layout.run / "workers").glob("*.ready"))]
    assert len(pids) == 2
    up.process.kill()
    up.process.wait()
    again = Up(loans, gateways=1)
    try:
        eventually(lambda: not any(_runs(pid) for pid in pids), "a child outlived its supervisor")
        told: list[str] = []

        def served() -> bool:
            answer = again.predict(GOOD)
            told.append(answer.json().get("detail", ""))
            return answer.status_code == 200

        # no control plane has spoken: the routes on disk are served again
        eventually(served, "the routes on disk are not served")
        assert set(told[:-1]) == {"credit@1.0.0 could not answer: its worker is starting"}
        assert again.predict({}).status_code == 422
    finally:
        up.stop()
        assert again.stop()[0] == 0
    last = [record for file in wal.segments(loans.layout.log) for record in wal.read(file.path)[0]][-1]
    missing = ["missing age", "missing amount"]
    assert (last.kind, last.marks) == ("refused", {"why": "bad-input", "cv": [{"amount": "refused", "age": "refused"}], "br": missing})


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
