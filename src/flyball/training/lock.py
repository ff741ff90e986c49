"""The environment lock of a version: every distribution that its code, and flyball below it, need here, each at its version.

It is what was installed where the run was made, not what could be: the closure of what the code snapshot imports and of flyball's own requirements. Nothing
is imported and nothing is looked up elsewhere; files are parsed.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from flyball.training.environment import imported

ITSELF = "flyball"
ELSEWHERE = "# "
"""How a line begins of a distribution that no registry has: it was installed from a folder or an address, which the line names."""


def lock_of(snapshot: Mapping[str, str], more: Iterable[str] = ()) -> str:
    """Lines `name==version` in order of names, for the code `snapshot` (path → text) and the distributions `more`.

    Where flyball itself is not installed as a distribution, its requirements are not known here: then everything that is installed is listed.
    """
    known = _installed()
    roots = {canonicalize_name(name) for name in (*imported(snapshot), *more)}
    wanted = _closure({ITSELF, *roots}) if ITSELF in known else set(known)
    lines = [line for name in sorted(wanted - {ITSELF}) if (line := _line(known.get(name)))]
    return "".join(f"{line}\n" for line in lines)


def _closure(roots: set[str]) -> set[str]:
    """These distributions and all that they require here, as far as it is installed."""
    known = _installed()
    asked = [(name, "") for name in roots]
    seen: set[tuple[str, str]] = set()
    while asked:
        name, extra = asked.pop()
        if (name, extra) in seen or name not in known:
            continue
        seen.add((name, extra))
        for requirement in _requirements(known[name].requires):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                asked += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return {name for name, _ in seen}


def _requirements(texts: Iterable[str]) -> Iterator[Requirement]:
    for text in texts:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            # a form of before PEP 508: what it asks for cannot be told
            continue


class _Known(NamedTuple):
    """A distribution that is installed. Its metadata are parsed once: each look at them parses them anew."""

    pinned: str
    requires: tuple[str, ...]
    found: importlib.metadata.Distribution


def _line(known: _Known | None) -> str:
    if known is None:
        return ""
    direct = known.found.read_text("direct_url.json")
    return f"{ELSEWHERE}{known.pinned} from {json.loads(direct).get('url', 'elsewhere')}" if direct else known.pinned


@lru_cache(maxsize=1)
def _installed() -> Mapping[str, _Known]:
    """By canonical name; of two the first that Python finds."""
    found: dict[str, _Known] = {}
    for each in importlib.metadata.distributions():
        told = each.metadata
        if "Name" in told and "Version" in told and (name := canonicalize_name(told["Name"])) not in found:
            found[name] = _Known(f"{name}=={told['Version']}", tuple(told.get_all("Requires-Dist") or ()), each)
    return found
