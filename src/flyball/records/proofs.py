"""What makes the record provable to others: the keys that sign it."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class KeyAdded(Event, frozen=True, tag="key.added"):
    """Checkpoints and versions may be signed by this key from here on. `vkey` is its public half as a C2SP verifier key."""

    vkey: str


class KeyRow(Record, frozen=True):
    """A public key that this ledger knows."""

    vkey: str
    since: int
    """The event that added it."""
    added_at: Instant


KEYS = Table("key", KeyRow)
"""Keyed by `vkey`. The name in the oldest one is the ledger's origin."""

EVENTS = (KeyAdded,)
