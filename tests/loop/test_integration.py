"""What is tried of a version: requests made of its newest rows, and what its answers must be."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flyball as fb
from flyball.data import manifest
from flyball.errors import BadInput, FlyballError, Problem, Unavailable
from flyball.loop.integration import answers, requests, same, strange
from flyball.loop.live_probe import AT_ONCE, LiveProbe
from flyball.records.data import Chunk, ChunkColumn, DatasetManifest
from flyball.records.integration import IntegrationCheck
from flyball.records.models import Field, Signature
from flyball.serving.layout import Layout
from flyball.store.blobs import LocalBlobs

BINARY = Signature(task="binary", fields=(Field(name="a", type="float"), Field(name="b", type="str")), classes=(0, 1))
NUMBER = Signature(task="regression", fields=(Field(name="a", type="float"),))
RANKING = Signature(
    task="ranking",
    fields=tuple(Field(name=name, type="float") for name in ("budget", "shown", "price")),
    item="shown",
    item_fields=("price", "shown"),
)
ROWS = fb.Dataset("rows", source="rows.csv", time="at", columns={"a": float, "b": str, "y": fb.column(int, one_of=(0, 1))})
LISTS = fb.Dataset("lists", source="lists.csv", time="at", columns={"query": str, "shown": str, "price": float, "budget": float, "y": int})
PLAIN = fb.Model("plain", task="binary", data=ROWS, label="y", framing=fb.Framing("be tried"))
RANKED = fb.Model(
    "ranked", task="ranking", data=LISTS, label="y", group="query", item="shown", inputs=["price", "budget"], framing=fb.Framing("be tried")
)


class Gateway:
    """A gateway of which it is known what it answers. `said` gives a request's answer; `together`, that of all at once, is the same."""

    def __init__(self, said: Any, together: Any = None) -> None:
        self.said, self.together = said, together
        self.asked: list[Sequence[Mapping[str, Any]]] = []

    def ask(self, _model: str, _version: str, requests: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        self.asked.append(requests)
        if isinstance(self.said, FlyballError) or self.said is ZeroDivisionError:
            raise self.said
        if len(requests) > 1 and self.together is not None:
            return list(self.together)
        return [self.said(request) for request in requests]

    def is_time(self, _ref: str, _now: int) -> bool:
        return True

    def begin(self, _ref: str, _since: int, _trial: Any) -> None:
        raise NotImplementedError

    def ended(self, _ref: str, _since: int) -> None:
        raise NotImplementedError

    def newest(self, _model: fb.Model, _columns: Sequence[str], _content: str, _most: int) -> list[dict[str, Any]]:
        return []


ASKED = [{"a": 1.0, "b": "x"}, {"a": 2.0, "b": "y"}, {"a": None, "b": "z"}]


def tried(said: Any, signature: Signature = BINARY, together: Any = None, asked: Sequence[Mapping[str, Any]] = ASKED) -> dict[str, str]:
    """Check → why it does not hold (empty: it does)."""
    found = answers(Gateway(said, together), "m", "1.0.0", asked, signature, "there are no rows")
    return {check.name: "" if check.passed else check.told for check in found}


def test_a_row_is_asked_with_the_fields_that_a_request_has() -> None:
    rows = [{"a": 1.0, "b": "x", "y": 1}, {"a": None, "b": "y", "y": None}]
    assert requests(rows, PLAIN, BINARY) == [{"a": 1.0, "b": "x"}, {"a": None, "b": "y"}]
    assert requests([], PLAIN, BINARY) == []


def test_of_a_ranking_the_list_of_the_newest_row_is_asked() -> None:
    rows = [
        {"query": query, "shown": item, "price": price, "budget": budget, "y": 0}
        for query, item, price, budget in (("q1", "i1", 1.0, 5.0), ("q2", "i2", 2.0, 7.0), ("q1", "i3", 3.0, 5.0), ("q2", "i4", 4.0, 7.0))
    ]
    items = [{"item": "i2", "price": 2.0}, {"item": "i4", "price": 4.0}]
    assert requests(rows, RANKED, RANKING) == [{"budget": 7.0, "items": items}]
    assert requests([], RANKED, RANKING) == []


def test_each_row_is_asked_alone_and_then_all_of_them_at_once() -> None:
    gateway = Gateway(lambda _: {"value": 1})
    found = answers(gateway, "m", "1.0.0", ASKED, BINARY, "")
    assert [check.passed for check in found] == [True, True, True]
    assert gateway.asked == [*([row] for row in ASKED), ASKED]
    assert found[0].told == "3 of 3 of the newest rows"


def test_without_rows_nothing_holds_and_it_is_said_why() -> None:
    assert tried(lambda _: {"value": 1}, asked=[]) == {"requests are answered": "there are no rows"}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Unavailable("no answer in time"), "no answer in time"),
        (BadInput("the row is refused", problems=(Problem("/rows/0/a", "it is 7 and at most 5"),)), "it is 7 and at most 5"),
    ],
)
def test_what_the_gateway_refuses_is_told_in_its_words(error: FlyballError, why: str) -> None:
    [(name, said)] = tried(error).items()
    assert name == "requests are answered"
    assert why in said


@pytest.mark.parametrize(
    ("answer", "signature", "why"),
    [
        ({"value": 2}, BINARY, "2 is none of 0, 1"),
        ({"value": None}, BINARY, "None is none of 0, 1"),
        ({}, BINARY, "None is none of 0, 1"),
        ({"value": 1, "fallback": "no worker is ready"}, BINARY, "a degraded answer: no worker is ready"),
        ({"value": math.nan}, NUMBER, "nan is no number"),
        ({"value": math.inf}, NUMBER, "inf is no number"),
        ({"value": "7"}, NUMBER, "'7' is no number"),
        ({"value": None}, NUMBER, "None is no number"),
        ({"value": True}, NUMBER, "True is no number"),
        ({"value": 7}, NUMBER, ""),
        ({"items": []}, RANKING, "an item without a score: []"),
        ({"items": [{"item": "i1", "score": 1.0}, {"item": "i2"}]}, RANKING, "an item without a score: [1.0, None]"),
        ({"items": [{"item": "i1", "score": math.nan}]}, RANKING, "an item without a score: [nan]"),
        ({"items": [{"item": "i1", "score": -1.0}]}, RANKING, ""),
    ],
)
def test_an_answer_must_be_what_the_signature_says(answer: dict[str, Any], signature: Signature, why: str) -> None:
    assert strange(answer, signature) == why
    asked = [{"items": [{"item": "i1"}]}] if signature is RANKING else ASKED
    assert tried(lambda _: answer, signature, asked=asked)["answers are of the signature"] == why


def test_answers_that_differ_between_alone_and_together_are_counted() -> None:
    together = [{"value": 1}, {"value": 0}, {"value": 0}]
    assert tried(lambda _: {"value": 1}, together=together)["alone as together"] == "2 of 3 answers differ"
    nearly = [{"value": 1, "score": 0.5 + 1e-8}] * 3
    assert tried(lambda _: {"value": 1, "score": 0.5}, together=nearly)["alone as together"] == ""


def test_answers_that_are_too_few_are_no_answers() -> None:
    assert tried(lambda _: {"value": 1}, together=[{"value": 1}]) == {
        "requests are answered": "1 answers to 3 requests, and 1, 1, 1 to each"
    }


NUMBERS = st.floats() | st.integers(-(10**9), 10**9) | st.none() | st.booleans() | st.text(max_size=3)
ANSWERS = st.fixed_dictionaries({"value": NUMBERS}, optional={"score": NUMBERS, "scores": st.dictionaries(st.sampled_from("ab"), NUMBERS)})


@given(ANSWERS, ANSWERS)
def test_whatever_two_answers_hold_they_can_be_compared_and_either_way_round(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert same(one, other) == same(other, one)


@given(st.floats(allow_nan=False, allow_infinity=False), st.dictionaries(st.sampled_from("ab"), st.floats(0, 1)))
def test_an_answer_is_the_same_as_itself_whatever_it_is_called(value: float, scores: dict[str, float]) -> None:
    one = {"value": value, "score": 0.5, "scores": scores}
    assert same({**one, "id": "p_1", "latency_ms": 1}, {**one, "id": "p_2", "latency_ms": 9})
    assert not same(one, {**one, "value": value + 1 + abs(value)})
    assert not same(one, {**one, "value": None})
    assert not same(one, {**one, "scores": {**scores, "c": 0.5}})
    assert not same(one, {name: each for name, each in one.items() if name != "score"})


def kept(blobs: LocalBlobs, *frames: pl.DataFrame) -> str:
    """A data set version of these chunks."""
    chunks = []
    for frame in frames:
        path = blobs.root.parent / "chunk"
        frame.write_parquet(path)
        chunks.append(Chunk(content=blobs.put_file(path), rows=frame.height, first=0, last=0))
    columns = (ChunkColumn(name="a", type="float"), ChunkColumn(name="b", type="str"))
    return blobs.put(manifest.write(DatasetManifest(columns=columns, chunks=tuple(chunks))))


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


def probe(tmp_path: Path, blobs: LocalBlobs) -> LiveProbe:
    return LiveProbe(Layout(tmp_path / "state"), blobs, lambda: "")


def test_the_newest_rows_are_taken_from_as_many_chunks_as_it_needs(tmp_path: Path, blobs: LocalBlobs) -> None:
    frames = [
        pl.DataFrame({"a": [float(first + each) for each in range(count)], "b": ["x"] * count})
        for first, count in ((0, 30), (30, 3), (33, 1))
    ]
    content = kept(blobs, *frames)
    found = probe(tmp_path, blobs).newest(PLAIN, ["a"], content, 20)
    assert [row["a"] for row in found] == [float(each) for each in range(14, 34)]
    assert len(probe(tmp_path, blobs).newest(RANKED, ["a"], content, 20)) == 34, "a list may be long"
    assert probe(tmp_path, blobs).newest(PLAIN, ["a"], kept(blobs), 20) == []


def test_nothing_is_tried_where_no_gateway_listens_and_asking_says_so(tmp_path: Path, blobs: LocalBlobs) -> None:
    one = probe(tmp_path, blobs)
    assert not one.is_time("m@1.0.0", 1)
    with pytest.raises(Unavailable, match="no gateway listens"):
        one.ask("m", "1.0.0", ASKED)


def listening(tmp_path: Path) -> None:
    """A gateway is said to be at a port at which nobody listens."""
    layout = Layout(tmp_path / "state")
    layout.gateways.parent.mkdir(parents=True)
    layout.gateways.write_text('{"host": "127.0.0.1", "port": 1}')


def test_what_did_not_hold_is_left_for_a_minute(tmp_path: Path, blobs: LocalBlobs) -> None:
    one, minute = probe(tmp_path, blobs), 60_000_000
    listening(tmp_path)
    assert one.is_time("m@1.0.0", minute)
    assert not one.is_time("m@1.0.0", 2 * minute - 1)
    assert one.is_time("m@1.1.0", minute)
    assert one.is_time("m@1.0.0", 2 * minute)
    with pytest.raises(Unavailable, match="nothing answers"):
        one.ask("m", "1.0.0", ASKED)
    assert one.is_time("n@1.0.0", 9 * minute), "another one's trouble is not this one's"


def test_a_try_holds_up_nobody_and_a_few_go_on_at_once(tmp_path: Path, blobs: LocalBlobs) -> None:
    one, goes_on = probe(tmp_path, blobs), threading.Event()
    listening(tmp_path)
    checks = (IntegrationCheck(name="requests are answered", passed=True, told="3 of 3"),)

    def slow() -> Any:
        assert goes_on.wait(20)
        return checks

    for number in range(AT_ONCE):
        assert one.is_time(f"m@1.{number}.0", 60_000_000)
        one.begin(f"m@1.{number}.0", 1, slow)
    assert one.ended("m@1.0.0", 1) is None, "it is not waited for"
    assert not one.is_time("n@1.0.0", 60_000_000)
    goes_on.set()
    found = [ended(one, f"m@1.{number}.0") for number in range(AT_ONCE)]
    assert found == [checks] * AT_ONCE
    assert one.ended("m@1.0.0", 1) is None, "it is told once"
    assert one.is_time("n@1.0.0", 60_000_000)


def test_what_a_try_could_not_foresee_is_raised_where_it_is_looked_at(tmp_path: Path, blobs: LocalBlobs) -> None:
    one = probe(tmp_path, blobs)
    one.begin("m@1.0.0", 1, lambda: answers(Gateway(ZeroDivisionError), "m", "1.0.0", ASKED, NUMBER, ""))
    with pytest.raises(ZeroDivisionError):
        ended(one, "m@1.0.0")


def ended(one: LiveProbe, ref: str, since: int = 1) -> Any:
    """What a try came to, when it has come to something."""
    for thread in threading.enumerate():
        if thread.name == f"try {ref}":
            thread.join(20)
    return one.ended(ref, since)


def test_what_a_try_found_before_the_version_was_taken_back_says_nothing_of_it_once_it_answers_again(
    tmp_path: Path, blobs: LocalBlobs
) -> None:
    one = probe(tmp_path, blobs)
    checks = (IntegrationCheck(name="requests are answered", passed=True, told="3 of 3"),)
    one.begin("m@1.0.0", 1, lambda: checks)
    assert ended(one, "m@1.0.0", since=2) is None
    assert ended(one, "m@1.0.0", since=1) is None, "it was given up"
    one.begin("m@1.0.0", 2, lambda: checks)
    assert ended(one, "m@1.0.0", since=2) == checks


@pytest.mark.parametrize(("seconds", "most"), [(0.0, 3), (0.9, 3), (2.4, 2), (4.9, 2)])
def test_so_many_rows_are_asked_at_once_as_are_answered_in_time(seconds: float, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def said(_request: Any) -> Any:
        clock[0] += seconds
        return {"value": 1}

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    gateway = Gateway(said)
    found = answers(gateway, "m", "1.0.0", ASKED, BINARY, "")
    assert gateway.asked[-1] == ASKED[:most]
    assert (found[2].passed, found[2].told) == (True, f"{most} of 3 of the newest rows")
