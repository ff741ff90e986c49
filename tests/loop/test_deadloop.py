"""An outage of the loop is an incident of the project, recorded once by the loop that is back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flyball.clock import Span, VirtualClock
from flyball.loop import deadloop
from flyball.loop.deadloop import Outage
from flyball.loop.findings import SettleIncident, decide_settle
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.serving.layout import write_json
from flyball.wiring import Wired, open_project

SECOND = 1_000_000


def incidents(wired: Wired) -> list[IncidentRow]:
    return [row for _, row in wired.ledger.state().scan(INCIDENTS)]


def test_an_outage_that_is_over_is_one_incident_mitigated_by_the_return(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text("")
    wired = open_project(tmp_path, claim=True)
    now = wired.ports.clock.now()
    write_json(wired.layout.watchdog, {"silent": True, "began": now - 90 * SECOND, "ended": 0, "killed": 1})
    deadloop.observe(wired.ports, now)
    assert incidents(wired) == [], "it is not over"
    write_json(wired.layout.watchdog, {"silent": False, "began": now - 90 * SECOND, "ended": now, "killed": 1})
    for _ in range(3):
        deadloop.observe(wired.ports, now)
    [row] = incidents(wired)
    assert (row.model, row.failure_mode, row.state, row.actions) == ("", "dead_loop", IncidentState.MITIGATED, ("page",))
    assert row.what == "dead loop: no pass for 1m30s"
    assert "its process hung and was killed 1 time;" in row.cause
    write_json(wired.layout.watchdog, {"silent": False, "began": now - 5 * SECOND, "ended": now, "killed": 0})
    deadloop.observe(wired.ports, now)
    assert len(incidents(wired)) == 2, "another outage is another incident"
    wired.close()


def test_one_whose_process_ended_again_and_again_says_so_and_whether_passes_were_made_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text("")
    wired = open_project(tmp_path, claim=True)
    now = wired.ports.clock.now()
    seen = {"silent": False, "began": now - 15 * SECOND, "ended": now, "killed": 1, "ends": 7, "between": False}
    write_json(wired.layout.watchdog, seen | {"ended": 0})
    deadloop.observe(wired.ports, now)
    assert incidents(wired) == [], "it makes passes, and may end again"
    write_json(wired.layout.watchdog, seen)
    deadloop.observe(wired.ports, now)
    write_json(wired.layout.watchdog, seen | {"began": now - 90 * SECOND, "killed": 0, "between": True})
    deadloop.observe(wired.ports, now)
    first, second = sorted(incidents(wired), key=lambda row: row.what)
    assert second.what == "dead loop: no pass for 15s"
    assert first.cause.startswith("passes were made only between the ends of the control plane, from ")
    assert "; its process ended 7 times before one lasted; " in first.cause
    assert "its process hung and was killed 1 time; it also ended 6 times before one lasted;" in second.cause
    assert first.what == "dead loop: no lasting passes for 1m30s"
    wired.close()


def test_without_an_outage_nothing_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text("")
    wired = open_project(tmp_path, claim=True)
    size = wired.ledger.size()
    deadloop.observe(wired.ports, wired.ports.clock.now())
    assert (wired.ledger.size(), incidents(wired)) == (size, [])
    wired.close()


def test_its_review_is_due_and_closes_it(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text("")
    clock = VirtualClock(1_700_000_000 * SECOND)
    wired = open_project(tmp_path, claim=True, clock=clock)
    now = clock.now()
    ports = replace(wired.ports, outage=lambda: Outage(now - 90 * SECOND, now, 0))
    for hours in (0, 25):
        clock.advance_to(now + int(Span.parse("1h")) * hours)
        deadloop.observe(ports, clock.now())
    [row] = incidents(wired)
    assert row.overdue == ("review",)
    command = SettleIncident(id="r", actor="user:ana", incident=row.incident, verb="review", text="the disk was full; it is watched now")
    wired.ledger.execute(command, decide_settle)
    deadloop.observe(ports, clock.now())
    [row] = incidents(wired)
    assert row.state == IncidentState.CLOSED
    assert row.notes[-1] == "closed: reviewed; it ended as was seen: the loop makes passes again"
    wired.close()
