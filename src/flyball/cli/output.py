"""Where output goes: results to stdout, everything else to stderr; under --json exactly one document on stdout."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from flyball.cli.document import DOCUMENT
from flyball.cli.hints import HINTS
from flyball.cli.screen import fitted, folded, longest_word, narrowed
from flyball.clock import Instant, rfc3339
from flyball.declare.units import extreme, shown_size
from flyball.errors import plain
from flyball.records.base import Record
from flyball.records.codec import encode_hook
from flyball.records.estimates import Estimate

_COLOURS = {"good": "32", "bad": "31", "unsure": "33", "dim": "2"}
_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"))
_BAR = 20
_FEW = 3
"""Of so many of its largest unit on, the rest of a length of time says little."""


def event_text(seq: int) -> str:
    """Under which event a command is recorded: "event 12"; of one that changed nothing, that it was so already."""
    return f"event {seq}" if seq else "nothing is recorded: it was so already"


def one_line(text: str) -> str:
    """What a person wrote, where a line is one thing: its own ends of lines begin no other."""
    return " ".join(text.split())


class Output:
    """One verb's output. `as_json`: lines are held back and `document` is all that stdout gets. `quiet`: no notes and no progress."""

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet

    def line(self, text: str = "") -> None:
        """A line of the result, for people; on a terminal one that is too long goes on below, indented."""
        if not self.as_json:
            print(fitted(HINTS.told(text), sys.stdout))

    def note(self, text: str) -> None:
        """Something said beside the result."""
        if not self.quiet:
            print(fitted(HINTS.told(text), sys.stderr), file=sys.stderr, flush=True)

    def document(self, value: Any) -> None:
        """The result, for programs. What is no number is null."""
        if self.as_json:
            DOCUMENT.write(msgspec.to_builtins(value, str_keys=True, enc_hook=encode_hook))

    def paint(self, text: str, mood: str) -> str:
        """Text in a colour ("good", "bad", "unsure", "dim"), on a terminal that wants colour."""
        plain = self.as_json or not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        return text if plain else f"\x1b[{_COLOURS[mood]}m{text}\x1b[0m"

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns under their names, each as wide as its widest cell; on a narrow terminal long cells go on below, and no word is cut."""
        if self.as_json:
            return
        rows = [head, *([plain(cell) for cell in cells] for cells in rows)]
        columns = list(zip(*rows, strict=True))
        widths = [max(map(len, column)) for column in columns]
        if sys.stdout.isatty():
            room = shutil.get_terminal_size().columns - 2 * (len(head) - 1)
            widths = narrowed(widths, [max(map(longest_word, column)) for column in columns], room)
        for cells in rows:
            folds = [folded(cell, width) for cell, width in zip(cells, widths, strict=True)]
            for line in zip_longest(*folds, fillvalue=""):
                print("  ".join(f"{part:<{width}}" for part, width in zip(line, widths, strict=True)).rstrip())


def counted(number: int, one: str, several: str = "") -> str:
    """A number of things: `1 event`, `1,200 events`; `several` where their name is not one with an s."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {several or one + 's'}"


class Bar:
    """A progress bar on stderr: redrawn in place on a terminal; elsewhere only a full one is written, at its end."""

    def __init__(self, out: Output, label: str) -> None:
        self._out = out
        self._label = label
        self._began = time.monotonic()
        self._live = sys.stderr.isatty() and not out.quiet
        self._last = ""
        self._full = False

    def show(self, share: float, text: str) -> None:
        """Draw the bar `share` (0 to 1) full, followed by text."""
        self._full = share >= 1
        full = round(_BAR * min(max(share, 0.0), 1.0))
        self._last = f"{self._label:<10}{'━' * full}{'─' * (_BAR - full)} {text}  {_elapsed(time.monotonic() - self._began)}"
        if self._live:
            # a line that wraps cannot be redrawn in place
            fits = self._last[: shutil.get_terminal_size().columns - 1]
            print(f"\r{fits}\x1b[K", end="", file=sys.stderr, flush=True)

    def stage(self, text: str) -> None:
        """Say what is being done where there is nothing to count; it leaves no line behind."""
        if self._live:
            print(f"\r{self._label:<10}{text}\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the last state as a line."""
        if self._live:
            print(f"\r\x1b[K{self._last}" if self._last else "\r\x1b[K", end="\n" if self._last else "", file=sys.stderr, flush=True)
        elif self._full:
            self._out.note(self._last)


def _elapsed(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def dated(record: Record) -> dict[str, Any]:
    """A record for a document: its instants (`…_at`, `…_by`, `since`) as RFC 3339, null where there is none."""
    values: dict[str, Any] = msgspec.to_builtins(record, str_keys=True, enc_hook=encode_hook)
    instants = [name for name, value in values.items() if isinstance(value, int) and (name.endswith(("_at", "_by")) or name == "since")]
    return values | {name: rfc3339(values[name]) if values[name] else None for name in instants}


def roughly(span: int, *, parts: int = 1, up: bool = False) -> str:
    """A length of time (µs) in its largest unit, rounded to the nearest: "3 h", "40 s"; in two units with `parts` 2, and where it is less than three of
    the largest: "1 h 59 m". `up`: rounded up, so that what is more than a bound reads so.
    """
    left = abs(span)
    place = next((place for place, (size, _) in enumerate(_UNITS) if left >= size), len(_UNITS) - 1)
    two = parts > 1 or left < _FEW * _UNITS[place][0]
    grain = _UNITS[min(place + two, len(_UNITS) - 1)][0]
    left = -(-left // grain) * grain if up else (left + grain // 2) // grain * grain
    if place and left >= _UNITS[place - 1][0]:
        place -= 1
    out: list[str] = []
    for size, unit in _UNITS[place : place + 2]:
        count, left = divmod(left, size)
        out += [f"{count} {unit}"] if count else []
    return " ".join(out) or "0 s"


def ago(moment: Instant, now: Instant) -> str:
    """How long ago a moment was; a dash for never."""
    return roughly(now - moment) if moment else "–"


def number(value: float) -> str:
    """A number as people read it; `?` for one without a bound."""
    if text := extreme(value):
        return text
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def between(low: float, high: float) -> str:
    """An interval as people read it."""
    return "[unknown]" if extreme(low) == extreme(high) == "?" else f"[{number(low)}, {number(high)}]"


def estimate(found: Estimate | None, unit: str = "") -> str:
    """A value with its interval and n: "0.768 [0.70, 0.83] n=144". `unit` is the metric's: "B" a size, "ms" a time."""
    if found is None:
        return ""
    if found.value is None:
        return found.why or "not known"
    if unit == "B":
        return shown_size(found.value)
    interval = "" if found.low is None or found.high is None else f" {between(found.low, found.high)}"
    value = f"{number(found.value)}{f' {unit}' if unit == 'ms' else ''}"
    # a number of no rows is one that was counted in full
    return f"{value}{interval}" + (f" n={found.n:,}" if found.n else "")
