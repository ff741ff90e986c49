"""CSV in blocks: where they are cut changes neither a row nor a word of what is wrong."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.data import source
from flyball.data.sources import delimited
from flyball.data.sources.wrong import Wrong
from flyball.declare.data import Dataset
from flyball.errors import BadInput

NOTES = Dataset("notes", source="notes.csv", columns={"note": str, "n": int})


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(delimited, "BLOCK", 16)


def told(dataset, root):
    with pytest.raises(BadInput) as caught:
        source.read(dataset, root)
    return str(caught.value)


cell = st.text(st.sampled_from('ab,\n" é'), max_size=6)


@given(st.lists(st.tuples(cell, st.integers(0, 10**6)), min_size=1, max_size=30), st.integers(1, 40))
def test_blocks_of_any_size_give_the_same_rows(tmp_path_factory, rows, size):
    root = tmp_path_factory.mktemp("csv")
    quoted = "".join('"{}",{}\n'.format(note.replace('"', '""'), n) for note, n in rows)
    (root / "notes.csv").write_bytes(f"note,n\n{quoted}".encode())
    before = delimited.BLOCK
    try:
        delimited.BLOCK = size
        frame = source.read(NOTES, root)
    finally:
        delimited.BLOCK = before
    assert frame.rows() == rows


def test_a_fault_is_told_by_its_row_in_the_file_and_counted_over_all_blocks(root, write, small):
    write("note,n\n" + "".join(f"x,{'?' if row in (3, 50, 70, 71) else row}\n" for row in range(1, 101)), "notes.csv")
    said = told(NOTES, root)
    assert 'row 3: "?", row 50: "?", row 70: "?" (the first of 4)' in said


def test_ragged_lines_are_told_by_their_number_over_all_blocks(root, write, small):
    write("note,n\n" + "".join("x\n" if row in (2, 40, 80) else f"x,{row}\n" for row in range(1, 101)), "notes.csv")
    assert "notes.csv:3  the line has 1 cells, the header 2; lines 3, 41, 81 of 3 such lines" in told(NOTES, root)


def test_a_blank_line_between_blocks_is_a_line_and_at_the_end_it_is_nothing(root, write, small):
    write("note,n\nlong enough,1\n\nlong enough,2\n\n\n", "notes.csv")
    assert "notes.csv:3  the line has 0 cells" in told(NOTES, root)
    write("note,n\nlong enough,1\nlong enough,2\n\n\n\n", "notes.csv")
    assert source.read(NOTES, root)["n"].to_list() == [1, 2]


def test_bytes_that_are_not_utf8_are_told_by_line_and_place(root, write, small):
    write(b"note,n\n" + b"abcdefgh,1\n" * 5 + b"caf\xe9,2\n", "notes.csv")
    assert "notes.csv:7  the file is not UTF-8\n    why  byte 65" in told(NOTES, root)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_is_refused(root, write, encoding):
    write("note,n\né,1\n".encode(encoding), "notes.csv")
    assert "notes.csv" in told(NOTES, root)


def test_a_quote_that_is_never_closed_ends_the_file(root, write, small, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST", 1_000)
    write('note,n\n"' + "x\n" * 2_000, "notes.csv")
    assert "close the quotes" in told(NOTES, root)


def test_a_whole_file_is_read_in_blocks(root, write, small):
    write("note,n\n" + "".join(f"x,{row}\n" for row in range(200)), "notes.csv")
    wrong = Wrong()
    frames = list(delimited.batches(root / "notes.csv", "notes.csv", {"note": "str", "n": "int"}, wrong))
    assert len(frames) > 50
    assert pl.concat(frames)["n"].to_list() == list(range(200))


def test_faults_are_bounded_and_the_rest_counted(root, write):
    names = [f"c{place}" for place in range(150)]
    write("x\n1\n", "wide.csv")
    with pytest.raises(BadInput) as caught:
        source.read(Dataset("wide", source="wide.csv", columns=dict.fromkeys(names, int)), root)
    assert len(caught.value.problems) == 101
    assert "and 50 more" in str(caught.value.problems[-1])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('fine,1\nsize 5" pipe,2\nfine,3\nsize 6" pipe,4\n', "notes.csv:3  the line is not CSV\n    why  a quote stands in a cell without"),
        ('fine,1\n"Quillfeather"s,2\n', "notes.csv:3  the line is not CSV\n    why  ',' expected"),
        ('fine,1\n"Quillfeather,2\nfine,3\n', "notes.csv:3  the line is not CSV\n    why  unexpected end"),
        ('""x",x"\nxyy,2\n', "notes.csv:2  the line is not CSV"),
    ],
    ids=["inches", "behind quotes", "never closed", "moved to other columns"],
)
def test_quotes_that_say_nothing_are_told_by_their_line_and_without_what_stands_there(root, write, rows, said):
    write(f"note,n\n{rows}", "notes.csv")
    assert said in told(NOTES, root)
    assert "Quillfeather" not in told(NOTES, root)


def test_lines_that_end_with_a_carriage_return_alone_are_told(root, write):
    write("note,n\rx,1\ry,2\r", "notes.csv")
    assert "notes.csv:1  its lines end with a carriage return alone" in told(NOTES, root)


def test_a_quoted_text_of_any_length_is_read(root, write):
    write(f'note,n\n"{"long, " * 40_000}",1\n', "notes.csv")
    assert source.read(NOTES, root)["note"].str.len_bytes().to_list() == [240_000]
