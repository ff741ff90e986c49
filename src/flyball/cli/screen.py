"""What fits a terminal. What is piped stays whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Sequence
from typing import TextIO

from flyball.errors import plain

_COLOUR = re.compile(r"\x1b\[\d*m")
_NARROWEST = 8
"""Below this many characters a cell says nothing."""


def fitted(text: str, stream: TextIO) -> str:
    """Plain text as it goes to a stream: on a terminal a line that is too long is broken between words and goes on indented."""
    text = plain(text)
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(part for line in text.split("\n") for part in _wrapped(line, width))


def _wrapped(line: str, width: int) -> list[str]:
    if _length(line) <= width:
        return [line]
    indent = len(line) - len(line.lstrip(" "))
    below = " " * min(indent + 4, width // 2)
    done, now = [], ""
    for gap, word in re.findall(r"( *)([^ ]+)", line):
        if now and _length(now + gap + word) > width:
            done.append(now)
            now = below + word
        else:
            now += gap + word
    return [*done, now]


def _length(text: str) -> int:
    return len(_COLOUR.sub("", text))


def narrowed(widths: Sequence[int], room: int, kept: Collection[int]) -> list[int]:
    """Widths of columns that fit in `room` together, by narrowing the widest that is not in `kept`; wider where that is not enough."""
    found = list(widths)
    while sum(found) > room:
        place = max((place for place in range(len(found)) if place not in kept), key=found.__getitem__, default=-1)
        if place < 0 or found[place] <= _NARROWEST:
            break
        found[place] -= 1
    return found


def cut(text: str, width: int) -> str:
    """Text of at most `width` characters."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
