"""The private key of this project's signatures, in a file that only its owner can read. It never leaves that file but to sign."""

from __future__ import annotations

import secrets
from pathlib import Path

from flyball.errors import Corrupt, kind_of
from flyball.ledger.note import Signer
from flyball.store import secretfile

KEY = "ledger.key"
_AGAIN = "remove it: a new one is made, and the ledger notes it"


def signer(folder: Path) -> Signer:
    """The key in `folder` (`.flyball/keys`), made if there is none. Raises Refused (others can read it), Corrupt, Unavailable."""
    path = folder / KEY
    try:
        if not path.exists():
            secretfile.make(path, Signer(f"flyball/{secrets.token_hex(8)}", secrets.token_bytes(32)).skey)
        text = secretfile.read(
            path,
            "the signing key",
            why="whoever can read it can sign in this project's name",
            fix=f"chmod 600 {path}; if somebody may have read it, {_AGAIN}",
        )
        return Signer.parse(text)
    except Corrupt as error:
        raise Corrupt(f"{path}: {error.what}", why=error.why, fix=f"restore it, or {_AGAIN}") from error
    except OSError as error:
        raise kind_of(error)(
            f"the signing key {path} cannot be used",
            why=error.strerror or str(error),
            fix="check the folder and its rights",
            retry_after=30,
        ) from error
