"""A false alarm raises the page bound of the version that it was about, and of no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.clock import Instant, Span, VirtualClock
from flyball.ledger.ledger import SqlLedger
from flyball.loop.folds import FOLDS
from flyball.loop.normal import RaiseBound, decide_raise
from flyball.monitoring.normal import Losses, add
from flyball.records.alerts import BoundRaised
from flyball.records.base import Record
from flyball.records.incidents import IncidentMoved, IncidentOpened, IncidentState
from flyball.store.sql import Database

HOUR = Span.parse("1h")


class Told(Record, frozen=True):
    """What happened, whatever it was."""

    id: str
    actor: str


class Story:
    """A ledger in which incidents open and end."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(1_700_000_000_000_000)
        self.ledger = SqlLedger(Database.open(folder / "ledger.db", durable=False), FOLDS, self.clock, salts=bytes)
        self.losses = add(Losses(), [1.0, 0.0] * 150, self.clock.now())

    def later(self) -> Instant:
        self.clock.advance_to(self.clock.now() + HOUR)
        return self.clock.now()

    def record(self, event) -> None:
        self.ledger.execute(Told(self.clock.new_id("cmd"), "user:ana"), lambda *_: (event,))
        self.later()

    def opens(self, incident: str, mode: str = "concept_drift") -> None:
        opened = IncidentOpened(
            incident=incident, model="m", failure_mode=mode, alert="", what="w", cause="c", owner="o", actions=("page",)
        )
        self.record(opened)

    def false_alarm(self, incident: str) -> None:
        source, target = IncidentState.OPEN, IncidentState.CLOSED
        self.record(IncidentMoved(incident=incident, source=source, target=target, why="false alarm: no", false_alarm=True))

    def raised(self, version: str, since: Instant, losses: Losses | None = None) -> list[BoundRaised]:
        command = RaiseBound(self.clock.new_id("cmd"), "loop", "m", version, since, losses or self.losses, (0.1, 1.0))
        before = self.ledger.size()
        self.ledger.execute(command, decide_raise)
        self.later()
        found = [recorded.event for recorded in self.ledger.read(before, self.ledger.size())]
        return [event for event in found if isinstance(event, BoundRaised)]


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_a_false_alarm_is_about_the_version_that_served_when_it_opened(story: Story) -> None:
    first = story.later()
    story.later()
    story.opens("inc_1")
    second = story.later()
    story.false_alarm("inc_1")
    assert story.raised("2", second) == []
    assert [event.incident for event in story.raised("1", first)] == ["inc_1"]


def test_each_raises_once_and_a_version_that_comes_back_has_what_it_had(story: Story) -> None:
    first = story.later()
    story.later()
    for incident in ("inc_1", "inc_2"):
        story.opens(incident)
        story.false_alarm(incident)
        assert [event.incident for event in story.raised("1", first)] == [incident]
        assert story.raised("1", first) == []


def test_one_about_something_else_raises_nothing(story: Story) -> None:
    story.later()
    story.opens("inc_1", "input_drift")
    story.false_alarm("inc_1")
    assert story.raised("1", 0) == []


def test_a_few_labels_leave_the_bound_and_it_begins_anew(story: Story) -> None:
    story.opens("inc_1")
    story.false_alarm("inc_1")
    (event,) = story.raised("1", 0, add(Losses(), [1.0] * 20, story.clock.now()))
    assert (event.bound, event.swing, event.labels, event.loss) == (0.1, 1.0, 20, 1.0)
    assert story.raised("1", 0) == []
