"""A rehearsal keeps to the change window: the loop looks when it opens, and nothing goes forward before."""

from pathlib import Path

import pytest

import flyball as fb
from flyball.clock import Instant, Span, VirtualClock, instant
from flyball.declare.change_window import change_window
from flyball.loop import backtest
from flyball.loop.backtest import Policy
from flyball.records.base import Event
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.training.fitting import FitCache

from .streams import declared, history, stream

WINDOW = change_window("Wed 10:00-12:00 Europe/Berlin")
FORWARD = (RolloutState.SHADOW, RolloutState.CANARY, RolloutState.WATCHING)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Instant, Event]]:
    """Four weeks of a model that may go forward on Wednesdays, from ten to twelve."""
    frame = stream(1).head(48 * 56)
    model = declared(frame)
    steps = fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05], evidence="gate", change_window=WINDOW.text).shadow("6h")
    model = model.replace(rollout=steps)
    folder: Path = tmp_path_factory.mktemp("window")
    past = history(model, frame, folder)
    clock = VirtualClock(past.start)
    ports, evidence, _ = backtest._ports(Policy("declared", model), past, folder, clock, FitCache())
    backtest._declare(model.replace(gates=(), rollout=fb.Rollout(), autonomy="act"), ports, "first")
    backtest._settle(past.start, ports)
    backtest._declare(model, ports, "policy")
    now = past.start
    while now <= int(past.rows.times[-1]):
        clock.advance_to(now)
        due = backtest._settle(now, ports)
        now = max(now + Span.parse("1m"), min(due if due > now else evidence.next_after(now), now + backtest.STEP))
    return [(recorded.at, recorded.event) for recorded in ports.ledger.read(0, 10_000) if recorded.at > past.start]


def test_nothing_goes_forward_outside_the_window(events: list[tuple[Instant, Event]]) -> None:
    went = [(at, event.target) for at, event in events if isinstance(event, RolloutMoved) and event.target in FORWARD]
    assert {target for _, target in went} == {RolloutState.SHADOW, RolloutState.WATCHING}
    assert all(WINDOW.is_open(at) for at, _ in went), went


def test_it_goes_forward_at_the_very_moment_that_the_window_opens(events: list[tuple[Instant, Event]]) -> None:
    wednesday = instant("2025-02-05T09:00:00Z")
    at = next(at for at, event in events if isinstance(event, RolloutPlanned))
    assert at < wednesday
    moves = [(at, event) for at, event in events if isinstance(event, RolloutMoved)]
    at, warming = moves[0]
    assert warming.why.endswith("and wait: change window closed until 2025-02-05T09:00Z")
    at, begun = moves[1]
    assert (at, begun.target) == (wednesday, RolloutState.SHADOW)
    at, frozen = next((at, event) for at, event in moves if event.target is RolloutState.FROZEN)
    assert wednesday + Span.parse("6h") <= at < wednesday + Span.parse("1d"), "it bakes while the window is closed"
    assert frozen.why == "change window closed until 2025-02-12T09:00Z"
    at, promoted = next((at, event) for at, event in moves if event.target is RolloutState.WATCHING)
    assert (at, promoted.source) == (wednesday + Span.parse("7d"), RolloutState.FROZEN)
