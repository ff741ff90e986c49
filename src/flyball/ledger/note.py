"""Signed notes, and what flyball signs as such: checkpoints of the ledger, and versions. Pure.

A note is text, an empty line, and lines `— NAME BASE64`, each a signature (Ed25519) by the key of that name.
Source: C2SP, https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint; the keys are written as `golang.org/x/mod/sumdb/note` does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from flyball.errors import Corrupt

_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_VERSION = "flyball version"


class Verifier:
    """The public half of a key, as its verifier key `NAME+ID+BASE64` tells it."""

    def __init__(self, vkey: str) -> None:
        """Raises Corrupt for text that is not a verifier key of Ed25519."""
        name, _, rest = vkey.partition("+")
        key_id, _, key = rest.partition("+")
        public = _decoded(key)
        if public is None or len(public) != 33 or public[:1] != _ED25519 or not _NAME.fullmatch(name) or _id(name, public) != key_id:
            raise Corrupt(
                f'"{vkey[:120]}" is not a verifier key', why="it is NAME+ID+BASE64 of an Ed25519 key, and ID is a hash of the rest"
            )
        self.vkey = vkey
        self.name = name
        self.id = bytes.fromhex(key_id)
        self._public = Ed25519PublicKey.from_public_bytes(public[1:])

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Whether this key signed the text."""
        try:
            self._public.verify(signature, text)
        except InvalidSignature:
            return False
        return True


class Signer:
    """A private key with its name."""

    def __init__(self, name: str, seed: bytes) -> None:
        """seed: 32 random bytes."""
        assert _NAME.fullmatch(name), name
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = _ED25519 + self._key.public_key().public_bytes_raw()
        self.name = name
        self.id = bytes.fromhex(_id(name, public))
        self.vkey = f"{name}+{self.id.hex()}+{base64.b64encode(public).decode()}"
        self._seed = seed

    @property
    def skey(self) -> str:
        """The private key as text, for its file."""
        return f"PRIVATE+KEY+{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self._seed).decode()}"

    @classmethod
    def parse(cls, skey: str) -> Signer:
        """Read what `skey` wrote. Raises Corrupt; the message holds nothing of the key."""
        parts = skey.strip().split("+", 4)
        seed = _decoded(parts[4]) if len(parts) == 5 and parts[:2] == ["PRIVATE", "KEY"] and _NAME.fullmatch(parts[2]) else None
        if seed is not None and len(seed) == 33 and seed[:1] == _ED25519:
            signer = cls(parts[2], seed[1:])
            if signer.id.hex() == parts[3]:
                return signer
        raise Corrupt("the private key cannot be read", why="it is not PRIVATE+KEY+NAME+ID+BASE64 of an Ed25519 key")

    def sign(self, text: str) -> bytes:
        """A note of the text (which ends in a newline), signed."""
        assert text.endswith("\n"), "a note's text ends in a newline"
        signature = base64.b64encode(self.id + self._key.sign(text.encode())).decode()
        return f"{text}\n— {self.name} {signature}\n".encode()


class Checkpoint(NamedTuple):
    """What a signed checkpoint says: the root of the first `size` events of the ledger `origin`."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The note's text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint's text; lines after the third are extensions of others. Raises Corrupt."""
        lines = text.split("\n")
        root = _decoded(lines[2]) if len(lines) > 3 else None
        if root is None or len(root) != 32 or not lines[0] or not re.fullmatch(r"0|[1-9]\d{0,17}", lines[1]):
            raise Corrupt("a note is not a checkpoint", why="a checkpoint has an origin, a size and a root hash, each on a line of its own")
        return cls(lines[0], int(lines[1]), root)

    @classmethod
    def claimed(cls, note: bytes) -> Checkpoint:
        """What a note says, whoever signed it. Raises Corrupt."""
        try:
            text = note.decode().rpartition("\n\n")[0]
        except UnicodeDecodeError as error:
            raise Corrupt("a note cannot be read", why="it is not valid text") from error
        return cls.parse(f"{text}\n")


def version_text(ref: str, artifact: str) -> str:
    """What is signed of a registered version: its name and the hash of its manifest."""
    return f"{_VERSION}\n{ref}\nsha256:{artifact}\n"


def opened(note: bytes, verifiers: Iterable[Verifier], *, cosigned: bool = False) -> str:
    """The text of a note that is signed by keys of `verifiers` alone, one or more, and written exactly as a signer writes it. Raises Corrupt.

    cosigned: signatures by further keys, which are not known, are passed over, as C2SP has it for notes that come from others.
    """
    try:
        text, found, below = note.decode().rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise Corrupt("a note cannot be read", why="it is not valid text") from error
    lines = below.split("\n")
    if not found or len(lines) < 2 or lines[-1]:
        raise Corrupt("a note cannot be read", why="a note is text, an empty line, and signatures")
    text += "\n"
    known = {(each.name, each.id): each for each in verifiers}
    good = 0
    for line in lines[:-1]:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        signature = _decoded(encoded)
        by = known.get((name, signature[:4])) if signature is not None else None
        if dash != "—" or signature is None or (by is not None and len(signature) != 68):
            raise Corrupt("a note cannot be read", why="a line below its text is not a signature")
        if by is None and cosigned:
            continue
        if by is None:
            raise Corrupt("a note is signed by a key that is not known", why=f'"{name[:80]}" {signature[:4].hex()}')
        if not by.verifies(text.encode(), signature[4:]):
            raise Corrupt("a note's signature does not hold", why=f"it is not what {name[:80]} signed")
        good += 1
    if not good:
        raise Corrupt("a note is signed by no key that is known", why="its signatures are those of others")
    return text


def split(data: bytes) -> Iterator[bytes]:
    """The notes of a file, each written after the one before."""
    head: list[bytes] = []
    for line in data.splitlines(keepends=True):
        if head and head[-1].startswith("—".encode()) and not line.startswith("—".encode()):
            yield b"".join(head)
            head = []
        head.append(line)
    if head:
        yield b"".join(head)


def _id(name: str, public: bytes) -> str:
    return hashlib.sha256(name.encode() + b"\n" + public).hexdigest()[:8]


def _decoded(text: str) -> bytes | None:
    """The bytes, if the text is base64 as an encoder writes it: spare bits are zero, so that no other text means the same."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
