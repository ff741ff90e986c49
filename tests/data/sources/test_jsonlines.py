"""JSON Lines are read as declared, or refused with every wrong line and value."""

from __future__ import annotations

import json

import pytest

from flyball.data import source
from flyball.data.sources import delimited, jsonlines
from flyball.data.sources.wrong import Wrong
from flyball.declare.data import Dataset
from flyball.errors import BadInput

ROWS = [
    {"n": 1, "x": 1, "ok": True, "text": "é", "at": "2026-01-01T00:00:00Z", "other": {"deep": [1]}},
    {"n": 2, "x": 2.5, "ok": False, "text": None, "at": "2026-01-01T01:00:00.25+01:00"},
    {"text": "", "n": None, "at": "2026-01-02"},
]
DATA = Dataset("d", source="d.jsonl", time="at", columns={"n": int, "x": float, "ok": bool, "text": str})


@pytest.fixture
def lines(write):
    def written(*rows, name="d.jsonl"):
        return write("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), name)

    return written


def told(root, dataset=DATA):
    with pytest.raises(BadInput) as caught:
        source.read(dataset, root)
    return str(caught.value)


@pytest.mark.parametrize("name", ["d.jsonl", "d.ndjson"])
def test_lines_become_typed_rows(root, lines, name):
    lines(*ROWS, name=name)
    frame = source.read(Dataset("d", source=name, time="at", columns=DATA.columns), root)
    assert frame.select("n", "x", "ok", "text").rows() == [(1, 1.0, True, "é"), (2, 2.5, False, None), (None, None, None, "")]
    assert [str(at) for at in frame["at"]] == ["2026-01-01 00:00:00", "2026-01-01 00:00:00.250000", "2026-01-02 00:00:00"]


def test_the_quick_and_the_careful_reader_agree(root, lines, monkeypatch):
    lines(*ROWS)
    quick = source.read(DATA, root)
    monkeypatch.setattr(jsonlines, "_quick", lambda *_: None)
    assert source.read(DATA, root).equals(quick)


def test_blocks_are_cut_between_lines(root, lines, monkeypatch):
    lines(*ROWS * 40)
    whole = source.read(DATA, root)
    monkeypatch.setattr(jsonlines, "BLOCK", 50)
    assert source.read(DATA, root).equals(whole)


def test_a_column_of_mixed_types_is_told_value_by_value(root, lines):
    lines({"n": 1, "x": 1.0, "ok": True, "text": "a", "at": "2026-01-01"}, *[{"n": "1", "x": "a", "ok": 1, "text": 5, "at": 7}] * 2)
    said = told(root)
    assert 'column "n" is not an int\n    why  line 2: "1", line 3: "1"' in said
    assert 'column "x" is not a finite float' in said
    assert 'column "ok" is not a bool\n    why  line 2: 1, line 3: 1' in said.replace('"1"', "1")
    assert 'column "text" is not text' in said
    assert 'column "at" is not a time' in said


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"n": 1', "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"n": 1, "n": 2}', '"n" stands twice in it'),
        ('{"n": NaN, "x": Infinity}', 'column "n" is not an int'),
        ('{"n": 1.5}', 'column "n" is not an int'),
        ('{"n": 99999999999999999999}', 'column "n" is not an int'),
        ('{"x": 1e999}', 'column "x" is not a finite float'),
        ('{"n": ' + "[" * 3_000 + "]" * 3_000 + "}", "n"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(root, lines, line, says):
    lines(*ROWS, line)
    said = told(root)
    assert says in said
    assert "4" in said


def test_a_whole_number_written_with_a_point_is_one(root, lines):
    lines({"n": 3.0, "x": 1, "ok": True, "text": "", "at": "2026-01-01"})
    assert source.read(DATA, root)["n"].to_list() == [3]


def test_a_column_that_no_line_has_is_missing_and_the_nearest_name_is_said(root, lines):
    lines({"n": 1, "x": 1.0, "okay": True, "text": "a", "at": "2026-01-01"})
    said = told(root)
    assert 'column "ok" is missing' in said
    assert "okay" in said


def test_values_of_persons_are_not_shown(root, lines):
    lines({"who": 5, "at": "2026-01-01"})
    said = told(root, Dataset("d", source="d.jsonl", time="at", subject="who", columns={"who": str}))
    assert 'column "who" is not text\n    why  line 1' in said
    assert "line 1:" not in said


@pytest.mark.parametrize(("data", "says"), [(b"", "the file is empty"), (b'{"text": "\xe9"}\n', "d.jsonl:1  the file is not UTF-8")])
def test_a_file_that_is_no_text_is_refused(root, write, data, says):
    write(data, "d.jsonl")
    assert says in told(root)


def test_a_byte_order_mark_and_blank_lines_change_nothing(root, write, lines):
    plain = source.read(Dataset("d", source=lines(*ROWS).name, time="at", columns=DATA.columns), root)
    write(b"\xef\xbb\xbf" + "\n\n".join(json.dumps(row) for row in ROWS).encode(), "d.jsonl")
    assert source.read(DATA, root).equals(plain)


def test_a_line_cut_short_by_a_writer_is_named(root, lines, write):
    path = lines(*ROWS)
    path.write_bytes(path.read_bytes()[:-8])
    assert "d.jsonl:3  the line is not a JSON object" in told(root)


def test_blocks_share_one_size():
    assert jsonlines.BLOCK == delimited.BLOCK


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_json_number_is_refused_wherever_arrow_takes_it(root, lines, number):
    lines('{"n": 1, "x": 2, "ok": true, "text": "a", "at": "2026-01-01"}', f'{{"x": {number}, "at": "2026-01-01"}}')
    assert 'column "x" is not a finite float\n    why  line 2:' in told(root)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"text": "\\ud800", "at": "2026-01-01"}', 'column "text" is not text\n    why  line 1: "\\ud800"'),
        ("[" * 100_000 + "]" * 100_000, "d.jsonl:1  the line is not a JSON object"),
        ('["Quillfeather"]', "the line is not a JSON object\n    why  it is a list"),
    ],
    ids=["half a pair", "deep", "a list"],
)
def test_lines_that_break_readers_are_told(root, lines, line, said):
    lines(line)
    assert said in told(root)
    assert "Quillfeather" not in told(root)


def test_a_quote_within_a_text_does_not_join_the_lines_behind_it(monkeypatch):
    monkeypatch.setattr(jsonlines, "LONGEST", 500)
    wrong = Wrong()
    parts = [b'{"text": "a \\" b"}\n', *(b'{"text": "' + b"c" * 80 + b'"}\n' for _ in range(20))]
    frames = list(jsonlines.blocks(iter(parts), "d.jsonl", {"text": "str"}, wrong))
    assert (sum(frame.height for frame in frames), len(frames), wrong.problems()) == (21, 21, ())
    list(jsonlines.blocks(iter([b'{"text": "', *[b"c" * 80] * 20]), "d.jsonl", {"text": "str"}, wrong))
    assert "a line has more than" in str(wrong.problems()[0])
