"""The key under which erased persons are remembered, in a file that only its owner can read. It never leaves that file but to hash.

It is made once, at a project's first erasure. Another one would know nobody of those who were erased under the first, so none is ever made
in its place, and none is taken whose fingerprint is not the one in the record.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from flyball.data.erasures import keyed
from flyball.errors import Corrupt, Unavailable, kind_of
from flyball.records.base import State
from flyball.records.data import STANDING
from flyball.store import secretfile

FILE = "subjects.key"
BYTES = 32


@dataclass(frozen=True)
class SubjectKey:
    """The key: 32 random bytes."""

    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells this key from another, and nothing else of it: 16 hex digits.

        >>> SubjectKey(bytes(32)).fingerprint
        '381802724e3b38c2'
        """
        return hashlib.sha256(b"flyball subjects.key\n" + self.secret).hexdigest()[:16]

    def who(self, value: str) -> str:
        """The keyed hash under which a person is remembered."""
        return keyed(self.secret, value)


def throwaway() -> SubjectKey:
    """A key that is kept nowhere: for a rehearsal where there is none yet."""
    return SubjectKey(secrets.token_bytes(BYTES))


def find_key(folder: Path, state: State) -> SubjectKey | None:
    """The key in `folder` (`.flyball/keys`); None where there is none, and nobody was erased yet.

    Raises Corrupt (missing, damaged, or not the one of the record), Refused (others can read it), Unavailable.
    """
    path = folder / FILE
    standing = [row for _, row in state.scan(STANDING)]
    try:
        key = _read(path)
    except FileNotFoundError as error:
        if not standing:
            return None
        raise Corrupt(
            f"the key {path} is missing",
            why="persons were erased here, and without it their rows in a source or in the open log are not recognised",
            fix="restore it from a backup, or copy it from the machine where it was made; until then nothing is read or sealed in which"
            " their rows may be",
        ) from error
    except OSError as error:
        raise _unusable(path, error) from error
    known = {row.fingerprint for row in standing} - {""}
    if known and key.fingerprint not in known:
        raise Corrupt(
            f"the key {path} is another one",
            why="persons were erased under a key of another fingerprint, and with this one their rows would not be recognised",
            fix="put the right one in its place: from a backup, or from the machine where it was made",
        )
    return key


def make_key(folder: Path, state: State) -> SubjectKey:
    """The key in `folder`, made if there is none and nobody was erased yet. Raises what `find_key` raises."""
    found = find_key(folder, state)
    if found is not None:
        return found
    try:
        secretfile.make(folder / FILE, secrets.token_hex(BYTES))
        # of two processes that make one at once, the first one's stays
        return _read(folder / FILE)
    except OSError as error:
        raise _unusable(folder / FILE, error) from error


def _read(path: Path) -> SubjectKey:
    text = secretfile.read(path, "the key", why="whoever can read it can find out who was erased", fix=f"chmod 600 {path}")
    try:
        secret = bytes.fromhex(text)
    except ValueError:
        secret = b""
    if len(secret) != BYTES:
        raise Corrupt(f"the key {path} is damaged", why=f"it is not {BYTES} bytes in hex", fix="restore it from a backup")
    return SubjectKey(secret)


def _unusable(path: Path, error: OSError) -> Unavailable:
    why = error.strerror or str(error)
    return kind_of(error)(f"the key {path} cannot be used", why=why, fix="check the folder and its rights", retry_after=30)
