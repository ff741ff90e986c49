"""How far a view's generation has come: what it was made from, and what still comes. Kept as the cursor of the store. Pure."""

from __future__ import annotations

import msgspec

from flyball.clock import Instant
from flyball.features.online.plan import Plan


class Progress(msgspec.Struct, frozen=True):
    """Of one generation.

    `content` is the data set version it holds, `rows` how many rows of it; `next` the place that the next row gets. `as_of`: the newest
    moment at which any of the rows was known; `present`: up to which moment rows that nobody can ask about any more were left out.
    While it is filled, `done` entities are there and `whole` is False. Of a data set that rows are pushed to, `through` is the last pushed row
    that the version holds, `pushed` the last that is there. Of a backfill from the moment `since`, all else is that of the generation which it
    is to take the place of: `copied` says that its values are there, `remade` how many entities are done.
    """

    content: str
    present: Instant
    done: int = 0
    whole: bool = False
    rows: int = 0
    next: int = 0
    as_of: Instant = 0
    made_at: Instant = 0
    through: int = 0
    pushed: int = 0
    since: Instant | None = None
    copied: bool = False
    remade: int = 0


def packed(progress: Progress) -> bytes:
    """The cursor."""
    return msgspec.json.encode(progress)


def read(cursor: bytes) -> Progress | None:
    """What `packed` wrote; None for a cursor of another form, whose generation is made anew."""
    try:
        return msgspec.json.decode(cursor, type=Progress)
    except msgspec.MsgspecError:
        return None


def kept_from(made: Plan, progress: Progress) -> Instant:
    """The earliest moment that can be asked about: what lies further back may have been left out."""
    return progress.present - made.kept
