"""What is missing from the evidence holds every model's rollout for a minute, and is an incident that blames no model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

import flyball as fb
from flyball.clock import Instant, Span
from flyball.incidents.playbook import actions
from flyball.ledger.projection import MemoryProjection
from flyball.loop import memory as memories
from flyball.loop.findings import Report, alerts_of, decide_report, incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.freezes import frozen_by
from flyball.loop.memory import Memories
from flyball.loop.overlay import after
from flyball.monitoring import rules as monitoring
from flyball.records.alerts import AlertState
from flyball.records.base import State
from flyball.records.evidence import Batch, Cursor, Watch
from flyball.records.incidents import IncidentState

SECOND, MINUTE = int(Span.parse("1s")), int(Span.parse("1m"))
START: Instant = 1_700_000_000_000_000
DATA = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("m", task="binary", data=DATA, label="y", train=fb.Train(lambda X, y: (X, y)))
WATCHES = {"m": Watch(model="m", task="binary", label_delay=Span(0))}


@pytest.fixture
def kept() -> Memories:
    saved: dict[str, bytes | None] = {}
    return memories.load(cast("Any", SimpleNamespace(load=saved.get, save=saved.update)))


def gap(kept: Memories, records: int, at: Instant) -> Memories:
    return kept.with_batch(Batch(until=at, gaps=records), Cursor(until=at), {}, WATCHES)


def frozen(kept: Memories, now: Instant) -> str:
    return frozen_by(cast("State", MemoryProjection()), MODEL, kept, now)


def test_a_gap_holds_rollouts_until_a_minute_has_gone_by_without_another(kept: Memories) -> None:
    assert frozen(kept, START) == ""
    kept = gap(kept, 50, START)
    assert "50 records are missing" in frozen(kept, START + 59 * SECOND)
    kept = gap(kept, 7, START + 40 * SECOND)
    assert "57 records are missing" in frozen(kept, START + 100 * SECOND)
    assert frozen(kept, START + 101 * SECOND) == ""
    assert "3 records are missing" in frozen(gap(kept, 3, START + 300 * SECOND), START + 301 * SECOND)


def test_a_gap_is_remembered_by_a_process_that_starts_anew(kept: Memories) -> None:
    memories.save(kept.source, gap(kept, 50, START))
    again = memories.load(kept.source)
    assert again.cursor.until == START
    assert frozen(again, START + SECOND)


def test_the_next_look_is_when_the_gap_is_over(kept: Memories) -> None:
    state = gap(kept, 1, START).monitor("m")
    due = monitoring.next_due(state, START)
    assert state.gap(due - 1)
    assert not state.gap(due)


def test_a_gap_opens_an_incident_that_rolls_nothing_back_and_is_mitigated_when_it_is_over(kept: Memories) -> None:
    state: Any = MemoryProjection()
    kept = gap(kept, 50, START)

    def report(now: Instant) -> None:
        nonlocal state
        findings = monitoring.assess(MODEL, kept.monitor("m"), now=now).findings
        command = Report(id="c", actor="loop", model="m", findings=findings)
        events = decide_report(state, command, now, model=MODEL, folds=FOLDS, new_id=lambda kind: f"{kind}_1")
        state = after(state, events, FOLDS, now)

    report(START + SECOND)
    (incident,) = incidents_of(state, "m")
    assert (incident.failure_mode, incident.state) == ("evidence_gap", IncidentState.OPEN)
    assert "50 records could not be written" in incident.cause
    assert set(incident.actions) == set(actions(MODEL.playbook, "evidence_gap")) == {"page"}
    report(START + 2 * MINUTE)
    (incident,) = incidents_of(state, "m")
    assert incident.state == IncidentState.MITIGATED
    assert {row.state for row in alerts_of(state, "m").values()} == {AlertState.RESOLVED}
