"""The loop verifies by itself: what is news is recorded, wrong values open an incident, and a row waits until it can be judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flyball.clock import Span
from flyball.errors import Corrupt
from flyball.governance.authority import LOOP
from flyball.loop.skew import NoteVerified, decide_note_verified
from flyball.loop.verifier import Verifier
from flyball.loop.verifying import PATIENCE, Verifying
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteDesired
from flyball.records.skew import SKEWS, FeatureSkew, FeaturesVerified, Skew
from flyball.serving.layout import read_json
from flyball.serving.metrics import Metrics, render
from flyball.wiring import Wired

from .skew_kit import END, HOUR, SHOPS, Shops, rows

NOON = END * 1_000_000 - 2 * HOUR
EVERY = Span.parse("5m")


class Looking:
    """The loop's verification over a project, look by look; time is passed in."""

    def __init__(self, wired: Wired) -> None:
        self.wired = wired
        self.ports = wired.acting(LOOP)
        self.now = time.time_ns() // 1000
        self.restart()

    def restart(self) -> None:
        counts = self.wired.layout.metrics("features")
        self.verifying = Verifying(self.wired.vectors(), self.wired.verifier, counts, every=EVERY)

    def look(self, *, later: int = EVERY) -> list[FeaturesVerified]:
        """One look, recorded; the events that are new."""
        before, self.now = self.wired.ledger.size(), self.now + later
        self.verifying.step(self.ports, self.now)
        assert self.verifying._thread is not None, "a look is due"
        self.verifying._thread.join(60)
        # what it found is recorded with the next pass, which is not due to look again
        self.verifying.step(self.ports, self.now)
        return [one.event for one in self.wired.ledger.read(before, 100) if isinstance(one.event, FeaturesVerified)]


@pytest.fixture
def looking(shops: Shops) -> Iterator[Looking]:
    with shops.opened() as wired:
        yield Looking(wired)


def test_the_first_look_and_each_change_are_recorded_and_nothing_in_between(shops: Shops, looking: Looking) -> None:
    assert looking.look() == [], "nothing was served yet"
    shops.serve(SHOPS, at=NOON)
    [first] = looking.look()
    assert (first.model, first.version, first.rows, first.checked, first.equal, first.features) == ("shops", "1.0.0", 8, 24, 24, ())
    shops.serve(SHOPS, at=NOON)
    assert looking.look() == []
    [row] = shops.serve(SHOPS[:1], at=NOON, span="5d")
    [found] = looking.look()
    assert [(one.view, one.feature, one.wrong, one.equal) for one in found.features] == [("week", "sold", 1, 0)]
    assert (found.rows, found.wrong, found.equal, found.missing, found.extra, found.stale) == (1, 1, 2, 0, 0, 0)
    [example] = found.examples
    assert (example.row, example.feature, example.skew) == (row, "sold", Skew.WRONG)
    assert float(example.served) < float(example.offline)
    shops.serve(SHOPS, at=NOON, span="5d")
    assert looking.look() == [], "it stands as before"
    shops.serve(SHOPS, at=NOON)
    [right] = looking.look()
    assert [(one.feature, one.equal, one.skewed) for one in right.features] == [("sold", 8, 0)]
    assert looking.wired.ledger.state().get(SKEWS, "shops/1.0.0").features == right.features


def test_wrong_values_open_an_incident_of_the_views_owner_and_it_is_mitigated_when_they_are_right(shops: Shops, looking: Looking) -> None:
    route(looking)
    shops.serve(SHOPS, at=NOON, span="5d")
    [found] = looking.look()
    assert shops.call("tick").code == 0
    [incident] = incidents(looking)
    assert (incident.failure_mode, incident.owner, incident.state) == ("skew", "features", IncidentState.OPEN)
    assert incident.what == "skew (sold)"
    assert "week.sold: of 8 served values 8 wrong" in incident.cause
    assert found.examples[0].row in incident.cause
    assert "is wrong: served" in incident.cause
    shops.serve(SHOPS, at=NOON)
    looking.look()
    assert shops.call("tick").code == 0
    [after] = incidents(looking)
    assert after.state == IncidentState.MITIGATED


def test_a_store_that_is_late_opens_none(shops: Shops, looking: Looking) -> None:
    route(looking)
    before = shops.content()
    shops.write(rows(more=40))
    assert shops.call("tick").code == 0
    shops.serve(SHOPS, at=END * 1_000_000 + 39 * 60_000_000, content=before)
    [found] = looking.look(later=2 * EVERY)
    assert found.stale > 0
    assert (found.wrong, found.missing, found.extra) == (0, 0, 0)
    assert shops.call("tick").code == 0
    assert incidents(looking) == []


def test_a_row_waits_for_the_data_of_its_moment_across_a_restart(shops: Shops, looking: Looking) -> None:
    shops.serve(SHOPS, at=END * 1_000_000 + HOUR // 2)
    assert looking.look() == [], "the newest version does not reach it"
    looking.restart()
    shops.write(rows(more=40))
    assert shops.call("tick").code == 0
    [found] = looking.look()
    assert (found.rows, found.unknown, found.wrong) == (8, 0, 0)
    assert looking.look() == []


def judged(looking: Looking) -> int:
    """How many values were counted so far."""
    kept = read_json(looking.wired.layout.metrics("features")) or {}
    return sum(n for _, n in kept.get("skew", []))


def test_no_row_is_judged_twice_nor_lost_across_restarts(shops: Shops, looking: Looking) -> None:
    """Also where some of what was logged before is still waited for, and more comes."""
    shops.serve(SHOPS[:5], at=NOON)
    shops.serve(SHOPS[:3], at=END * 1_000_000 + HOUR // 2)
    looking.look()
    assert judged(looking) == 5 * 3
    looking.restart()
    shops.serve(SHOPS[5:], at=NOON)
    looking.look()
    assert judged(looking) == 8 * 3
    looking.restart()
    looking.look()
    assert judged(looking) == 8 * 3
    shops.write(rows(more=40))
    assert shops.call("tick").code == 0
    looking.restart()
    looking.look()
    assert judged(looking) == 11 * 3
    looking.restart()
    looking.look()
    assert judged(looking) == 11 * 3


def test_a_tick_of_any_scheduler_verifies_when_it_is_due(shops: Shops, looking: Looking) -> None:
    shops.serve(SHOPS, at=NOON, span="5d")
    looking.ports.memory.save({"1/features verified": b""})
    assert shops.call("tick").code == 0
    found = looking.wired.ledger.state().get(SKEWS, "shops/1.0.0")
    assert {one.feature: one.wrong for one in found.features} == {"sold": 8}
    shops.serve(SHOPS, at=NOON, span="5d")
    assert shops.call("tick").code == 0
    assert judged(looking) == 24, "the next look is not due"


def test_a_clock_that_was_ahead_does_not_put_the_next_look_off(shops: Shops, looking: Looking) -> None:
    looking.look(later=365 * 24 * HOUR)
    shops.serve(SHOPS, at=NOON)
    [found] = looking.look(later=-364 * 24 * HOUR)
    assert found.rows == 8
    looking.look(later=364 * 24 * HOUR)
    shops.serve(SHOPS[:3], at=NOON)
    looking.restart()
    looking.look(later=-364 * 24 * HOUR)
    assert judged(looking) == 11 * 3


def test_a_version_whose_declaration_cannot_be_read_keeps_no_other_from_being_judged(
    shops: Shops, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    shops.serve(SHOPS, at=NOON)
    whole = Verifier.model

    def model(self: Verifier, version: str) -> Any:
        if version == "lost@1.0.0":
            raise Corrupt("it is damaged")
        return whole(self, version)

    monkeypatch.setattr(Verifier, "model", model)
    row = next(looking.wired.vectors().read(0))
    looking.verifying._sample.add(row._replace(version="lost@1.0.0"))
    [found] = looking.look()
    assert (found.model, found.rows) == ("shops", 8)
    assert looking.wired.verifier().judge("lost@1.0.0", [row]).problems == ("it is damaged",)


def test_a_row_does_not_wait_for_ever(shops: Shops, looking: Looking) -> None:
    shops.serve(SHOPS, at=END * 1_000_000 + HOUR // 2, span="5d")
    assert looking.look() == []
    [found] = looking.look(later=PATIENCE)
    assert (found.wrong, found.equal, found.unknown) == (8, 0, 16)


def test_gateways_tell_the_counts(shops: Shops, looking: Looking) -> None:
    shops.serve(SHOPS, at=NOON, span="5d")
    looking.look()
    shops.serve(SHOPS[:3], at=NOON)
    looking.look()
    told = Metrics(looking.wired.layout, "g0").text()
    assert 'flyball_feature_values_total{model="shops",view="week",feature="sold",skew="wrong"} 8' in told
    assert 'flyball_feature_values_total{model="shops",view="week",feature="sold",skew="equal"} 3' in told
    assert "feature_values" not in render([{"counts": [], "latency": {}, "sums": {}, "unlogged": 0}])


def test_what_was_sealed_between_two_looks_is_read_once(shops: Shops, looking: Looking) -> None:
    shops.serve(SHOPS[:2], at=NOON)
    assert looking.look()[0].rows == 2
    with shops.opened(claim=True) as wired:
        from flyball.loop.sealing import Sealing

        sealing = Sealing(wired.layout.log, wired.blobs)
        shops.serve(SHOPS[2:5], at=NOON, span="5d")
        shops.serve(["nobody"], at=NOON)
        until(lambda: len(list(wired.layout.log.glob("*/*.wal"))) == 1, lambda: (sealing.look(), sealing.step(wired.acting(LOOP))))
    [found] = looking.look()
    assert (found.rows, found.wrong) == (4, 3)
    looking.restart()
    assert looking.look() == []


def test_with_the_setting_at_zero_nobody_looks(shops: Shops, looking: Looking) -> None:
    verifying = Verifying(looking.wired.vectors(), looking.wired.verifier, Path("never"), every=Span(0))
    verifying.step(looking.ports, looking.now)
    assert verifying._thread is None


def test_an_event_that_would_not_fit_says_how_many_features_are_not_listed() -> None:
    many = tuple(FeatureSkew(view="v", feature=f"feature-{n}" * 20, wrong=1) for n in range(400))
    command = NoteVerified(id="c", actor="loop", model="m", version="1.0.0", rows=1, features=many)
    [event] = decide_note_verified(Nothing(), command, 0)  # type: ignore[arg-type]
    assert 0 < len(event.features) < 400
    assert event.unlisted == 400 - len(event.features)


class Nothing:
    def get(self, _table: object, _key: str) -> None:
        return None


def route(looking: Looking) -> None:
    """The version answers."""
    arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
    signature = Signature(task="binary", fields=(), classes=(0, 1))
    event = RouteDesired(epoch=1, model="shops", route=ModelRoute(signature=signature, arms=(arm,)))
    command = NoteVerified(id="route", actor="loop", model="", version="", rows=0, features=())
    looking.ports.ledger.execute(command, lambda *_: (event,))


def incidents(looking: Looking) -> list[IncidentRow]:
    return [row for _, row in looking.wired.ledger.state().scan(INCIDENTS)]


def until(true: Callable[[], bool], act: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        act()
