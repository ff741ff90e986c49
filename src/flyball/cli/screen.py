"""What fits a terminal. What is piped stays whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from typing import TextIO

from flyball.errors import plain

_COLOUR = re.compile(r"\x1b\[\d*m")


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


def narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths of columns that fit in `room` together, by narrowing the widest that is wider than its `least`; wider where that is not enough."""
    found = list(widths)
    while sum(found) > room:
        place = max((place for place in range(len(found)) if found[place] > least[place]), key=found.__getitem__, default=-1)
        if place < 0:
            break
        found[place] -= 1
    return found


def longest_word(text: str) -> int:
    """How wide a column must be for this text: no word is ever cut, for it may be a name."""
    return max(map(len, text.split()), default=0)


def folded(text: str, width: int) -> list[str]:
    """A cell's lines, broken between words so that each has at most `width` characters, but for a word that is longer; at least one line."""
    if len(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines
