"""Muting: a person wants to hear nothing of a model's alerts, or of one monitor's, for a while. Pure.

What is muted is watched all the same. It opens no incident and is told to nobody until the mute ends, by itself or by a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.ledger.bounds import clipped, named
from flyball.loop.findings import alerts_of
from flyball.loop.ports import Decide
from flyball.monitoring.rules import DETECTOR, LABELS, LOGGED
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.mutes import AlertMuted, AlertUnmuted, mutes_of

LONGEST = Span.parse("30d")
"""What is muted for longer is forgotten: a monitor that nobody wants to hear of is taken out of the loop file."""


class Mute(Record, frozen=True):
    """Hear nothing of a model's alerts, or of those of one monitor, until then."""

    id: str
    actor: str
    model: str
    until: Instant
    reason: str
    monitor: str = ""


class Unmute(Record, frozen=True):
    """Hear of a model's alerts, or of those of one monitor, again."""

    id: str
    actor: str
    model: str
    reason: str = ""
    monitor: str = ""


def mute(model: Model, monitor: str, length: Span, now: Instant, *, command: str, actor: str, reason: str) -> tuple[Mute, Decide[Mute]]:
    """The command that mutes for so long, and its decision. Raises BadInput."""
    if not reason.strip():
        raise BadInput("muting needs a reason", why="it is recorded under your name", fix="say it in a sentence")
    if not 0 < length <= LONGEST:
        raise BadInput(
            f"an alert is muted for up to {LONGEST}, not for {length}",
            why="what is muted for ever is forgotten",
            fix="mute it again when that ends, or take the monitor out of the loop file",
        )
    order = Mute(id=command, actor=actor, model=model.name, monitor=monitor, until=now + length, reason=clipped(reason))
    return order, partial(decide_mute, model=model)


def unmute(model: Model, monitor: str, *, command: str, actor: str, reason: str) -> tuple[Unmute, Decide[Unmute]]:
    """The command that ends a mute, and its decision."""
    return Unmute(id=command, actor=actor, model=model.name, monitor=monitor, reason=clipped(reason)), decide_unmute


def monitors_of(state: State, model: Model) -> list[str]:
    """The names of the monitors that a model has: those that it declares, those that every model has, and those that ever moved."""
    own = [*(named(str(monitor)) for monitor in model.monitors), DETECTOR, LABELS, LOGGED]
    return list(dict.fromkeys([*own, *(row.monitor for row in alerts_of(state, model.name).values())]))


def decide_mute(state: State, command: Mute, now: Instant, *, model: Model) -> Sequence[Event] | Refusal:
    """A mute of a monitor that there is. A later one takes the place of the one before."""
    monitors = monitors_of(state, model)
    if command.monitor and command.monitor not in monitors:
        what = f'{command.model} has no monitor "{command.monitor[:200]}"'
        return Refusal(code="not-found", what=what, fix=f"monitors: {near(command.monitor, monitors)}")
    if command.until <= now:
        return Refusal(code="conflict", what="this mute is over already", fix="mute it for longer")
    return (AlertMuted(model=command.model, monitor=command.monitor, until=command.until, reason=command.reason),)


def decide_unmute(state: State, command: Unmute, now: Instant) -> Sequence[Event] | Refusal:
    """What is muted is heard again."""
    muted = mutes_of(state, command.model, now)
    if command.monitor not in muted:
        of = f'"{command.monitor[:200]}" of {command.model}' if command.monitor else command.model
        others = ", ".join(f'"{name}"' if name else "all of it" for name in muted)
        return Refusal(code="conflict", what=f"{of} is not muted", why=f"muted: {others}" if others else "nothing of it is")
    return (AlertUnmuted(model=command.model, monitor=command.monitor, reason=command.reason),)
