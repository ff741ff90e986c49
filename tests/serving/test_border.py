"""What a caller sends is refused where it comes in: it costs nobody else an answer, and nothing is promised that is not kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flyball.records.models import Field, Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import ids, wal
from flyball.serving.dispatch import Dispatcher
from flyball.serving.http import Gateway
from flyball.serving.layout import Layout
from flyball.serving.limits import Limits
from flyball.serving.metrics import Metrics
from flyball.serving.table import RoutesFile, Table

SIGNATURES = {
    "price": Signature(
        task="regression",
        fields=(Field(name="n", type="int"), Field(name="x", type="float"), Field(name="note", type="str", nullable=True)),
    ),
    "wins": Signature(task="binary", fields=(Field(name="n", type="int"),), classes=(0, 1)),
}


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    document: Any


class Border:
    """The gateway's application over a real log; no worker is there."""

    def __init__(self, root: Path) -> None:
        layout = Layout(root)
        layout.prepare()
        self.writer = wal.Writer(layout.log, "g0", reserve_bytes=0)
        metrics, limits = Metrics(layout, "g0"), Limits()
        key = ids.Ids(ids.load_key(layout.id_key), 0)
        self.dispatcher = Dispatcher(layout, writer=self.writer, ids=key, metrics=metrics, limits=limits)
        arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
        models = {name: ModelRoute(signature=one, arms=(arm,)) for name, one in SIGNATURES.items()}
        self.dispatcher.table = Table(RoutesFile(stamp=1, table=RouteTable(epoch=1, models=models)))
        self.app = Gateway(self.dispatcher, metrics, limits, self._fresh)

    async def _fresh(self) -> None:
        """The table is as it is."""

    def post(self, path: str, body: bytes) -> Answered:
        return asyncio.run(self.ask(path, body))

    async def ask(self, path: str, body: bytes) -> Answered:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], headers, json.loads(sent[1]["body"]))

    def labels(self, *labels: dict[str, Any], model: str = "price") -> Answered:
        return self.post(f"/models/{model}/labels", json.dumps({"labels": labels}).encode())

    def logged(self) -> list[tuple[str, Any]]:
        records, _ = wal.read(self.writer.path)
        return [(one.request_id, one.output[0][0]) for one in records if one.kind == "label" and one.output]


@pytest.fixture
def border(tmp_path: Path) -> Iterator[Border]:
    made = Border(tmp_path)
    yield made
    made.writer.close()


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
        {"id": "b", "value": 2**64},
        {"id": "b", "value": 10**400},
        {"id": "\ud800", "value": 1},
        {"id": "b", "value": 1, "attributes": {"n": 2**64}},
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
