"""Frames and functions of this process: what they give is typed like any source, and what they raise is theirs to read."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest

from flyball.data import source
from flyball.data.rules import is_timed
from flyball.declare import codec
from flyball.declare.data import Dataset
from flyball.declare.functions import is_frame
from flyball.errors import BadInput

FRAME = pl.DataFrame({"n": [2, 1], "x": [0.5, None]})


def data(made):
    return Dataset("d", source=made, columns={"n": int, "x": float})


def told(made, root):
    with pytest.raises(BadInput) as caught:
        source.read(data(made), root)
    return str(caught.value)


@pytest.mark.parametrize("made", [FRAME, FRAME.to_arrow(), lambda: FRAME, FRAME.lazy, FRAME.to_arrow, lambda: [FRAME[:1], FRAME[1:]]])
def test_whatever_holds_the_rows_they_are_the_same(root, made):
    assert source.read(data(made), root).equals(FRAME)


def test_a_generator_gives_batches(root):
    def parts():
        yield FRAME[:1]
        yield FRAME[1:]

    assert source.read(data(parts), root).equals(FRAME)


def test_a_pandas_frame_is_read_without_its_index(root):
    pandas = pytest.importorskip("pandas")
    made = pandas.DataFrame({"n": [2, 1], "x": [0.5, None]}, index=[7, 8])
    assert source.read(data(made), root).equals(FRAME)
    assert source.read(data(lambda: made), root).equals(FRAME)
    assert "cannot be read" in told(pandas.DataFrame({"n": [1, "a"], "x": [0.5, 1.0]}), root)
    assert is_frame(made)


def test_frames_are_told_apart_by_their_rows_in_a_declaration():
    digests = {codec.frame_digest(made) for made in (FRAME, FRAME.to_arrow(), FRAME.reverse())}
    assert len(digests) == 2
    assert is_frame(pa.table({"n": [1]}))
    assert not is_frame(lambda: FRAME)


def fails():
    return 1 / 0


def test_a_function_that_raises_is_told_with_its_line(root):
    said = told(fails, root)
    assert 'data set "d": its source raised ZeroDivisionError: division by zero' in said
    assert "fails is the project's own code, at " in said
    assert f"test_called.py:{fails.__code__.co_firstlineno + 1}" in said


@pytest.mark.parametrize("made", [lambda: 7, lambda: None, lambda: {"n": [1]}])
def test_what_is_no_frame_is_refused(root, made):
    assert "its source gives" in told(made, root)


def test_a_generator_that_raises_halfway_is_told(root):
    def parts():
        yield FRAME
        raise OSError("the service is gone")

    assert "its source raised OSError: the service is gone" in told(parts, root)


def test_a_column_of_another_type_is_refused(root):
    assert 'column "n" is not an int' in told(lambda: FRAME.with_columns(n=pl.lit("a")), root)


def test_a_function_is_timed_and_a_frame_is_not():
    assert is_timed(data(fails))
    assert not is_timed(data(FRAME))


def test_a_generator_is_asked_for_a_part_when_the_one_before_is_used(root):
    given = []

    def parts():
        for number in range(3):
            given.append(number)
            yield pl.DataFrame({"n": [number]})

    coming = source.stream(Dataset("d", source=parts, columns={"n": int}), root)
    assert next(coming)["n"].to_list() == [0]
    assert given == [0]
    assert [batch["n"].item() for batch in coming] == [1, 2]


def test_what_cannot_be_one_type_is_told_without_a_value_where_persons_are_named(root):
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame({"who": [1, "Quillfeather"]})
    for more in ({}, {"subject": "who"}):
        with pytest.raises(BadInput) as caught:
            source.read(Dataset("d", source=lambda: rows, columns={"who": str}, **more), root)
        assert ("Quillfeather" in str(caught.value)) == (not more)
