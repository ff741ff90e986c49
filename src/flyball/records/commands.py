"""What the ledger itself remembers: which commands were carried out."""

from __future__ import annotations

from flyball.records.base import Event, Record, Table


class CommandRow(Record, frozen=True):
    """A command that appended events: the first and last sequence number, and who gave it."""

    actor: str
    first: int
    last: int


COMMANDS = Table("command", CommandRow)
"""Keyed by command id. Written by the ledger for every event, so no stage has a fold for it."""

EVENTS: tuple[type[Event], ...] = ()
