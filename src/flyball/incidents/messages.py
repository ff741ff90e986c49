"""What people are told of incidents and warnings, and when. Pure: rows and `now` in, messages out.

What was said before is a row for each thread and route, so that a message is made once, wherever the process dies, and a route that was declared
only now hears of what is open. An incident that is over is told of to whoever heard of it, and to nobody else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from flyball.clock import Instant, Span, to_second
from flyball.declare.model import Model
from flyball.incidents.persons import COMPLAINT
from flyball.incidents.playbook import TOLD, actions, is_left, mode_of
from flyball.incidents.rules import REOPEN
from flyball.ledger.bounds import clipped, named
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.deliveries import Act, Message, SaidRow, Told
from flyball.records.incidents import IncidentRow, IncidentState

AGAIN = Span.parse("4h")
"""How long after a person was woken they are woken again, while nobody has said that they are on it (statistics.md §6)."""

ACKNOWLEDGED, REOPENED, MITIGATED = "acknowledged by ", f"{IncidentState.OPEN.value}: ", f"{IncidentState.MITIGATED.value}: "
"""How notes of an incident begin that say so."""

WITH, MITIGATED_MARK = "with ", "mitigated "
"""How marks begin: that another model's incident is told in this thread, that it was told as mitigated then."""

LIVE_STATES = _LIVE = (IncidentState.OPEN, IncidentState.MITIGATING)
_OVER: frozenset[Told] = frozenset({"closed", "recovered"})
_ENDS: frozenset[Told] = frozenset({"mitigated", "closed", "recovered"})
"""What is told although the alert is muted: it disturbs nobody, and a receiver must not go on alone."""

_ACTS: Mapping[Told, Act] = {"acknowledged": "acknowledge", "mitigated": "resolve", "closed": "resolve", "recovered": "resolve"}

_TITLE = 200
_NAMED = 30
"""Models that a text names."""

_NOTES = 4
_WORD = re.compile(r"[a-z]+[,:]?\s")
_LATER = frozenset({"review", "root cause"})
"""Clocks for which nobody is woken."""


class Saying(NamedTuple):
    """Something to be told, before it has words. `mark` tells it from everything else that is told of its thread."""

    told: Told
    mark: str
    why: str = ""


class Urgent(NamedTuple):
    """What made an incident urgent: the monitor, and what it says."""

    by: str
    why: str


def is_over(told: Told) -> bool:
    """Whether nothing more is said of the thread after this."""
    return told in _OVER


def wakes(message: Message) -> bool:
    """Whether a person is woken by it."""
    return message.urgent and message.told in ("opened", "raised", "reopened", "again")


def of_incident(
    row: IncidentRow,
    said: SaidRow | None,
    model: Model | None,
    now: Instant,
    *,
    muted: bool = False,
    link: str = "",
    others: Mapping[str, str] = MappingProxyType({}),
    back: bool = False,
    raised: Urgent | None = None,
) -> Iterator[Message]:
    """What is to be said of an incident now on one route, in order. `said`: what was said of it there; None: nothing yet. `model`: None where it is the
    project's. `others`: incidents of other models that are told in the same thread, and whose they are; `row` is all of them as one then (`incidents.threads`).
    `back`: something can be taken back (`next_step`); `raised`: what made it urgent, where it is known.
    """
    urgent = "page" in row.actions
    sayings = list(_of_incident(row, said, now, urgent=urgent))
    new = [incident for incident in others if said is not None and f"{WITH}{incident}" not in said.marks]
    if new:
        sayings.append(Saying("joined", f"joined {new[-1]}", listed([others[incident] for incident in new])))
    if muted:
        sayings = [saying for saying in sayings if saying.told in _ENDS] if said is not None else []
    for saying in sayings:
        yield _message(row, saying, model, now, urgent=urgent, link=link, others=others, back=back, raised=raised)


def _of_incident(row: IncidentRow, said: SaidRow | None, now: Instant, *, urgent: bool) -> Iterator[Saying]:
    if said is None:
        recent = row.state in (IncidentState.MITIGATED, IncidentState.REVIEWED) and now - row.mitigated_at <= REOPEN
        if row.state not in _LIVE and not recent:
            return
        yield Saying("opened", "opened")
    elif urgent and not said.urgent and row.state in _LIVE:
        yield Saying("raised", "raised")
    if again_due(row, said) is not None and said is not None and now >= said.woken_at + AGAIN:
        yield Saying("again", f"again {said.again + 1}")
    known = frozenset(said.marks if said is not None else ("opened", f"reopened {row.reopened_at}"))
    by = acknowledged_by(row)
    for saying in (
        *([Saying("reopened", f"reopened {row.reopened_at}", _last(row, REOPENED))] if row.reopened_at and row.state in _LIVE else ()),
        *(Saying("overdue", f"overdue {clock} {_due(row, clock)}", clock) for clock in row.overdue if row.state != IncidentState.CLOSED),
        *([Saying("acknowledged", f"acknowledged {row.reopened_at}", by)] if by and row.state in _LIVE else ()),
        *([Saying("mitigated", f"{MITIGATED_MARK}{row.mitigated_at}", _last(row, MITIGATED))] if row.mitigated_at else ()),
        *([Saying("closed", "closed", row.notes[-1] if row.notes else "")] if row.state == IncidentState.CLOSED else ()),
    ):
        if saying.mark not in known:
            yield saying


def again_due(row: IncidentRow, said: SaidRow | None) -> Instant | None:
    """When a person is to be woken again; None: not at all."""
    waits = said is not None and said.woken_at and row.state in _LIVE and "page" in row.actions and not acknowledged_by(row)
    return said.woken_at + AGAIN if waits and said is not None else None


def acknowledged_by(row: IncidentRow) -> str:
    """Who has said that they are on it, since it opened or opened again; empty: nobody."""
    for note in reversed(row.notes):
        if note.startswith(REOPENED):
            return ""
        if note.startswith(ACKNOWLEDGED):
            return note.removeprefix(ACKNOWLEDGED)
    return ""


def next_step(row: IncidentRow, *, back: bool) -> str:
    """What a person does next, as a command where it is one: the same wherever it is told (`loop.nextstep`). back: `flyball rollback` would be done now."""
    if row.state in _LIVE:
        ack = f"flyball incidents ack {row.incident}"
        if row.failure_mode == COMPLAINT:
            ended = f'flyball incidents mitigated {row.incident} --reason "…", when what it is about is mended'
            return ended if acknowledged_by(row) else f"{ack}; {ended}"
        ours = not is_left(row.notes) and ("rollback" in row.actions or row.failure_mode in ("errors", "latency"))
        undo = f"flyball rollback {row.model}" if ours and back else ""
        return (
            _left(row, undo or ("nothing can be taken back now" if ours else ""))
            if acknowledged_by(row)
            else f"{undo}, or {ack}"
            if undo
            else ack
        )
    if row.state == IncidentState.MITIGATED:
        return f'flyball incidents review {row.incident} --text "…"'
    return "it closes when it stays well" if row.state == IncidentState.REVIEWED else "nothing is left to do"


def _left(row: IncidentRow, undo: str) -> str:
    """What is left to somebody who is on it: the person's step of the failure mode, and what ends it. undo: the command that takes a release back, or that none does."""
    mode = mode_of(row.failure_mode)
    where = "where it is served: " if is_left(row.notes) else ""
    step = f"{where}{mode.human if mode else 'find what is wrong'}{f' ({undo})' if undo else ''}"
    return f"{step}; it ends by itself when its alert resolves" if row.model and row.alert else step


def of_alert(row: AlertRow, said: SaidRow | None, model: Model, now: Instant, *, muted: bool = False, link: str = "") -> Iterator[Message]:
    """What is to be said of an alert of severity warn, where the playbook makes tickets of its failure mode."""
    finding = row.finding
    warns = row.state == AlertState.FIRING and finding.severity == "warn"
    if said is None:
        mode = finding.failure or "performance"
        if warns and not muted and "ticket" in actions(model.playbook, mode):
            yield _of_warning(row, Saying("warned", "warned"), model, now, link)
        return
    if row.state in (AlertState.OK, AlertState.RESOLVED):
        yield _of_warning(row, Saying("recovered", "recovered", finding.why), model, now, link)
    elif row.state == AlertState.FIRING and not warns:
        yield _of_warning(row, Saying("recovered", "recovered", "it became grave: an incident tells of it"), model, now, link)


def thread_of(row: AlertRow) -> str:
    """The thread of an alert's episode."""
    return named(f"{row.key}#{row.episode}", _TITLE)


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names in words, not all of too many."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _message(
    row: IncidentRow,
    saying: Saying,
    model: Model | None,
    now: Instant,
    *,
    urgent: bool,
    link: str,
    others: Mapping[str, str],
    back: bool,
    raised: Urgent | None,
) -> Message:
    models = (row.model, *others.values()) if others else ()
    what = f"{len(models)} models ({listed(models)}): {row.what}" if models else f"{row.model or 'the project'}: {row.what}"
    titles: Mapping[Told, str] = {
        "opened": what,
        "raised": f"{what}, urgent now{f': {raised.by}' if raised else ''}",
        "reopened": f"{what} (again)",
        "again": f"{what} (open for {Span(now - max(row.opened_at, row.reopened_at)).brief}, nobody has said that they are on it)",
        "acknowledged": f"{what}: acknowledged by {saying.why}",
        "overdue": f"{what}: the {'mitigation' if saying.why == 'mitigate' else saying.why} is overdue",
        "joined": f"{what}: now of {saying.why} too",
        "mitigated": f"{what}: mitigated",
        "closed": f"{what}: closed",
    }
    over = row.state not in _LIVE
    later = saying.told == "overdue" and (over or saying.why in _LATER)
    return Message(
        message=_id(row.incident, saying.mark),
        thread=row.incident,
        told=saying.told,
        # what is over there is not begun again by a clock
        act="resolve" if later and over else _ACTS.get(saying.told, "trigger"),
        severity="info" if later or saying.told in _ENDS else "critical" if urgent else "warning",
        urgent=urgent and not later,
        page=urgent,
        title=clipped(titles[saying.told], _TITLE),
        text=clipped(_text(row, saying, model, models, back=back, raised=raised)),
        model=row.model,
        owner=row.owner,
        since=max(row.opened_at, row.reopened_at),
        command=f"flyball incidents show {row.incident}",
        incident=row.incident,
        alert=row.alert,
        failure_mode=row.failure_mode,
        link=f"{link}/api/v1/incidents/{row.incident}" if link else "",
        mark=saying.mark,
        models=models,
        along=tuple(others),
    )


def _text(row: IncidentRow, saying: Saying, model: Model | None, models: Sequence[str], *, back: bool, raised: Urgent | None) -> str:
    """One paragraph: what, since when, why, what the loop did, and what a person does next."""
    stake = f" At stake: {model.framing.kpi}." if model is not None and model.framing.kpi else ""
    cause = f" Cause: {_sentence(row.cause)}" if row.cause else " Its cause is not known yet."
    of = listed(models, _NAMED) if models else row.model or "the project"
    begun = f"{row.what[:1].upper()}{row.what[1:]} in {of} since {to_second(max(row.opened_at, row.reopened_at))}."
    monitor = row.alert.removeprefix(f"{row.model}/").rpartition("/")[0]
    cause = f"{cause} Monitor: {monitor}." if monitor else cause
    why = f" {_begun(_sentence(saying.why))}" if saying.why and saying.told in ("reopened", "mitigated", "closed") else ""
    why = f" It is urgent now: {_sentence(f'{raised.by}: {raised.why}')}" if raised and saying.told == "raised" else why
    one = " They are told together, for one thing may be behind them; each has its incident (flyball incidents list)." if models else ""
    return f"{begun}{stake}{cause}{why}{_done(row)}{one} Next: {next_step(row, back=back)}"


def _done(row: IncidentRow) -> str:
    """What the loop does or has done about it."""
    own = [name for name in row.actions if name not in TOLD]
    notes = [
        note for note in row.notes if not note.startswith((ACKNOWLEDGED, "overdue: ", *(f"{state.value}: " for state in IncidentState)))
    ]
    doing = next((note for note in reversed(row.notes) if note.startswith(f"{IncidentState.MITIGATING.value}: ")), "")
    parts = [
        f" flyball's playbook: {', '.join(own)}." if own else "",
        f" Under way: {_sentence(doing.partition(': ')[2])}" if doing and row.state == IncidentState.MITIGATING else "",
        f" Noted: {_sentence('; '.join(clipped(note, 200) for note in notes[-_NOTES:]))}" if notes else "",
    ]
    return "".join(parts)


def _of_warning(row: AlertRow, saying: Saying, model: Model, now: Instant, link: str) -> Message:
    finding, thread = row.finding, thread_of(row)
    mode = (finding.failure or "performance").replace("_", " ")
    what = f"{model.name}: {mode}{f' ({finding.where})' if finding.where else ''}"
    recovered = saying.told == "recovered"
    text = f"{_sentence(saying.why or finding.why)} Monitor: {row.monitor}."
    since = now if recovered else row.since
    return Message(
        message=_id(thread, saying.mark),
        thread=thread,
        told=saying.told,
        act=_ACTS.get(saying.told, "trigger"),
        severity="info" if recovered else "warning",
        urgent=False,
        title=clipped(f"{what}: {'no warning any more' if recovered else 'a warning'}", _TITLE),
        text=clipped(text if recovered else f"{text} It is a warning: no incident is open. Next: flyball status"),
        model=model.name,
        owner=model.owner,
        since=since,
        command="flyball status",
        alert=row.key,
        failure_mode=finding.failure,
        link=f"{link}/api/v1/monitors/{model.name}" if link else "",
        mark=saying.mark,
    )


def after(said: SaidRow | None, message: Message, route: str, now: Instant) -> SaidRow | None:
    """What was said of a thread on a route once this is said too; None: all is said."""
    if is_over(message.told):
        return None
    marks = said.marks if said is not None else ()
    woken = now if wakes(message) else said.woken_at if said is not None else 0
    again = said.again if said is not None else 0
    fresh = () if message.told in ("again", "joined") or message.mark in marks else (message.mark,)
    joined = tuple(mark for mark in (f"{WITH}{incident}" for incident in message.along) if mark not in marks)
    # an incident that opened again before anybody was told of it is told of as it stands
    first = (f"reopened {message.since}",) if said is None else ()
    return SaidRow(
        thread=message.thread,
        route=route,
        model=message.model,
        urgent=message.urgent or (said is not None and said.urgent),
        marks=(*marks, *first, *fresh, *joined),
        woken_at=woken,
        again=again + 1 if message.told == "again" else again,
    )


def due(rows: Sequence[IncidentRow], said_of: Callable[[IncidentRow], SaidRow | None]) -> list[Instant]:
    """When people are to be told again, of each incident that nobody has acknowledged."""
    found = (again_due(row, said_of(row)) for row in rows if row.state in _LIVE)
    return [at for at in found if at is not None]


def _due(row: IncidentRow, clock: str) -> Instant:
    return {"mitigate": row.mitigate_by, "review": row.review_by}.get(clock, row.root_cause_by)


def _last(row: IncidentRow, start: str) -> str:
    return next((note.removeprefix(start) for note in reversed(row.notes) if note.startswith(start)), "")


def _id(thread: str, mark: str) -> str:
    """The same for the same thing, on every route and at every try."""
    return "msg_" + hashlib.sha256(f"{thread}\n{mark}".encode()).hexdigest()[:20]


def _begun(sentence: str) -> str:
    """A sentence with its first letter as such, where that is a word's; a name (`user:ana`, `error_rate`) stays as it is."""
    return sentence[:1].upper() + sentence[1:] if _WORD.match(sentence) else sentence


def _sentence(text: str) -> str:
    plain = " ".join(text.split())
    return plain if plain.endswith((".", "…", "!", "?")) else f"{plain}."
