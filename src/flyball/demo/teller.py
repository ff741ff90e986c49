"""The live timeline: one line an event, with the seconds since the beginning. Colours on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from typing import TextIO

from flyball.demo.traffic import Seen

_COLOURS = {"good": "32", "bad": "31", "act": "1", "dim": "2"}
_LONGEST = 150


class Teller:
    """Writes to `out`; says nothing at all when `quiet`."""

    def __init__(self, out: TextIO, *, quiet: bool = False) -> None:
        self._out = out
        self._quiet = quiet
        self._colour = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.began = time.monotonic()

    def act(self, text: str) -> None:
        """What the world does now."""
        self._write("act", f"\n{text}", stamp=False)

    def say(self, text: str, mood: str = "plain") -> None:
        """Something happened."""
        self._write(mood, text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…", stamp=True)

    def status(self, view: Seen, sent: int) -> None:
        """How the bank fares: what it can see by itself, and what it cannot."""
        if not view.known:
            return
        text = (
            f"bank        {sent:>6,} applications, p99 {view.p99_ms:.0f} ms, {view.http_errors} errors; "
            f"{view.quality:.0%} of answers came true, {view.default_rate:.0%} of loans default"
        )
        self._write("dim", text, stamp=True)

    def _write(self, mood: str, text: str, *, stamp: bool) -> None:
        if self._quiet:
            return
        line = f"{time.monotonic() - self.began:6.1f} s  {text}" if stamp else text
        code = _COLOURS.get(mood) if self._colour else None
        print(f"\x1b[{code}m{line}\x1b[0m" if code else line, file=self._out, flush=True)
