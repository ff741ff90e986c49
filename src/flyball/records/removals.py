"""What was removed on purpose, so that a blob that is gone can be told from one that was lost."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.records.base import Event, Record, Table


class BlobsRemoved(Event, frozen=True, tag="blobs.removed"):
    """Nothing that is kept needs these blobs (their SHA-256): from here on they may be missing. An event after this one may need one again."""

    blobs: tuple[str, ...]


class RemovedRow(Record, frozen=True):
    """A blob that may be missing, as far as events before `since` refer to it."""

    since: int


REMOVED = Table("removed_blob", RemovedRow)
"""Keyed by blob hash."""

A_PIECE = 200
"""Blobs that one event names: more would not fit."""


def pieces(blobs: Sequence[str]) -> tuple[BlobsRemoved, ...]:
    """The events that name all these blobs."""
    return tuple(BlobsRemoved(blobs=tuple(blobs[start : start + A_PIECE])) for start in range(0, len(blobs), A_PIECE))


EVENTS = (BlobsRemoved,)
