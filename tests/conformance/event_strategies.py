"""Any event that its record can hold, by the types of its fields: few names, so that events meet each other's rows."""

from __future__ import annotations

from typing import Any

import msgspec.inspect
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.records.base import Event

TEXTS = st.sampled_from([*["a"] * 5, "a/ü%_", "\U0001f600", "0" * 64])
MOST = 2**53 - 1


def events(kind: type[Event]) -> st.SearchStrategy[Any]:
    """Events of one kind."""
    return values(msgspec.inspect.type_info(kind))


def values(info: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of one type, as `msgspec.inspect` describes it."""
    match info:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            given = {field.name: values(field.type, depth + 1) for field in fields if field.required or depth < 4}
            return st.builds(cls, **given)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of(*(values(each, depth) for each in types))
        case msgspec.inspect.VarTupleType(item_type=item):
            return st.lists(values(item, depth + 1), max_size=2 if depth < 4 else 0).map(tuple)
        case msgspec.inspect.TupleType(item_types=items):
            return st.tuples(*(values(each, depth + 1) for each in items))
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(values(key, depth + 1), values(value, depth + 1), max_size=2 if depth < 4 else 0)
        case msgspec.inspect.Metadata(type=inner):
            return values(inner, depth)
        case _:
            return scalars(info)


def scalars(info: Any) -> st.SearchStrategy[Any]:
    """Values that hold no others."""
    match info:
        case msgspec.inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case msgspec.inspect.LiteralType(values=options):
            return st.sampled_from(list(options))
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.IntType():
            return st.one_of(st.integers(0, 3), st.integers(-MOST, MOST))
        case msgspec.inspect.FloatType():
            return st.floats(-1e6, 1e6, allow_nan=False)
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.StrType():
            return TEXTS
        case msgspec.inspect.CustomType(cls=cls) if cls is Span:
            return st.sampled_from([Span.parse("1h"), Span.parse("7d")])
        case _:
            raise AssertionError(f"events hold values of a type that no strategy is written for: {info}")
