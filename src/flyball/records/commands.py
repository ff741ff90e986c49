"""What the ledger itself remembers: which commands were carried out."""

from __future__ import annotations

from flyball.records.base import Event, Record, Table


class CommandRow(Record, frozen=True, gc=False):
    """A command that appended events: the first and last sequence number, and who gave it.

    There is one for every command ever given, so the garbage collector is told that they hold nothing to follow.
    """

    actor: str
    first: int
    last: int


COMMANDS = Table("command", CommandRow)
"""Keyed by command id. Written by the ledger for every event, so no stage has a fold for it."""

EVENTS: tuple[type[Event], ...] = ()
