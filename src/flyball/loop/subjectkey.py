"""The key under which erased persons are remembered, in a file that only its owner can read. It never leaves that file but to hash."""

from __future__ import annotations

import secrets
from pathlib import Path

from flyball.errors import Corrupt, Unavailable
from flyball.store import secretfile

FILE = "subjects.key"
BYTES = 32


def subject_key(folder: Path, *, make: bool) -> bytes:
    """The key in `folder` (`.flyball/keys`); `make`: it is made if there is none, as at the first erasure.

    Raises Corrupt (missing or damaged), Refused (others can read it), Unavailable.
    """
    path = folder / FILE
    try:
        if make and not path.exists():
            secretfile.make(path, secrets.token_hex(BYTES))
        return _read(path)
    except FileNotFoundError as error:
        raise Corrupt(
            f"the key {path} is missing",
            why="persons were erased here, and without it their rows in a source or in the open log are not recognised",
            fix="restore it from a backup; until then nothing is read or sealed in which their rows may be",
        ) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise Unavailable(f"the key {path} cannot be used", why=why, fix="check the folder and its rights", retry_after=30) from error


def _read(path: Path) -> bytes:
    text = secretfile.read(path, "the key", why="whoever can read it can find out who was erased", fix=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != BYTES:
        raise Corrupt(f"the key {path} is damaged", why=f"it is not {BYTES} bytes in hex", fix="restore it from a backup")
    return key
