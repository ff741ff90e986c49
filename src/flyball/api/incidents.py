"""Incidents over HTTP: one with its timeline, a complaint, its end, a review, and the fallback. The same commands as the command line; it decides nothing."""

from __future__ import annotations

from flyball.api import answers, bodies
from flyball.api.asking import PREFIX, Answer, Asked
from flyball.errors import BadInput
from flyball.loop import lookup, orders, reviews
from flyball.loop.complained import about_of, known
from flyball.loop.raised import raised_of
from flyball.loop.timeline import timeline
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import IncidentOpened, IncidentRow, Review


def incident(asked: Asked) -> Answer:
    """One incident: its causes, what it has cost, everything that was noted on it, and what happened around it."""
    row = _row(asked)
    told = timeline(asked.ports.ledger, asked.ports.library, row, asked.now)
    values = {name: getattr(row, name) for name in row.__struct_fields__}
    declared, log = asked.state().get(DECLARATIONS, row.model), asked.wired.answers()
    model = lookup.readable(asked.ports.library, declared)[0] if declared is not None else None
    about, errors = about_of(log, model, row), raised_of(log, asked.state(), model, row)
    return Answer(answers.Incident(**values, counted=reviews.measured(asked.ports, row), timeline=told, about=about, raised=errors))


def complain(asked: Asked) -> Answer:
    """Open an incident of what a person says is wrong, though no monitor has seen it."""
    body: bodies.Complaint = asked.body
    asked.must_see(body.model)
    model = lookup.declared(asked.ports, body.model)
    about = known(asked.wired.answers(), model, body.request) if body.request.strip() else None
    command, decide = orders.complain(
        asked.ports, model, command=asked.command, actor=asked.caller.actor, what=body.what, request=body.request
    )
    receipt = asked.ports.ledger.execute(command, decide)
    events = lookup.events_of(asked.ports.ledger, receipt)
    opened = next(event.incident for event in events if isinstance(event, IncidentOpened))
    answer = answers.Complained(incident=opened, model=model.name, event=receipt.last, about=about)
    return Answer(answer, location=f"{PREFIX}/incidents/{opened}")


def mitigated(asked: Asked) -> Answer:
    """Say what ended a complaint. Of any other incident that is observed."""
    return _settled(asked, _row(asked), "mitigated", asked.reason)


def review(asked: Asked) -> Answer:
    """Write down what was learnt. A mitigated incident is reviewed with this."""
    body: bodies.Reviewing = asked.body
    row = _row(asked)
    if body.text and body.what:
        raise BadInput("text and what are both given", why="text is the short form of what", fix="send one of them")
    actions = tuple(reviews.to_do(each.what, each.owner, each.due, asked.now) for each in body.actions)
    what = body.what or body.text
    form = reviews.form(asked.ports, row, what=what, why=body.why, impact=body.impact, actions=actions)
    return _settled(asked, row, "review", what, form)


def fall_back(asked: Asked) -> Answer:
    """Let the declared fallback answer as long as the incident is not mitigated."""
    row = _row(asked)
    command, decide = orders.fall_back(asked.ports, row, command=asked.command, actor=asked.caller.actor, reason=asked.reason)
    receipt = asked.ports.ledger.execute(command, decide)
    return Answer(answers.Settled(incident=row.incident, state=row.state.value, event=receipt.last))


def _row(asked: Asked) -> IncidentRow:
    row = lookup.incident(asked.state(), asked.path["incident"], asked.sees)
    asked.must_see(row.model)
    return row


def _settled(asked: Asked, row: IncidentRow, verb: orders.SettleVerb, text: str, form: Review | None = None) -> Answer:
    command, decide = orders.settle(row, verb, command=asked.command, actor=asked.caller.actor, text=text, review=form)
    receipt = asked.ports.ledger.execute(command, decide)
    after = lookup.incident(asked.state(), row.incident)
    return Answer(answers.Settled(incident=row.incident, state=after.state.value, event=receipt.last))
