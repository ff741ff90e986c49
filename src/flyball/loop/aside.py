"""Work that is done beside the loop: what is due, one after the other, in a thread, mostly by a child that stands back.

Killed at any moment nothing is lost or doubled: what is kept is kept by the loop itself, at once, and what was not is due again.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final, Generic, Protocol, TypeVar

from flyball.clock import Instant, Span
from flyball.errors import FlyballError, Unavailable
from flyball.loop import children
from flyball.loop.broken import note_broken
from flyball.loop.ports import Ports

LATER: Final = Span.parse("1h")
"""How long that is left alone which could not be looked at."""


class Keyed(Protocol):
    """Something that is due; `key` is its own among all that is."""

    @property
    def key(self) -> str:
        """What it is left alone by: its model, or `model/…`."""
        ...


Due = TypeVar("Due", bound=Keyed)
Made = TypeVar("Made")


class Aside(ABC, Generic[Due, Made]):
    """One look at a time, in a thread. `step` is called with every pass of the loop and never waits for a disk.

    A look that ends as nobody foresaw, or without an answer, breaks its monitor, and it alone; it is tried again like one that could not be made.
    """

    name: ClassVar[str]
    monitor: ClassVar[str]
    """What is said to be broken where a look fails."""
    rest: ClassVar[Span] = Span.parse("5s")
    """How far apart looks lie at what is due."""
    often: ClassVar[Span] = LATER
    """How far apart two looks at one thing lie at least; no more than `LATER`."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._made: Made | None = None
        self._failed: FlyballError | OSError | None = None
        self._looked = ""
        """The model that was looked at and is not settled yet."""
        self._unforeseen: children.Unforeseen | None = None
        self._child = children.Held()
        self._next: Instant = 0
        self._alone: dict[str, Instant] = {}
        """Until when what is left alone."""

    @abstractmethod
    def _due(self, ports: Ports, now: Instant) -> Iterator[Due]:
        """What is due, the first first."""

    @abstractmethod
    def _look(self, due: Due, ports: Ports, now: Instant) -> Made:
        """What is found, in the thread. Raises FlyballError, OSError; whatever else it raises breaks the monitor."""

    @abstractmethod
    def _keep(self, ports: Ports, made: Made) -> None:
        """Keep what was found."""

    def step(self, ports: Ports, now: Instant) -> None:
        """Keep what was found, and begin with what is due next. Raises what the look raised, once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._settle(ports)
        # a clock that was set back is no reason to wait until it has caught up
        if 0 <= self._next - now <= int(self.rest):
            return
        due = next(self._due(ports, now), None)
        if due is None:
            self._next = now + int(self.rest)
            return
        self._leave(due.key, now + int(self.often))
        self._looked, self._unforeseen = due.key.partition("/")[0], None
        self._thread = threading.Thread(target=self._run, args=(due, ports, now), name=self.name, daemon=True)
        self._thread.start()

    def finish(self, ports: Ports, now: Instant) -> None:
        """Look at all that is due, and wait for it. Raises what a look raised."""
        while self._thread is not None:
            self._thread.join()
            self._next = 0
            self.step(ports, now)

    def stop(self) -> None:
        """End the child, if there is one: it would outlive this process."""
        self._child.kill()

    def _settle(self, ports: Ports) -> None:
        self._thread = None
        if self._looked and (self._unforeseen or self._failed is None):
            note_broken(ports.memory, self._looked, self.monitor, self._unforeseen.why if self._unforeseen else "")
        self._looked = ""
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        made, self._made = self._made, None
        if made is None:
            return
        try:
            self._keep(ports, made)
        except (Unavailable, OSError):
            # a full disk or a busy store heals, and nobody would look again
            self._made = made
            raise

    def _run(self, due: Due, ports: Ports, now: Instant) -> None:
        try:
            self._made = self._look(due, ports, now)
        except (FlyballError, OSError) as error:
            self._failed = error
        except BaseException as error:  # noqa: BLE001 - in this thread nobody else would tell; a panic of Polars is no Exception
            self._failed = children.Unforeseen(f"the look at {due.key} failed", why=children.said_of(error))
        if isinstance(self._failed, children.Unforeseen):
            self._unforeseen = self._failed
        if self._failed is not None:
            # what takes too long would be begun again with each new row
            self._leave(due.key, now + int(LATER))

    def _leave(self, key: str, until: Instant) -> None:
        self._alone[key] = until

    def _left(self, key: str, now: Instant) -> bool:
        """Whether this is left alone now."""
        return 0 < self._alone.get(key, 0) - now <= int(LATER)
