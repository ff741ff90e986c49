"""Which tokens a gateway takes: read from a file that the control plane writes, checked on every request, never asked for elsewhere.

On a loopback address nobody is asked for a token, and there is no guard.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from flyball.clock import Instant
from flyball.errors import Refused, Unauthenticated
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.identity import SECRET_PREFIX, Scope, TokenRow, secret_hash
from flyball.serving.failures import Failures, TurnedAway
from flyball.serving.layout import Layout, read_json, write_private, write_whole

_REMEMBERED = 20_000
"""Headers that a gateway knows again; then it forgets them all and looks anew."""


class TakenToken(Record, frozen=True):
    """A token that is neither revoked nor known to have expired. `models` are patterns, empty means all; `expires_at` 0: never."""

    token: str
    person: str
    scopes: tuple[Scope, ...]
    models: tuple[str, ...]
    expires_at: Instant


class TokensFile(Record, frozen=True):
    """run/tokens.json: by the SHA-256 of their secret."""

    tokens: dict[str, TakenToken]


def publish(layout: Layout, rows: Iterable[TokenRow]) -> bool:
    """Make the file say what the ledger says; whether anything changed. Raises OSError."""
    tokens = {
        row.hash: TakenToken(token=row.token, person=row.person, scopes=row.scopes, models=row.models, expires_at=row.expires_at)
        for row in rows
        if not row.revoked_at
    }
    data = codec.encode(TokensFile(tokens=tokens))
    try:
        if layout.tokens.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_private(layout.tokens, data)
    return True


class Guard:
    """Lets requests pass that have a valid token. A header that was found valid is known again until the file changes."""

    def __init__(self, layout: Layout, gateway: str) -> None:
        self._layout = layout
        self._handed = layout.turned_away(gateway)
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, TakenToken] = {}
        self._known: dict[tuple[bytes, Scope, str], float] = {}
        self._failures = Failures(time.monotonic, lambda: time.time_ns() // 1000)

    def look(self) -> None:
        """Take up a changed file. Without one nobody passes; one that cannot be read changes nothing."""
        try:
            found = self._layout.tokens.stat()
        except FileNotFoundError:
            self._tokens, self._seen = {}, None
            self._known.clear()
            return
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if mark == self._seen:
            return
        try:
            self._tokens = codec.decode(self._layout.tokens.read_bytes(), TokensFile).tokens
        except (FileNotFoundError, msgspec.MsgspecError):
            # it is written whole; whatever this is, those that were taken are not revoked by it
            return
        self._seen = mark
        self._known.clear()

    def admit(self, scope: Any, need: Scope, model: str) -> None:
        """Let an ASGI request pass that may do `need` with `model` (empty: with all of them).

        Raises Unauthenticated, Refused (another scope or other models), TooMany.
        """
        given = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                given = value
                break
        until = self._known.get((given, need, model))
        if until is not None and time.time() < until:
            return
        self._known[given, need, model] = self._check(scope, given, need, model)
        if len(self._known) > _REMEMBERED:
            self._known.clear()

    def hand_over(self) -> None:
        """Give the control plane what was counted, when it has taken what it was given before. Raises OSError."""
        if not self._handed.exists() and (counted := self._failures.take()):
            write_whole(self._handed, msgspec.json.encode(counted))

    def _check(self, scope: Any, given: bytes, need: Scope, model: str) -> float:
        """Until when the token is taken, in seconds since 1970."""
        kind, _, secret = given.decode("latin-1").partition(" ")
        secret = secret.strip()
        taken = kind.lower() == "bearer" and secret.startswith(SECRET_PREFIX)
        found = self._tokens.get(secret_hash(secret)) if taken else None
        expires = found.expires_at / 1e6 if found is not None and found.expires_at else float("inf")
        if found is None or time.time() >= expires:
            why = "no token was sent" if not given else "the token is not valid"
            client = scope.get("client")
            self._failures.failed(client[0] if client else "", why)
            raise Unauthenticated(
                why,
                why="this gateway can be reached from other machines, and answers to tokens alone",
                fix="send Authorization: Bearer SECRET; an admin makes one: flyball token create PERSON",
            )
        if need not in found.scopes:
            what = f"the token {found.token} is not for {need.value}"
            fix = f"flyball token create {found.person} --scope {need.value}"
            raise Refused(what, why=f"its scopes: {', '.join(found.scopes) or 'none'}", fix=fix)
        if found.models and not (model and any(fnmatchcase(model, pattern) for pattern in found.models)):
            what = f"the token {found.token} is not for {f'the model {model[:80]}' if model else 'what concerns all models'}"
            raise Refused(what, why=f"it is for {', '.join(found.models)}", fix="ask an admin for one that covers it")
        return expires


def take_over(layout: Layout) -> list[TurnedAway]:
    """What gateways have handed over; the files are gone after it."""
    found: list[TurnedAway] = []
    for path in sorted((layout.run / "refused").glob("*.json")):
        told = read_json(path)
        path.unlink(missing_ok=True)
        if isinstance(told, list):
            found += [one for raw in told if (one := _turned_away(raw)) is not None]
    return found


def _turned_away(raw: object) -> TurnedAway | None:
    try:
        return msgspec.convert(raw, TurnedAway)
    except msgspec.ValidationError:
        return None
