"""What the loop does, told to whoever watches `flyball up`: lines appended to a file, which the supervisor shows in its terminal."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from flyball.loop.ports import Ledger
from flyball.loop.telling import line

_LARGEST = 1 << 20
_AT_ONCE = 1_000


class Voice:
    """Tells every event that is worth a line, and what keeps the loop from its work. A disk that refuses keeps it silent, no more."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger = ledger
        self._path = path
        self._heard = ledger.size()

    def events(self) -> None:
        """Tell what came into the ledger since the last call."""
        for recorded in self._ledger.read(self._heard, _AT_ONCE):
            self._heard = recorded.seq
            _, text = line(recorded.event)
            if text:
                self.say(text)

    def say(self, text: str) -> None:
        """Tell one thing."""
        told = f"{time.strftime('%H:%M:%S')}  {text}\n"
        with suppress(OSError):
            # what was shown already need not be kept
            full = self._path.exists() and self._path.stat().st_size > _LARGEST
            with self._path.open("w" if full else "a", encoding="utf-8", errors="replace") as file:
                file.write(told)
