"""What a source gave once is given again, in the same parts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest

from flyball.data.sources.spool import Spool

PARTS = [pl.DataFrame({"n": [1, 2]}), pl.DataFrame({"n": [3]})]


@pytest.fixture
def asked(tmp_path):
    """A spool of a stream that counts how often it is asked."""
    times = []

    def stream():
        times.append(1)
        yield from PARTS

    with Spool(stream, lambda: tempfile.TemporaryDirectory(dir=tmp_path)) as spool:
        yield spool, times
    assert list(Path(tmp_path).iterdir()) == []


def test_a_source_is_asked_once_however_often_its_rows_are_wanted(asked):
    spool, times = asked
    for _ in range(3):
        assert [part["n"].to_list() for part in spool()] == [[1, 2], [3]]
    assert times == [1]


def test_a_stream_that_was_left_is_asked_anew(asked):
    spool, times = asked
    next(spool())
    assert len(list(spool())) == 2
    assert times == [1, 1]


def test_what_the_stream_raises_is_raised_and_nothing_is_kept(tmp_path):
    def broken():
        yield PARTS[0]
        raise OSError("gone")

    with Spool(broken, lambda: tempfile.TemporaryDirectory(dir=tmp_path)) as spool:
        for _ in range(2):
            with pytest.raises(OSError, match="gone"):
                list(spool())
