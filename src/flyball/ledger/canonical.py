"""The one way in which a record becomes bytes: RFC 8785. What is hashed is these bytes, and they are what is stored."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import Any, Union

import msgspec
import rfc8785
from msgspec import inspect

from flyball.clock import Instant, Span
from flyball.errors import BadInput, Corrupt
from flyball.records.base import Event, Record, Recorded
from flyball.records.codec import decode_hook, encode_hook, plain
from flyball.records.vocabulary import KINDS, UPCASTS

MAX_BODY = 16 * 1024
"""Bytes of an event's body at most: more goes to a blob, and the event holds its hash."""

EXACT = 2**53
"""Whole numbers below it are alike for every reader of JSON."""


def canonical(record: Record) -> bytes:
    """The canonical JSON of a record. Raises BadInput for NaN, infinities, |int| ≥ 2^53, broken text and foreign values."""
    quick = _holding(record, record)
    if quick is not None:
        return quick
    return _written(_plain(record, type(record).__name__), type(record).__name__)


def canonical_json(value: Any, what: str = "value") -> bytes:
    """The canonical JSON of dicts, lists, text and numbers. `what` names it in an error. Raises BadInput as `canonical` does."""
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        where, why = _culprit(value, "") or ("", str(error))
        raise BadInput(
            f"a {what} cannot be recorded: {where or 'it'} {why}",
            why="the record holds only finite numbers, whole numbers below 2^53 and valid text, which every reader reads alike",
            fix="write null with a reason in place of a number that is not defined",
        ) from error


def _plain(record: Record, what: str) -> Any:
    try:
        return plain(record)
    except (TypeError, NotImplementedError, ValueError) as error:
        raise BadInput(f"a {what} cannot be recorded", why=str(error)) from error


_SORTED = msgspec.json.Encoder(order="sorted", enc_hook=encode_hook)
_SHAPE = bytes(ord(":") if byte in b":,[-" else ord("0") if byte in b"0123456789" else byte for byte in range(256))
_SIXTEEN = b":" + b"0" * 16


def _large(written: bytes) -> bool:
    """Whether JSON holds a number that begins with 17 digits, or with 16 of which the first is a 9: all that may be ≥ 2^53."""
    # a third of the time of a regular expression, which was a tenth of an append
    shape = written.translate(_SHAPE)
    found = shape.find(_SIXTEEN)
    while found >= 0:
        if written[found + 1] == ord("9") or shape[found + 17] == ord("0"):
            return True
        found = shape.find(_SIXTEEN, found + 17)
    return False


def _written(value: Any, what: str) -> bytes:
    """The canonical JSON of a value that may hold floats."""
    try:
        quick = _quick(_alike(value))
    except _DifferentError:
        quick = None
    return canonical_json(value, what) if quick is None else quick


class _DifferentError(Exception):
    """A float that msgspec writes otherwise than RFC 8785."""


def _alike(value: Any) -> Any:
    """The value with whole floats as integers: the rest is written alike. Raises _DifferentError."""
    kind = type(value)
    if kind is float:
        size = abs(value)
        if not (1e-4 <= size < 1e15 or size == 0):
            raise _DifferentError
        return int(value) if value == int(value) else value
    if kind is dict:
        return {key: _alike(each) for key, each in value.items()}
    if kind is tuple or kind is list:
        return [_alike(each) for each in value]
    return value


def _quick(value: object) -> bytes | None:
    """The canonical JSON of a record or dict without floats, thirty times faster; None where msgspec's form may differ from RFC 8785's.

    It differs in how floats are written, in the order of keys beyond ASCII, and in that large integers are not refused.
    """
    written = _encoded(value)
    return None if written is None or _large(written) else written


def _holding(record: Record, value: object) -> bytes | None:
    """As `_quick`, of the record or of a value in which no other number can be large. None for one that holds floats, too."""
    kind = type(record)
    if not _without_floats(kind):
        return None
    names = _integers(kind)
    if names is None:
        return _quick(value)
    # the few integers of a flat record are looked at faster than its text
    return _encoded(value) if _exact(record, names) else None


def _encoded(value: object) -> bytes | None:
    """As `_quick`, of a value that is known to hold no large integers."""
    try:
        written = _SORTED.encode(value)
    except (TypeError, NotImplementedError, ValueError, OverflowError):
        return None  # the long way says what is wrong
    return written if written[:1] == b"{" and written.isascii() else None


def _exact(record: Record, names: tuple[str, ...]) -> bool:
    """Whether these fields hold nothing but integers below 2^53 and None."""
    for name in names:
        value = getattr(record, name)
        if value is not None and not (type(value) is int and -EXACT < value < EXACT):
            return False
    return True


@lru_cache(maxsize=256)
def _without_floats(kind: type[Record]) -> bool:
    """Whether records of this type hold no number but integers, and no keys but text, however deep."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    return all(_is_quick(field.type) for field in described.fields)


@lru_cache(maxsize=256)
def _integers(kind: type[Record]) -> tuple[str, ...] | None:
    """The fields of such a record that hold integers; None where some may lie deeper."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    names = []
    for field in described.fields:
        kinds = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
        if any(isinstance(_bare(each), inspect.IntType) for each in kinds):
            names.append(field.name)
        if not all(isinstance(_bare(each), inspect.IntType) or _is_without_integers(each) for each in kinds):
            return None
    return tuple(names)


def _is_without_integers(kind: inspect.Type) -> bool:
    kind = _bare(kind)
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return _is_without_integers(kind.item_type)
    if isinstance(kind, inspect.StructType):
        return issubclass(kind.cls, Record) and _integers(kind.cls) == ()
    return isinstance(kind, inspect.StrType | inspect.BoolType | inspect.NoneType | inspect.LiteralType | inspect.EnumType)


def _bare(kind: inspect.Type) -> inspect.Type:
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def _is_quick(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.Metadata):
        return _is_quick(kind.type)
    if isinstance(kind, inspect.StructType):
        return issubclass(kind.cls, Record) and _without_floats(kind.cls)
    if isinstance(kind, inspect.UnionType):
        return all(_is_quick(each) for each in kind.types)
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return _is_quick(kind.item_type)
    if isinstance(kind, inspect.DictType):
        return isinstance(kind.key_type, inspect.StrType) and _is_quick(kind.value_type)
    if isinstance(kind, inspect.CustomType):
        return kind.cls is Span
    return isinstance(
        kind, inspect.StrType | inspect.IntType | inspect.BoolType | inspect.NoneType | inspect.LiteralType | inspect.EnumType
    )


def _culprit(value: object, where: str) -> tuple[str, str] | None:
    """JSON pointer of the first value that canonical JSON cannot hold, and what is wrong with it."""
    if isinstance(value, dict):
        named = ((f"{where}/{key}", each) for key, each in value.items())
        return next((found for name, each in named if (found := _culprit(each, name))), None)
    if isinstance(value, list | tuple):
        counted = ((f"{where}/{index}", each) for index, each in enumerate(value))
        return next((found for name, each in counted if (found := _culprit(each, name))), None)
    if isinstance(value, float) and not math.isfinite(value):
        return where, f"is {value}"
    if isinstance(value, int) and abs(value) >= EXACT:
        return where, f"is {value}, beyond 2^53"
    if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
        return where, "holds half a character"
    return None


class _Body(Record, frozen=True):
    v: int
    at: Instant
    actor: str
    command: str
    event: Union[tuple(KINDS.values())]  # type: ignore[valid-type]  # noqa: UP007 - the union is only known at run time


_KNOWN = frozenset(KINDS.values())


@lru_cache(maxsize=1)
def _body_decoder() -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_Body, dec_hook=decode_hook)


def write_body(at: Instant, actor: str, command: str, event: Event) -> bytes:
    """The body of an event as the ledger keeps it. Raises BadInput: unknown kind, not canonical, or more than 16 KiB."""
    if type(event) not in _KNOWN:
        raise BadInput(
            f'the ledger knows no event of kind "{event.kind}"',
            why="records/vocabulary.py lists every kind",
            fix="list it there, or install the version of flyball that knows it",
        )
    said = {"v": event.version_of_kind, "at": at, "actor": actor, "command": command, "event": event}
    body = _holding(event, said) if abs(at) < EXACT else None
    if body is None:
        what = f'"{event.kind}" event'
        body = _written({"v": event.version_of_kind, "at": at, "actor": actor, "command": command, "event": _plain(event, what)}, what)
    if len(body) > MAX_BODY:
        raise BadInput(
            f'the event "{event.kind}" is {len(body):,} bytes long',
            why=f"an event is {MAX_BODY:,} bytes at most",
            fix="put what is large into a blob and its hash into the event",
        )
    return body


def read_body(seq: int, body: bytes) -> Recorded:
    """Read event number `seq`, of whatever version of its kind. Raises Corrupt when the bytes are not an event of a known kind."""
    try:
        read = _body_decoder().decode(body)
        if read.v != read.event.version_of_kind:
            read = _upcast(body)
    except (TypeError, ValueError, NotImplementedError) as error:
        try:
            read = _upcast(body)
        except (TypeError, ValueError, KeyError, NotImplementedError) as older:
            raise Corrupt(
                f"event {seq} cannot be read",
                why=_CHANGED if body.startswith(_NOT_BYTES) else str(error if isinstance(older, _CurrentError) else older),
                fix="flyball audit verify says what else is damaged; a newer flyball may have written it",
            ) from error
    return Recorded(seq, read.at, read.actor, read.command, read.event)


class _CurrentError(ValueError):
    """The event is not of an older version of its kind: what was wrong with it before is what is wrong."""


def _upcast(body: bytes) -> _Body:
    """Read an event of a former version of its kind. Raises _CurrentError for one that is not, ValueError for one of an unknown version."""
    found = msgspec.json.decode(body)
    if not isinstance(found, dict) or not isinstance(found.get("event"), dict):
        raise _CurrentError
    kind, wrote = found["event"].get("kind"), found.get("v")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None or not isinstance(wrote, int) or wrote == known.version_of_kind:
        raise _CurrentError
    if not 0 < wrote < known.version_of_kind:
        raise ValueError(f'version {wrote} of "{kind}" is not known: this flyball knows 1 to {known.version_of_kind}')
    for step in UPCASTS[kind][wrote - 1 :]:
        found["event"] = step(found["event"])
    read: _Body = msgspec.convert(found, _Body, dec_hook=decode_hook)
    return read


def rewrite(recorded: Recorded) -> bytes:
    """The body that `recorded` would have if it were written today: the stored one, unless its record has got new fields since."""
    return write_body(recorded.at, recorded.actor, recorded.command, recorded.event)


def is_canonical(body: bytes) -> bool:
    """Whether bytes are what RFC 8785 would write for the value they hold."""
    try:
        try:
            return rfc8785.dumps(msgspec.json.decode(body)) == body
        except rfc8785.CanonicalizationError:
            # a float of 2^53 and more is written without a point, and comes back as an integer that may not be written
            return rfc8785.dumps(json.loads(body, parse_int=_number)) == body
    except (ValueError, RecursionError):
        return False


def _number(digits: str) -> int | float:
    value = int(digits)
    return value if abs(value) < EXACT else float(value)


def stored_bytes(stored: object) -> bytes:
    """Columns hold bytes, but SQLite keeps whatever somebody puts there: other types become bytes that hash to nothing known."""
    return stored if isinstance(stored, bytes) else _NOT_BYTES + repr(stored).encode()


_NOT_BYTES = b"not bytes: "
_CHANGED = "it is no bytes any more, so somebody has changed it"
