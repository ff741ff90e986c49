"""The timeline of an incident reaches its end, and says what it has not read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.clock import Span
from flyball.loop import timeline as lines
from flyball.records.alerts import AlertMoved, AlertState, Finding
from flyball.records.data import DataCommitted, DatasetVersion
from flyball.records.incidents import INCIDENTS, IncidentMoved, IncidentNoted, IncidentOpened, IncidentRow, IncidentState

from .test_playbook import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.wired.close()


def told(world: World) -> tuple[IncidentRow, lines.Timeline]:
    row = world.state.get(INCIDENTS, "inc")
    assert row is not None
    return row, lines.timeline(world.wired.ledger, world.ports.library, row, world.ports.clock.now())


def test_of_more_events_than_are_read_the_newest_are_told_and_how_many_were_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.open("ticket")
    world.add(*(IncidentNoted(incident="inc", note=f"note {number}") for number in range(40)))
    world.mitigate()
    _, whole = told(world)
    assert (whole.unread, whole.left_out) == (0, 0)
    assert len(whole.moments) > 40
    monkeypatch.setattr(lines, "READ", 20)
    _, found = told(world)
    assert found.unread == world.size() - 20
    assert found.moments[-1].text == "incident    inc mitigated: its alert has resolved"
    assert [moment.seq for moment in found.moments if moment.seq > 10] == list(range(world.size() - 9, world.size() + 1))
    assert found.moments[0] == whole.moments[0]


@pytest.mark.parametrize("read", [2, 46, 1000])
def test_no_event_is_told_twice(world: World, monkeypatch: pytest.MonkeyPatch, read: int) -> None:
    world.open("ticket")
    world.add(*(IncidentNoted(incident="inc", note=f"note {number}") for number in range(30)))
    monkeypatch.setattr(lines, "READ", read)
    _, found = told(world)
    seqs = [moment.seq for moment in found.moments]
    assert seqs == sorted(set(seqs))
    assert found.unread == max(0, world.size() - read)


def moved(key: str) -> AlertMoved:
    finding = Finding(monitor=key.split("/")[1], severity="alert", why=f"of {key}")
    return AlertMoved(
        key=key, model="m", monitor=finding.monitor, source=AlertState.OK, target=AlertState.FIRING, episode=1, finding=finding
    )


def test_what_another_incident_tells_of_is_not_told(world: World) -> None:
    world.add(moved("m/errors/"), moved("m/latency/"), moved("m/fresh/"), moved("m/skew/"))
    world.open("ticket")
    world.open("ticket", name="other", mode="latency")
    world.add(IncidentNoted(incident="other", note="overdue: mitigate"), IncidentNoted(incident="other", note="also m/skew/: of m/skew/"))
    _, found = told(world)
    whole = "\n".join(moment.text for moment in found.moments)
    assert "errors: of m/errors/" in whole
    assert "fresh: of m/fresh/" in whole, "no incident tells of it: it may be what led to this one"
    assert "inc m: errors" in whole
    for part in ("latency", "overdue", "skew", "other"):
        assert part not in whole


def test_an_incident_that_was_over_tells_of_no_alert_of_a_later_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BEFORE", Span(0))
    world.open("ticket", name="other", mode="latency")
    row = world.state.get(INCIDENTS, "other")
    assert row is not None
    world.add(IncidentMoved(incident="other", source=row.state, target=IncidentState.CLOSED, why="reviewed"))
    world.open("ticket")
    world.add(moved("m/latency/"))
    _, found = told(world)
    assert "latency: of m/latency/" in "\n".join(moment.text for moment in found.moments)


def test_an_incident_that_opened_afterwards_takes_nothing_out_of_the_timeline_of_one_that_was_over(world: World) -> None:
    world.add(moved("m/latency/"))
    world.open("ticket")
    row, _ = told(world)
    world.add(IncidentMoved(incident="inc", source=row.state, target=IncidentState.CLOSED, why="reviewed"))
    row, whole = told(world)
    assert "latency: of m/latency/" in "\n".join(moment.text for moment in whole.moments)
    world.open("ticket", name="other", mode="latency")
    assert told(world)[1] == whole


def test_around_a_complaint_which_has_no_alert_those_of_other_incidents_are_told(world: World) -> None:
    world.add(moved("m/latency/"))
    world.open("ticket", name="other", mode="latency")
    world.add(
        IncidentOpened(
            incident="inc", model="m", failure_mode="complaint", alert="", what="complaint: slow", cause="", owner="", actions=("page",)
        )
    )
    _, found = told(world)
    whole = "\n".join(moment.text for moment in found.moments)
    assert "latency: of m/latency/" in whole
    assert "other" not in whole


def fed(number: int, name: str = "rows") -> DataCommitted:
    version = DatasetVersion(
        name=name, version=f"1.0.{number}", content=f"c{number}", schema={}, rows=6_000 + number, stats=(), parents=("c",), first=0, last=0,
        as_of=0, source_mark="",
    )  # fmt: skip
    return DataCommitted(version=version)


def test_versions_of_a_data_set_that_follow_each_other_are_one_line_and_leave_room_for_what_happened(world: World) -> None:
    for number in range(3, 303):
        world.add(fed(number), fed(number, "nobody looks at it"))
    world.open("ticket")
    world.add(fed(303))
    _, found = told(world)
    texts = [moment.text for moment in found.moments]
    [several, one] = [text for text in texts if "rows@1.0.3" in text]
    assert re.fullmatch(r"data        rows@1\.0\.3 … 1\.0\.302, 6,302 rows \(300 versions until \d{4}-\d\d-\d\dT[\d:]{8}Z\)", several)
    assert one == "data        rows@1.0.303, 6,303 rows"
    assert (found.left_out, texts.index(one) - texts.index(several)) == (0, 2), "the incident opened in between"
    seqs = [moment.seq for moment in found.moments]
    assert seqs == sorted(seqs)


def test_feeds_that_take_turns_are_one_line_each(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_data_of", lambda *_: frozenset({"rows", "loads"}))
    for number in (7, 8, 9):
        world.add(fed(number), fed(number, "loads"))
    world.open("ticket")
    _, found = told(world)
    texts = [moment.text.partition(" (")[0] for moment in found.moments if "@1.0.7" in moment.text]
    assert texts == ["data        rows@1.0.7 … 1.0.9, 6,009 rows", "data        loads@1.0.7 … 1.0.9, 6,009 rows"]
