"""What the loop does, told to whoever watches `flyball up`: lines appended to a file, which the supervisor shows in its terminal."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from flyball.errors import plain
from flyball.loop.ports import Ledger
from flyball.loop.telling import Telling

_LARGEST = 1 << 20
_AT_ONCE = 1_000
_AGAIN_S = 600.0
_BELOW = "\n" + " " * 10


class Voice:
    """Tells every event that is worth a line, and what keeps the loop from its work. A disk that refuses keeps it silent, no more."""

    def __init__(self, ledger: Ledger, path: Path) -> None:
        self._ledger = ledger
        self._path = path
        self._heard = ledger.size()
        self._troubles: dict[str, float] = {}
        self._telling = Telling()

    def events(self) -> None:
        """Tell what came into the ledger since the last call."""
        state = self._ledger.state()
        for recorded in self._ledger.read(self._heard, _AT_ONCE):
            self._heard = recorded.seq
            _, text = self._telling.line(recorded.event, state)
            if text:
                self.say(text)

    def trouble(self, text: str) -> bool:
        """Tell what is wrong, the same once in ten minutes: what lasts may show at every other look. True if it was told."""
        now = time.monotonic()
        self._troubles = {told: at for told, at in self._troubles.items() if now - at < _AGAIN_S}
        if text in self._troubles:
            return False
        self._troubles[text] = now
        self.say(text)
        return True

    def say(self, text: str) -> None:
        """Tell one thing. What callers and users' code put into it can neither begin a line of its own nor move the cursor."""
        told = f"{time.strftime('%H:%M:%S')}  {plain(text).replace(chr(10), _BELOW)}\n"
        with suppress(OSError):
            # what was shown already need not be kept
            full = self._path.exists() and self._path.stat().st_size > _LARGEST
            with self._path.open("w" if full else "a", encoding="utf-8", errors="replace") as file:
                file.write(told)
