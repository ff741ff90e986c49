"""What is read as columns is what is read record by record, and what cannot be is handed back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.serving import packed, plain, wal

pack = msgspec.msgpack.encode
text = st.one_of(st.text(max_size=40), st.none())
number = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.none())
flag = st.one_of(st.booleans(), st.none())


def raw(rows: list[list[Any]]) -> list[msgspec.Raw]:
    return [msgspec.Raw(pack([row])) for row in rows]


def columns(rows: list[msgspec.Raw]) -> list[pl.Series] | None:
    """Packed rows as a series a field; none where not all of their bytes were read."""
    ends = np.cumsum([memoryview(row).nbytes for row in rows], dtype=np.int64)
    found = packed.fields(packed.Packed.of(b"".join(rows)), np.concatenate(([0], ends[:-1])))
    return found[0] if found is not None and bool((found[1] == ends).all()) else None


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
    found = columns(raw([list(row) for row in rows]))
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
    assert columns(raw(rows)) is None


def stretch(frames: list[bytes]) -> wal.Stretch:
    data = b"".join(frames)
    return wal.Stretch(data, wal.sound(data), 0, len(data))


def answer(request: str, *, rows: int = 1, marks: dict[str, Any] | None = None, status: str = "ok") -> bytes:
    given_rows = [[1.5, "a"]] * rows
    return wal.frame(
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


def test_frames_that_say_more_than_an_answer_are_handed_back() -> None:
    odd = [answer("b", rows=2), answer("c", marks={"fb": "champion"}), answer("d", status="error"), answer("e", marks={"t": [1]})]
    answers, labels, rest = plain.split(stretch([answer("a"), *odd, answer("f", marks={"ro": "r", "w": 500})]))
    assert rest == [1, 2, 3, 4]
    assert labels == []
    assert [(group.ids.to_list(), group.split) for group in answers] == [(["a"], ("", 0)), (["f"], ("r", 500))]
    assert answers[0].at(1_000_000).to_list() == [1_005]
    assert answers[0].latency_us().to_list() == [4]


def test_a_label_with_more_than_its_time_is_handed_back() -> None:
    frames = [wal.label_frame("m", "a", 1, 7, now_ns=1_000), wal.label_frame("m", "b", 1, 7, now_ns=9_000, attributes={"sex": "f"})]
    answers, labels, rest = plain.split(stretch(frames))
    assert answers == []
    assert [group.ids.to_list() for group in labels] == [["a"]]
    assert rest == [1]


def test_labels_of_one_moment_stay_in_their_order() -> None:
    """One request may have two labels of one row; the later counts."""
    first = wal.label_frame("m", "a", 0, 7, now_ns=5_001_000, attributes={"sex": "f"})
    second, apart = (wal.label_frame("m", "a", 1, 7, now_ns=at) for at in (5_001_900, 5_002_000))
    _, labels, rest = plain.split(stretch([first, second, apart]))
    assert rest == [0, 1]
    assert [(group.ids.to_list(), group.output[0].to_list(), group.frames.tolist()) for group in labels] == [(["a"], [1], [2])]


def frame(
    kind: str, request: str, *, model: str, role: str, marks: dict[str, Any] | None, row: list[Any], at: int, **more: Any
) -> memoryview:
    if kind == "label":
        return wal.label_frame("m", request, row[0], at, now_ns=at, attributes=marks)
    return wal.frame(
        kind,  # type: ignore[arg-type]
        request,
        picked_ns=at,
        answered_ns=at + 3_000,
        epoch=at % 300,
        version=model,
        role=role,
        rows=1,
        packed_input=pack([row]),
        packed_output=pack([[row[0], 0.25]]),
        marks=marks,
        **more,
    )


frames = st.lists(
    st.builds(
        frame,
        st.sampled_from(["answer", "answer", "shadow", "label", "refused"]),
        st.one_of(st.text(max_size=40), st.text("abc", min_size=60, max_size=300)),
        model=st.sampled_from(["m@1.0.0", "m@1.0.1", "another-model-with-a-longer-name@10.2.13"]),
        role=st.sampled_from(["champion", "shadow"]),
        marks=st.sampled_from([None, None, {"ro": "r1", "w": 500}, {"ro": "r1", "w": 192}, {"cv": [{"x": "imputed"}]}]),
        row=st.tuples(st.floats(allow_nan=False), st.text(max_size=5)).map(list),
        at=st.sampled_from([0, 127, 128, 70_000, 2**40]),
        key_hash=st.sampled_from(["", "a" * 32, "b" * 32]),
        status=st.sampled_from(["ok", "ok", "error"]),
        packed_vectors=st.sampled_from([b"", pack(["v", [7], [[1.0]]])]),
    ),
    max_size=30,
)


@settings(max_examples=200, deadline=None)
@given(frames)
def test_every_frame_is_in_one_group_or_handed_back_and_says_the_same_there(written: list[bytes]) -> None:
    found = stretch(written)
    answers, labels, rest = plain.split(found)
    assert sorted([*rest, *(one for group in [*answers, *labels] for one in group.frames.tolist())]) == list(range(len(written)))
    assert rest == sorted(rest)
    for group in [*answers, *labels]:
        known = found.records(group.frames.tolist())
        assert {(one.version, one.role, one.status, one.rows) for one in known} == {(group.version, group.role, "ok", 1)}
        assert group.ids.to_list() == [one.request_id for one in known]
        assert group.keys.to_list() == [one.key_hash or None for one in known]
        assert group.at(0).to_list() == [one.at for one in known]
        assert group.latency_us().to_list() == [(one.answered_ns - one.picked_ns) // 1000 for one in known]
        assert list(zip(*(series.to_list() for series in group.output), strict=True)) == [
            tuple(one.output[0]) for one in known if one.output
        ]
        if group.split is None:
            assert all((one.marks or {}).keys() <= {"t"} for one in known)
        else:
            assert {((one.marks or {}).get("ro", ""), (one.marks or {}).get("w", 0)) for one in known} == {group.split}
            assert list(zip(*(series.to_list() for series in group.input), strict=True)) == [
                tuple(one.input[0]) for one in known if one.input
            ]


values = {"f": st.floats(allow_nan=False), "t": st.text("ab\x00", max_size=14), "u": st.text(max_size=4), "i": st.integers(0, 2**40)}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_frames_that_differ_in_their_values_alone_are_one_group(data: st.DataObject) -> None:
    """Nearly all of a busy log: ids, times and names of one length each, and rows of one shape."""
    shape = data.draw(st.text("ftui", min_size=1, max_size=24))
    rows = data.draw(st.lists(st.tuples(*(values[kind] for kind in shape)).map(list), min_size=1, max_size=12))
    first, name = (
        data.draw(st.sampled_from([0, 2**33, 2**63 - 200_000, 2**63 + 5])),
        data.draw(st.sampled_from(["m@1.0.0", f"{'m' * 90}@1.0.0"])),
    )
    written = [
        frame("answer", f"{at:026d}", model=name, role="champion", marks=None, row=row, at=first + at * 10_000, key_hash="")
        for at, row in enumerate(rows)
    ]
    found = stretch(written)
    answers, _, rest = plain.split(found)
    if first >= 2**63:
        assert rest == list(range(len(rows)))
        return
    (group,) = answers
    assert rest == []
    assert group.version == name
    assert group.ids.to_list() == [f"{at:026d}" for at in range(len(rows))]
    assert group.picked_ns.tolist() == [first + at * 10_000 for at in range(len(rows))]
    assert [list(row) for row in zip(*(series.to_list() for series in group.input), strict=True)] == rows


def test_what_is_plain_is_nearly_always_read_as_columns() -> None:
    written = [
        frame(
            "answer",
            f"id-{at}",
            model=f"m{at % 7}@1.0.0",
            role="champion",
            marks={"ro": "r", "w": 9} if at % 3 else None,
            row=[1.5 * at, "a"],
            at=at,
        )
        for at in range(500)
    ]
    answers, _, rest = plain.split(stretch(written))
    assert rest == []
    assert len(answers) == 14
    assert sorted(name for group in answers for name in group.ids.to_list()) == sorted(f"id-{at}" for at in range(500))
