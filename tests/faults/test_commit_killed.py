"""A process that stores a data set is killed at any moment: nothing refers to half a version, and the next one stores it whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from unittest import mock

import polars as pl
import pytest

from flyball.clock import Span
from flyball.data import chunks
from flyball.data.commit import commit, load_content
from flyball.data.manifest import names
from flyball.declare.data import Dataset
from flyball.governance.authority import LOOP
from flyball.ledger.verify import verify
from flyball.loop.collecting import garbage
from flyball.records.base import Record
from flyball.records.data import DATASETS, DataCommitted
from flyball.wiring import open_project

pytestmark = pytest.mark.process

ROWS = 4000


class Tell(Record, frozen=True):
    id: str
    actor: str = "loop"


def frame(start: int, stop: int) -> pl.DataFrame:
    at = pl.Series("at", range(start, stop), dtype=pl.Int64).cast(pl.Datetime("us"))
    return pl.DataFrame({"x": range(start, stop)}).with_columns(at)


def store(root: Path, rows: int, pause: float = 0.0) -> str:
    """Commit so many rows as the next version; its content. Each batch waits a little."""
    data = Dataset("d", source="d.csv", time="at", columns={"x": int})

    def coming():
        for start in range(0, rows, 100):
            time.sleep(pause)
            yield frame(start, min(start + 100, rows))

    # in this process for as long as it writes, for other tests come after it
    with closing(open_project(root)) as wired, mock.patch.multiple(chunks, MOST=2000, LEAST=500):
        row = wired.ledger.state().get(DATASETS, "d")
        version = commit(data, coming(), wired.blobs, row.head if row else None, "m")
        wired.ledger.execute(Tell(id=wired.ports.clock.new_id("cmd")), lambda *_: (DataCommitted(version=version),))
    return version.content


def test_nothing_refers_to_half_a_version(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").touch()
    first = store(tmp_path, 1000)
    child = "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1]); import test_commit_killed as t; t.store(Path(sys.argv[2]), t.ROWS, 0.02)"
    for moment in (3, 12, 25):
        blobs = tmp_path / ".flyball" / "blobs"
        before = sum(1 for _ in blobs.glob("*/*"))
        process = subprocess.Popen([sys.executable, "-c", child, str(Path(__file__).parent), str(tmp_path)], env=os.environ)
        while process.poll() is None and sum(1 for _ in blobs.glob("*/*")) < before + moment:
            pass
        assert process.poll() is None, "it was done before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        with closing(open_project(tmp_path)) as wired:
            report = verify(wired.ledger, wired.blobs)
            assert report.verified, report.problems
            assert wired.ledger.state().get(DATASETS, "d").head.content == first
            assert load_content(first, wired.blobs).height == 1000
    second = store(tmp_path, ROWS)
    with closing(open_project(tmp_path)) as wired:
        assert load_content(second, wired.blobs).equals(frame(0, ROWS))
        assert verify(wired.ledger, wired.blobs).verified
        # what the killed ones left is all used by the whole one now, or named by nothing and taken by gc after a day
        ports = wired.acting(LOOP)
        left = garbage(ports, now=ports.clock.now() + Span.parse("2d"), keep=Span.parse("90d"))
        assert not {first, second, *names(first, wired.blobs), *names(second, wired.blobs)} & set(left.blobs)
