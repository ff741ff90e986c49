"""A pandera schema as the columns of a data set. What it asks for and a contract cannot is named, so that nothing is lost in silence.

The library is never imported: a schema is told by how it looks, and whoever has one has the library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flyball.declare.columns import Column, Value
from flyball.declare.units import fail
from flyball.records.models import FieldType

_ENDS: Final[dict[str, tuple[float, float]]] = {
    # the outermost floats that whole numbers of 64 bits have
    "int": (float(-(2**63)), float(2**63 - 1024)),
    "float": (-math.nextafter(math.inf, 0), math.nextafter(math.inf, 0)),
}
_KINDS: Final[tuple[tuple[str, FieldType], ...]] = (
    ("int", "int"),
    ("uint", "int"),
    ("float", "float"),
    ("decimal", "float"),
    ("bool", "bool"),
    ("str", "str"),
    ("utf8", "str"),
    ("categor", "str"),
    ("enum", "str"),
    ("datetime", "time"),
    ("date", "time"),
    ("timestamp", "time"),
)


@dataclass(frozen=True)
class Carried:
    """What a schema comes to: columns, the key that must be unique, and what of it is not carried, one sentence each."""

    columns: dict[str, Column]
    unique: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()

    def told(self, unique: object) -> tuple[str, ...]:
        """What is not carried, where the data set itself declares what is `unique`."""
        other = (f"{', '.join(self.unique)} must be unique too: the data set declares another unique=",) if self.unique and unique else ()
        return (*self.untold, *other)


def is_schema(given: object) -> bool:
    """Whether this is a pandera schema, or a model class that makes one."""
    if isinstance(given, Mapping):
        return False
    if isinstance(given, type):
        return callable(getattr(given, "to_schema", None))
    columns = getattr(given, "columns", None)
    return isinstance(columns, Mapping) and all(hasattr(one, "nullable") and hasattr(one, "checks") for one in columns.values())


def carried(given: Any) -> Carried:
    """A schema's columns. Raises DeclarationError for a type that no column can have."""
    schema: Any = given
    if isinstance(given, type):
        make: Any = given
        schema = make.to_schema()
    untold: list[str] = []
    columns: dict[str, Column] = {}
    for name, one in schema.columns.items():
        if getattr(one, "regex", False):
            untold.append(f'column "{name}" is a pattern: name the columns that it means')
        else:
            columns[str(name)] = _column(str(name), one, untold)
    keys = [(name,) for name, one in schema.columns.items() if getattr(one, "unique", False) and name in columns]
    together = getattr(schema, "unique", None) or ()
    keys += [(together,) if isinstance(together, str) else tuple(together)] if together else []
    untold += [f"{', '.join(key)} must be unique too: a data set has one unique=" for key in keys[1:]]
    untold += _whole(schema)
    return Carried(columns, keys[0] if keys else (), tuple(untold))


def _whole(schema: Any) -> Iterator[str]:
    """What a schema asks of the whole frame."""
    for check in getattr(schema, "checks", None) or ():
        yield f"check {_name(check)} of the whole frame: a contract has no code of its own"
    if getattr(schema, "index", None) is not None:
        yield "the index: rows have none, declare it as a column"
    if getattr(schema, "strict", False) is True:
        yield "strict=True: columns that are not declared are not refused, they are never seen"
    if getattr(schema, "ordered", False):
        yield "ordered=True: columns may come in any order"
    if getattr(schema, "coerce", False):
        yield "coerce=True: values are read as the declared types where they are of them, and never converted"
    for what in ("parsers", "dtype"):
        if getattr(schema, what, None):
            yield f"{what} of the whole frame"


@dataclass
class _Range:
    """The values that all checks of a column leave."""

    low: float
    high: float
    options: list[Value] | None = None
    bounded: bool = False
    untold: list[str] = field(default_factory=list)

    def above(self, value: float) -> None:
        """At least this."""
        self.low, self.bounded = max(self.low, value), True

    def below(self, value: float) -> None:
        """At most this."""
        self.high, self.bounded = min(self.high, value), True

    def among(self, values: Any) -> None:
        """One of these."""
        given = [getattr(value, "item", lambda value=value: value)() for value in values]
        self.options = given if self.options is None else [value for value in self.options if value in given]


def _column(name: str, one: Any, untold: list[str]) -> Column:
    kind = _type(name, one.dtype)
    low, high = _ENDS.get(kind, (-math.inf, math.inf))
    left = _Range(low, high)
    if (categories := _categories(one.dtype)) is not None:
        left.among(categories)
    untold += [f'column "{name}": check {_name(check)}' for check in one.checks or () if not _carry(check, kind, left)]
    lax = [_name(check) for check in one.checks or () if getattr(check, "raise_warning", False)]
    untold += [f'column "{name}": check {check} only warns; a column has one on_breach=' for check in lax]
    if not getattr(one, "required", True):
        untold.append(f'column "{name}" may be absent in the schema; a declared column is always there')
    for what in ("coerce", "parsers", "default"):
        given = getattr(one, what, None)
        if given is not None and given is not False and given != []:
            untold.append(f'column "{name}": {what}; values are taken as they are')
    if left.low > left.high or left.options == []:
        raise fail("columns", f'column "{name}" of the schema can have no value', fix="mend its checks")
    return Column(
        kind,
        between=(left.low, left.high) if left.bounded else None,
        one_of=left.options,
        nulls=1.0 if one.nullable else 0.0,
        about=" ".join(str(getattr(one, "description", None) or "").split()),
    )


def _type(name: str, dtype: Any) -> FieldType:
    text = str(dtype).lower()
    for begins, kind in _KINDS:
        if text.startswith(begins):
            return kind
    fix = "give the column int, float, bool, str or a datetime in the schema"
    raise fail("columns", f'column "{name}" of the schema has the type {dtype}', fix=fix)


def _categories(dtype: Any) -> list[Any] | None:
    """The values that the type itself allows."""
    for holder in (dtype, getattr(dtype, "type", None)):
        found = getattr(holder, "categories", None)
        if found is not None and not isinstance(found, str) and len(found):
            return list(found)
    return None


def _carry(check: Any, kind: FieldType, left: _Range) -> bool:
    """Narrow the range by a check; False for one that says something else."""
    told: Mapping[str, Any] = getattr(check, "statistics", None) or {}
    name = _name(check)
    numeric = kind in ("int", "float")
    if name == "in_range" and numeric:
        left.above(told["min_value"] if told.get("include_min", True) else _next(told["min_value"], kind, 1))
        left.below(told["max_value"] if told.get("include_max", True) else _next(told["max_value"], kind, -1))
    elif name in ("greater_than_or_equal_to", "greater_than") and numeric:
        left.above(told["min_value"] if name.endswith("to") else _next(told["min_value"], kind, 1))
    elif name in ("less_than_or_equal_to", "less_than") and numeric:
        left.below(told["max_value"] if name.endswith("to") else _next(told["max_value"], kind, -1))
    elif name == "isin" and kind != "time":
        left.among(told["allowed_values"])
    elif name == "equal_to" and kind != "time":
        left.among([told["value"]])
    else:
        return False
    return True


def _next(value: float, kind: FieldType, way: int) -> float:
    """The nearest number beyond one that is excluded."""
    if kind == "int":
        return math.floor(value) + 1 if way > 0 else math.ceil(value) - 1
    return math.nextafter(value, way * math.inf)


def _name(check: Any) -> str:
    return str(getattr(check, "name", None) or "without a name")
