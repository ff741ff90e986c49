"""Requests that are sent twice and carried out once: by `Idempotency-Key`, the first answer is kept and told again.

A key belongs to the token that used it. That a command is carried out once does not rest on what is kept here: its id follows from the key and the
request, and the ledger takes an id once. Kept are the newest `MOST`, for a day.
"""

from __future__ import annotations

import hashlib
import threading

from flyball.clock import Clock, Instant, Span
from flyball.errors import BadInput, Conflict
from flyball.governance.authority import Caller
from flyball.loop.ports import Memory
from flyball.records import codec
from flyball.records.base import Record

KEPT_FOR = Span.parse("1d")
MOST = 10_000
KEPT_BYTES = 64 << 10
"""An answer that is longer is not kept."""

_ENTRY, _SLOT, _NEXT = "idempotency/", "idempotency-slot/", "idempotency-next"
_LONGEST = 200


class Kept(Record, frozen=True):
    """A request by the digest of what was sent, and its answer. `status` 0: it was begun, and its answer was lost with the process."""

    at: Instant
    digest: str
    status: int = 0
    location: str = ""
    body: str = ""


def checked(key: str) -> str:
    """A key as it was sent. Raises BadInput."""
    if not key or len(key) > _LONGEST or not key.isascii() or not key.isprintable():
        raise BadInput("the idempotency key cannot be used", why=f"it is 1 to {_LONGEST} printable ASCII characters", fix="send a UUID")
    return key


def place_of(caller: Caller, key: str) -> str:
    """The name under which a caller's key is kept, and a part of its command's id."""
    return hashlib.sha256(f"{caller.token or caller.actor}\n{key}".encode()).hexdigest()[:40]


class Keys:
    """The keys of all callers. Threads may share it; one process at a time does."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self._running: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, place: str, digest: str) -> Kept | None:
        """The answer that this very request had before; None if it is to be carried out now, until `keep` or `drop`.

        Raises BadInput (another request had this key), Conflict (it is still being carried out).
        """
        with self._lock:
            known = self._load(place)
            if known is not None and known.digest != digest:
                raise BadInput(
                    "this idempotency key was used for another request",
                    why="a key names one request: its method, its path and its body",
                    fix="send the same again, or choose a new key",
                    code="key-reused",
                )
            if known is not None and known.status:
                return known
            if place in self._running:
                raise Conflict(
                    "this request is still being carried out", why="it was sent before with the same key", fix="send it again shortly"
                )
            self._running.add(place)
            if known is None:
                self._add(place, Kept(at=self._clock.now(), digest=digest))
            return None

    def keep(self, place: str, digest: str, status: int, location: str, body: str) -> None:
        """Tell this answer from now on."""
        with self._lock:
            kept = Kept(at=self._clock.now(), digest=digest, status=status, location=location, body=body)
            try:
                self._memory.save({_ENTRY + place: codec.encode(kept)})
            finally:
                self._running.discard(place)

    def drop(self, place: str) -> None:
        """Nothing was done: the key may be used again, and then it is decided again."""
        with self._lock:
            try:
                self._memory.save({_ENTRY + place: None})
            finally:
                self._running.discard(place)

    def _load(self, place: str) -> Kept | None:
        raw = self._memory.load(_ENTRY + place)
        kept = codec.decode(raw, Kept) if raw else None
        return kept if kept is not None and self._clock.now() - kept.at < KEPT_FOR else None

    def _add(self, place: str, kept: Kept) -> None:
        """Keep it in the place of the oldest."""
        slot = int(self._memory.load(_NEXT) or b"0") % MOST
        oldest = self._memory.load(f"{_SLOT}{slot}")
        items: dict[str, bytes | None] = {}
        if oldest is not None:
            items[_ENTRY + oldest.decode()] = None
        items |= {_ENTRY + place: codec.encode(kept), f"{_SLOT}{slot}": place.encode(), _NEXT: str(slot + 1).encode()}
        self._memory.save(items)
