from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.clock import instant
from flyball.errors import BadInput
from flyball.records.models import Field, Signature
from flyball.serving import explain
from flyball.serving.problems import TooLarge, Unparsable
from flyball.serving.validate import RowReader

SIGNATURE = Signature(
    task="binary",
    fields=(
        Field(name="day", type="int", low=1, high=7),
        Field(name="amount", type="float", low=0),
        Field(name="class", type="str", one_of=("new", "used")),
        Field(name="open", type="bool"),
        Field(name="seen", type="time", nullable=True),
        Field(name="note", type="str", nullable=True),
    ),
    classes=(0, 1),
)
GOOD = {"day": 2, "amount": 3.5, "class": "new", "open": True, "seen": "2026-01-01T00:00:00Z", "note": None}
READER = RowReader(SIGNATURE)


def read(**changes: object):
    return READER.read(json.dumps({"row": {**GOOD, **changes}}).encode())


def problems(**changes: object) -> dict[str, str]:
    with pytest.raises(BadInput) as caught:
        read(**changes)
    return {problem.where: problem.what for problem in caught.value.problems}


def test_a_good_row_is_its_values_in_signature_order() -> None:
    assert read().rows == [(2, 3.5, "new", True, 1_767_225_600_000_000, None)]


def test_an_integer_is_taken_where_a_number_is_wanted_and_becomes_one() -> None:
    assert type(read(amount=3).rows[0][1]) is float


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        ({"day": "2"}, "/row/day", '"2" is text'),
        ({"day": True}, "/row/day", "true is a boolean"),
        ({"day": 2.5}, "/row/day", "2.5 is a number"),
        ({"day": 8}, "/row/day", "8 is above 7"),
        ({"day": None}, "/row/day", "the value is null"),
        ({"amount": float("nan")}, "/row/amount", "the value is NaN"),
        ({"amount": float("inf")}, "/row/amount", "the value is infinite"),
        ({"amount": -1}, "/row/amount", "-1.0 is below 0"),
        ({"amount": [1]}, "/row/amount", "[1] is a list"),
        ({"class": "old"}, "/row/class", '"old" is not a declared value'),
        ({"open": 1}, "/row/open", "1 is an integer"),
        ({"seen": "yesterday"}, "/row/seen", '"yesterday" is not a time'),
        ({"seen": "9999-12-31T00:00:00Z"}, "/row/seen", '"9999-12-31T00:00:00Z" is too far away'),
        ({"note": "x" * 70_000}, "/row/note", "the text has 70,000 characters"),
        ({"day": 10**30}, "/row/day", "1000000000000000000000000000000 is too large"),
        ({"ammount": 1}, "/row/ammount", "there is no such field"),
    ],
)
def test_each_bad_value_is_named_where_it_stands(changes: dict[str, object], where: str, what: str) -> None:
    assert problems(**changes) == {where: what}


def test_every_problem_is_listed_at_once() -> None:
    row = {"day": 9, "ammount": 1, "class": "nwe", "open": "yes", "seen": None}
    with pytest.raises(BadInput) as caught:
        READER.read(json.dumps({"row": row, "idd": "x"}).encode())
    assert {problem.where for problem in caught.value.problems} == {
        "/idd", "/row/amount", "/row/note", "/row/ammount", "/row/day", "/row/class", "/row/open",
    }  # fmt: skip
    fixes = {problem.where: problem.fix for problem in caught.value.problems}
    assert fixes["/row/ammount"] == 'did you mean "amount"?'
    assert fixes["/row/class"] == 'did you mean "new"?'


@pytest.mark.parametrize("body", [b"", b"{", b"\xff{}", b"[1]", b'"x"', b"[" * 100_000])
def test_what_is_not_a_json_object_is_unparsable(body: bytes) -> None:
    with pytest.raises(Unparsable):
        READER.read(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"row": {}, "id": "\\ud800"}',
        b'{"row": {"note": "\\uDC00 alone"}}',
        b'{"row": {"day": ' + b"9" * 5_000 + b"}}",
    ],
)
def test_what_could_never_be_logged_is_unparsable(body: bytes) -> None:
    with pytest.raises(Unparsable):
        READER.read(body)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert READER.read(json.dumps({"row": {**GOOD, "note": "\U0001f600"}}).encode()).rows[0][-1] == "\U0001f600"


def test_an_integer_of_hundreds_of_digits_is_too_large() -> None:
    assert "too large" in problems(day=10**400)["/row/day"]
    assert "too large" in problems(amount=10**400)["/row/amount"]


def test_rows_and_columns_give_the_same_rows() -> None:
    rows = READER.read(json.dumps({"rows": [GOOD, {**GOOD, "day": 3}], "ids": ["a", "b"], "keys": ["k", "k"]}).encode())
    columns = READER.read(json.dumps({"columns": {name: [value, 3 if name == "day" else value] for name, value in GOOD.items()}}).encode())
    assert rows.rows == columns.rows
    assert (rows.ids, rows.keys) == (["a", "b"], ["k", "k"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"row": GOOD, "rows": [GOOD]},
        {"rows": []},
        {"columns": {}},
        {"columns": {name: [] for name in GOOD}},
        {"columns": {**{name: [value] for name, value in GOOD.items()}, "day": [1, 2]}},
        {"row": GOOD, "ids": ["a"]},
        {"rows": [GOOD], "ids": ["a", "b"]},
        {"rows": [GOOD, GOOD], "ids": ["a", "a"]},
        {"row": GOOD, "id": 5},
        {"row": GOOD, "time": "noon"},
        {"row": GOOD, "time": "2026-01-31T12:00:00"},
        {"row": 5},
    ],
)
def test_a_request_of_the_wrong_shape_is_refused(body: object) -> None:
    with pytest.raises(BadInput):
        READER.read(json.dumps(body).encode())


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T07:00:00-05:00", "2026-01-31 12:00:00.000Z", "20260131T120000Z"],
)
def test_a_time_is_read_with_its_zone(text: str) -> None:
    assert explain.zoned(text) == instant("2026-01-31T12:00:00Z")


@pytest.mark.parametrize("text", ["2026-01-31T12:00:00", "2026-01-31 12:00", "20260131T120000", "2026-01-31"])
def test_a_time_without_a_zone_is_refused_and_says_what_to_add(text: str) -> None:
    with pytest.raises(BadInput, match="has no zone") as raised:
        explain.zoned(text)
    assert raised.value.fix == "add Z for UTC, or an offset such as +01:00"


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-10, 10),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["new", "used", "2026-01-01"]),
)


@given(row=st.fixed_dictionaries({name: st.one_of(SCALARS, st.just(value)) for name, value in GOOD.items()}))
def test_the_fast_path_accepts_exactly_what_the_specification_accepts(row: dict[str, object]) -> None:
    body = json.dumps({"row": row}).encode()
    values, _, found = explain.check_row(explain.parse(body)["row"], SIGNATURE, "row")
    try:
        assert READER.read(body).rows == [values]
        assert not found
    except BadInput:
        assert found


WHOLE = (-(2**63) - 1, -(2**63), -1, 0, 1, 2**63 - 1, 2**63)
VALUES = {
    "int": st.one_of(st.integers(-3, 9), st.sampled_from(WHOLE)),
    "float": st.one_of(st.floats(), st.sampled_from([0.0, 1.5, 3.0, math.nan, math.inf])),
    "bool": st.booleans(),
    "str": st.sampled_from(["new", "used", "", "x" * 65_537]),
    "time": st.just("2026-01-01"),
}
ONE_OF = {"int": (0, 1, 2), "float": (0.0, 1.5, math.inf), "bool": (True,), "str": ("new", "x" * 65_537), "time": ("2026-01-01",)}


@st.composite
def fields(draw: st.DrawFn) -> Field:
    kind = draw(st.sampled_from(["int", "float", "float", "bool", "str", "time"]))
    return Field(
        name="x",
        type=kind,
        nullable=draw(st.booleans()),
        low=draw(st.sampled_from([None, None, 0, 0.5])),
        high=draw(st.sampled_from([None, None, 3, 3.5])),
        one_of=ONE_OF[kind] if draw(st.integers(0, 3)) == 0 else None,
        on_request=draw(st.sampled_from(["refuse", "impute", "mark"])),
        usual=1,
    )


@settings(max_examples=600)
@given(fields(), st.data())
def test_a_column_that_is_taken_as_a_whole_is_what_each_of_its_values_would_be(field: Field, data: st.DataObject) -> None:
    own = VALUES[field.type]
    other = data.draw(st.sampled_from([own, own, own, st.none(), *VALUES.values()]))
    values = data.draw(st.lists(own, max_size=2)) + data.draw(st.lists(other, max_size=1))
    marks: explain.Marks = {}
    settled = [explain.settle_value(value, field, "", marks) for value in values]
    if explain._all_hold(values, field):
        assert marks == {}
        assert [(type(one), one) for one in settled] == [(type(one), one) for one in values]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        (Field(name="x", type="float", low=0, high=2), [0.0, 2.0, 1.5]),
        (Field(name="x", type="int", low=0), [0, 2**63 - 1]),
        (Field(name="x", type="bool", nullable=True), [True, False]),
        (Field(name="x", type="str", one_of=("a", "b"), on_request="mark"), ["a", "b", "a"]),
    ],
)
def test_what_holds_is_seen_of_all_values_at_once(field: Field, values: list[object]) -> None:
    assert explain._all_hold(values, field)
    assert not explain._all_hold([*values, None], field)


WIDE = [(None, 1e19), (-1e300, 1e300), (1e19, 2e19), (-2e19, -1e19), (float(2**63), None), (0.2, 0.8), (-0.5, 1.5)]


@pytest.mark.parametrize(("low", "high"), WIDE)
def test_the_range_of_a_whole_number_may_be_any(low: float | None, high: float | None) -> None:
    signature = Signature(task="binary", fields=(Field(name="n", type="int", low=low, high=high),))
    reader = RowReader(signature)
    for value in WHOLE:
        body = f'{{"row": {{"n": {value}}}}}'.encode()
        _, _, found = explain.check_row({"n": value}, signature, "row")
        try:
            assert reader.read(body).rows == [(value,)]
            assert not found
        except BadInput:
            assert found


@pytest.mark.parametrize("name", ['size 12"', "C:\\x", "a/b~c", "*", "é"])
def test_a_field_may_have_any_name(name: str) -> None:
    reader = RowReader(Signature(task="binary", fields=(Field(name=name, type="float"), Field(name="other", type="str"))))
    assert reader.read(json.dumps({"row": {name: 2, "other": "x"}}).encode()).rows == [(2.0, "x")]
    with pytest.raises(BadInput) as caught:
        reader.read(json.dumps({"row": {name: "2", "other": "x"}}).encode())
    [problem] = caught.value.problems
    assert problem.where == explain.pointer("row", name)


def many(value: str) -> str:
    return "{" + ", ".join(f'"k{i}": {value}' for i in range(5_000)) + "}"


HOSTILE = {
    "wide": '{"row": ' + many("1") + "}",
    "bad rows": '{"rows": [' + ", ".join(["{}"] * 5_000) + "]}",
    "members": many("1"),
    "columns": '{"columns": ' + many("[1]") + "}",
    "bad values": json.dumps({"columns": {name: [[]] * 5_000 for name in GOOD}}),
    "wrong options": json.dumps(
        {"columns": {name: [value] * 5_000 for name, value in GOOD.items()} | {"class": [f"x{i}" for i in range(5_000)]}}
    ),
    "a long name": '{"row": {"' + "k" * 500_000 + '": 1}}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_a_refusal_costs_does_not_grow_with_what_is_wrong(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    guess, check = explain.get_close_matches, explain.check_row
    monkeypatch.setattr(
        explain, "get_close_matches", lambda name, of, n: looked.append(len(name) + sum(map(len, of))) or guess(name, of, n)
    )
    monkeypatch.setattr(explain, "check_row", lambda *told: looked.append(1) or check(*told))
    with pytest.raises(BadInput) as caught:
        READER.read(body.encode())
    assert len(caught.value.problems) <= explain.MOST_PROBLEMS
    assert ("more than 50 problems" in caught.value.what) is (len(caught.value.problems) == explain.MOST_PROBLEMS)
    assert len(str(caught.value)) < 20_000
    assert len(looked) <= 2 * explain.MOST_PROBLEMS
    assert max(looked, default=0) <= (explain.MOST_PROBLEMS + 1) * explain.LONGEST_NAME


@pytest.mark.parametrize("body", [{"rows": [GOOD] * 10_001}, {"columns": {name: [value] * 10_001 for name, value in GOOD.items()}}])
def test_a_request_has_ten_thousand_rows_at_most(body: object) -> None:
    with pytest.raises(TooLarge, match="10,001 rows") as caught:
        READER.read(json.dumps(body).encode())
    assert caught.value.status == 413
