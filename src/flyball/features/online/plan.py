"""What is kept of a view online, worked out once: which values of a row, in which parts, and how long.

Features of the newest row (`RowFeature`) live in an entity's *head*: a few rows, each with the values of all of these features. Aggregates of
windows live in *tiles*: spans of time of equal width, each with its rows, of which every aggregate's own column is one *stream*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import polars as pl

from flyball.clock import Span
from flyball.data.types import schema
from flyball.declare.codec import view_digest
from flyball.declare.views import NUMERIC, FeatureView, RowFeature, WindowFeature
from flyball.errors import DeclarationError
from flyball.features import transforms
from flyball.features.expressions import expression
from flyball.features.reading import delay
from flyball.features.windows import no_numbers

FORM = 2
"""Of the bytes that are kept. Another form is another view to the store: its values are made anew."""

HEAD = 2**62
"""The number of the part that holds the head: above every tile's."""

KEPT = Span.parse("1h")
"""How far behind the newest row a moment may lie and still get the values that it saw; with windows, at least their longest reach."""

TILES = 128
"""How many tiles an entity has, of all that may still be asked about: those within the longest reach of a view's windows, and within what is kept beyond."""

SUMMED = 32
"""Rows from which on a tile carries a summary: with fewer, reading the rows costs no more."""


@dataclass(frozen=True)
class Newest:
    """One feature of the newest row: a column or an expression, its place among a head's values, and how long after its row's time it is
    known (µs).
    """

    name: str
    value: Any
    place: int
    delay: int


@dataclass(frozen=True)
class Aggregate:
    """One window feature over stream `place` of the tiles; lengths in µs."""

    name: str
    place: int
    how: str
    span: int
    ago: int
    expires: bool
    """Whether the window is longer than the view's TTL, so that its newest row may be too old."""


@dataclass(frozen=True)
class Stream:
    """A column as aggregates read it: null where a row does not count. `hows` are the aggregates that read it.

    `feature`, by its name, is one of them: they all read the same. `numeric`: as doubles.
    """

    name: str
    feature: WindowFeature
    delay: int
    hows: frozenset[str]

    @property
    def numeric(self) -> bool:
        """Whether values are doubles."""
        return self.feature.how in NUMERIC


@dataclass(frozen=True)
class Plan:
    """All of it. `width`: of a tile, µs. `kept`: how far back from the newest row moments get their values, µs."""

    view: FeatureView
    store_name: str
    newest: tuple[Newest, ...]
    aggregates: tuple[Aggregate, ...]
    streams: tuple[Stream, ...]
    delays: tuple[int, ...]
    """The different delays of `newest`, each once."""
    dtypes: dict[str, pl.DataType]
    width: int
    reach: int
    kept: int
    ttl: int | None

    def tile(self, time: int) -> int:
        """The number of the tile that an instant falls into."""
        return time // self.width

    def floor(self, present: int) -> int:
        """The first tile that a moment within what is kept can reach."""
        return (present - self.kept - self.reach) // self.width


@lru_cache(maxsize=512)
def plan(view: FeatureView) -> Plan:
    """Work out what is kept of a view. Raises DeclarationError for a feature whose values cannot be kept."""
    data = view.data
    if not data.time:
        raise DeclarationError(f'view "{view.name}" needs a data set with a time', fix=f'give data set "{data.name}" a time= column')
    newest: list[Newest] = []
    aggregates: list[Aggregate] = []
    streams: dict[tuple[str, str, bool], Stream] = {}
    for label, feature in view.features.items():
        late = delay(view, feature)
        if isinstance(feature, RowFeature):
            newest.append(Newest(label, feature.value, len(newest), late))
            continue
        key = _key(feature)
        known = streams.get(key)
        hows = frozenset({feature.how}) | (known.hows if known else frozenset())
        streams[key] = Stream(label, _checked(view, label, feature), late, hows)
        window = feature.window
        expires = view.ttl is not None and window.span > view.ttl
        aggregates.append(Aggregate(label, list(streams).index(key), feature.how, int(window.span), int(window.ago), expires))
    reach = max([0, *(each.span + each.ago for each in aggregates)])
    kept = max(int(KEPT), reach)
    return Plan(
        view=view,
        store_name=name(view),
        newest=tuple(newest),
        aggregates=tuple(aggregates),
        streams=tuple(streams.values()),
        delays=tuple(sorted({each.delay for each in newest})),
        dtypes={label: _kept(view, label) for label in view.features},
        width=max(1, -(-(kept + reach) // TILES)),
        reach=reach,
        kept=kept,
        ttl=None if view.ttl is None else int(view.ttl),
    )


@lru_cache(maxsize=8192)
def name(view: FeatureView) -> str:
    """What a view's values are kept under: two definitions of one name are two views."""
    return f"{view.name}@{view_digest(view)[:16]}.{FORM}"


def _key(feature: WindowFeature) -> tuple[str, str, bool]:
    where = "" if feature.where is None else str(expression(feature.where).meta.serialize(format="json"))
    return feature.column, where, feature.how in NUMERIC


def _checked(view: FeatureView, name: str, feature: WindowFeature) -> WindowFeature:
    kind = schema(view.data).get(feature.column)
    if feature.how in NUMERIC and kind not in {"int", "float", "bool"}:
        raise no_numbers(view, name, feature, str(kind))
    return feature


def _kept(view: FeatureView, name: str) -> pl.DataType:
    """The type of a feature. Raises DeclarationError for one whose values have no plain form."""
    dtype = transforms.value_type(view, name)
    small = dtype.is_integer() and dtype != pl.Int128
    if small or dtype.is_float() or dtype.is_temporal() or dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum, pl.Null):
        return dtype
    raise DeclarationError(
        f'feature "{name}" of view "{view.name}" is {dtype}, which is not kept online',
        why="numbers, texts, bools and times are",
        fix="make one of these of it",
    )
