"""The key under which erased persons are remembered, in a file that only its owner can read. It never leaves that file but to hash."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from flyball.errors import Corrupt, Refused, Unavailable

FILE = "subjects.key"
BYTES = 32


def subject_key(folder: Path, *, make: bool) -> bytes:
    """The key in `folder` (`.flyball/keys`); `make`: it is made if there is none, as at the first erasure.

    Raises Corrupt (missing or damaged), Refused (others can read it), Unavailable.
    """
    path = folder / FILE
    try:
        if make and not path.exists():
            _make(path)
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


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{secrets.token_hex(BYTES)}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # of two processes that make one at once, the first one's stays
    with suppress(FileExistsError):
        os.link(scratch, path)
    scratch.unlink()


def _read(path: Path) -> bytes:
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o077:
            raise Refused(
                f"the key {path} can be read by others (mode {mode & 0o777:o})",
                why="whoever can read it can find out who was erased",
                fix=f"chmod 600 {path}",
            )
        text = file.read().strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != BYTES:
        raise Corrupt(f"the key {path} is damaged", why=f"it is not {BYTES} bytes in hex", fix="restore it from a backup")
    return key
