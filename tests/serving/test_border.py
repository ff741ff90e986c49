"""What a caller sends is refused where it comes in: it costs nobody else an answer, and nothing is promised that is not kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flyball.cli import label as label_verb
from flyball.cli.main import run
from flyball.errors import Unavailable
from flyball.serving import wal, wire
from flyball.serving.dispatch import Dispatcher
from flyball.serving.link import LATE, Done, Pending, Unanswerable

from .conftest import Border


@pytest.fixture
def full(border: Border, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The log's disk is full until the function is called."""
    monkeypatch.setattr(border.writer, "_write", lambda _data: False)
    return monkeypatch.undo


def test_labels_that_a_full_disk_refuses_are_not_accepted_and_are_written_when_sent_again(border: Border, full: Callable[[], None]) -> None:
    refused = border.labels({"id": "a", "value": 1.5}, {"id": "b", "value": 2})
    assert (refused.status, refused.document["code"], refused.document["retry"]) == (503, "unavailable", "later")
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["content-type"] == "application/problem+json"
    assert "disk is full" in refused.document["detail"]
    full()
    again = border.labels({"id": "a", "value": 1.5}, {"id": "b", "value": 2})
    assert again.document == {"accepted": 2, "duplicates": 0, "corrected": 0, "refused": []}
    assert border.logged() == [("a", 1.5), ("b", 2)]


def test_duplicates_and_corrections_are_told_within_a_request_and_between_two(border: Border) -> None:
    first = border.labels({"id": "a", "value": 1}, {"id": "a", "value": 1}, {"id": "a", "value": 2})
    assert [first.document[count] for count in ("accepted", "duplicates", "corrected")] == [2, 1, 1]
    second = border.labels({"id": "a", "value": 2}, {"id": "a", "value": 3})
    assert [second.document[count] for count in ("accepted", "duplicates", "corrected")] == [1, 1, 1]


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "b", "value": 2**63},
        {"id": "b", "value": 2**64},
        {"id": "b", "value": -(2**63) - 1},
        {"id": "b", "value": 10**400},
        {"id": "\ud800", "value": 1},
        {"id": "b", "value": 1, "attributes": {"n": 2**64}},
        {"id": "b", "value": 1, "attributes": {"n": json.loads("[" * 20 + "]" * 20)}},
        {"id": "b", "value": 1, "attributes": {"n": json.loads("[" * 900 + "]" * 900)}},
        {"id": "b", "value": 1, "attributes": {"\udfff": "\ud800"}},
        {"id": "b", "value": 1, "\ud800": 1},
        {"id": "b", "value": 1, "time": "\ud800"},
        {"id": "b", "value": "\ud800"},
    ],
)
def test_a_label_that_cannot_be_written_is_refused_alone(border: Border, bad: dict[str, Any]) -> None:
    answer = border.labels({"id": "a", "value": 1}, bad, {"id": "c", "value": 3})
    assert (answer.status, answer.document["accepted"]) == (200, 2)
    assert [one["index"] for one in answer.document["refused"]] == [1]
    assert border.logged() == [("a", 1), ("c", 3)]
    alone = border.labels(bad)
    assert (alone.status, alone.document["accepted"]) == (422, 0)


def test_the_label_verb_says_what_was_sent_before_the_disk_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Client:
        calls = 0

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing to close."""

        def schema(self, _model: str) -> dict[str, Any]:
            return {"classes": []}

        def label(self, _model: str, labels: list[Any]) -> dict[str, Any]:
            self.calls += 1
            if self.calls == 3:
                raise Unavailable("no label was taken: the disk is full", fix="make room, and send them again")
            return {"accepted": len(labels), "duplicates": 0, "corrected": 0, "refused": []}

    monkeypatch.setattr(label_verb, "gateway", lambda _project, _env: Client())
    file = tmp_path / "labels.csv"
    file.write_text("id,value\n" + "".join(f"a{number},1\n" for number in range(2_500)))
    code = run(["label", "price", str(file)])
    said = capsys.readouterr().err
    assert code == 3
    assert "the last 500 of 2,500 labels were not sent: no label was taken: the disk is full" in said
    assert "duplicates" in said


class Asked:
    """A worker's connection on which all that is asked is answered by one read."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._settle = dispatcher._settle
        self._open: list[Pending] = []
        self.open = 0

    def ask(self, pending: Pending) -> bool:
        self._open.append(pending)
        return True

    def fail(self, error: str) -> None:
        done, self._open = self._open, []
        self._settle([Done(one, error) for one in done])

    def answer(self) -> None:
        done, self._open = self._open, []
        self._settle([Done(one, None, msgspec.msgpack.encode([[1.0, None]] * one.rows)) for one in done])


def test_a_record_that_cannot_be_written_costs_only_its_own_caller_the_answer(border: Border) -> None:
    dispatcher = border.dispatcher
    served = dispatcher.table.find("price")
    link = Asked(dispatcher)
    dispatcher._links = dict.fromkeys(dispatcher.table.workers(), link)  # type: ignore[arg-type]
    good = served.reader.read(b'{"row": {"n": 1, "x": 1, "note": null}, "id": "good"}')

    async def run() -> list[Any]:
        requests = [replace(good, ids=[one]) for one in ("first", "\ud800", "last")]
        asked = [asyncio.create_task(dispatcher.predict(served, one)) for one in requests]
        await asyncio.sleep(0)
        link.answer()
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)

    first, bad, last = asyncio.run(run())
    assert (first.ids, first.logged, last.ids, last.logged) == (["first"], True, ["last"], True)
    assert "cannot be written" in bad.why
    records, _ = wal.read(border.writer.path)
    assert [one.request_id for one in records if one.kind == "answer"] == ["first", "last"]


NOT_KEPT = Unanswerable("it keeps nothing of then", wire.Fault("not-kept", "from now on", "ask about a later time"))


@pytest.mark.parametrize("path", ["/models/price/predict", "/v2/models/price/infer"])
def test_a_question_that_no_version_can_answer_is_the_callers_and_no_failure_of_the_model(border: Border, path: str) -> None:
    """What a caller asks must not be what a rollout is judged by, nor an incident of the model's."""
    dispatcher, link = border.dispatcher, Asked(border.dispatcher)
    dispatcher._links = dict.fromkeys(dispatcher.table.workers(), link)  # type: ignore[arg-type]
    names = {"n": ("INT64", 1), "x": ("FP64", 1.0), "note": ("BYTES", "a")}
    inputs = [{"name": name, "shape": [1], "datatype": kind, "data": [value]} for name, (kind, value) in names.items()]
    body = {"row": {name: value for name, (_, value) in names.items()}} if path.startswith("/models") else {"inputs": inputs}

    async def run() -> Any:
        asked = asyncio.create_task(border.ask(path, json.dumps(body).encode()))
        for _ in range(20):
            await asyncio.sleep(0)
        link.fail(NOT_KEPT)
        return await asyncio.wait_for(asked, 5)

    answer = asyncio.run(run())
    assert answer.status == 422
    told = json.dumps(answer.document)
    assert "it keeps nothing of then: from now on" in told
    if path.startswith("/models"):
        assert (answer.document["code"], answer.document["fix"]) == ("not-kept", "ask about a later time")
    dispatcher.flush()
    records, _ = wal.read(border.writer.path)
    assert [(one.kind, one.status, (one.marks or {}).get("why")) for one in records if one.kind != "signature"] == [
        ("refused", "refused", "not-kept")
    ]


def test_what_a_challenger_cannot_be_asked_the_champion_is(border: Border) -> None:
    dispatcher, link = border.dispatcher, Asked(border.dispatcher)
    served = dispatcher.table.find("price")
    assert served.champion is not None
    dispatcher._links = dict.fromkeys(dispatcher.table.workers(), link)  # type: ignore[arg-type]
    other = replace(served.champion, arm=msgspec.structs.replace(served.champion.arm, version="1.1.0", role="challenger"))

    async def run() -> Any:
        future = asyncio.get_running_loop().create_future()
        asked = Pending(
            request_id="r", served=served, target=other, role="challenger", key_hash="", rows=1, packed=msgspec.msgpack.encode([[1, 1.0, None]]),
            times=None, marks={"ro": "ro_1"}, picked_ns=1, deadline_ns=2, future=future,
        )  # fmt: skip
        dispatcher._settle([Done(asked, NOT_KEPT)])
        link.answer()
        return await asyncio.wait_for(future, 5)

    outcome = asyncio.run(run())
    assert (outcome.error, outcome.fallback, outcome.target) == ("", "champion", served.champion)
    dispatcher.flush()
    records, _ = wal.read(border.writer.path)
    assert [(one.kind, one.role, one.status) for one in records if one.kind != "signature"] == [("answer", "champion", "ok")]


@pytest.mark.parametrize(("error", "kind"), [(LATE, "shadow_dropped"), (NOT_KEPT, "shadow_dropped"), ("it takes no such row", "shadow")])
def test_a_shadow_question_that_there_was_no_time_for_is_dropped_and_no_error_of_its_version(border: Border, error: str, kind: str) -> None:
    dispatcher = border.dispatcher
    served = dispatcher.table.find("price")
    assert served.champion is not None
    shadow = Pending(
        request_id="r", served=served, target=served.champion, role="shadow", key_hash="", rows=1, packed=msgspec.msgpack.encode([[1, 1.0, None]]),
        times=None, marks={"ro": "ro_1", "w": 0}, picked_ns=1, deadline_ns=2, future=None,
    )  # fmt: skip
    dispatcher._settle([Done(shadow, error)])
    records, _ = wal.read(border.writer.path)
    [record] = [one for one in records if one.request_id == "r"]
    assert (record.kind, record.status) == (kind, "dropped" if kind == "shadow_dropped" else "error")


HALF = b"\\ud800"
ROW = b'{"n": 1, "x": 1, "note": null}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"row": ' + ROW + b', "id": "' + HALF + b'"}',
        b'{"row": ' + ROW + b', "id": "\xed\xa0\x80"}',
        b'{"row": ' + ROW + b', "key": "' + HALF + b'"}',
        b'{"row": ' + ROW + b', "time": "' + HALF + b'"}',
        b'{"row": ' + ROW + b', "' + HALF + b'": 1}',
        b'{"row": {"n": 1, "x": 1, "note": "' + HALF + b'"}}',
        b'{"rows": [' + ROW + b'], "ids": ["' + HALF + b'"]}',
        f'{{"row": {ROW.decode()}, "id": "{HALF.decode()}"}}'.encode("utf-16"),
        b'{"row": {"n": ' + b"9" * 5_000 + b', "x": 1, "note": null}}',
        b'{"row": {"n": ' + b"9" * 400 + b', "x": 1, "note": null}}',
        b'{"row": {"n": 1, "x": ' + b"9" * 400 + b', "note": null}}',
        b'{"row": {"n": ' + b"[" * 900 + b"]" * 900 + b', "x": 1, "note": null}}',
    ],
)
def test_what_no_log_and_no_model_can_hold_is_refused_with_a_reason(border: Border, body: bytes) -> None:
    answer = border.post("/models/price/predict", body)
    assert answer.status in (400, 422)
    assert answer.document["detail"]
    assert answer.document["fix"] or answer.document["problems"]
    assert border.said == []


@pytest.mark.parametrize(
    "changed",
    [
        {"id": "\ud800"},
        {"parameters": {"key": "\ud800"}},
        {"inputs": [{"name": "\ud800", "shape": [1], "datatype": "INT64", "data": [1]}]},
        {"inputs": [{"name": "n", "shape": [10**400], "datatype": "INT64", "data": [1]}]},
        {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [10**400]}]},
        {"inputs": [{"name": "n", "shape": [1], "datatype": "BYTES", "data": ["\ud800"]}]},
    ],
)
def test_the_open_protocol_refuses_the_same(border: Border, changed: dict[str, Any]) -> None:
    good = {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]}
    answer = border.post("/v2/models/wins/infer", json.dumps(good | changed).encode())
    assert answer.status in (400, 422)
    assert answer.document["error"]
    assert border.said == []


def test_tensors_nested_without_end_are_refused(border: Border) -> None:
    body = b'{"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}]}"
    assert border.post("/v2/models/wins/infer", body).status in (400, 422)
    assert border.said == []


@pytest.mark.parametrize("path", ["/models/price/predict", "/v2/models/price/infer"])
def test_a_mistake_of_our_own_is_one_line_in_the_log_and_no_traceback_for_the_caller(
    border: Border, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def find(_name: str) -> None:
        raise ZeroDivisionError("secret\nof ours")

    monkeypatch.setattr(border.dispatcher.table, "find", find)
    answer = border.post(path, b"{}")
    assert answer.status == 500
    assert "secret" not in json.dumps(answer.document)
    if not path.startswith("/v2"):
        assert (answer.headers["content-type"], answer.document["code"]) == ("application/problem+json", "error")
    assert len(border.said) == 1
    assert "\n" not in border.said[0]
    assert f"POST '{path}' failed: ZeroDivisionError" in border.said[0]
    assert "test_border.py" in border.said[0]
