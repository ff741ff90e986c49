"""Whoever sees to an incident of errors is told what the model raised: the classes, and never what was said."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from flyball.declare.model import Model
from flyball.loop import raised as looking
from flyball.loop.complained import Answers
from flyball.loop.raised import Class, raised, raised_of
from flyball.records.alerts import AlertRow, AlertState, Finding
from flyball.records.base import State
from flyball.records.incidents import IncidentRow, IncidentState
from flyball.records.serving import SegmentRow
from flyball.serving import sealer, wal

from .test_complained import model  # noqa: F401 - the same model

FIELDS = ["amount", "customer", "due", "sex"]
LATER = 9_000_000_000_000_000
pack = msgspec.msgpack.encode


def answer(why: str = "", *, version: str = "risk@7", customer: str = "ana") -> bytes:
    row, now = pack([[100.0, customer, None, "f"]]), time.monotonic_ns()
    if not why:
        return wal.frame("answer", "ok", picked_ns=now, version=version, rows=1, packed_input=row, packed_output=pack([[0, 0.5]]))
    return wal.frame("answer", "bad", picked_ns=now, version=version, status="error", rows=1, packed_input=row, marks={"why": why})


def failing(said: str) -> str:
    return f'model "risk" failed to predict 1 rows: {said}'


WHYS = [
    *[failing("ValueError: no rate for ana")] * 4,
    *[failing("KeyError: 'carrier'")] * 2,
    *["no answer within the time limit"] * 3,
    failing("RuntimeError:"),
    "the answers are no numbers",
    "ana: no account",
]
"""What is in the log of errors."""


def segment(folder: Path, *frames: bytes) -> wal.SegmentFile:
    writer = wal.Writer(folder, "g0", reserve_bytes=0)
    assert writer.append([writer.declare("risk@7", FIELDS), *frames])
    writer.close()
    return wal.segments(folder)[-1]


def sealed(file: wal.SegmentFile) -> Answers:
    last = wal.read(file.path)[0][-1].at
    row = SegmentRow(gateway="g0", number=file.number, wal_sha256="", parquet_sha256="a", rows=6, torn_bytes=0, last=last)
    data = sealer.parquet(wal.read(file.path)[0])
    return Answers(list, lambda: [row], lambda _: data)


@pytest.fixture(params=["open", "sealed"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Answers:
    errors = [answer(why) for why in WHYS]
    file = segment(tmp_path, answer(), *errors, answer(failing("OtherError: x"), version="other@1"), answer())
    return Answers(lambda: [file], list, bytes.fromhex) if request.param == "open" else sealed(file)


def test_what_was_raised_is_counted_by_class_the_most_frequent_first(log: Answers, model: Model) -> None:  # noqa: F811
    found = raised(log, model, 1)
    assert found.classes == (
        Class(what="ValueError", requests=4),
        Class(what="no answer within the time limit", requests=3),
        Class(what="KeyError", requests=2),
        Class(what="without a class", requests=2),
        Class(what="RuntimeError", requests=1),
    )
    assert (found.requests, found.more, found.cut, found.since) == (12, 0, False, 1)
    assert str(found) == (
        "ValueError 4×, no answer within the time limit 3×, KeyError 2×, without a class 2×, RuntimeError 1× (since 1970-01-01T00:00:00Z)"
    )
    assert "ana" not in str(found), "who somebody is begins no class"


def test_five_classes_are_named_and_the_others_counted(log: Answers, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(looking, "SHOWN", 2)
    found = raised(log, model, 1)
    assert ([each.what for each in found.classes], found.more) == (["ValueError", "no answer within the time limit"], 5)
    assert ", others 5× (" in str(found)


def test_nothing_is_counted_before_or_after(log: Answers, model: Model) -> None:  # noqa: F811
    assert raised(log, model, LATER).requests == raised(log, model, 1, until=2).requests == 0
    assert str(raised(log, model, 1, until=2)).startswith("no error of it is in the prediction log (since ")


def test_of_very_many_errors_the_newest_are_counted_and_it_says_so(log: Answers, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(looking, "MOST", 4)
    found = raised(log, model, 1)
    assert (found.cut, found.requests, found.since > 1) == (True, 3, True), "one of the newest four is another model's"
    assert "(the newest 3 errors alone, since 20" in str(found)


def test_the_newest_segment_is_read_first_and_those_before_the_incident_not_at_all(tmp_path: Path, model: Model) -> None:  # noqa: F811
    old = segment(tmp_path, answer(failing("OldError: x")))
    time.sleep(0.01)
    segment(tmp_path, answer(failing("ValueError: x")))
    since = time.time_ns() // 1000
    time.sleep(0.01)
    segment(tmp_path, answer(failing("KeyError: x")))
    files = wal.segments(tmp_path)
    read: list[int] = []

    def reads(file: wal.SegmentFile) -> list[wal.LogRecord]:
        read.append(file.number)
        return []

    log = Answers(lambda: files, list, bytes.fromhex)
    assert [found for _, found in log.newest(reads, lambda _: [], None, since)] == [[], []]
    assert read == sorted((file.number for file in files if file.number != old.number), reverse=True)
    assert [each.what for each in raised(log, model, since).classes] == ["KeyError"]
    assert {each.what for each in raised(log, model, 1).classes} == {"OldError", "ValueError", "KeyError"}


def test_no_more_time_is_taken_than_there_is(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    segment(tmp_path, answer(failing("OldError: x")))
    segment(tmp_path, answer(failing("KeyError: x")))
    log = Answers(lambda: wal.segments(tmp_path), list, bytes.fromhex)
    assert raised(log, model, 1).requests == 2
    monkeypatch.setattr(looking, "LONGEST_S", -1.0)
    found = raised(log, model, 1)
    assert ([each.what for each in found.classes], found.cut) == (["KeyError"], True), "one segment at least"


def incident(**more: object) -> IncidentRow:
    values = {
        "incident": "inc", "model": "risk", "failure_mode": "errors", "alert": "risk/rate/", "what": "errors", "cause": "", "owner": "",
        "state": IncidentState.OPEN, "opened_at": LATER, "mitigate_by": 2, "review_by": 3, "root_cause_by": 4, "actions": ("page",),
    }  # fmt: skip
    return IncidentRow(**values | more)  # type: ignore[arg-type]


def state(*alerts: AlertRow) -> State:
    rows = [(row.key, row) for row in alerts]
    return cast("State", SimpleNamespace(scan=lambda _table, _start="": rows))


def test_incidents_that_tell_of_errors_have_it_from_before_they_opened_until_they_were_mitigated(log: Answers, model: Model) -> None:  # noqa: F811
    now = time.time_ns() // 1000
    finding = Finding(monitor="rate", severity="alert", why="x", failure="errors")
    alert = AlertRow(key="risk/rate/", model="risk", monitor="rate", state=AlertState.FIRING, episode=1, since=1, finding=finding)
    found = raised_of(log, state(), model, incident(opened_at=now))
    assert found is not None
    assert (found.requests, found.since) == (12, now - looking.LEAD), "it was found in errors that came before it"
    assert (before := raised_of(log, state(), model, incident(opened_at=1, mitigated_at=2))) is not None
    assert before.requests == 0
    assert raised_of(log, state(alert), model, incident(failure_mode="schema_change", alert="risk/drift/x", opened_at=now)) is None
    noted = incident(failure_mode="schema_change", alert="risk/drift/x", opened_at=now, notes=("also risk/rate/: x",))
    assert raised_of(log, state(alert), model, noted) == found
    assert raised_of(log, state(), None, incident()) is None, "its declaration cannot be read"
