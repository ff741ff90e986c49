"""Errors as they are told to callers: without the places of this machine, which are known to those who work on it and to nobody else, and with
the fields of a request where the command line has options.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flyball.api import bodies
from flyball.errors import FlyballError, problem

_WHERE = re.compile(r' (?:at|on socket) "[^"]*"(?: \([^)]*\))?(?:, port \d+)?')
"""Where PostgreSQL's driver says that it looked for its server."""

_HOSTS = re.compile(r"\w+://(?:.*@)?([^/]*?)(?::[\d,]+)?/")
"""The hosts, with commas between them, in the name of a database on a server."""

_OPTION = re.compile(r"""(flyball (?:"[^"]*"|[^;\n"])*)|--([a-z][a-z-]*)(?: ("[^"]*"|\d+))?""")
"""A whole command of flyball, whose options are its own, or an option that stands alone, with its value where that is quoted or a number."""

_SEVERAL = {"role": "roles", "job": "jobs", "scope": "scopes", "model": "models"}
"""Options that may be given again → the field that has all of them."""

_FIELDS = frozenset(name for body in vars(bodies).values() for name in getattr(body, "__struct_fields__", ()))

_OF_FLYBALL = ("type", "code")
"""What is the same wherever a project lies."""


class Outward:
    """Tells errors about the project in folder `root`, whose ledger is in `database` (its name as in messages)."""

    def __init__(self, root: Path, database: str) -> None:
        folders = {str(root.absolute()), str(root.resolve())} - {"/"}
        # the longest first: one folder may be the beginning of another's name
        known = "|".join(re.escape(folder) for folder in sorted(folders, key=len, reverse=True))
        # at the end of a longer path it is another folder, or a path of this API
        self._inside = re.compile(rf"(?<![\w.-])(?:{known})(?:/|(?![\w.-]))") if known else None
        # a file in the project is still named, from its folder on; a server is not
        self._server = database if "://" in database else ""
        found = _HOSTS.match(database)
        hosts = "|".join(re.escape(host) for host in (found[1].split(",") if found else []) if host)
        self._hosts = re.compile(rf"(?<![\w.-])(?:{hosts})(?![\w.-])") if hosts else None

    def problem(self, error: FlyballError) -> dict[str, Any]:
        """The error as problem details, in which paths begin at the project's folder and no server is named."""
        told = problem(error)
        change = self._of_server if self._server and self._server in str(error) else self._plain
        told |= {name: _in_texts(value, change) for name, value in told.items() if name not in _OF_FLYBALL}
        problems = [one | {"fix": by_field(one["fix"])} for one in told["problems"]]
        return told | {"fix": by_field(told["fix"]), "problems": problems}

    def _of_server(self, text: str) -> str:
        """A text of an error about the database: what the driver said may name a host alone, and that may be any word."""
        text = self._plain(text)
        return self._hosts.sub("its server", text) if self._hosts else text

    def _plain(self, text: str) -> str:
        text = _WHERE.sub("", text.replace(self._server, "the ledger's database")) if self._server else text
        return self._inside.sub(lambda found: "" if found[0].endswith("/") else "the project's folder", text) if self._inside else text


def by_field(fix: str) -> str:
    """What is to be done, for who sends requests: `"reason": "…"` for `--reason "…"`. Commands of flyball stay as they are typed."""
    return _OPTION.sub(_field, fix)


def _field(found: re.Match[str]) -> str:
    command, option, value = found.groups()
    if command:
        return command
    name = _SEVERAL.get(option, option.replace("-", "_"))
    if name not in _FIELDS:
        return found[0]
    return f'"{name}": {value}' if value else f'"{name}"'


def _in_texts(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case list():
            return [_in_texts(one, change) for one in value]
        case dict():
            return {name: _in_texts(one, change) for name, one in value.items()}
        case _:
            return value
