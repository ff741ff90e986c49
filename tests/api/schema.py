"""As much of JSON Schema as the API's document uses: what is wrong with a value, or with a schema itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "number": (int, float),
    "integer": int,
}
KNOWN = {
    *("type", "title", "description", "properties", "required", "additionalProperties", "anyOf", "oneOf", "enum", "items", "prefixItems"),
    *("minItems", "maxItems", "maxLength", "default", "$ref", "discriminator", "format", "pattern", "const"),
}


def problems(schema: dict[str, Any], value: Any, root: dict[str, Any], where: str = "$") -> Iterator[str]:
    """Everything in which a value is not as the schema says."""
    unknown = set(schema) - KNOWN
    assert not unknown, f"the checker does not know {unknown}"
    if "$ref" in schema:
        yield from problems(resolve(schema["$ref"], root), value, root, where)
        return
    for union in ("anyOf", "oneOf"):
        if union in schema:
            fitting = [one for one in schema[union] if not list(problems(one, value, root, where))]
            if not fitting or (union == "oneOf" and len(fitting) != 1):
                yield f"{where}: {len(fitting)} of {union} fit {value!r}"
    yield from _own(schema, value, where)
    if isinstance(value, dict):
        yield from _object(schema, value, root, where)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for place, one in enumerate(value):
            yield from problems(schema["items"], one, root, f"{where}[{place}]")


def _own(schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(
        isinstance(value, TYPES[kind]) and not (isinstance(value, bool) and kind in ("number", "integer")) for kind in kinds
    ):
        yield f"{where}: {value!r} is no {kinds}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where}: {value!r} does not match {schema['pattern']}"
        if schema.get("format") == "date-time" and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
            yield f"{where}: {value!r} is no moment in UTC"


def _object(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any], where: str) -> Iterator[str]:
    known = schema.get("properties", {})
    yield from (f"{where}: {name} is missing" for name in schema.get("required", []) if name not in value)
    more = schema.get("additionalProperties", True)
    for name, one in value.items():
        if name in known:
            yield from problems(known[name], one, root, f"{where}.{name}")
        elif more is False:
            yield f"{where}: {name} is not known"
        elif isinstance(more, dict):
            yield from problems(more, one, root, f"{where}.{name}")


def resolve(ref: str, root: dict[str, Any]) -> dict[str, Any]:
    """The schema that a reference means; KeyError for none."""
    found: Any = root
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def references(value: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)
