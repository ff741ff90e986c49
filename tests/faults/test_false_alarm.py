"""A page about the loss that a person closes as a false alarm: what is lost by then is normal, and wakes nobody again; more than that does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.loop.findings import incidents_of
from flyball.records.alerts import ALERTS, BoundRaised
from flyball.records.incidents import IncidentState

from .year_kit import Life
from .year_worlds import DAY, HOUR, World, worlds

HIGHER, MUCH_HIGHER = 3, 16
"""Days after the release on which a fifth of the labels, and then half of them, begin to turn out otherwise."""


class Moving(World):
    """Its labels change twice, and nothing else does."""

    def rows(self, day: int) -> pl.DataFrame:
        rows = super().rows(day)
        lived = day - self.taught
        share = 0.5 if lived >= MUCH_HIGHER else 0.2 if lived >= HIGHER else 0.0
        flipped = np.random.default_rng([self.number, 9, day]).uniform(size=rows.height) < share
        return rows.with_columns(y=pl.Series(rows["y"].to_numpy() ^ flipped))


@pytest.fixture
def life(tmp_path: Path) -> Life:
    (plain,) = [world for world in worlds(60) if world.number == 4]
    world = replace(plain, per_day=800, effect=0.0, monitors=(), objective=False, delay=Span.parse("6h"))
    return Life(Moving(**vars(world)), tmp_path)


def lived(life: Life, since: int, until: int, *, attended: bool = True) -> int:
    """Look twice a day, from one day after the release to another. Returns how many incidents about the loss are open then."""
    for half in range(2 * since, 2 * until):
        life.look(life.world.begins + half * DAY // 2)
        if attended:
            life.attend()
    return len([row for row in of_loss(life) if row.state != IncidentState.CLOSED])


def of_loss(life: Life):
    return [row for row in incidents_of(life.ports.ledger.state(), life.world.name) if row.failure_mode == "concept_drift"]


def raised(life: Life) -> list[BoundRaised]:
    return [each.event for each in life.events() if isinstance(each.event, BoundRaised)]


def test_what_a_person_calls_a_false_alarm_is_normal_and_more_than_that_is_not(life: Life) -> None:
    before = None
    for day in range(0, 15, 5):
        lived(life, day, day + 5)
        before = before or life.counted().wakes_at
    assert len(of_loss(life)) == 1
    (event,) = raised(life)
    assert event.incident == of_loss(life)[0].incident
    assert event.bound > event.loss > before
    assert life.counted().wakes_at == event.bound
    alert = life.ports.ledger.state().get(ALERTS, f"{life.world.name}/loss since release/")
    assert alert is not None
    assert alert.state in ("ok", "resolved")
    assert lived(life, 15, 22, attended=False) == 1
    assert len(of_loss(life)) == 2


def test_nobody_says_so_and_the_bound_stays(life: Life) -> None:
    assert lived(life, 0, 10, attended=False) == 1
    assert raised(life) == []


def test_a_loop_that_falls_while_it_raises_the_bound_raises_it_once(life: Life) -> None:
    day = 0
    while not of_loss(life):
        lived(life, day, day + 1, attended=False)
        day += 1
    life.attend()
    for place in range(1, 13):
        life.look(life.world.begins + day * DAY + place * HOUR, falls_after=place, before=place % 2 == 0)
    assert len(raised(life)) == 1
    assert life.counted().wakes_at == raised(life)[0].bound
