"""A secret in a file that only its owner can read: made once and whole, and not used where others can read it. It knows no secret's meaning."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from flyball.errors import Refused
from flyball.store.durable import sync_folder


def make(path: Path, text: str) -> None:
    """Write a secret where there is none yet; of two processes that make one at once, the first one's stays. Raises OSError.

    It is on the disk then, name and all: what is done with it is recorded, and nothing else could take its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{text}\n".encode())
        os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        os.close(descriptor)
        scratch.unlink()
    sync_folder(path.parent)


def read(path: Path, what: str, *, why: str, fix: str) -> str:
    """The secret. `what` names it in the error where others can read it: `why` that matters, and what the `fix` is. Raises Refused, OSError."""
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o077:
            raise Refused(f"{what} {path} can be read by others (mode {mode & 0o777:o})", why=why, fix=fix)
        return file.read().strip()
