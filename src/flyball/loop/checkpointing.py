"""Signs a checkpoint when one is due, and gives every checkpoint to the anchors. An anchor that is down holds up nobody: it gets them later.

What each anchor has is operational: lost, it is only given the checkpoints again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from itertools import islice

from flyball.clock import Instant, Span
from flyball.errors import FlyballError
from flyball.ledger import checkpoints
from flyball.ledger.anchors import Anchor
from flyball.ledger.ledger import SqlLedger
from flyball.loop.ports import Memory, Ports
from flyball.loop.proving import known_key

AT_ONCE = 100
"""Checkpoints that an anchor is given in one go."""

AGAIN = Span.parse("30s")
"""How long after a failure an anchor is tried again."""


class Checkpointing:
    """One step after each tick."""

    def __init__(self, ledger: SqlLedger, memory: Memory, anchors: Sequence[Anchor], *, events: int, age: Span) -> None:
        """events, age: when a checkpoint is due (settings `checkpoint_events`, `checkpoint_s`)."""
        self._ledger = ledger
        self._events = events
        self._age = age
        self._deliveries = [_Delivery(anchor, ledger, memory) for anchor in anchors]

    def step(self, ports: Ports, now: Instant) -> None:
        """Sign what is due, and go on delivering beside the loop. Raises what signing raises, then the first anchor's trouble."""
        if checkpoints.due(self._ledger, now, events=self._events, age=self._age):
            checkpoints.sign(self._ledger, known_key(ports))
        troubles = [trouble for delivery in self._deliveries if (trouble := delivery.step(now)) is not None]
        if troubles:
            raise troubles[0]

    def finish(self, seconds: float, now: Instant) -> None:
        """Wait for deliveries under way, so long at most, and note what was delivered. Raises the first anchor's trouble."""
        troubles = [trouble for delivery in self._deliveries if (trouble := delivery.finish(seconds, now)) is not None]
        if troubles:
            raise troubles[0]


class _Delivery:
    """One anchor, and how far it is."""

    def __init__(self, anchor: Anchor, ledger: SqlLedger, memory: Memory) -> None:
        self._anchor = anchor
        self._ledger = ledger
        self._memory = memory
        self._key = f"anchor/{hashlib.sha256(anchor.name.encode()).hexdigest()[:16]}"
        stored = memory.load(self._key)
        self._saved = self._size = int(stored) if stored else 0
        self._trouble: FlyballError | None = None
        self._again: Instant = 0
        self._thread: threading.Thread | None = None

    def step(self, now: Instant) -> FlyballError | None:
        """Note what was delivered; begin with what is new. Returns what went wrong since the last step."""
        if self._thread is not None and self._thread.is_alive():
            return None
        trouble = self._settle(now)
        if now >= self._again:
            new = list(islice(checkpoints.every(self._ledger, self._size), AT_ONCE))
            if new:
                self._thread = threading.Thread(target=self._give, args=(new,), name="anchor", daemon=True)
                self._thread.start()
        return trouble

    def finish(self, seconds: float, now: Instant) -> FlyballError | None:
        """Wait, and note."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._settle(now)

    def _give(self, new: Sequence[checkpoints.Signed]) -> None:
        try:
            for signed in new:
                self._anchor.publish(signed.note)
                self._size = signed.size
        except FlyballError as error:
            self._trouble = error
        except Exception as error:  # noqa: BLE001 - a fault of ours in a thread of its own is told as what it is, and tried again like any other
            what = f"a checkpoint was not given to the {self._anchor.name}: {type(error).__name__}"
            self._trouble = FlyballError(what, why="a fault of flyball's own", fix="please report it")

    def _settle(self, now: Instant) -> FlyballError | None:
        """Save how far the anchor is. Returns what went wrong, once."""
        if self._size != self._saved:
            self._memory.save({self._key: str(self._size).encode()})
            self._saved = self._size
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            self._again = now + AGAIN
        return trouble
