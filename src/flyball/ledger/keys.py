"""The private key of this project's signatures, in a file that only its owner can read. It never leaves that file but to sign."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from flyball.errors import Corrupt, Refused, Unavailable
from flyball.ledger.note import Signer

KEY = "ledger.key"


def signer(folder: Path) -> Signer:
    """The key in `folder` (`.flyball/keys`), made if there is none. Raises Refused (others can read it), Corrupt, Unavailable."""
    path = folder / KEY
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise Unavailable(
            f"the signing key {path} cannot be used",
            why=error.strerror or str(error),
            fix="check the folder and its rights",
            retry_after=30,
        ) from error


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Signer(f"flyball/{secrets.token_hex(8)}", secrets.token_bytes(32))
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, f"{made.skey}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # of two processes that make one at once, the first one's stays
        os.link(scratch, path)
    except FileExistsError:
        pass
    finally:
        scratch.unlink()


def _read(path: Path) -> Signer:
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o077:
            raise Refused(
                f"the signing key {path} can be read by others (mode {mode & 0o777:o})",
                why="whoever can read it can sign in this project's name",
                fix=f"chmod 600 {path}; if somebody may have read it, remove it: a new one is made, and the ledger notes it",
            )
        try:
            return Signer.parse(file.read())
        except Corrupt as error:
            raise Corrupt(
                f"{path}: {error.what}", why=error.why, fix="restore it, or remove it: a new one is made, and the ledger notes it"
            ) from error
