"""How records look to a caller: times as RFC 3339, lengths of time as seconds, what is no number as null; and the JSON schema that says so.

Which fields are times, their annotation says: a whole number alone cannot tell.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any

import msgspec

from flyball.clock import Span, rfc3339

REF = "#/components/schemas/"
_TIME = {"type": ["string", "null"], "format": "date-time"}
_SPAN = {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"}


def shown(value: Any) -> Any:
    """A record, or what is in one, as JSON values."""
    match value:
        case msgspec.Struct():
            return _struct(value)
        case Enum():
            return value.value
        case bool() | None | str():
            return value
        case Span():
            return span(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(name): shown(one) for name, one in value.items()}
        case list() | tuple():
            return [shown(one) for one in value]
        case _:
            return value


def span(value: Span) -> str:
    """A length of time: "7200s"."""
    whole, rest = divmod(abs(int(value)), 1_000_000)
    text = f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)
    return f"{'-' if value < 0 else ''}{text}s"


def _struct(value: msgspec.Struct) -> dict[str, Any]:
    times = instants(type(value))
    config = value.__struct_config__
    found: dict[str, Any] = {config.tag_field: config.tag} if config.tag_field else {}
    for name, told in zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True):
        field = getattr(value, name)
        found[told] = (rfc3339(field) if field else None) if name in times else shown(field)
    return found


@lru_cache(maxsize=512)
def instants(kind: type) -> frozenset[str]:
    """The fields of a record that are moments; 0 in them means none."""
    return frozenset(name for base in kind.__mro__ for name, annotation in inspect.get_annotations(base).items() if annotation == "Instant")


def schemas(kinds: Iterable[type]) -> dict[str, Any]:
    """JSON schemas of records as they are shown, by name, with those of all records in them."""
    wanted = list(kinds)
    _, components = msgspec.json.schema_components(wanted, schema_hook=_hook, ref_template=REF + "{name}")
    for kind in _structs(wanted):
        schema = components.get(kind.__name__)
        if schema is None:
            continue
        # a line of a docstring that goes on in the next is one sentence
        schema["description"] = " ".join((kind.__doc__ or "").split())
        for name, told in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
            if name in instants(kind):
                schema["properties"][told] = dict(_TIME)
    return dict(sorted(components.items()))


def _hook(kind: type) -> dict[str, Any]:
    if kind is Span:
        return dict(_SPAN)
    raise NotImplementedError(f"no schema for {kind}")


def _structs(kinds: Iterable[type]) -> list[Any]:
    """Every record that is one of these or in one of them."""
    found: dict[type, None] = {}

    def walk(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                return
            found[info.cls] = None
            for field in info.fields:
                walk(field.type)
            return
        for name in ("types", "item_types"):
            for one in getattr(info, name, ()):
                walk(one)
        for name in ("item_type", "key_type", "value_type", "type"):
            if (one := getattr(info, name, None)) is not None:
                walk(one)

    for info in msgspec.inspect.multi_type_info(list(kinds)):
        walk(info)
    return list(found)
