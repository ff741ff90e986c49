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
from flyball.records.data import DataCommitted, DatasetRow, Finding
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
    assert {(one.rule, one.count, one.of) for one in findings} == {("broken", MOST + 1, MOST + 2)}
    assert findings[0].text.endswith("it is left out, the other file is taken")
