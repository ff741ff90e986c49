"""Columns: what must hold of one, when its values are known, and who may see them."""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from flyball.clock import Span
from flyball.declare.units import fail, fill, one_of, settled, share, span, words
from flyball.records.models import FieldType

Value: TypeAlias = int | float | str | bool
Type: TypeAlias = type[Any] | FieldType

_MOST = sys.float_info.max
_TYPES: dict[Any, FieldType] = {int: "int", float: "float", bool: "bool", str: "str", dt.datetime: "time"}


@dataclass(frozen=True, init=False)
class Column:
    """What must hold of a column.

    `between` is inclusive, `nulls` the largest share allowed, `known_after` may be negative. Against the last good version: `unseen` is the
    largest share of rows whose value it never had, `shift` the largest share that may have moved to other values (total variation);
    None: nothing is required, and what is noticed is only told. `on_breach` is what a data set that breaks the column comes to, `on_request`
    what a request that does: refused, answered with the breach marked, or answered as if it had the value that is usual.
    """

    type: FieldType
    between: tuple[float, float] | None
    one_of: tuple[Value, ...] | None
    nulls: float
    known_after: Span
    personal: bool
    protected: bool
    on_breach: Literal["block", "warn"]
    on_request: Literal["refuse", "impute", "mark"]
    unseen: float | None
    shift: float | None
    about: str

    def __init__(
        self,
        type: Type,  # noqa: A002 - the public name
        *,
        between: tuple[float, float] | None = None,
        one_of: Iterable[Value] | None = None,
        nulls: str | float = 0.0,
        known_after: str | Span = "0s",
        personal: bool = False,
        protected: bool = False,
        on_breach: str = "block",
        on_request: str = "refuse",
        unseen: str | float | None = None,
        shift: str | float | None = None,
        about: str = "",
    ) -> None:
        fill(
            self,
            {
                "type": _field_type(type),
                "between": _between(between),
                "one_of": None if one_of is None else _options(one_of),
                "nulls": share(nulls, "nulls"),
                "known_after": span(known_after, "known_after", least=None),
                "personal": bool(personal),
                "protected": bool(protected),
                "on_breach": _one_of(on_breach, ("block", "warn"), "on_breach"),
                "on_request": _one_of(on_request, ("refuse", "impute", "mark"), "on_request"),
                "unseen": None if unseen is None else share(unseen, "unseen"),
                "shift": None if shift is None else share(shift, "shift"),
                "about": words(about, "about"),
            },
        )


def column(
    type: Type,  # noqa: A002 - the public name
    *,
    between: tuple[float, float] | None = None,
    one_of: Iterable[Value] | None = None,
    nulls: str | float = "0%",
    known_after: str | Span = "0s",
    personal: bool = False,
    protected: bool = False,
    on_breach: str = "block",
    on_request: str = "refuse",
    unseen: str | float | None = None,
    shift: str | float | None = None,
    about: str = "",
) -> Column:
    """Say what must hold of a column, when it is known and who may see it.

    >>> column(float, between=(0, 1), known_after="-6h").known_after
    Span.parse('-6h')
    """
    return Column(
        type,
        between=between,
        one_of=one_of,
        nulls=nulls,
        known_after=known_after,
        personal=personal,
        protected=protected,
        on_breach=on_breach,
        on_request=on_request,
        unseen=unseen,
        shift=shift,
        about=about,
    )


_one_of = one_of


def _field_type(given: object) -> FieldType:
    if isinstance(given, str):
        return _one_of(given, ("int", "float", "bool", "str", "time"), "type")
    if isinstance(given, type) and given in _TYPES:
        return _TYPES[given]
    raise fail("type", f"{given!r} is not a column type", fix="use int, float, bool, str or datetime.datetime")


def _between(given: Any) -> tuple[float, float] | None:
    if given is None:
        return None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise fail("between", f"{given!r} is not a pair", fix="write between=(low, high), both inclusive")
    low, high = given
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low <= high):
        raise fail("between", f"{low!r} to {high!r} is not a range", fix="write between=(low, high), both inclusive, low first")
    if not -_MOST <= low <= high <= _MOST:
        raise fail("between", f"{low!r:.40} to {high!r:.40} is not finite", fix="write the least and the greatest value that there may be")
    return float(low), float(high)


def _options(given: Iterable[Value]) -> tuple[Value, ...]:
    options: tuple[Value, ...] = settled(given)
    if not options or isinstance(given, str):
        raise fail("one_of", "no values are given", fix='write one_of=("a", "b")')
    for option in options:
        if not isinstance(option, int | float | str | bool):
            raise fail("one_of", f"{option!r} is not a number, text or bool")
        if isinstance(option, float) and not math.isfinite(option):
            raise fail("one_of", f"{option!r} is not finite", fix="leave it out: a missing value is null")
        if isinstance(option, int) and not -(2**63) <= option < 2**63:
            raise fail("one_of", f"{option!r:.40} has more than 64 bits", fix="leave it out: no column holds it")
    return options
