"""Whom pages of other sites mean by a request: on a loopback address, where nobody is asked for a token, a browser is the way in for strangers.

A page whose name was made to resolve to this machine names its own host; a page that sends something to this machine tells its origin. Both are
refused. It never looks into a path or a body.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from flyball.errors import Refused
from flyball.serving.address import host_name

_REMEMBERED = 256


class OwnHost:
    """Lets requests pass that mean this machine. `names`: those by which it alone is meant."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._known: set[bytes] = set()

    def check(self, scope: MutableMapping[str, Any]) -> None:
        """Look at an ASGI request. Raises Refused: another host is named, or what would change something comes from another site's page."""
        known = False
        for name, value in scope["headers"]:
            if name == b"host":
                if value not in self._known:
                    self._learn(value)
                known = True
            elif name == b"origin" and scope["method"] != "GET":
                self._check_origin(value.decode("latin-1"))
        if not known:
            raise _wrong("")

    def _learn(self, value: bytes) -> None:
        host = value.decode("latin-1")
        if host_name(host) not in self._names:
            raise _wrong(host)
        if len(self._known) < _REMEMBERED:
            self._known.add(value)

    def _check_origin(self, origin: str) -> None:
        # "null" for a page that has no site of its own: a file, a sandbox
        if host_name(origin.partition("://")[2]) not in self._names:
            raise Refused(
                f'a page of "{origin[:80]}" sent this request',
                why="flyball listens on a loopback address and asks for no token there, so pages of other sites send it nothing",
                fix="send it from a program, or from a page of this machine",
                code="wrong-origin",
            )


def _wrong(host: str) -> Refused:
    return Refused(
        f'the host "{host[:80]}" is not this one',
        why="flyball listens on a loopback address, which only this machine's own names mean",
        fix="ask 127.0.0.1 or localhost",
        code="wrong-host",
    )
