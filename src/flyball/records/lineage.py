"""What lineage is told as: things, what each was made of, and what is amiss with how a project is declared."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Record


class LineageNode(Record, frozen=True):
    """One thing. `id` is its kind and its name. `owner`: whose it is; a data set or view without one of its own is its models'.

    `production`: a version that answers now, and the predictions that it makes; `traffic` is its share. `at` is when it came to be, `rows` how many
    it has (of predictions: rows in sealed segments). What does not fit the kind is empty.
    """

    id: str
    kind: str
    name: str
    owner: str = ""
    detail: str = ""
    state: str = ""
    production: bool = False
    traffic: float | None = None
    rows: int | None = None
    at: Instant = 0


class LineageEdge(Record, frozen=True):
    """`target` was made of `source`; `how` says what the source is to it."""

    source: str
    target: str
    how: str


class Lineage(Record, frozen=True):
    """What one thing was made of (`up`), and what was made of it (`down`). Both begin with `start`: most often one node, and more than one where
    what goes by one name is not defined alike everywhere.

    `production` are the versions below it that answer now, and `owners` whose all that lies below it is: who is to hear of a change. `unread` are the
    models whose declarations cannot be read just now, with the reason: what they read is not in here.
    """

    ref: str
    start: tuple[str, ...]
    nodes: tuple[LineageNode, ...]
    up: tuple[LineageEdge, ...]
    down: tuple[LineageEdge, ...]
    production: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    unread: dict[str, str] = {}


class Overview(Record, frozen=True):
    """All that is declared or recorded, counted by kind, and what is idle or nobody's.

    `unused_views` and `unused_columns` are declared and no model reads them; `without_model` are data sets that were read once, or are declared,
    and no model is made from. `ownerless` are models, data sets and views (`kind:name`) for which nobody is named, nor for a model that uses them.
    """

    counts: dict[str, int]
    unused_views: tuple[str, ...]
    unused_columns: tuple[str, ...]
    without_model: tuple[str, ...]
    ownerless: tuple[str, ...]
    unread: dict[str, str] = {}
