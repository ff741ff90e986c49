"""Who a request comes from: its token, as the ledger has it. Deny by default; wrong ones are counted, and told to nobody but the record.

Tokens are held by the hash of their secret and read anew when the ledger has grown, so a wrong one costs little; and from an address that has sent
too many, next to nothing. One request at a time asks the ledger, and those that come meanwhile share what it finds: a database that does not answer
keeps them all waiting once, not one after the other.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future

from flyball.errors import Unauthenticated
from flyball.governance.authority import Caller, authenticate, is_secret
from flyball.ledger.ledger import error_of
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Refusal
from flyball.records.identity import TOKENS, TokenRow, secret_hash
from flyball.serving.failures import Failures
from flyball.wiring import Wired

KNOWN_S = 0.5
"""How long a token that was found valid is not looked up again: one that is revoked is refused within a second."""

_REMEMBERED = 4_096


class Gate:
    """Knows callers by their `Authorization` header. Threads may share it."""

    def __init__(self, wired: Wired) -> None:
        self._wired = wired
        self._known: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()
        self._size = -1
        self._rows: dict[str, TokenRow] = {}
        self._looked_at = 0.0
        """When the newest look that came to an end began."""
        self._looking: Future[None] | None = None
        self._failed: BaseException | None = None
        """What the newest look failed with; None where it did not."""
        self._lock = threading.Lock()
        self.failures = Failures(time.monotonic, wired.ports.clock.now)

    def caller(self, header: str, peer: str) -> Caller:
        """Who sends this header from address `peer`. Raises Unauthenticated, TooMany."""
        kind, _, secret = header.partition(" ")
        mark = hashlib.sha256(header.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(mark)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        if kind.lower() != "bearer" or not secret.strip():
            self.failures.failed(peer, "no token was sent")
            raise Unauthenticated(
                "no token was sent",
                why="the control plane answers to tokens alone",
                fix="send Authorization: Bearer SECRET; on this machine the secret lies in .flyball/keys/local.token",
            )
        found = authenticate(self._about(secret.strip(), peer), secret.strip(), self._wired.ports.clock.now())
        if isinstance(found, Refusal):
            self._known.pop(mark, None)
            self.failures.failed(peer, found.what)
            raise error_of(found)
        self._known[mark] = (time.monotonic() + KNOWN_S, found)
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        return found

    def _about(self, secret: str, peer: str) -> MemoryProjection:
        """What the ledger has about this secret alone: its token's row, or nothing."""
        about = MemoryProjection()
        if is_secret(secret):
            row = self._row(secret_hash(secret), peer)
            if row is not None:
                about.put(TOKENS, row.token, row)
        return about

    def _row(self, digest: str, peer: str) -> TokenRow | None:
        # a token that was made a moment ago is not yet held; an address that guesses waits for that moment
        recent = time.monotonic() - self._looked_at < KNOWN_S
        if digest in self._rows or not recent or not self.failures.spent(peer):
            self._look()
        return self._rows.get(digest)

    def _look(self) -> None:
        """Have the tokens as they were when this was called, or later. Raises what the look raised, whoever made it."""
        came = time.monotonic()
        while self._looked_at < came:
            with self._lock:
                under_way, failed = self._looking, self._failed
                if under_way is None:
                    own = self._looking = Future()
            if under_way is None:
                self._ask(own)
            elif failed is not None:
                # the last look failed, and another try is under way: who waited for it would keep a thread from others
                raise failed.with_traceback(None)
            else:
                under_way.result()

    def _ask(self, own: Future[None]) -> None:
        """Read the tokens anew, if anything was recorded since, and tell those who wait."""
        began = time.monotonic()
        try:
            if self._wired.ledger.size() != self._size:
                with self._wired.ledger.state() as state:
                    self._rows = {row.hash: row for _, row in state.scan(TOKENS)}
                    self._size = state.size
        except BaseException as error:  # whatever it was, nobody waits for ever
            self._failed, self._looking = error, None
            own.set_exception(error)
            raise
        self._looked_at, self._failed, self._looking = began, None, None
        own.set_result(None)
