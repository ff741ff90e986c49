"""Muting alerts and hearing them again, and what was told of an incident, for callers of the API."""

from __future__ import annotations

from flyball.api import answers, bodies, pages
from flyball.api.asking import Answer, Asked
from flyball.clock import Span
from flyball.errors import BadInput
from flyball.loop import lookup, muting
from flyball.loop.delivering import told_of
from flyball.records.deliveries import DELIVERIES
from flyball.records.mutes import mutes_of


def mute(asked: Asked) -> Answer:
    """Hear nothing of a model's alerts, or of one monitor's, for a while. They are watched all the same."""
    body: bodies.Muting = asked.body
    try:
        length = Span.parse(body.lasts)
    except ValueError as error:
        raise BadInput(f'lasts is "{body.lasts[:40]}"', why=str(error), fix='write "2h"') from None
    return _give(asked, length, body.reason, body.monitor)


def unmute(asked: Asked) -> Answer:
    """Hear of them again: what still fires is told at once."""
    body: bodies.Unmuting = asked.body
    return _give(asked, None, body.reason, body.monitor)


def _give(asked: Asked, length: Span | None, reason: str, monitor: str) -> Answer:
    name = asked.path["model"]
    asked.must_see(name)
    model = lookup.declared(asked.ports, name)
    if length is None:
        command, decide = muting.unmute(model, monitor, command=asked.command, actor=asked.caller.actor, reason=reason)
        receipt = asked.ports.ledger.execute(command, decide)
    else:
        muted, decided = muting.mute(model, monitor, length, asked.now, command=asked.command, actor=asked.caller.actor, reason=reason)
        receipt = asked.ports.ledger.execute(muted, decided)
    row = mutes_of(asked.state(), name, asked.now).get(monitor)
    return Answer(answers.Muted(model=name, monitor=monitor, until=row.until if row else 0, event=receipt.last))


def deliveries(asked: Asked) -> Answer:
    """What people were told of an incident: each message, where it went, and what became of it; of another model's thread, to whoever may see that one."""
    row = lookup.incident(asked.state(), asked.path["incident"], asked.sees)
    asked.must_see(row.model)
    rows = [
        (key, told)
        for key, told in told_of(asked.state(), row.incident)
        if told.said.incident == row.incident or asked.sees(told.said.model)
    ]
    return Answer(pages.of_list(rows, DELIVERIES.name, asked.query))
