"""What the garbage collector walks. The loop makes many short-lived objects beside some hundred thousands that live as long as it does: to walk those
again and again costs more than most passes.
"""

from __future__ import annotations

import gc

SOON_S, HOUR_S = 30.0, 3_600.0


class Heap:
    """Sets what lives on apart: after the first pass, half a minute later, when nearly all is imported and read, and once an hour."""

    def __init__(self) -> None:
        self._due = 0.0
        self._apart = 0

    def look(self, now_s: float) -> None:
        """`now_s`: seconds of a clock that does not go back. What became garbage since it was set apart is collected before."""
        if now_s < self._due:
            return
        self._due = now_s + (HOUR_S if self._apart else SOON_S)
        self._apart += 1
        gc.unfreeze()
        gc.collect()
        gc.freeze()
