"""What is read as columns is what is read record by record, and what cannot be is handed back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.serving import plain, wal

pack = msgspec.msgpack.encode
text = st.one_of(st.text(max_size=40), st.none())
number = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.none())
flag = st.one_of(st.booleans(), st.none())


def raw(rows: list[list[Any]]) -> list[msgspec.Raw]:
    return [msgspec.Raw(pack([row])) for row in rows]


def same(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right
    return left == right or (left != left and right != right)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([text, number, flag]), min_size=1, max_size=20).flatmap(
        lambda kinds: st.lists(st.tuples(*kinds), min_size=1, max_size=12)
    )
)
def test_a_field_of_one_sort_is_read_as_it_was_written(rows: list[tuple[Any, ...]]) -> None:
    found = plain.columns(raw([list(row) for row in rows]))
    assert found is not None
    for place, series in enumerate(found):
        wanted = [row[place] for row in rows]
        floats = any(isinstance(value, float) for value in wanted)
        assert all(
            same(float(value) if floats and value is not None else value, got) for value, got in zip(wanted, series.to_list(), strict=True)
        )


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0], ["a"]],
        [[1.0, 2.0], [1.0]],
        [[[0.1, 0.9]], [[0.2, 0.8]]],
        [[True], [1]],
        [[2**64 - 1], [1]],
        [[b"bytes"], [b"more"]],
        [["x" * 300], ["y"]],
    ],
)
def test_what_is_of_several_sorts_or_of_none_that_is_known_is_left(rows: list[list[Any]]) -> None:
    assert plain.columns(raw(rows)) is None


def answer(request: str, *, rows: int = 1, marks: dict[str, Any] | None = None, status: str = "ok") -> memoryview:
    given_rows = [[1.5, "a"]] * rows
    made = wal.frame(
        "answer",
        request,
        picked_ns=5_000,
        answered_ns=9_000,
        version="m@1.0.0",
        role="champion",
        status=status,
        rows=rows,
        packed_input=pack(given_rows),
        packed_output=pack([[1, 0.5]] * rows),
        marks=marks,
    )
    return memoryview(made)[8:]


def test_frames_that_say_more_than_an_answer_are_handed_back() -> None:
    odd = [answer("b", rows=2), answer("c", marks={"fb": "champion"}), answer("d", status="error"), answer("e", marks={"t": [1]})]
    answers, labels, rest = plain.split([answer("a"), *odd, answer("f", marks={"ro": "r", "w": 500})])
    assert rest == odd
    assert labels == []
    assert [(group.ids().to_list(), group.split) for group in answers] == [(["a"], ("", 0)), (["f"], ("r", 500))]
    assert answers[0].at(1_000_000).to_list() == [1_005]
    assert answers[0].latency_us().to_list() == [4]


def test_a_label_with_more_than_its_time_is_handed_back() -> None:
    frames = [wal.label_frame("m", "a", 1, 7, now_ns=1_000), wal.label_frame("m", "b", 1, 7, now_ns=1_000, attributes={"sex": "f"})]
    bodies = [memoryview(one)[8:] for one in frames]
    answers, labels, rest = plain.split(bodies)
    assert answers == []
    assert [group.ids().to_list() for group in labels] == [["a"]]
    assert rest == bodies[1:]
