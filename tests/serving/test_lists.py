"""A list to be ranked: read as rows with every problem named where it stands, answered best first, labelled item by item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.records.evidence import Cursor, Watch
from flyball.records.models import Field, Signature
from flyball.serving import wal
from flyball.serving.evidence import LiveEvidence
from flyball.serving.explain import MOST_ROWS
from flyball.serving.lists import ListReader, item_id, ranked
from flyball.serving.problems import TooLarge, Unparsable

from .conftest import Border

SIGNATURE = Signature(
    task="ranking",
    fields=(
        Field(name="budget", type="float", low=0),
        Field(name="device", type="str", one_of=("phone", "desk")),
        Field(name="price", type="float", low=0),
        Field(name="rating", type="float", nullable=True),
        Field(name="sku", type="str"),
        Field(name="stock", type="int", low=0, on_request="impute", usual=3),
    ),
    item="sku",
    item_fields=("price", "rating", "sku", "stock"),
)
READER = ListReader(SIGNATURE)
STRICT = ListReader(replace(SIGNATURE, fields=SIGNATURE.fields[:5], item_fields=SIGNATURE.item_fields[:3]))
ROW = {"budget": 40, "device": "phone"}
ITEMS: list[dict[str, Any]] = [
    {"item": "a", "price": 10, "rating": 4.5, "stock": 1},
    {"item": "b", "price": 20.5, "rating": None, "stock": 2},
]


def read(row: Any = ROW, items: Any = ITEMS, **more: Any) -> Any:
    return READER.read(json.dumps({"row": row, "items": items, **more}).encode())


def problems(row: Any = ROW, items: Any = ITEMS, **more: Any) -> dict[str, str]:
    with pytest.raises(BadInput) as caught:
        read(row, items, **more)
    return {problem.where: problem.what for problem in caught.value.problems}


def changed(index: int = 1, **fields: Any) -> list[dict[str, Any]]:
    return [{**one, **fields} if place == index else one for place, one in enumerate(ITEMS)]


def test_a_list_is_a_row_for_each_item_in_signature_order() -> None:
    found = read(id="list-1", key="ana", time="2026-01-01T00:00:00Z")
    assert found.rows == [(40.0, "phone", 10.0, 4.5, "a", 1), (40.0, "phone", 20.5, None, "b", 2)]
    assert found.listed == (["a", "b"], "list-1", "ana")
    assert found.times == [1_767_225_600_000_000] * 2
    assert (found.ids, found.keys, found.marks) == (None, None, None)


def test_a_field_stands_in_the_row_for_all_items_and_an_items_own_counts() -> None:
    assert [row[2] for row in read({**ROW, "price": 7}, [{"item": "a", "rating": 1, "stock": 1}, ITEMS[1]]).rows] == [7.0, 20.5]
    assert [row[0] for row in read({"device": "desk"}, [{**one, "budget": place} for place, one in enumerate(ITEMS)]).rows] == [0.0, 1.0]


def test_what_an_item_lacks_is_imputed_where_its_contract_says_so_and_marked() -> None:
    found = read(items=[ITEMS[0], {name: value for name, value in ITEMS[1].items() if name != "stock"}])
    assert [row[5] for row in found.rows] == [1, 3]
    assert found.marks == [None, {"stock": "imputed"}]


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=5)
numbers = st.one_of(st.none(), st.floats(0, 9, allow_nan=False), st.integers(0, 9), st.just("7"), st.just(-1))


@given(
    st.lists(
        st.fixed_dictionaries({"item": names, "price": numbers, "rating": numbers}, optional={"stock": numbers, "device": names}),
        max_size=4,
    ),
    st.fixed_dictionaries({"device": st.sampled_from(["phone", "desk", "x", 1])}, optional={"budget": numbers, "price": numbers}),
    st.fixed_dictionaries({}, optional={"id": names, "key": st.one_of(st.none(), names), "time": st.just("2026-01-01T00:00:00Z")}),
)
def test_the_quick_way_takes_nothing_that_the_slow_one_refuses_and_reads_the_same(items: Any, row: Any, more: Any) -> None:
    body = {"row": row, "items": items, **more}
    for reader in (READER, STRICT):
        try:
            expected: Any = reader.read_slowly(body)
        except (BadInput, Unparsable) as error:
            expected = (type(error), error.what, error.problems)
        try:
            found: Any = reader.read(json.dumps(body).encode())
        except (BadInput, Unparsable) as error:
            found = (type(error), error.what, error.problems)
        assert found == expected


def test_the_schemas_own_form_is_read_at_once() -> None:
    body = json.dumps({"row": ROW, "items": [{name: one[name] for name in ("item", "price", "rating")} for one in ITEMS]}).encode()
    assert STRICT._at_once(body) == STRICT.read_slowly(json.loads(body))
    twice = body.replace(b'"price": 10', b'"price": 10, "price": 11')
    with pytest.raises(ValueError, match="twice"):
        STRICT._at_once(twice)
    with pytest.raises(Unparsable, match="twice"):
        STRICT.read(twice)


@pytest.mark.parametrize(
    ("items", "where", "what"),
    [
        (changed(price="20"), "/items/1/price", '"20" is text'),
        (changed(price=-1), "/items/1/price", "-1.0 is below 0"),
        (changed(item=7), "/items/1/item", "7 is an integer"),
        (changed(item=None), "/items/1/item", "the value is null"),
        (changed(item="a"), "/items/1/item", '"a" is in the list twice'),
        (changed(item="x" * 300), "/items/1/item", "the item has 300 characters"),
        (changed(pricee=1), "/items/1/pricee", "there is no such field"),
        (changed(sku="b"), "/items/1/sku", "there is no such field"),
        ([ITEMS[0], {"item": "b", "rating": 1, "stock": 1}], "/items/1/price", "the field is missing"),
        ([{"price": 1, "rating": 1, "stock": 1}], "/items/0/item", "the field is missing"),
        ([ITEMS[0], ["b"]], "/items/1", "an item is an object"),
        ([], "/items", "items is a list of at least one item"),
        ("a", "/items", "items is a list of at least one item"),
    ],
)
def test_a_bad_item_is_named_where_it_stands(items: Any, where: str, what: str) -> None:
    assert problems(items=items) == {where: what}


@pytest.mark.parametrize(
    ("row", "where", "what"),
    [
        ({"budget": 40}, "/row/device", "the field is missing"),
        ({**ROW, "budget": -1}, "/row/budget", "-1.0 is below 0"),
        ({**ROW, "device": "phon"}, "/row/device", '"phon" is not a declared value'),
        ({**ROW, "bugdet": 1}, "/row/bugdet", "there is no such field"),
        ({**ROW, "sku": "a"}, "/row/sku", "there is no such field"),
        ([], "/row", "row is an object: what is the same for all items"),
    ],
)
def test_what_is_wrong_with_the_whole_list_is_told_once(row: Any, where: str, what: str) -> None:
    assert problems(row) == {where: what}


def test_every_problem_is_listed_at_once() -> None:
    found = problems({"budget": "x"}, [{"item": "a", "price": 1, "rating": "4", "stock": 1}], rows=[], idd=1)
    assert set(found) == {"/rows", "/idd", "/row/budget", "/row/device", "/items/0/rating"}


def test_a_list_of_thousands_of_bad_items_is_told_the_first_of_its_problems() -> None:
    assert len(problems(items=[{"item": f"i{one}"} for one in range(5_000)])) == 50


def test_a_list_has_as_many_items_as_a_request_has_rows() -> None:
    most = [{**ITEMS[0], "item": f"i{one}"} for one in range(MOST_ROWS)]
    assert len(read(items=most).rows) == MOST_ROWS
    with pytest.raises(TooLarge, match="10,001 items"):
        read(items=[*most, {**ITEMS[0], "item": "more"}])


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"items": [], "items": []}'])
def test_what_is_no_object_is_unparsable(body: bytes) -> None:
    with pytest.raises(Unparsable):
        READER.read(body)


def test_rows_and_tensors_say_nothing_of_lists() -> None:
    with pytest.raises(BadInput, match="ranks lists"):
        READER.read_columns({"price": [1.0]})


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30))
def test_the_best_comes_first_and_equals_stay_as_they_were_sent(scores: list[int]) -> None:
    found = ranked(list(range(len(scores))), [[float(score), None] for score in scores], None)
    assert [one["item"] for one in found] == sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    assert [one["score"] for one in found] == sorted(map(float, scores), reverse=True)


def test_an_item_has_the_id_of_its_list_and_its_name() -> None:
    assert item_id("p_1", 7) == "p_1/7"


def test_the_schema_says_what_is_of_the_list_and_what_of_an_item(border: Border) -> None:
    told = border.get("/models/shop/schema").document
    assert (told["task"], told["item"]) == ("ranking", "sku")
    assert {one["name"]: one["of"] for one in told["fields"]} == {"budget": "row", "price": "item", "sku": "item"}
    assert told["example"] == {"row": {"budget": 0.0}, "items": [{"price": 0, "item": "text"}]}
    reader = border.dispatcher.table.find("shop").reader
    assert reader.read(json.dumps(told["example"]).encode()).rows == [(0.0, 0.0, "text")]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/shop/predict", {"rows": [{"budget": 1, "price": 1, "sku": "a"}]}),
        ("/models/shop/predict", {"row": {"budget": 1, "price": 1, "sku": "a"}}),
        ("/models/shop/explain", {"row": {"budget": 1, "price": 1, "sku": "a"}}),
    ],
)
def test_a_ranking_is_asked_with_a_list(border: Border, path: str, body: dict[str, Any]) -> None:
    answer = border.post(path, json.dumps(body).encode())
    assert answer.status == 422
    assert "/items" in [problem["where"] for problem in answer.document["problems"]]


def test_the_inference_protocol_refuses_a_ranking_and_says_where_to_ask(border: Border) -> None:
    tensors = {"inputs": [{"name": "price", "datatype": "FP64", "shape": [1], "data": [1.0]}]}
    infer = border.post("/v2/models/shop/infer", json.dumps(tensors).encode())
    metadata = border.get("/v2/models/shop")
    for answer in (infer, metadata):
        assert answer.status == 422
        assert answer.document["error"].startswith("shop ranks lists")
        assert "POST /models/shop/predict" in answer.document["error"]


def test_a_label_names_the_item_and_how_relevant_it_was(border: Border) -> None:
    answer = border.labels(
        {"id": "list-1", "item": "a", "value": 3},
        {"id": "list-1", "item": "b", "value": 0.5},
        {"id": "list-1", "item": "a", "value": 3},
        {"id": "list-1", "value": 1},
        {"id": "list-1", "item": "c", "value": -1},
        {"id": "list-1", "item": "", "value": 1},
        {"id": "p_" + "0" * 32, "item": "a", "value": 1},
        model="shop",
    )
    assert (answer.status, answer.document["accepted"], answer.document["duplicates"]) == (200, 2, 1)
    told = {one["index"]: one["detail"] for one in answer.document["refused"]}
    assert told == {
        3: "a label has no item: item is text or a whole number, what was ranked",
        4: "-1 is below 0: relevance is a number, 0 for none",
        5: "the item has 0 characters: an item has 1 to 200 characters",
        6: '"p_00000000000000000000000000000000" is not an id that this project gave: its tag does not verify',
    }
    assert border.logged() == [("list-1/a", 3), ("list-1/b", 0.5)]


def test_a_label_of_another_model_has_no_item(border: Border) -> None:
    answer = border.labels({"id": "a", "item": "x", "value": 1})
    assert answer.status == 422
    assert answer.document["refused"][0]["detail"].startswith('there is no member "item"')


def test_labels_of_items_find_their_rows_and_say_nothing_of_how_well_the_list_was_ordered(tmp_path: Path) -> None:
    second = 1_000_000_000
    writer = wal.Writer(tmp_path / "log", "g0", reserve_bytes=0)
    header = wal.read_header(writer.path)
    assert header is not None
    start = header[0].monotonic_ns
    items = ["a", "b/c", "7"]
    answered = wal.frame(
        "answer",
        "list-1",
        picked_ns=start + second,
        answered_ns=start + second + 2_000_000,
        version="m@1.0.0",
        role="champion",
        rows=3,
        packed_input=msgspec.msgpack.encode([[0.5, item] for item in items]),
        packed_output=msgspec.msgpack.encode([[3.0, None], [2.0, None], [1.0, None]]),
        marks={"ids": [item_id("list-1", item) for item in items]},
    )
    labels = [wal.label_frame("m", item_id("list-1", item), value, 0, now_ns=start + 2 * second) for item, value in (("b/c", 3), (7, 0))]
    stray = wal.label_frame("m", "list-1", 1, 0, now_ns=start + 2 * second)
    writer.append([writer.declare("m@1.0.0", ["price", "sku"]), answered, *labels, stray])
    writer.close()
    watch = Watch(model="m", task="ranking", label_delay=Span.parse("5s"))
    now = header[0].wall_ns // 1000 + 60_000_000
    batch, _ = LiveEvidence(tmp_path).since(Cursor(until=0, offsets={}), now, {"m": watch})
    [whole] = [one for one in batch.quality if not one.slice]
    assert (whole.matured, whole.labelled, whole.abs_error, whole.loss) == (3, 2, 0.0, 0.0)
    assert batch.blocks == ()
    assert batch.unmatched == {"m": 1}
