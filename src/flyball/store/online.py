"""The port of online stores: bytes by (view, entity, part), read many at once, written under a cursor. It knows no features.

A view has generations, each a whole set of its values. One at most is live: it is what readers read. Another may be built beside it, which
nobody reads before it is published, at once and whole. What is written and the cursor that says how far the writing has come are one
transaction, so a writer that was killed goes on where the store says, and does nothing twice.

Everything in here can be made again from data set versions, so a store that is lost is no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from flyball.errors import Unavailable

TIMEOUT_S = 1.0
"""How long a store may take to answer a read before it counts as unavailable; a connection to a server that hangs may take 2 s."""


class Part(NamedTuple):
    """One value: a body under the number of a part of an entity (the view's own business, such as a span of time)."""

    entity: bytes
    number: int
    body: bytes


class Generation(NamedTuple):
    """One whole set of a view's values. `cursor`: how far it was written, in whatever bytes its writer uses."""

    number: int
    view: str
    live: bool
    cursor: bytes


Merge: TypeAlias = Callable[[bytes, int, bytes | None], bytes | None]
"""(entity, part, what is there or None) → what shall be there; None: nothing. It must not change what it is given."""


class OnlineStore(Protocol):
    """Where values are kept. An object belongs to one thread. Every method raises Unavailable within `TIMEOUT_S` (writers: within 10 s)."""

    name: str
    """What messages call the store; holds no password."""

    def read(self, view: str, entities: Sequence[bytes]) -> list[Part]:
        """Every part of these entities of the live generation, in one round trip and of one moment; parts of one entity in order of number.

        An entity that is not there has none. Raises Unavailable with the code `view-not-online` where the view has no live generation.
        """
        ...

    def generations(self, views: Sequence[str] | None = None) -> list[Generation]:
        """All generations of these views, None: of all, in order of number: live ones and those that are being built."""
        ...

    def begin(self, view: str, cursor: bytes) -> Generation:
        """Begin a generation beside the live one, in place of any other that was being built."""
        ...

    def put(self, generation: Generation, parts: Iterable[Part], cursor: bytes) -> Generation:
        """Write parts over whatever is there, and the cursor. Gives the generation as it is then.

        Raises Conflict where the cursor in the store is not that of `generation`: somebody else has written, or it is gone. Nothing is changed.
        """
        ...

    def copy(self, generation: Generation, source: Generation) -> int:
        """Give a generation, into which nothing else was put yet, the next of the values of another one; how many, 0 when it has all of them.

        Raises Conflict as `put`, also where the cursor of `source` is another one by now.
        """
        ...

    def update(
        self, generation: Generation, keys: Iterable[tuple[bytes, int]], merge: Merge, cursor: bytes, *, below: int | None = None
    ) -> Generation:
        """As `put`, with what `merge` makes of what is there under each of the keys; no other writer comes in between.

        Of the entities named, parts with numbers less than `below` are removed.
        """
        ...

    def publish(self, generation: Generation, cursor: bytes | None = None) -> Generation:
        """Make a generation the live one of its view, and write the cursor (None: it stays). Readers see all of it or all of the former.

        Raises Conflict as `put`.
        """
        ...

    def drop(self, view: str) -> None:
        """Remove a view with all its generations."""
        ...

    def collect(self) -> int:
        """Remove the values of generations that are no more; how many values went. Readers are not kept waiting. Idempotent."""
        ...

    def health(self) -> None:
        """Return if a read can be answered now."""
        ...

    def mend(self) -> str:
        """Remove what is damaged, so that it is made again: what was done, empty if nothing was to do. For writers; a store that is away
        is no damage.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


def not_online(view: str) -> Unavailable:
    """There is no live generation of a view."""
    return Unavailable(
        f'view "{view.partition("@")[0]}" is not in the online store yet',
        why="its values are made when its data set is read, and were not made by now",
        fix="try again shortly; flyball features list says how far it is",
        code="view-not-online",
    )
