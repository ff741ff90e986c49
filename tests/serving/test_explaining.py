"""`POST /models/{m}/explain`, through a real gateway and real workers: like a prediction, and none."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flyball.serving import wal
from flyball.serving.layout import Layout

from .conftest import Border, Loans, challenger, champion, eventually

pytestmark = pytest.mark.process
ROW = {"amount": 100.0, "age": 60}


@pytest.fixture
def up(loans: Loans, start):
    running = start(gateways=1)
    running.make(loans.route(champion(loans.artifact(background=50))))
    return running


def explain(up, what="credit", **body):
    return up.http.post(f"/models/{what}/explain", json=body or {"row": ROW})


def test_an_explanation_is_the_answer_and_what_each_feature_has_to_do_with_it(up):
    answer = explain(up)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert (document["model"], document["version"]) == ("credit", "1.0.0")
    (one,) = document["explanations"]
    predicted = up.predict(ROW).json()["predictions"][0]
    assert (one["value"], one["score"]) == (predicted["value"], predicted["score"])
    assert (one["method"], one["space"]) == ("permutation", "probability"), "a predict= of the user's stands before the estimator"
    assert one["output"] == pytest.approx(predicted["score"])
    assert one["base"] + sum(each["contribution"] for each in one["contributions"]) == pytest.approx(one["output"])
    assert [each["feature"] for each in one["contributions"]] == ["age", "amount"], "the larger first"
    assert {each["feature"]: each["value"] for each in one["contributions"]} == ROW


def test_rows_columns_ids_and_keys_are_taken_as_for_predictions(up):
    rows = [ROW, {"amount": 5.0, "age": 20}]
    by_rows = explain(up, rows=rows, ids=["a", "b"]).json()["explanations"]
    assert [each["id"] for each in by_rows] == ["a", "b"]
    assert [each["value"] for each in by_rows] == [1, 0]
    by_columns = explain(up, columns={"amount": [100.0, 5.0], "age": [60, 20]}, keys=["ana", "bo"]).json()["explanations"]
    assert [each["contributions"] for each in by_columns] == [each["contributions"] for each in by_rows]


def test_nothing_of_an_explanation_is_logged_or_counted_as_a_prediction(up, loans):
    for _ in range(5):
        assert explain(up).status_code == 200
    assert up.predict(ROW, id="mine").status_code == 200
    counted = eventually(lambda: [one for one in up.http.get("/metrics").text.splitlines() if 'role="explain"' in one], "counted")
    assert len(counted) == 1
    assert counted[0].endswith(" 5")
    assert 'status="ok"' in counted[0]
    (segment,) = wal.segments(Layout(loans.root / ".flyball").log)
    records = [one for one in wal.read(segment.path)[0] if one.kind not in {"views", "version"}]
    assert [one.request_id for one in records if one.kind == "answer"] == ["mine"]
    assert len([one for one in records if one.kind in {"answer", "refused", "shadow"}]) == 1


def test_a_bad_row_is_refused_with_its_problems_and_too_many_rows_are_too_many(up):
    bad = explain(up, row={"amount": "much", "age": 60})
    assert (bad.status_code, bad.json()["problems"][0]["where"]) == (422, "/row/amount")
    many = explain(up, rows=[ROW] * 101)
    assert (many.status_code, many.json()["code"]) == (413, "too-large")
    assert "100 at most" in many.json()["detail"] + str(many.json())
    assert up.http.get("/models/credit/explain").status_code == 405
    assert explain(up, "nobody").status_code == 404


def test_a_pinned_version_explains_itself_and_one_that_is_not_served_does_not(up, loans):
    assert explain(up, "credit@1.0.0").json()["version"] == "1.0.0"
    assert explain(up, "credit@champion").json()["explanations"][0]["value"] == 1
    assert explain(up, "credit@9.9.9").status_code == 404


def test_a_version_made_before_rows_were_kept_says_what_to_do(loans, start):
    running = start(gateways=1)
    running.make(loans.route(champion(loans.artifact())))
    answer = explain(running)
    assert (answer.status_code, answer.json()["code"]) == (422, "no-background")
    assert "train it again" in answer.json()["fix"]
    assert running.predict(ROW).status_code == 200


def test_with_two_arms_the_champion_explains_and_a_key_its_own_version(loans, start):
    running = start(gateways=1)
    first, second = loans.artifact(background=40), loans.artifact(seed=1, background=40)
    running.make(loans.route(champion(first, 5_000), challenger(second, 5_000), salt="r1"))
    assert {explain(running).json()["version"] for _ in range(10)} == {"1.0.0"}
    keys = [f"key-{number}" for number in range(12)]
    predicted = {key: running.predict(ROW, key=key).json()["version"] for key in keys}
    assert set(predicted.values()) == {"1.0.0", "1.1.0"}
    each = explain(running, rows=[ROW] * 12, keys=keys).json()["explanations"]
    assert {key: one["version"] for key, one in zip(keys, each, strict=True)} == predicted


def test_a_row_that_the_model_fails_on_is_an_error_of_its_own(up, loans):
    failed = explain(up, row={"amount": 999.0, "age": 60})
    assert failed.status_code == 503
    assert "ended" in failed.text, "this row ends the worker, as a prediction of it does"
    assert eventually(lambda: explain(up).status_code == 200, "the worker is started again")


def test_a_row_that_the_model_raises_on_says_what_it_raised(loans, start):
    running = start(gateways=1)
    running.make(loans.route(champion(loans.artifact(broken=True, background=40))))
    failed = explain(running, row={"amount": 600.0, "age": 60})
    assert (failed.status_code, failed.json()["code"]) == (500, "model-failed")
    assert "amounts over 500" in str(failed.json())
    assert explain(running).status_code == 200


def test_more_than_are_answered_soon_are_told_to_come_back(up):
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: explain(up, rows=[ROW] * 100), range(24)))
    assert {each.status_code for each in answers} == {200, 503}
    late = next(each for each in answers if each.status_code == 503)
    assert "open" in late.json()["detail"]
    assert late.headers["retry-after"] == "1"


def test_predictions_do_not_wait_for_explanations(up):
    done = threading.Event()
    taken: list[int] = []

    def ask() -> None:
        while not done.is_set():
            taken.append(explain(up, rows=[ROW] * 100).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        eventually(lambda: taken, "explanations are made")
        waits = []
        for _ in range(60):
            began = time.monotonic()
            assert up.predict(ROW).status_code == 200
            waits.append(time.monotonic() - began)
    finally:
        done.set()
        thread.join(40)
    assert taken.count(200) == len(taken)
    whole = time.monotonic()
    assert explain(up, rows=[ROW] * 100).status_code == 200
    whole = time.monotonic() - whole
    assert sorted(waits)[30] < whole / 3, "a prediction is answered between two rows, not after a hundred"


def test_without_a_worker_there_is_none_yet(border: Border):
    answer = border.post("/models/late/explain", b'{"row": {"km": 1, "tonnes": 2}}')
    assert answer.status == 503
    assert "retry-after" in answer.headers
