"""A version held for want of data is judged again as rows arrive, without another training."""

import itertools
from pathlib import Path

import polars as pl
import pytest

import flyball as fb
from flyball.clock import Instant, Span, VirtualClock
from flyball.loop import backtest
from flyball.loop.backtest import Policy
from flyball.records.base import Event
from flyball.records.training import RunQueued, RunSucceeded
from flyball.records.versions import VersionEligible, VersionHeld, VersionRegistered
from flyball.training.fitting import FitCache

from .streams import declared, history, stream


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Instant, Event]]:
    """A rehearsal in which every candidate is about as good as the champion, so that a short hold-out cannot tell."""
    frame = stream(1).head(48 * 75).with_columns(pl.col("a"))
    model = declared(frame).replace(
        gates=[fb.metric("accuracy") >= fb.champion - 0.05], retrain=fb.Retrain(every="9d", cooldown="60h", budget="1 EUR/30d"), monitors=()
    )
    folder: Path = tmp_path_factory.mktemp("held")
    past = history(model, frame, folder)
    clock = VirtualClock(past.start)
    ports, _, _ = backtest._ports(Policy("held", model), past, folder, clock, FitCache())
    backtest._declare(model, ports, "declare")
    now, end = past.start, past.start + Span.parse("40d")
    while now < end:
        clock.advance_to(now)
        now = max(now + Span.parse("6h"), min(backtest._settle(now, ports), now + Span.parse("1d")))
    return [(recorded.at, recorded.event) for recorded in ports.ledger.read(0, 10_000)]


def of(events: list[tuple[Instant, Event]], *kinds: type[Event]) -> list[Event]:
    return [event for _, event in events if isinstance(event, kinds)]


def test_a_held_version_becomes_eligible_on_newer_rows(events: list[tuple[Instant, Event]]) -> None:
    held = {event.version for event in of(events, VersionHeld)}
    later = {event.version for event in of(events, VersionEligible) if event.result}
    assert held & later


def test_what_is_tested_again_is_tested_more_strictly(events: list[tuple[Instant, Event]]) -> None:
    looks: dict[str, list[str]] = {}
    for event in of(events, VersionHeld, VersionEligible):
        looks.setdefault(event.version, []).extend(each.why for each in event.verdicts if each.reference is not None)
    again = [whys for whys in looks.values() if len(whys) > 1]
    assert again
    for first, *later in again:
        assert "looked at again" not in first
        assert all("looked at again, so at α = 0.00625" in why for why in later)


def test_judging_again_registers_nothing_and_is_no_attempt(events: list[tuple[Instant, Event]]) -> None:
    queued = of(events, RunQueued)
    again = [event for event in queued if event.trigger == "evidence"]
    assert again
    assert len(of(events, VersionRegistered)) == len(queued) - len(again)
    assert len(of(events, RunSucceeded)) == len(queued)
    attempts = [at for at, event in events if isinstance(event, RunQueued) and event.trigger != "evidence"]
    assert all(later - earlier <= Span.parse("10d") for earlier, later in itertools.pairwise(attempts))


def test_the_evidence_grows_from_one_judgement_to_the_next(events: list[tuple[Instant, Event]]) -> None:
    sizes: dict[str, list[int]] = {}
    for event in of(events, VersionHeld, VersionEligible):
        for verdict in event.verdicts:
            if verdict.estimate is not None:
                sizes.setdefault(event.version, []).append(verdict.estimate.n)
    grown = [rows for rows in sizes.values() if len(rows) > 1]
    assert grown
    assert all(earlier < later for rows in grown for earlier, later in itertools.pairwise(rows))


def test_a_rehearsal_holds_no_budget_against_a_policy(events: list[tuple[Instant, Event]]) -> None:
    """Without a price nothing would be trained by the schedule, and a rehearsal knows none: its policies share their fits."""
    scheduled = [event for event in of(events, RunQueued) if event.trigger == "schedule"]
    assert len(scheduled) >= 3
    assert {event.cpu_s for event in of(events, RunSucceeded)} == {0.0}
