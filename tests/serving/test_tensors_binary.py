"""Tensors as bytes behind the JSON: what they are is what JSON would have said, and what is none is refused in words."""

from __future__ import annotations

import asyncio
import json
import math
import struct
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.errors import BadInput
from flyball.records.models import Field, Signature
from flyball.serving import tensors, tensors_binary
from flyball.serving.limits import Limits

from .conftest import SIGNATURES, Answered, Border

DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "BOOL": "?"}


def packed(datatype: str, values: list[Any]) -> bytes:
    """As numpy and the specification have it, not as flyball does."""
    if datatype == "BYTES":
        return b"".join(len(one.encode()).to_bytes(4, "little") + one.encode() for one in values)
    return np.array(values, dtype=DTYPES[datatype]).tobytes()


def tensor(name: str, datatype: str, values: list[Any], **more: Any) -> tuple[dict[str, Any], bytes]:
    part = packed(datatype, values)
    said = {"name": name, "shape": [len(values)], "datatype": datatype, "parameters": {"binary_data_size": len(part)}}
    return said | more, part


def asked(*inputs: tuple[dict[str, Any], bytes], **more: Any) -> tuple[bytes, int]:
    said = json.dumps({"inputs": [one for one, _ in inputs], **more}).encode()
    return said + b"".join(part for _, part in inputs), len(said)


def infer(border: Border, model: str, body: bytes, length: int | str) -> Answered:
    return border.post(f"/v2/models/{model}/infer", body, inference_header_content_length=str(length))


def rows(model: str, *inputs: tuple[dict[str, Any], bytes]) -> list[Any]:
    from flyball.serving.validate import RowReader

    signature = SIGNATURES[model]
    body, length = asked(*inputs)
    read = tensors.columns(tensors.parse(body, ("prediction",), length), signature)
    return RowReader(signature).read_columns(read, "inputs").rows


def error(border: Border, model: str, *inputs: tuple[dict[str, Any], bytes], status: int = 422, **more: Any) -> str:
    answer = infer(border, model, *asked(*inputs, **more))
    assert (answer.status, border.said) == (status, [])
    return str(answer.document["error"])


KM, TONNES = tensor("km", "FP64", [1.5, 2.5]), tensor("tonnes", "FP64", [3.0, 4.0])
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), TEXT), min_size=1, max_size=20)
)
def test_values_come_as_they_were_sent(sent: list[tuple[int, float, str]]) -> None:
    n, x, note = (list(column) for column in zip(*sent, strict=True))
    assert rows("price", tensor("n", "INT64", n), tensor("note", "BYTES", note), tensor("x", "FP64", x)) == sent


def test_parts_are_taken_in_order_and_stand_beside_json() -> None:
    n = ({"name": "n", "shape": [2, 1], "datatype": "INT64", "data": [[1], [2]]}, b"")
    x = tensor("x", "FP32", [0.5, -0.25], shape=[2, 1])
    assert rows("price", tensor("note", "BYTES", ["", "é"]), n, x) == [(1, 0.5, ""), (2, -0.25, "é")]
    matrix = tensor("rows", "FP64", [1, 2, 3, 4], shape=[2, 2])
    assert rows("late", matrix) == [(1.0, 2.0), (3.0, 4.0)]


def test_nan_is_a_missing_value_and_refused_where_none_may_be(border: Border) -> None:
    asked_so = tensors_binary.unpack("FP64", 2, memoryview(packed("FP64", [math.nan, 1.0])), "")
    assert asked_so == ([None, 1.0], [])
    assert '/inputs/km/1 the value is null: "km" may not be missing' in error(border, "late", tensor("km", "FP64", [1, math.nan]), TONNES)


@pytest.mark.parametrize(
    ("shape", "status", "says"),
    [
        ([2**62], 413, "the request has 4,611,686,018,427,387,904 rows"),
        ([2**62, 1], 413, "the request has 4,611,686,018,427,387,904 rows"),
        ([2**62, 2**62], 422, "is not that of one field"),
        ([2**62] * 1_000, 422, "is not that of one field"),
        ([10_000], 422, "10,000 values of FP64 have 80,000 bytes"),
        ([1, 2**62], 422, "is not that of one field"),
        ([], 422, "is not that of one field"),
        ([0], 422, "0 values of FP64 have 0 bytes"),
    ],
)
def test_what_a_shape_says_is_not_made_before_it_is_held_against_the_bytes(
    border: Border, shape: list[int], status: int, says: str
) -> None:
    body, length = asked(tensor("km", "FP64", [1.5, 2.5], shape=shape), TONNES)
    tracemalloc.start()
    try:
        answer = infer(border, "late", body, length)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status, border.said) == (status, [])
    assert says in answer.document["error"]
    assert most < 2 << 20


@pytest.mark.parametrize(("shape", "status"), [([2**62, 2], 413), ([10_000, 2], 422), ([0, 2], 422), ([2, 2], 200)])
def test_nor_is_it_of_a_tensor_of_all_fields(border: Border, shape: list[int], status: int) -> None:
    border.answers(True, 0.75)
    assert infer(border, "late", *asked(tensor("rows", "FP64", [1, 2, 3, 4], shape=shape))).status == status


@pytest.mark.parametrize(
    ("one", "says"),
    [
        ((KM[0], KM[1][:-1]), ["/inputs the tensors say 32 bytes: 31 follow the JSON"]),
        ((KM[0], KM[1] + b"\0"), ["/inputs the tensors say 32 bytes: 33 follow the JSON"]),
        (({**KM[0], "data": [1.5, 2.5]}, KM[1]), ["/inputs/0/parameters/binary_data_size a tensor has data twice"]),
        ((KM[0] | {"parameters": {"binary_data_size": True}}, b""), ["/inputs/0/parameters/binary_data_size binary_data_size is true"]),
        ((KM[0] | {"parameters": {"binary_data_size": -16}}, b""), ["/inputs/0/parameters/binary_data_size binary_data_size is -16"]),
        ((KM[0] | {"parameters": {"binary_data_size": 1e300}}, b""), ["/inputs/0/parameters/binary_data_size"]),
        ((KM[0] | {"parameters": {}}, b""), ["/inputs/0/data a tensor has no data"]),
        (tensor("km", "FP64", [1.5], shape=[2]), ["/inputs/0/parameters/binary_data_size the tensor has 8 bytes", "16 bytes"]),
        (tensor("km", "FP64", [1.5, 2.5], shape=[2, 2]), ["/inputs/0/shape", "[n] or [n, 1]", 'send "shape": [2]']),
        (tensor("km", "BOOL", [True, False]), ["/inputs/0/datatype", 'datatype "BOOL" does not fit "km"']),
        ((KM[0] | {"datatype": "BF16"}, KM[1]), ["/inputs/0/datatype", 'datatype "BF16" does not fit "km"']),
        ((KM[0] | {"datatype": "FP16", "name": "mk"}, KM[1]), ["/inputs/0/datatype", 'datatype "FP16" is not taken']),
        (tensor("mk", "FP64", [1.5, 2.5]), ["/inputs/mk there is no such field"]),
        (tensor("km", "INT64", [2**53 + 1, -1]) and tensor("km", "FP64", [math.inf, 1]), ["/inputs/km/0 the value is infinite"]),
    ],
)
def test_bytes_that_are_not_what_is_said_of_them_are_refused_in_words(
    border: Border, one: tuple[dict[str, Any], bytes], says: list[str]
) -> None:
    told = error(border, "late", one, TONNES)
    assert all(part in told for part in says), told


@pytest.mark.parametrize(
    ("count", "part", "says"),
    [
        (1, b"", "1 values of BYTES have at least 4 bytes"),
        (1, b"\1\0\0", "at least 4 bytes"),
        (1, b"\2\0\0\0a", "value 0 of 1 ends at byte 6"),
        (1, b"\xff\xff\xff\xffa", "value 0 of 1 ends at byte 4,294,967,299"),
        (2, b"\5\0\0\0abcde", "value 1 of 2 ends at byte 13"),
        (2, b"\2\0\0\0abcd", "value 1 of 2 ends at byte 10"),
        (1, b"\1\0\0\0ab", "1 values of BYTES end at byte 5"),
        (0, b"a", "0 values of BYTES end at byte 0"),
        (2, b"\1\0\0\0a\3\0\0\0\xed\xa0\x80", "byte 0 of the value is 0xed"),
        (1, b"\2\0\0\0a\xff", "byte 1 of the value is 0xff"),
    ],
)
def test_texts_that_are_cut_off_or_not_utf8_are_refused(count: int, part: bytes, says: str) -> None:
    found, [problem] = tensors_binary.unpack("BYTES", count, memoryview(part), "/inputs/0")
    assert found == []
    assert says in problem.why
    assert problem.where.startswith("/inputs/0/")


def test_a_bool_is_a_byte_of_zero_or_one() -> None:
    assert tensors_binary.unpack("BOOL", 3, memoryview(b"\0\1\1"), "") == ([False, True, True], [])
    found, [problem] = tensors_binary.unpack("BOOL", 3, memoryview(b"\0\1\2"), "/inputs/0")
    assert (found, problem.where, problem.what) == ([], "/inputs/0/data/2", "the byte 0x02 is not BOOL")


def test_all_problems_are_told_at_once(border: Border) -> None:
    told = error(border, "late", (KM[0] | {"datatype": "BYTES"}, KM[1]), tensor("tonnes", "FP64", [1.0], shape=[1, 1, 1]))
    assert "the request has 2 problems" in told
    assert "/inputs/0/datatype" in told
    assert "/inputs/1/shape" in told


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "", "9" * 19, "9" * 4_000, "٣", "99999"])
def test_a_length_that_is_none_or_beyond_the_body_is_refused(border: Border, length: str) -> None:
    answer = infer(border, "late", asked(KM, TONNES)[0], length)
    assert (answer.status, border.said) == (400, [])
    assert "Inference-Header-Content-Length is " in answer.document["error"]


def test_a_request_that_is_json_alone_may_say_how_long_it_is(border: Border) -> None:
    border.answers(True, 0.75)
    body = json.dumps({"inputs": [{"name": "rows", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}).encode()
    answer = infer(border, "late", body, len(body))
    assert (answer.status, answer.headers["content-type"], answer.rest) == (200, "application/json", b"")
    assert infer(border, "late", body, len(body) - 1).status == 400


def test_outputs_are_bytes_where_that_is_asked_for_and_an_output_counts_before_the_request(border: Border) -> None:
    border.answers(True, 0.75)
    own = [{"name": "probability"}, {"name": "prediction", "parameters": {"binary_data": False}}]
    answer = infer(border, "late", *asked(KM, TONNES, parameters={"binary_data_output": True}, outputs=own))
    prediction, probability = answer.document["outputs"]
    assert (prediction["data"], probability["parameters"]) == ([True, True], {"binary_data_size": 32})
    assert "data" not in probability
    assert answer.rest == struct.pack("<4d", 0.25, 0.75, 0.25, 0.75)
    assert answer.headers["content-type"] == "application/octet-stream"
    body, length = asked(KM, TONNES, parameters={"binary_data_output": True})
    both = infer(border, "late", body, length)
    assert both.rest == b"\1\1" + answer.rest
    plain = infer(border, "late", *asked(KM, TONNES))
    assert plain.headers["content-type"] == "application/json"
    assert plain.document["outputs"][1]["data"] == [0.25, 0.75, 0.25, 0.75]


@pytest.mark.parametrize(
    ("datatype", "values", "part"),
    [
        ("FP64", [1.5, 2], struct.pack("<2d", 1.5, 2)),
        ("INT64", [-1, 2**63 - 1], struct.pack("<2q", -1, 2**63 - 1)),
        ("BOOL", [True, False], b"\1\0"),
        ("BYTES", ["", "é"], b"\0\0\0\0\2\0\0\0\xc3\xa9"),
    ],
)
def test_what_is_attached_is_what_the_client_reads(datatype: str, values: list[Any], part: bytes) -> None:
    output = {"name": "prediction", "datatype": datatype, "shape": [2], "data": values}
    assert tensors_binary.attach([output], frozenset({"prediction"})) == part
    assert output == {"name": "prediction", "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(part)}}


@pytest.mark.parametrize(
    ("datatype", "values"), [("INT64", [1, "unknown"]), ("INT64", [2**63]), ("BOOL", [1]), ("BYTES", ["a", 1]), ("FP64", [None])]
)
def test_values_that_a_datatype_does_not_hold_stay_json(datatype: str, values: list[Any]) -> None:
    output = {"name": "prediction", "datatype": datatype, "shape": [2], "data": values}
    assert tensors_binary.attach([output], frozenset({"prediction"})) == b""
    assert (output["data"], "parameters" in output) == (values, False)


def test_a_log_that_is_full_is_told_beside_bytes_too(border: Border, monkeypatch: pytest.MonkeyPatch) -> None:
    border.answers(True, 0.75)
    monkeypatch.setattr(border.writer, "_write", lambda _data: False)
    answer = infer(border, "late", *asked(KM, TONNES, parameters={"binary_data_output": True}))
    assert (answer.headers["flyball-logged"], len(answer.rest)) == ("false", 34)


def test_without_a_name_of_ours_the_server_says_what_it_can(border: Border) -> None:
    answer = border.get("/v2")
    assert answer.document["extensions"] == ["binary_tensor_data"]


SIZES = st.one_of(st.integers(0, 4), st.sampled_from([7, 10_000, 10_001, 2**31, 2**62, 2**63 - 1, 2**63, -1]))
SAID = st.one_of(st.integers(-1, 40), st.sampled_from([2**40, 2**64, None, "8", 1.5, True]))


OWN = {"int": "INT64", "float": "FP64", "str": "BYTES", "time": "BYTES"}
VALUES = {
    "INT64": st.integers(-9, 99),
    "INT32": st.integers(-9, 99),
    "BOOL": st.booleans(),
    "BYTES": st.one_of(st.just("2026-01-31"), TEXT),
}
DAMAGE = ("nothing", "nothing", "a tensor", "the body", "the length")


@st.composite
def damaged(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], bytes]:
    """A tensor of which nothing need be true."""
    datatype = draw(st.sampled_from([*DTYPES, "BYTES", "FP16", "UINT8", ""]))
    part = draw(st.binary(max_size=40))
    if draw(st.booleans()) and datatype in (*DTYPES, "BYTES"):
        part = packed(datatype, draw(st.lists(VALUES.get(datatype, st.floats(width=32)), max_size=4)))
    shape = draw(st.one_of(st.lists(SIZES, max_size=3), st.lists(st.integers(0, 4), min_size=1, max_size=1)))
    one: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
    if draw(st.booleans()):
        return one | {"parameters": {"binary_data_size": draw(st.one_of(st.just(len(part)), SAID))}}, part
    return one | {"data": draw(st.lists(st.one_of(st.integers(-9, 99), st.floats(), TEXT, st.none()), max_size=4))}, b""


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes, str]:
    """A request that is sound but for one damage at most."""
    model, count, damage = draw(st.sampled_from(["price", "wins", "late", "mood"])), draw(st.integers(1, 3)), draw(st.sampled_from(DAMAGE))
    inputs = []
    for field in SIGNATURES[model].fields:
        kind = OWN[field.type]
        values = VALUES.get(kind, st.floats(-9, 9))
        if field.type == "time":
            values = st.just("2026-01-31")
        inputs.append(tensor(field.name, kind, draw(st.lists(values, min_size=count, max_size=count))))
    if damage == "a tensor":
        place = draw(st.integers(0, len(inputs)))
        name = inputs[place][0]["name"] if place < len(inputs) else draw(st.sampled_from(["rows", "n", "km"]))
        inputs[place : place + 1] = [draw(damaged(name))]
    more = draw(st.sampled_from([{}, {"parameters": {"binary_data_output": True}}, {"outputs": [{"name": "prediction"}]}]))
    body, length = asked(*inputs, **more)
    if damage == "the body":
        body = body[: draw(st.integers(0, len(body)))] + draw(st.binary(max_size=9))
    if damage == "the length":
        length = draw(st.integers(0, len(body) + 2))
    return model, body, str(length)


def test_no_bytes_whatever_they_are_cause_more_than_a_refusal_in_words() -> None:
    """A worker answers here, so that what is valid is 200: nothing else but refusals may come."""
    seen: dict[int, int] = {}
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        border = Border(Path(folder), Limits())

        @settings(max_examples=200, deadline=None, database=None)
        @given(requests())
        def check(request: tuple[str, bytes, str]) -> None:
            model, body, length = request
            border.answers(*{"price": (1.5, None), "wins": (1, 0.75), "late": (True, 0.75), "mood": ("yes", [0.25, 0.75])}[model])
            said = {"inference-header-content-length": length}
            answer = runner.run(border.ask(f"/v2/models/{model}/infer", body, headers=said))
            seen[answer.status] = seen.get(answer.status, 0) + 1
            assert border.said == []
            assert answer.status == 200 or (400 <= answer.status < 500 and answer.document["error"])

        check()
        border.writer.close()
    assert seen.keys() >= {200, 400, 422}


def test_bytes_in_the_right_form_are_never_misread_as_others() -> None:
    """Every cut of a good request is refused."""
    body, length = asked(tensor("n", "INT64", [1, 2]), tensor("x", "FP32", [1.5, 2.5]), tensor("note", "BYTES", ["a", "bcd"]))
    asked_so = tensors.parse(body, ("prediction",), length)
    assert tensors.columns(asked_so, SIGNATURES["price"]) == {"n": [1, 2], "x": [1.5, 2.5], "note": ["a", "bcd"]}
    for cut in range(length, len(body)):
        with pytest.raises(BadInput):
            tensors.parse(body[:cut], ("prediction",), length)


def test_booleans_of_all_fields_are_taken_as_bytes_and_as_numbers() -> None:
    signature = Signature(task="binary", fields=(Field(name="a", type="bool"), Field(name="b", type="bool")), classes=(0, 1))
    body, length = asked(tensor("rows", "BOOL", [True, False, False, True], shape=[2, 2]))
    assert tensors.columns(tensors.parse(body, (), length), signature) == {"a": [True, False], "b": [False, True]}
    said = {"inputs": [{"name": "rows", "shape": [2, 2], "datatype": "BOOL", "data": [1, 0, False, True]}]}
    found = tensors.columns(tensors.parse(json.dumps(said).encode(), ()), signature)
    assert [[type(one) for one in column] for column in found.values()] == [[bool, bool], [bool, bool]]


def test_the_row_limit_holds_and_the_largest_request_is_answered(border: Border) -> None:
    link = border.answers(1.5, None)

    def many(count: int) -> tuple[bytes, int]:
        n, x = tensor("n", "INT64", list(range(count))), tensor("x", "FP64", [0.5] * count)
        return asked(n, x, tensor("note", "BYTES", ["é"] * count), parameters={"binary_data_output": True})

    answer = infer(border, "price", *many(10_000))
    assert (answer.status, len(answer.rest)) == (200, 80_000)
    assert [one.rows for one in link.asked] == [10_000]
    assert infer(border, "price", *many(10_001)).status == 413
    large = asyncio.run(border.ask("/v2/models/price/infer", b"{}" + bytes(8 << 20), headers={"inference-header-content-length": "2"}))
    assert large.status == 413
