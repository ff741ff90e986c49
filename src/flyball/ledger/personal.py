"""What events say of persons, kept so that it can be erased: the event holds a salted hash, and the text lies beside the record.

Fields are found by their type (`Personal`), so that none can be forgotten. Chance is passed in. Nothing here knows who a person is, and
no proof or projection rests on the texts: erasing them changes neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from msgspec import inspect

from flyball.errors import BadInput
from flyball.ledger.canonical import canonical
from flyball.records.base import Event, Record

Salts: TypeAlias = Callable[[int], bytes]
"""So many random bytes, such as `os.urandom`."""

SALT = 16
"""Bytes of chance in each hash: without them a name would be found by trying names."""

EventT = TypeVar("EventT", bound=Event)
_Change = Callable[[Any, Callable[[str], str]], Any]


class PersonalText(Record, frozen=True):
    """What lies under a hash: the text, and the salt (hex) that was hashed before it."""

    salt: str
    text: str


class Misplaced(NamedTuple):
    """A row of the table of personal texts that is not what it should be."""

    digest: str
    what: str


def digest(salt: bytes, text: str) -> str:
    """What an event holds in place of a text.

    >>> digest(bytes(16), "ana")[:12]
    '193cb41090ed'
    """
    return hashlib.sha256(salt + text.encode("utf-8", "surrogatepass")).hexdigest()


def hidden(event: EventT, salts: Salts) -> tuple[EventT, dict[str, bytes]]:
    """The event with the hash of each personal text in its place, and what is to be kept under each hash. Empty texts stay empty."""
    fields = _fields(type(event))
    if not fields:
        return event, {}
    known: dict[str, str] = {}
    kept: dict[str, bytes] = {}

    def hide(text: str) -> str:
        if text and text not in known:
            salt = salts(SALT)
            known[text] = digest(salt, text)
            kept[known[text]] = canonical(PersonalText(salt=salt.hex(), text=text))
        return known.get(text, "")

    return cast("EventT", _changed(event, hide)), kept


def hashes(event: Event) -> Iterator[str]:
    """The hashes of personal texts in an event that was recorded."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    if _fields(type(event)):
        _changed(event, note)
    return (text for text in found if text)


def read(body: bytes) -> PersonalText | None:
    """What lies under a hash; None where somebody has changed it to what is no text of ours."""
    try:
        return msgspec.json.decode(body, type=PersonalText)
    except ValueError:
        return None


def misplaced(rows: Iterable[tuple[str, bytes]], told: frozenset[str] | set[str]) -> Iterator[Misplaced]:
    """Rows that do not hash to their key, and rows that no event refers to (`told`: all hashes in events). An erased row is no fault."""
    for key, body in rows:
        if not _is_right(key, body):
            yield Misplaced(key, "a personal text was changed: it does not hash to its name")
        elif key not in told:
            yield Misplaced(key, "a personal text that no event refers to")


def _is_right(key: str, body: bytes) -> bool:
    kept = read(body)
    try:
        return kept is not None and digest(bytes.fromhex(kept.salt), kept.text) == key and canonical(kept) == body
    except (ValueError, BadInput):
        return False


_UNDER_WAY: set[type[Record]] = set()


@lru_cache(maxsize=256)
def _fields(kind: type[Record]) -> tuple[tuple[str, _Change], ...]:
    """The fields of a record that hold personal texts, each with the way to change them."""
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    _UNDER_WAY.add(kind)
    try:
        return tuple((field.name, change) for field in described.fields if (change := _change(field.type)) is not None)
    finally:
        _UNDER_WAY.discard(kind)


def _changed(record: Record, how: Callable[[str], str]) -> Record:
    return msgspec.structs.replace(record, **{name: change(getattr(record, name), how) for name, change in _fields(type(record))})


def _change(kind: inspect.Type) -> _Change | None:
    """How to change the personal texts in a value of this type; None where there can be none."""
    if isinstance(kind, inspect.Metadata):
        return (lambda value, how: how(value)) if (kind.extra or {}).get("personal") else _change(kind.type)
    if isinstance(kind, inspect.StructType):
        own = issubclass(kind.cls, Record) and kind.cls not in _UNDER_WAY and bool(_fields(kind.cls))
        return _changed if own else None
    if isinstance(kind, inspect.UnionType):
        inner = [change for each in kind.types if (change := _change(each)) is not None]
        assert len(inner) <= 1, "a personal text is of one type, or null"
        return (lambda value, how: None if value is None else inner[0](value, how)) if inner else None
    if isinstance(kind, inspect.VarTupleType):
        each = _change(kind.item_type)
        return None if each is None else lambda value, how: tuple(each(one, how) for one in value)
    if isinstance(kind, inspect.DictType):
        part = _change(kind.value_type)
        return None if part is None else lambda value, how: {key: part(one, how) for key, one in value.items()}
    return None
