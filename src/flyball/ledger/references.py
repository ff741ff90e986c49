"""Which blobs a record refers to: found by the types of its fields (`BlobHash`, `ManifestHash`, …), so that none can be forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from msgspec import inspect

from flyball.records.base import Record
from flyball.records.codec import decode
from flyball.records.data import DatasetManifest
from flyball.records.models import Manifest
from flyball.records.training import RunResult

Kind = Literal["bytes", "manifest", "result", "content"]
Walk = Callable[[Any], Iterator["Reference"]]


class Reference(NamedTuple):
    """A blob that must be there, and the field that says so."""

    field: str
    digest: str
    kind: Kind


def references(record: Record) -> Iterator[Reference]:
    """Every blob that the record names, nested records included; empty texts are none."""
    for name, walk in _fields(type(record)):
        for found in walk(getattr(record, name)):
            yield found._replace(field=f"{name}{found.field}")


OPENED: Mapping[Kind, type[Record]] = {"manifest": Manifest, "result": RunResult, "content": DatasetManifest}
"""Blobs that name further blobs, by the kind of the reference, and what they hold."""

PARQUET = b"PAR1"
"""How a Parquet file begins: a segment's content, which names no blobs."""


def inner(kind: Kind, data: bytes) -> tuple[Reference, ...]:
    """Every blob that a blob of an opened kind names. Raises msgspec.MsgspecError, UnicodeDecodeError for one that is not what it should be."""
    if kind not in OPENED or (kind == "content" and data.startswith(PARQUET)):
        return ()
    return tuple(references(decode(data, OPENED[kind])))


_UNDER_WAY: set[type[Record]] = set()


@lru_cache(maxsize=256)
def _fields(kind: type[Record]) -> tuple[tuple[str, Walk], ...]:
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType)
    _UNDER_WAY.add(kind)
    try:
        return tuple((field.name, walk) for field in described.fields if (walk := _walk(field.type)) is not None)
    finally:
        _UNDER_WAY.discard(kind)


def _walk(kind: inspect.Type) -> Walk | None:
    """How to find references in a value of this type; None where there can be none."""
    if isinstance(kind, inspect.Metadata):
        marked = (kind.extra or {}).get("blob")
        return _walk(kind.type) if marked is None else lambda value: iter([Reference("", value, marked)] if value else [])
    if isinstance(kind, inspect.StructType):
        # a record that holds one of its own kind is looked into as far as there is one
        return _nested if issubclass(kind.cls, Record) and (kind.cls in _UNDER_WAY or _fields(kind.cls)) else None
    if isinstance(kind, inspect.UnionType):
        walks = [(each, walk) for each in kind.types if (walk := _walk(each)) is not None]
        return _one_of(walks) if walks else None
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        inner = _walk(kind.item_type)
        return None if inner is None else _each(inner, enumerate)
    if isinstance(kind, inspect.DictType):
        inner = _walk(kind.value_type)
        return None if inner is None else _each(inner, lambda value: value.items())
    return None


def _nested(value: Record) -> Iterator[Reference]:
    return (found._replace(field=f".{found.field}") for found in references(value))


def _one_of(walks: list[tuple[inspect.Type, Walk]]) -> Walk:
    def walk(value: Any) -> Iterator[Reference]:
        for kind, inner in walks:
            expected = kind.cls if isinstance(kind, inspect.StructType) else None
            if value is not None and (expected is None or isinstance(value, expected)):
                yield from inner(value)
                return

    return walk


def _each(inner: Walk, items: Callable[[Any], Any]) -> Walk:
    def walk(value: Any) -> Iterator[Reference]:
        for key, each in items(value):
            for found in inner(each):
                yield found._replace(field=f"[{key}]{found.field}")

    return walk
