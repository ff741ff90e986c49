"""Where files stand apart, a broken one is left out of a version, and of no other: as soon as it is whole its rows are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from flyball.data import source
from flyball.data.commit import load_content
from flyball.data.refresh import refresh
from flyball.data.sources.access import access
from flyball.data.sources.wrong import MOST
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.loop.telling import line
from flyball.records.data import DataCommitted, DataRefused, DatasetRow, Finding
from flyball.store.blobs import LocalBlobs

MADE = Dataset("rows", source="rows/*.parquet", columns={"x": Column(int)})


def put(root: Path, name: str, value: int | None) -> None:
    """A file with one row; None: one that is broken."""
    path = root / "rows" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    if value is None:
        path.write_bytes(b"this is no Parquet")
    else:
        pl.DataFrame({"x": [value]}).write_parquet(path)


def held(event: object, blobs: LocalBlobs) -> tuple[list[int], tuple[Finding, ...]]:
    assert isinstance(event, DataCommitted), event
    return sorted(load_content(event.version.content, blobs)["x"].to_list()), event.findings


def test_a_file_that_becomes_whole_while_the_others_are_read_is_there_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, at = LocalBlobs(tmp_path / "blobs"), replace(access(tmp_path), apart=True)
    put(tmp_path, "a", 1)
    put(tmp_path, "b", None)
    asked, mark = [0], source.mark

    def later(*given: object) -> str:
        """The mark, and once it is known that a file is broken, whoever writes it is done."""
        found = mark(*given)  # type: ignore[arg-type]
        asked[0] += 1
        if asked[0] == 2:
            put(tmp_path, "b", 2)
        return found

    monkeypatch.setattr(source, "mark", later)
    first = refresh(MADE, at, blobs, None)
    row = DatasetRow(head=first.version, findings=first.findings) if isinstance(first, DataCommitted) else None
    found = refresh(MADE, at, blobs, row) or first
    assert held(found, blobs) == ([1, 2], ())


def test_however_many_files_are_broken_the_others_are_taken(tmp_path: Path) -> None:
    blobs, at = LocalBlobs(tmp_path / "blobs"), replace(access(tmp_path), apart=True)
    put(tmp_path, "whole", 1)
    for place in range(MOST + 1):
        put(tmp_path, f"broken-{place}", None)
    rows, findings = held(refresh(MADE, at, blobs, None), blobs)
    assert rows == [1]
    (told,) = findings
    assert (told.rule, told.count, told.of) == ("broken", MOST + 1, MOST + 2)
    assert told.values == tuple(f"rows/broken-{place}.parquet" for place in (0, 1, 10, 100, 11))
    assert f"it and {MOST} more are left out, the other file is taken; broken, too: rows/broken-1.parquet, " in told.text
    assert told.text.endswith(f"rows/broken-11.parquet, and {MOST - 4} more")


def test_what_the_contract_warns_of_is_told_beside_many_broken_files_and_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    blobs, at = LocalBlobs(tmp_path / "blobs"), replace(access(tmp_path), apart=True)
    names = [f"x{place}" for place in range(30)]
    (tmp_path / "rows").mkdir()
    pl.DataFrame({name: [9] for name in names}).write_parquet(tmp_path / "rows" / "whole.parquet")
    for place in range(25):
        put(tmp_path, f"broken-{place}", None)
    warned = Column(int, between=(0, 1), on_breach="warn")
    for count in (3, 30):
        made = Dataset("rows", source="rows/*.parquet", columns={name: warned if name in names[:count] else Column(int) for name in names})
        event = refresh(made, at, blobs, None)
        assert isinstance(event, DataCommitted), event
        assert [one.rule for one in event.findings] == ["broken", *["between"] * min(count, 19)]
        assert event.unlisted == max(count - 19, 0)
        assert line(event)[1].endswith(f" (and {count} more)")


def test_where_all_of_many_files_are_broken_all_of_them_are_counted(tmp_path: Path) -> None:
    for place in range(MOST + 30):
        put(tmp_path, f"broken-{place:03}", None)
    event = refresh(MADE, replace(access(tmp_path), apart=True), LocalBlobs(tmp_path / "blobs"), None)
    assert isinstance(event, DataRefused)
    assert len(event.violations) == 21
    assert event.violations[-1] == f"and {MOST + 10} more"
    assert f" (and {MOST + 29} more)   → " in line(event)[1]
