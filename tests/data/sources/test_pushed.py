"""Pushed rows: kept before anybody is answered, whatever ends the process; read behind what a version holds; gone from here once it does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import polars as pl
import pytest

from flyball.clock import Span
from flyball.data import source
from flyball.data.commit import load_content
from flyball.data.fold import FOLDS
from flyball.data.refresh import refresh
from flyball.data.sources.access import Access
from flyball.data.sources.pushed import checked, pushed_since, segments, through
from flyball.data.sources.segments import Segments
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import BadInput, Unavailable
from flyball.ledger.projection import MemoryProjection
from flyball.loop import pushing
from flyball.records.base import Recorded
from flyball.records.data import DATASETS, DataCommitted, DataRefused

NOW = 1_800_000_000_000_000
DATA = Dataset(
    "pay",
    source="push://",
    time="at",
    arrived="came",
    id="id",
    subject="who",
    columns={
        "amount": Column(float, between=(0, 100)),
        "kind": Column(str, one_of=("a", "b"), nulls="50%"),
        "late": Column(int, known_after="1d"),
    },
)


def row(number, **more):
    return {"id": f"p{number}", "who": "ana", "at": f"2026-01-01T00:00:{number:02}Z", "amount": float(number), "kind": "a", **more}


@pytest.fixture
def place(root):
    """What reading needs, and a way to push."""
    return Access(root, pushed=root / "push")


def push(place, *rows, command="", data=DATA, at=NOW):
    lines = [checked(data, each, at) for each in rows]
    return segments(place.pushed, data.name).append(lines, at, command or os.urandom(8).hex())


class Looked:
    """Looks at the source, and folds what it comes to."""

    def __init__(self, place, blobs):
        self.place, self.blobs, self.rows = place, blobs, MemoryProjection()

    def __call__(self, data=DATA):
        event = refresh(data, self.place, self.blobs, self.head(data))
        if event is not None:
            FOLDS[type(event)](self.rows, Recorded(1, 0, "loop", "c", event))
        return event

    def head(self, data=DATA):
        return self.rows.get(DATASETS, data.name)

    def ids(self):
        return load_content(self.head().head.content, self.blobs)["id"].to_list()


@pytest.fixture
def look(place, blobs):
    return Looked(place, blobs)


def test_pushed_rows_become_versions_and_what_a_version_holds_is_kept_once(place, look, monkeypatch):
    monkeypatch.setattr("flyball.data.sources.segments.LARGEST", 1)
    push(place, row(1), row(2))
    assert look().version.rows == 2
    assert look() is None
    push(place, row(4))
    push(place, row(3))
    version = look().version
    assert (version.version, look.ids()) == ("1.0.1", ["p1", "p2", "p3", "p4"])
    own = segments(place.pushed, "pay")
    assert own.drop(through(version, DATA)) == 2
    assert look() is None, "what is gone from here is in the version"
    push(place, row(5))
    assert look().version.version == "1.0.2"
    assert look.ids() == ["p1", "p2", "p3", "p4", "p5"]


def test_a_moment_of_arrival_is_noted_where_none_was_sent(place, look):
    push(place, row(1), row(2, came="2026-01-02T00:00:00Z"))
    look()
    came = load_content(look.head().head.content, look.blobs)["came"].to_list()
    assert [str(each) for each in came] == ["2027-01-15 08:00:00", "2026-01-02 00:00:00"]


def test_rows_that_come_while_others_are_read_are_in_the_next_version(place, look, monkeypatch):
    push(place, row(1))
    real = source.stream

    def meanwhile(dataset, at):
        for batch in real(dataset, at):
            push(place, row(2))
            yield batch

    monkeypatch.setattr(source, "stream", meanwhile)
    assert look().version.rows == 1
    monkeypatch.setattr(source, "stream", real)
    assert look().version.rows == 2


def test_a_row_sent_again_under_its_unique_columns_takes_the_place_of_the_first(place, blobs):
    data = Dataset("pay", source="push://", time="at", id="id", unique="id", columns={"amount": float})
    look = Looked(place, blobs)
    sent = [
        {"id": "a", "at": "2026-01-01", "amount": 1},
        {"id": "b", "at": "2026-01-02", "amount": 2},
        {"id": "a", "at": "2026-01-01", "amount": 3},
    ]
    push(place, *sent, data=data)
    assert look(data).version.rows == 2
    push(place, {"id": "b", "at": "2026-01-02", "amount": 4}, data=data)
    look(data)
    assert load_content(look.head(data).head.content, blobs).select("id", "amount").rows() == [("a", 3.0), ("b", 4.0)]


def test_a_column_that_is_declared_later_is_missing_in_what_was_pushed_before(place, look):
    push(place, row(1))
    look()
    push(place, row(2))
    wider = replace(DATA, columns={**DATA.columns, "city": Column(str, nulls="100%")})
    assert look(wider).version.version == "1.1.0"
    assert load_content(look.head().head.content, look.blobs)["city"].to_list() == [None, None]


def test_a_contract_of_all_rows_is_looked_at_when_a_version_is_made(place, look):
    push(place, row(1), row(2))
    stricter = replace(DATA, min_rows=3)
    assert isinstance(look(stricter), DataRefused)
    push(place, row(3))
    assert isinstance(look(stricter), DataCommitted)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ([1], "no object"),
        (row(1, amuont=1), '"amuont" is not a column'),
        (row(1, amount="1"), '"amount" is no float: 1'),
        (row(1, amount=True), '"amount" is no float'),
        (row(1, amount=101), '"amount" is not between 0 and 100: 101.0'),
        (row(1, amount=None), '"amount" is missing'),
        (row(1, kind="c"), '"kind" is not one of a, b: c'),
        (row(1, id=None), '"id" is missing'),
        (row(1, at=None), '"at" is missing'),
        (row(1, at="yesterday"), '"at" is no time'),
        (row(1, at="9999-01-01"), "no plausible time"),
        (row(1, came="2027-02-01T00:00:00Z"), "lies in the future"),
        (row(1, who=7), '"who" is no str'),
        (row(1, late=1.5), '"late" is no int'),
    ],
)
def test_a_row_that_its_contract_refuses_is_told(sent, says):
    with pytest.raises(BadInput) as caught:
        checked(DATA, sent, NOW)
    assert says in str(caught.value)
    assert "ana" not in str(caught.value)


def test_a_value_that_may_be_missing_or_come_later_may_be_left_out():
    made = json.loads(checked(DATA, {key: value for key, value in row(1).items() if key != "kind"}, NOW))
    assert (made["kind"], made["late"]) == (None, None)


def test_a_value_of_a_person_is_not_told():
    with pytest.raises(BadInput) as caught:
        checked(DATA, row(1, who=["quill"]), NOW)
    assert "quill" not in str(caught.value)


def test_the_same_command_is_carried_out_once_by_whatever_process(place):
    first = push(place, row(1), command="key_1")
    assert push(place, row(1), command="key_1") == first
    assert Segments(place.pushed / "pay").append([b"{}"], NOW, "key_1") == first
    assert segments(place.pushed, "pay").end() == 1


def test_who_cannot_wait_takes_rows_from_a_cursor_on(place):
    assert pushed_since(DATA, 0, place.pushed).frame.is_empty()
    push(place, row(1), row(2))
    found = pushed_since(DATA, 0, place.pushed)
    assert (found.frame["id"].to_list(), found.cursor, found.missed) == (["p1", "p2"], 2, False)
    assert found.frame.schema["at"] == pl.Datetime("us")
    push(place, row(3))
    assert pushed_since(DATA, found.cursor, place.pushed).frame["id"].to_list() == ["p3"]


def test_who_comes_late_is_told_that_rows_are_in_versions_only(place, monkeypatch):
    monkeypatch.setattr("flyball.data.sources.segments.LARGEST", 1)
    push(place, row(1))
    push(place, row(2))
    segments(place.pushed, "pay").drop(1)
    assert pushed_since(DATA, 0, place.pushed).missed
    assert not pushed_since(DATA, 1, place.pushed).missed


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
def test_a_torn_end_is_cut_off_and_written_over(place, cut):
    push(place, row(1))
    push(place, row(2))
    (path,) = (place.pushed / "pay").glob("*.rows")
    path.write_bytes(path.read_bytes()[:-cut])
    assert segments(place.pushed, "pay").end() == 1
    assert push(place, row(3)) == 2
    assert pushed_since(DATA, 0, place.pushed).frame["id"].to_list() == ["p1", "p3"]


def test_a_segment_of_which_nothing_came_to_the_disk_is_begun_again(place):
    (place.pushed / "pay").mkdir(parents=True)
    (place.pushed / "pay" / "000000000001.rows").write_bytes(b"fly")
    assert push(place, row(1)) == 1
    assert segments(place.pushed, "pay").end() == 1


def test_threads_and_processes_lose_nothing_to_each_other(place):
    def some(which):
        own = Segments(place.pushed / "pay")
        for number in range(20):
            own.append([b'{"n": 1}'], NOW, f"{which}-{number}")

    threads = [threading.Thread(target=some, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = list(segments(place.pushed, "pay").since(0))
    assert [frame.first for frame in frames] == list(range(1, 81))


def test_a_process_that_is_killed_while_it_pushes_has_kept_all_it_was_told_is_kept(place):
    program = """
        import sys
        from pathlib import Path
        from flyball.data.sources.segments import Segments
        own = Segments(Path(sys.argv[1]) / "pay")
        for number in range(100_000):
            print(own.append([b'{"pad": "%s"}' % (b"x" * 5_000)], 1, str(number)), flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program), str(place.pushed)], stdout=subprocess.PIPE)
    told = 0
    for line in child.stdout:
        told = int(line)
        if told >= 50:
            child.send_signal(signal.SIGKILL)
            break
    rest = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    told = max([told, *map(int, rest)])
    own = Segments(place.pushed / "pay")
    assert own.end() >= told
    assert own.append([b"{}"], NOW, "next") == len(list(own.since(0)))


def test_a_disk_that_takes_nothing_is_told_and_what_was_kept_stays(place, monkeypatch):
    push(place, row(1))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Unavailable, match="cannot be kept"):
        push(place, row(2))
    monkeypatch.undo()
    assert push(place, row(3)) == 2
    assert pushed_since(DATA, 0, place.pushed).frame["id"].to_list() == ["p1", "p3"]


def test_rows_of_a_person_are_taken_out_and_numbers_stay(place):
    push(place, row(1), row(2, who="ben"))
    push(place, row(3))
    own = segments(place.pushed, "pay")

    def hers(row, _at):
        return row["who"] == "ana"

    def kept():
        return b"".join(path.read_bytes() for path in (place.pushed / "pay").glob("*.rows"))

    # with its quotes: two bytes alone may stand in any checksum
    assert b'"p1"' in kept()
    assert own.count(hers) == 2
    assert own.erase(hers) == 2
    assert own.erase(hers) == 0
    found = pushed_since(DATA, 0, place.pushed)
    assert (found.frame["id"].to_list(), found.cursor) == (["p2"], 3)
    assert b'"p1"' not in kept()
    assert push(place, row(4)) == 4


def test_without_a_running_flyball_nothing_is_there_to_read(root):
    with pytest.raises(BadInput, match="is pushed to a running flyball"):
        source.read(DATA, root)


def test_rows_that_are_sent_where_those_before_them_are_in_the_version_alone_are_not_passed_over(place, blobs, root):
    data = Dataset("plain", source="push://", columns={"n": Column(int)})
    looked = Looked(place, blobs)
    for number in (1, 2, 3):
        segments(place.pushed, "plain").append([b'{"n":%d}' % number], NOW, f"k{number}")
    looked(data)
    # a restored project: the version is there, what was sent is not
    shutil.rmtree(root / "push")
    assert looked(data) is None, "nothing new was sent"
    pushing.push(place.pushed, data, [{"n": 4}], now=NOW, command="k4", head=looked.head(data).head)
    looked(data)
    assert load_content(looked.head(data).head.content, blobs)["n"].to_list() == [1, 2, 3, 4]


def test_a_row_whose_time_lies_farther_ahead_than_any_version_may_hold_is_refused_alone():
    ahead = replace(DATA, ahead=Span.parse("1d"))
    late = row(1, at="2100-01-01T00:00:00Z")
    with pytest.raises(BadInput, match='"at" lies more than 1d ahead'):
        checked(ahead, late, NOW)
    for allowed in (DATA, replace(ahead, on_breach="warn")):
        assert checked(allowed, late, NOW)


def test_a_data_set_that_nobody_sent_a_row_to_says_how(place):
    with pytest.raises(BadInput, match="none were sent to it yet") as told:
        source.read(DATA, place)
    assert told.value.fix == "POST /api/v1/datasets/pay/rows"
