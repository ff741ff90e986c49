"""How far feature views are in the online store. Told, never decided by: no event holds it."""

from __future__ import annotations

from typing import Literal

from flyball.clock import Instant
from flyball.records.base import Record


class ViewStatus(Record, frozen=True):
    """One definition of a view: what is read of it, of which of its data set's versions, and what keeps it behind.

    `digest` is of the definition (its first 16 hex digits), `models` are those that read it. `state`: live, filling (for the first time), none.
    `content`, `rows`, `as_of`, `made_at` are of what is read: the version of the data set, how many rows it has, when the newest of them was
    known, and when they were taken up. `newest` is the version that there is, `lag` by how much (µs) it is newer; None: nothing is read yet.
    `filled`: how many entities a fill that is under way has done. `problem`: why it is not up to date, as far as that is no matter of time.
    """

    view: str
    digest: str
    data: str
    entity: tuple[str, ...]
    features: tuple[str, ...]
    ttl: int | None
    owner: str
    models: tuple[str, ...]
    state: Literal["live", "filling", "none"]
    content: str
    rows: int
    as_of: Instant
    made_at: Instant
    newest: str
    lag: int | None
    filled: int = 0
    problem: str = ""

    @property
    def current(self) -> bool:
        """Whether what is read is of the newest version. Rows that changed make a version that is no later than another."""
        return self.state == "live" and self.content == self.newest


class ViewsStatus(Record, frozen=True):
    """All of them, in order of name: what run/views.json holds. `unwanted`: since when views of the store, by their names there, are read by no model."""

    views: tuple[ViewStatus, ...] = ()
    unwanted: dict[str, Instant] = {}
