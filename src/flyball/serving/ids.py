"""Request ids that prove where they come from: time, gateway, counter and a keyed tag.

A label whose id has our form and a wrong tag is refused without a look-up; an id of any other form is the caller's own.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from hashlib import blake2s
from pathlib import Path

PREFIX = "p_"
_OWN = re.compile(r"p_([0-9a-f]{20})([0-9a-f]{12})(?:/\d{1,9})?")
_TAG_BYTES = 6


def load_key(path: Path) -> bytes:
    """The project's 32 secret bytes, made (mode 0600) by whoever comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        fd = os.open(scratch, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            os.write(fd, secrets.token_bytes(32))
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            # link refuses to replace: of two gateways that start at once, one key wins for both
            os.link(scratch, path)
        except FileExistsError:
            pass
        finally:
            scratch.unlink()
    return path.read_bytes()


def _tag(body: bytes, key: bytes) -> str:
    return blake2s(body, digest_size=_TAG_BYTES, key=key).hexdigest()


class Ids:
    """Makes and verifies ids for one gateway. They sort by time to the millisecond."""

    def __init__(self, key: bytes, gateway: int) -> None:
        self._key = key
        self._gateway = bytes([gateway & 0xFF])
        self._count = secrets.randbelow(1 << 24)

    def new(self, now_ms: int | None = None) -> str:
        """A fresh id: `p_` and 32 hexadecimal digits."""
        self._count = (self._count + 1) & 0xFFFFFF
        body = (
            (time.time_ns() // 1_000_000 if now_ms is None else now_ms).to_bytes(6, "big") + self._gateway + self._count.to_bytes(3, "big")
        )
        return f"{PREFIX}{body.hex()}{_tag(body, self._key)}"

    def is_forged(self, text: str) -> bool:
        """Whether `text` claims to be one of our ids (or a row of one, `id/3`) and is not. Other texts are the caller's own ids."""
        if not text.startswith(PREFIX):
            return False
        found = _OWN.fullmatch(text)
        return found is None or not secrets.compare_digest(_tag(bytes.fromhex(found[1]), self._key), found[2])

    def key_hash(self, key: str) -> str:
        """What the log keeps of a caller's sticky key: the same in every gateway of the project, useless outside it."""
        return blake2s(key.encode(), digest_size=8, key=self._key).hexdigest()
