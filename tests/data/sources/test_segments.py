"""Segments of pushed rows: damage loses nothing that was sent before or behind it, numbers go on, and a push costs what it sends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyball.data.sources import segments as module
from flyball.data.sources.pushed import segments
from flyball.data.sources.segments import Segments
from flyball.errors import Corrupt


@pytest.fixture
def kept(tmp_path):
    """Five requests of a row each."""
    own = Segments(tmp_path / "pay")
    for number in range(1, 6):
        own.append([b'{"n":%d}' % number], number, f"k{number}")
    return own


def newest(own: Segments) -> Path:
    return own._paths()[-1]


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("place", [3, 60, 80], ids=["header", "a length", "a row"])
def test_a_damaged_row_is_told_and_what_lies_behind_it_is_not_cut_off(kept, tmp_path, place):
    path = newest(kept)
    flip(path, place)
    size = path.stat().st_size
    for act in (
        lambda own: own.append([b"{}"], 1, "new"),
        lambda own: list(own.since(0)),
        lambda own: own.end(),
        lambda own: own.erase(lambda *_: False),
    ):
        with pytest.raises(Corrupt, match="is damaged at byte"):
            act(Segments(tmp_path / "pay"))
    assert path.stat().st_size == size
    flip(path, place)
    assert [frame.first for frame in Segments(tmp_path / "pay").since(0)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("left", [b"\x50\x00\x00\x00torn", bytes(300)], ids=["a torn frame", "zeros"])
def test_what_a_kill_left_at_the_end_is_no_damage(kept, tmp_path, left):
    with newest(kept).open("ab") as file:
        file.write(left)
    own = Segments(tmp_path / "pay")
    assert own.append([b'{"n":6}'], 6, "k6") == 6
    assert [frame.last for frame in own.since(0)] == [1, 2, 3, 4, 5, 6]


def test_numbers_go_on_above_what_a_version_holds(kept):
    assert kept.append([b"{}", b"{}"], 1, "new", after=100) == 102
    assert kept.append([b"{}"], 1, "newer", after=7) == 103
    assert [frame.first for frame in kept.since(5)] == [101, 103]


def test_a_push_reads_nothing_that_this_process_has_written(kept, tmp_path, monkeypatch):
    read: list[Path] = []
    placed = module._placed
    monkeypatch.setattr(module, "_placed", lambda path: read.append(path) or placed(path))
    own = segments(tmp_path, "pay")
    own.append([b"{}"], 1, "a")
    assert read, "others have written it"
    read.clear()
    segments(tmp_path, "pay").append([b"{}"], 1, "b")
    assert not read
    assert own.append([b"{}"], 1, "a") == 6, "a command that was carried out is known without reading"


def test_commands_are_forgotten_with_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1)
    own = Segments(tmp_path / "pay")
    for number in range(1, 6):
        own.append([b"{}"], 1, f"k{number}")
        own.drop(number - 1)
    assert len(own._commands) <= 3


def test_what_a_killed_erasure_left_beside_goes_with_the_next_one(kept, tmp_path):
    left = newest(kept).with_suffix(f".{os.getpid() + 1}.tmp")
    left.write_bytes(b'{"who":"bob"}')
    kept.erase(lambda row, _at: row["n"] == 2)
    assert not left.exists()
    assert [frame.lines for frame in kept.since(0)][1] == b""
