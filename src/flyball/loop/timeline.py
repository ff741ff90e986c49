"""What happened to a model around an incident, from the ledger: releases, data, runs, alerts, actions and people, in order. Only reads.

Bounded whatever the record holds: so many events are read, and so many are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from flyball.clock import Instant, Span, to_second
from flyball.declare.reads import looked_at
from flyball.incidents.persons import COMPLAINT
from flyball.incidents.rules import tells_of
from flyball.ledger.bounds import clipped
from flyball.loop import lookup, telling
from flyball.loop.ports import Ledger, Library
from flyball.records.alerts import AlertMoved
from flyball.records.base import Event, Record, Recorded, State
from flyball.records.data import DataCommitted, DataFresh, DataRefused, DataStale
from flyball.records.declarations import DECLARATIONS
from flyball.records.deliveries import AlertDelivered, AlertUndelivered
from flyball.records.incidents import (
    INCIDENTS,
    MODEL_INCIDENTS,
    IncidentMoved,
    IncidentNoted,
    IncidentOpened,
    IncidentReviewed,
    IncidentRow,
)
from flyball.records.proposals import PROPOSALS, ProposalSettled
from flyball.records.rollouts import ROLLOUTS
from flyball.records.training import RUNS

BEFORE = Span.parse("1h")
"""What came so long before an incident may have led to it."""

READ, FIRST, LAST = 20_000, 60, 140
"""Events that are read at most, half of them the oldest and half the newest, and how many of what they tell is shown: the first ones, and the last ones."""


_OF_ONE = (IncidentOpened, IncidentMoved, IncidentNoted, IncidentReviewed, AlertDelivered, AlertUndelivered)
"""Events of one incident alone."""


class Moment(Record, frozen=True):
    """One event as a line; `seq` is its number in the ledger."""

    seq: int
    at: Instant
    actor: str
    text: str


class Timeline(Record, frozen=True):
    """The moments in order; `left_out` of them, after the first ones, are not told. `unread` events between the oldest and the newest, of whatever model, were
    not looked at.
    """

    moments: tuple[Moment, ...] = ()
    left_out: int = 0
    unread: int = 0


def timeline(ledger: Ledger, library: Library, row: IncidentRow, now: Instant) -> Timeline:
    """From an hour before an incident opened until it was closed, or until now. What another incident tells of is not told here."""
    state = ledger.state()
    data = _data_of(state, library, row.model)
    known = [other for _, other in state.scan(MODEL_INCIDENTS, f"{row.model}/") if other.incident != row.incident]
    others = [other for other in known if _is_beside(other, row, now)]
    events, unread = around(ledger, row, now)
    ours = (recorded for recorded in events if _is_about(state, recorded.event, row, data) and not _is_of(recorded.event, row, others))
    found = list(_moments(ours, row.model))
    if len(found) <= FIRST + LAST:
        return Timeline(moments=tuple(found), unread=unread)
    return Timeline(moments=(*found[:FIRST], *found[-LAST:]), left_out=len(found) - FIRST - LAST, unread=unread)


def _moments(events: Iterable[Recorded], model: str) -> Iterator[Moment]:
    """What is told of events, in order. Of a data set's versions that come with nothing else told between them there is one moment, that of the first."""
    fed: dict[str, list[tuple[Recorded, DataCommitted]]] = {}
    for recorded in events:
        if isinstance(recorded.event, DataCommitted):
            fed.setdefault(recorded.event.version.name, []).append((recorded, recorded.event))
        elif text := _text(recorded.event, model):
            yield from _fed(fed)
            fed.clear()
            yield Moment(seq=recorded.seq, at=recorded.at, actor=recorded.actor, text=clipped(text, 500))
    yield from _fed(fed)


def _fed(fed: Mapping[str, Sequence[tuple[Recorded, DataCommitted]]]) -> Iterator[Moment]:
    """One moment for the versions of each data set, in the order of their first ones."""
    for of in fed.values():
        (first, begun), (last, ended) = of[0], of[-1]
        more = f" … {ended.version.version}" if len(of) > 1 else ""
        until = f" ({len(of):,} versions until {to_second(last.at)})" if len(of) > 1 else ""
        text = f"data        {begun.version.name}@{begun.version.version}{more}, {ended.version.rows:,} rows{until}"
        yield Moment(seq=first.seq, at=first.at, actor=first.actor, text=clipped(text, 500))


def around(ledger: Ledger, row: IncidentRow, now: Instant) -> tuple[Iterator[Recorded], int]:
    """The events of that time in order, of whatever model, and how many between the oldest and the newest are not among them."""
    first, last = _before(ledger, row.opened_at - BEFORE), _before(ledger, (row.closed_at or now) + 1)
    oldest = min(last - first, READ // 2)
    newest = min(last - first - oldest, READ // 2)
    return chain(ledger.read(first, oldest), ledger.read(last - newest, newest)), last - first - oldest - newest


def _before(ledger: Ledger, moment: Instant) -> int:
    """The number of the last event before a moment: events' times never go back, so it is found by halving."""
    low, high = 0, ledger.size()
    while low < high:
        middle = (low + high + 1) // 2
        event = next(iter(ledger.read(middle - 1, 1)), None)
        low, high = (middle, high) if event is not None and event.at < moment else (low, middle - 1)
    return low


def _data_of(state: State, library: Library, model: str) -> frozenset[str]:
    """The data sets that a model looks at, as far as its declaration can be read."""
    declared = state.get(DECLARATIONS, model)
    read = lookup.readable(library, declared)[0] if declared is not None else None
    return frozenset(looked_at(read)) if read is not None else frozenset()


def _is_about(state: State, event: Event, row: IncidentRow, data: frozenset[str]) -> bool:
    if isinstance(event, DataCommitted):
        return event.version.name in data
    if isinstance(event, DataRefused | DataStale | DataFresh):
        return event.name in data
    incident = getattr(event, "incident", "")
    if incident:
        other = state.get(INCIDENTS, incident)
        return other is not None and other.model == row.model
    model = getattr(event, "model", "")
    return (model or next(_models(state, event), "")) == row.model and bool(row.model)


def _is_beside(other: IncidentRow, row: IncidentRow, now: Instant) -> bool:
    """Whether another incident lasted into the time of this one: what was over by then, or opened afterwards, tells of no alert of it."""
    return (not other.closed_at or other.closed_at >= row.opened_at - BEFORE) and other.opened_at <= (row.closed_at or now)


def _is_of(event: Event, row: IncidentRow, others: Sequence[IncidentRow]) -> bool:
    """Whether an event is another incident's: what was done with that one, or an alert that only that one tells of."""
    if isinstance(event, _OF_ONE):
        return event.incident != row.incident
    # a complaint has no alert: those of all monitors may say what it is about
    if not isinstance(event, AlertMoved) or row.failure_mode == COMPLAINT or tells_of(row, event.key):
        return False
    return any(tells_of(other, event.key) for other in others)


def _models(state: State, event: Event) -> Iterator[str]:
    """The model of an event that names it by its rollout, run or proposal."""
    rows = (
        state.get(ROLLOUTS, getattr(event, "rollout", "") or "-"),
        state.get(RUNS, getattr(event, "run", "") or "-"),
        state.get(PROPOSALS, getattr(event, "proposal", "") or "-"),
    )
    return (row.model for row in rows if row is not None)


def _text(event: Event, model: str) -> str:
    match event:
        case IncidentNoted():
            likely = f"likely cause: {event.causes[0].what}" if event.causes else ""
            return f"incident    {event.incident}: {event.note or likely or event.cause}"
        case IncidentReviewed():
            return f"reviewed    {event.incident}: {event.review.what}"
        case DataStale():
            return f"stale       data {event.name}: its newest row is older than {event.freshness}"
        case DataFresh():
            return f"fresh       data {event.name} is fresh again"
        case AlertMoved():
            return f"{event.target.value:<11} {event.monitor}: {event.finding.why}"
        case ProposalSettled():
            return f"{event.verdict:<11} {event.proposal}: {event.reason}"
        case _:
            return telling.line(event, model)[1]
