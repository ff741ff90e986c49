"""When a running flyball looks at a source again, and what it does where the look comes to nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.clock import Instant, Span, VirtualClock
from flyball.data.against import Against
from flyball.data.erasures import NONE
from flyball.data.sources.access import Access, Killed
from flyball.declare.data import Dataset, sql
from flyball.errors import FlyballError, Unavailable
from flyball.loop import live
from flyball.loop.live import LiveData
from flyball.loop.reading import Reader
from flyball.records.base import Event
from flyball.records.data import DataCommitted, DataRefused, DatasetRow
from flyball.records.declarations import DeclarationRow
from flyball.store.blobs import LocalBlobs

START = 1_800_000_000_000_000
S = 1_000_000
DECLARED = DeclarationRow(model="m", file="loop.py", version_digest="", policy_digest="", body="", code="", applied_at=0)


class Look:
    """A data set in SQLite, and a running flyball that looks at it in virtual time."""

    def __init__(self, root: Path) -> None:
        self.clock = VirtualClock(START)
        self.blobs = LocalBlobs(root / "blobs")
        self.row: DatasetRow | None = None
        self.reads: list[Instant] = []
        self._connection = sqlite3.connect(root / "t.db")
        self.do("create table t (n real)")
        self.do("insert into t values (1)")
        self._data = LiveData(
            Counting(root, self), self.blobs, self.clock.now, Span.parse("5m"), erasures=lambda _: NONE, against=Against
        )  # fmt: skip

    def do(self, statement: str) -> None:
        self._connection.execute(statement)
        self._connection.commit()

    def at(self, seconds: float, dataset: Dataset) -> Event | None:
        """What is found at this second."""
        self.clock.advance_to(START + int(seconds * S))
        self._data.refresh(dataset, self.row, DECLARED)
        thread = self._data._reading.get(dataset.name)
        if thread is not None:
            thread.join()
        found = self._data._found.pop(dataset.name, None)
        if isinstance(found, DataCommitted):
            self.row = DatasetRow(head=found.version)
        elif isinstance(found, DataRefused):
            self.row = DatasetRow(head=self.row.head if self.row else None, refused_mark=found.source_mark, violations=found.violations)
        return found

    def close(self) -> None:
        self._connection.close()


class Counting(Reader):
    """Notes when something is read; `killed` children end before they have read."""

    def __init__(self, root: Path, look: Look) -> None:
        super().__init__(root)
        object.__setattr__(self, "_look", look)

    def access(self, code: object) -> Access:
        look: Look = self._look  # type: ignore[attr-defined]
        look.reads.append((look.clock.now() - START) // S)
        if getattr(look, "killed", False):
            raise Killed("the process that reads it was ended by SIGKILL", retry_after=10)
        return super().access(None)


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Look]:
    made = Look(tmp_path)
    yield made
    made.close()


def rows(**more: str) -> Dataset:
    return Dataset("t", source=sql("select n from t", url="sqlite:///t.db"), columns={"n": float}, **more)


def test_a_query_is_asked_again_after_the_setting_and_unchanged_rows_are_no_news(look: Look) -> None:
    assert isinstance(look.at(0, rows()), DataCommitted)
    assert [look.at(second, rows()) for second in (1, 100, 299, 300, 301, 599, 601)] == [None] * 7
    assert look.reads == [0, 300, 601]


def test_half_of_the_freshness_says_how_often(look: Look) -> None:
    for second in range(0, 100, 5):
        look.at(second, rows(freshness="1m"))
    assert look.reads == [0, 30, 60, 90]


def test_new_rows_of_a_query_are_a_new_version(look: Look) -> None:
    look.at(0, rows())
    look.do("insert into t values (2)")
    found = look.at(300, rows())
    assert isinstance(found, DataCommitted)
    assert (found.version.version, found.version.rows) == ("1.0.1", 2)


def test_another_query_is_asked_at_once(look: Look) -> None:
    look.at(0, rows())
    other = Dataset("t", source=sql("select n + 1 as n from t", url="sqlite:///t.db"), columns={"n": float})
    assert isinstance(look.at(1, other), DataCommitted)


def test_what_is_wrong_is_said_once_as_long_as_it_is_the_same(look: Look) -> None:
    look.do("insert into t values ('x')")
    assert isinstance(look.at(0, rows()), DataRefused)
    assert look.at(300, rows()) is None
    look.do("insert into t values ('y')")
    assert isinstance(look.at(600, rows()), DataRefused)
    look.do("delete from t where n in ('x', 'y')")
    assert isinstance(look.at(900, rows()), DataCommitted)


def test_a_killed_child_is_tried_again_soon_and_refused_after_the_third_time(look: Look) -> None:
    look.killed = True  # type: ignore[attr-defined]
    found = [look.at(second, rows()) for second in range(0, 60, 5)]
    assert look.reads == [0, 10, 20]
    assert [isinstance(each, DataRefused) for each in found].index(True) == 4
    assert "SIGKILL" in str(next(each for each in found if each))
    look.killed = False  # type: ignore[attr-defined]
    assert isinstance(look.at(320, rows()), DataCommitted)
    assert live.TRIES == 3


def test_a_disk_that_refuses_while_one_source_is_read_is_that_source_s_own_trouble(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset("t", source=sql("select n from t", url="sqlite:///t.db"), columns={"n": float})

    def full(*_: object, **_more: object) -> None:
        raise OSError(28, "No space left on device", "scratch/x")

    monkeypatch.setattr("flyball.data.refresh.refresh", full)
    assert look.at(0, data) is None
    with pytest.raises(FlyballError, match='data set "t" was not read: No space left on device') as caught:
        look.at(1, data)
    assert not isinstance(caught.value, Unavailable), "which would keep the loop of all models from going on"


@pytest.mark.parametrize(("freshness", "again"), [(None, 20), ("20s", 12)], ids=["a tenth of the time", "half its freshness at most"])
def test_a_look_at_pushed_rows_that_takes_long_is_not_followed_by_the_next_at_once(
    look: Look, monkeypatch: pytest.MonkeyPatch, freshness: str | None, again: int
) -> None:
    data = Dataset("p", source="push://", columns={"n": float}, freshness=freshness, time="at")
    begun: list[float] = []

    def slow(*_: object, **_more: object) -> None:
        begun.append((look.clock.now() - START) / S)
        look.clock.advance_to(look.clock.now() + 2 * S)

    monkeypatch.setattr("flyball.data.refresh.refresh", slow)
    for second in range(60):
        if START + second * S >= look.clock.now():
            look.at(second, data)
    assert begun[:2] == [0, again]
