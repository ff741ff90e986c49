"""How a refused request broke its contract, as the log tells it: kinds and names, never a value. Off the path of what is answered."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from flyball.errors import Problem
from flyball.serving.explain import field_of

NOBODY = "*"
"""Stands for the name of a field that no column could have, and for none at all."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


def breaches(problems: Iterable[Problem], fields: Collection[str]) -> list[str]:
    """What is wrong, each once, as `missing amount` or `unknown amt`; empty where no field is named.

    A name that the signature does not have is a caller's text, and told only where a column could be called so.

    >>> breaches([Problem("/row/amount", "", kind="missing"), Problem("/row/amt", "", kind="unknown")], ["amount"])
    ['missing amount', 'unknown amt']
    """
    found: dict[str, None] = {}
    for problem in problems:
        if problem.kind:
            name = field_of(problem.where, fields) or (_last(problem.where) if problem.kind == "unknown" else NOBODY)
            found[f"{problem.kind} {name}"] = None
    return list(found)


def _last(where: str) -> str:
    name = where.rpartition("/")[2]
    return name if _NAME.fullmatch(name) else NOBODY
