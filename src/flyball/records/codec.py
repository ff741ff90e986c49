"""Records in and out of JSON, with the one type that JSON does not know: a `Span` is its microseconds.

This is plain JSON for files between processes. What is hashed or kept in the ledger is canonical (`ledger.canonical`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from flyball.clock import Span
from flyball.records.base import Record

RecordT = TypeVar("RecordT", bound=Record)


def encode_hook(value: object) -> object:
    """Give msgspec something it knows for a value that it does not. Raises NotImplementedError."""
    if isinstance(value, Span):
        return int(value)
    raise NotImplementedError(f"a record may not hold a {type(value).__name__}")


def decode_hook(kind: type, value: object) -> object:
    """Build a value of a type that msgspec does not know. Raises NotImplementedError, ValueError."""
    if kind is Span and isinstance(value, int):
        return Span(value)
    raise NotImplementedError(f"cannot read a {kind.__name__}")


@lru_cache(maxsize=256)
def _decoder(kind: type[Record]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind, dec_hook=decode_hook)


_ENCODER = msgspec.json.Encoder(enc_hook=encode_hook)


def encode(record: Record) -> bytes:
    """Write a record as JSON."""
    return _ENCODER.encode(record)


def decode(data: bytes | str, kind: type[RecordT]) -> RecordT:
    """Read a record from JSON. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return cast("RecordT", _decoder(kind).decode(data))


def plain(record: Record) -> Any:
    """The record as dicts, lists, text and numbers, with text keys: what JSON can say."""
    return msgspec.to_builtins(record, str_keys=True, enc_hook=encode_hook)
