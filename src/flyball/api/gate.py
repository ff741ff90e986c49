"""Who a request comes from: its token, looked up in the ledger. Deny by default; wrong ones are counted, and told to nobody but the record."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

from flyball.errors import Unauthenticated
from flyball.governance.authority import Caller, authenticate
from flyball.ledger.ledger import error_of
from flyball.records.base import Refusal
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
        with self._wired.ledger.state() as state:
            found = authenticate(state, secret.strip(), self._wired.ports.clock.now())
        if isinstance(found, Refusal):
            self._known.pop(mark, None)
            self.failures.failed(peer, found.what)
            raise error_of(found)
        self._known[mark] = (time.monotonic() + KNOWN_S, found)
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        return found
