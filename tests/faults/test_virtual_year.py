"""Fifty models with seasons and without drift, a virtual year, loops that fall at any moment: nobody is woken more often than `check` promises, and no count is lost.

`make soak` lives the whole year; CI five models for some weeks, by the same code.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from scipy.special import pdtr

from flyball.loop.findings import incidents_of
from flyball.loop.pages import false_pages_of
from flyball.monitoring.slabs import DAY_MINUTES, MINUTE
from flyball.records.alerts import AlertMoved, AlertState
from flyball.records.incidents import IncidentMoved, IncidentOpened, IncidentState

from .year_kit import Life, Told
from .year_worlds import DAY, HOUR, START, World, worlds

FULL = bool(os.environ.get("SOAK"))
DAYS = 365 if FULL else 21
LIVED = worlds(DAYS) if FULL else [world for world in worlds(DAYS) if world.number in (1, 6, 12, 16)]

STEP = 12
"""Hours between two looks, on average: at any hour of the day, so that each has its turn. What was counted by then does not depend on it."""

FALLS_A_YEAR = 60
"""The loop falls so often, two times of three in the middle of a look, and is away for up to three days."""

SURE = 0.999
"""How surely fifty models that keep their budgets pass each test of them."""


@dataclass(frozen=True)
class Lived:
    """What there was to tell of a life. `firing`: (monitor, severity) of each alert that fired; `pages`: (day, failure mode, cause) of each incident that opened,
    or opened again.
    """

    world: World
    budget: float
    pages: tuple[tuple[float, str, str], ...]
    firing: Counter[tuple[str, str]]
    left_open: tuple[str, ...]
    fallen: int
    counted: dict[str, Counter[int]]
    labels: int
    told: Told


def live(world: World, folder: Path, *, undisturbed: bool = False) -> Lived:
    """A life from release to its last day."""
    life = Life(world, folder)
    chance = np.random.default_rng([world.number, 5])
    end = world.begins + world.days * DAY
    counted: dict[str, Counter[int]] = {name: Counter() for name in ("asked", "judged", "labelled")}
    now, attended = world.begins, world.begins
    while now < end:
        falls = chance.uniform() < FALLS_A_YEAR * STEP / (24 * 365)
        after, before, away = int(chance.integers(1, 25)), bool(chance.integers(2)), int(chance.integers(24, 72)) * HOUR
        within = chance.uniform() < 0.67
        if falls and not undisturbed:
            life.look(now, falls_after=after if within else 0, before=before)
            life.restart()
        else:
            life.look(now)
        if now >= attended + DAY:
            life.attend()
            attended = now
        # callers go on while it is away
        now += away if falls and not undisturbed else int(chance.integers(STEP // 3, 2 * STEP - STEP // 3 + 1)) * HOUR
    life.look(end)
    found = _told(life, counted, _count(life, counted))
    life.close()
    return found


def _count(life: Life, counted: dict[str, Counter[int]]) -> int:
    state = life.counted()
    for slab in state.slabs:
        day = slab.start * MINUTE // DAY - START // DAY
        assert slab.width <= DAY_MINUTES
        counted["asked"][day] += slab.asked
        whole = next((part for part in slab.quality if not part.slice), None)
        counted["judged"][day] += whole.matured if whole else 0
        counted["labelled"][day] += whole.labelled if whole else 0
    return state.labels


def _told(life: Life, counted: dict[str, Counter[int]], labels: int) -> Lived:
    world = life.world
    pages, firing = [], Counter[tuple[str, str]]()
    for recorded in life.events():
        event, day = recorded.event, (recorded.at - world.begins) / DAY
        if isinstance(event, IncidentOpened):
            pages.append((round(day, 2), event.failure_mode, event.cause))
        elif isinstance(event, IncidentMoved) and event.target == IncidentState.OPEN:
            pages.append((round(day, 2), "again", event.why))
        elif isinstance(event, AlertMoved) and event.target in (AlertState.FIRING, AlertState.BROKEN):
            firing[event.monitor, "broken" if event.target == AlertState.BROKEN else event.finding.severity] += 1
    budget = false_pages_of(life.model, labels=float(world.per_day), requests=float(world.per_day)).total * world.days / 365
    rows = incidents_of(life.ports.ledger.state(), world.name)
    late = world.begins + (world.days - 14) * DAY
    left = tuple(row.what for row in rows if row.state != IncidentState.CLOSED and row.opened_at < late)
    return Lived(world, budget, tuple(pages), firing, left, life.fallen, counted, labels, life.callers.told)


def lived(world: World, folder: Path) -> Lived:
    """A life of which nothing is left on the disk."""
    found = live(world, folder)
    shutil.rmtree(folder)
    return found


def table(lives: list[Lived]) -> str:
    """What fired and what opened, a line a monitor, then a line a model that was not quiet."""
    years = sum(each.world.days for each in lives) / 365
    lines = [f"{len(lives)} models, {years:.1f} model-years, {sum(each.fallen for each in lives)} falls within a look"]
    firing = sum((each.firing for each in lives), Counter[tuple[str, str]]())
    lines += [f"{monitor}: {severity} {n}, {n / years:.2f} a model-year" for (monitor, severity), n in sorted(firing.items())]
    opened = Counter(mode for each in lives for _, mode, _ in each.pages)
    lines += [f"incidents of {mode}: {n}, {n / years:.2f} a model-year" for mode, n in sorted(opened.items())]
    lines += [f"{each.world.name} ({each.world.task}, {each.world.per_day} a day): {each.pages}" for each in lives if each.pages]
    return "\n".join(lines)


def most(budget: float, sure: float) -> int:
    """So many pages does a model, or several together, have at most, this surely, that keeps to `budget` on average: they come as Poisson's do, or more seldom."""
    found = 0
    while pdtr(found, budget) < sure:
        found += 1
    return found


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> list[Lived]:
    folders = [tmp_path_factory.mktemp(world.name) for world in LIVED]
    if FULL:
        # a year of fifty models takes more than an hour of one processor
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(lived, LIVED, folders))
    else:
        found = list(map(lived, LIVED, folders))
    print(table(found))
    return found


def test_the_worlds_are_of_all_kinds() -> None:
    found = worlds(365)
    assert len(found) == 50
    assert {world.task for world in found} == {"binary", "multiclass", "regression"}
    assert {200, 20_000} <= {world.per_day for world in found}
    assert {15 * HOUR // 60, 21 * DAY} <= {int(world.delay) for world in found}
    assert any(world.yearly for world in found)


def test_nobody_is_woken_more_often_than_was_promised(lives: list[Lived]) -> None:
    each_sure = 1 - (1 - SURE) / len(lives)
    over = [(each.world.name, each.pages) for each in lives if len(each.pages) > most(each.budget, each_sure)]
    assert over == []
    assert sum(len(each.pages) for each in lives) <= most(sum(each.budget for each in lives), SURE), table(lives)


def test_no_monitor_breaks(lives: list[Lived]) -> None:
    assert [each.world.name for each in lives if any(severity == "broken" for _, severity in each.firing)] == []


def test_no_incident_is_left_open_for_ever(lives: list[Lived]) -> None:
    assert {each.world.name: each.left_open for each in lives if each.left_open} == {}


def test_no_count_is_lost_or_doubled_however_often_the_loop_falls(lives: list[Lived]) -> None:
    assert sum(each.fallen for each in lives) >= 3
    for each in lives:
        first = max(each.world.taught, each.world.taught + each.world.days - 90)
        days = range(first, each.world.taught + each.world.days)
        for name in ("asked", "judged", "labelled"):
            told: Counter[int] = getattr(each.told, name)
            assert [each.counted[name][day] for day in days] == [told[day] for day in days], (each.world.name, name)
        judged = sum(n for day, n in each.told.labelled.items() if day < each.world.taught + each.world.days)
        assert each.labels == judged, each.world.name


@pytest.mark.parametrize("place", [0, 3] if FULL else [1])
def test_a_loop_that_falls_counts_as_its_twin_that_never_does(lives: list[Lived], tmp_path: Path, place: int) -> None:
    fell = lives[place]
    twin = live(fell.world, tmp_path, undisturbed=True)
    assert twin.fallen == 0
    assert (fell.counted, fell.labels) == (twin.counted, twin.labels)
