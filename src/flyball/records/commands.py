"""What the ledger itself remembers: which commands were carried out."""

from __future__ import annotations

import hashlib

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


def keyed_id(key: str, order: str) -> str:
    """The id of a command that is given under a key of its author's choice: `KEY/` and 16 digits that tell what was ordered.

    The same key with the same order is the same command; with another order it is a mistake, which the ledger refuses.
    """
    return f"{key}/{hashlib.sha256(order.encode('utf-8', 'replace')).hexdigest()[:16]}"


def key_of(command: str) -> str:
    """The key in a command's id; empty for an id without one."""
    return command.rpartition("/")[0]


EVENTS: tuple[type[Event], ...] = ()
