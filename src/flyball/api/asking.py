"""One request as its handler sees it: who asks, for what, with what. Read once at the border; handlers only look and give commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flyball.clock import Instant
from flyball.governance.authority import Caller, may_read
from flyball.ledger.ledger import error_of
from flyball.ledger.projection import Snapshot
from flyball.loop.ports import Ports
from flyball.wiring import Wired

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Asked:
    """A request. `ports` carry out what `caller` may give; `command` is the id of the command it is, if it is one."""

    wired: Wired
    caller: Caller
    ports: Ports
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    command: str = ""
    works: Callable[[], None] = lambda: None
    """Raises Unavailable where the ledger did not answer a moment ago. Asks nothing itself."""

    def state(self) -> Snapshot:
        """The projections as they are now."""
        return self.wired.ledger.state()

    @property
    def now(self) -> Instant:
        """The present moment."""
        return self.ports.clock.now()

    @property
    def reason(self) -> str:
        """The reason that was sent, if any."""
        return str(getattr(self.body, "reason", ""))

    def sees(self, model: str) -> bool:
        """Whether the caller's token is for this model."""
        return may_read(self.caller, model) is None

    def must_see(self, model: str) -> None:
        """Raise Refused where the caller's token is not for this model."""
        refused = may_read(self.caller, model)
        if refused is not None:
            raise error_of(refused)


@dataclass(frozen=True)
class Answer:
    """What a handler answers: a record (or a `Page` of them, or text: bytes, or an iterator of them for a long one), and where the thing is that it began."""

    value: Any
    location: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: Any = None
    """What is told when the same request is repeated, where that is not `value`."""
