"""What is said of a path at which there is nothing: the one that was probably meant, and no guess where none is near."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from flyball.api.asking import PREFIX
from flyball.api.routes import NOT_OFFERED, ROUTES, SELF
from flyball.errors import NotFound

_NEAR = 0.6
_SHOWN = 200
_ALL = f"{PREFIX}{SELF} lists all"


def no_route(path: str) -> NotFound:
    """The error for a path that no route has."""
    path = path[:_SHOWN]
    first = path.removeprefix(f"{PREFIX}/").partition("/")[0]
    if first in NOT_OFFERED:
        return NotFound(f"{path} is not there yet", why=f"this version does not offer {NOT_OFFERED[first]}", fix="see docs/api.md")
    likeness, meant = max(_likenesses(path), default=(0.0, ""))
    if path.endswith("/") and likeness == 1.0:
        return NotFound(f"there is nothing at {path}", why="no path ends with a slash", fix=f"ask for {meant}")
    return NotFound(f"there is nothing at {path}", fix=f'did you mean "{meant}"? {_ALL}' if meant else _ALL)


def _likenesses(path: str) -> Iterator[tuple[float, str]]:
    """How like this path those of the routes are which differ by a slip of the pen, with the names that it gives filled in: 0 to 1."""
    asked = path.removeprefix(PREFIX).strip("/").split("/")
    for known in dict.fromkeys([*(route.path for route in ROUTES), SELF]):
        parts = known.strip("/").split("/")
        if len(parts) != len(asked):
            continue
        filled = [given if part.startswith("{") else part for part, given in zip(parts, asked, strict=True)]
        # the least like part decides: a name that is filled in is alike whatever it is
        likeness = min(SequenceMatcher(None, given, part).ratio() for given, part in zip(asked, filled, strict=True))
        if all(filled) and likeness >= _NEAR:
            yield likeness, "/".join((PREFIX, *filled))
