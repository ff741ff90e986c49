"""The time of a version's whole path: what a process is told that measures it, what it saw, and what is kept of that."""

from __future__ import annotations

from flyball.records.base import Record


class PathAsked(Record, frozen=True):
    """What a process is told that measures a version's whole path. `rows` of requests are in the order of the signature; `folder` holds the online store of its
    views and is its own to write to; `calls` is the most it asks, `budget_s` the most that they may take together, in seconds. `lengths`: how many of the rows, in order, each
    call asks (the lists of a ranking); without them, each call asks one.
    """

    artifact: str
    blobs: str
    folder: str
    rows: tuple[tuple[int | float | str | bool | None, ...], ...]
    calls: int
    budget_s: float
    lengths: tuple[int, ...] = ()


class PathSeen(Record, frozen=True):
    """What that process saw, in ms: `whole` of each call, as its caller waits for it; of each call what each part took (`views`, `transforms`, `model`);
    what each transform's expression takes alone for one row. `memory`: the most that the worker's process held, in bytes.
    """

    whole: tuple[float, ...]
    parts: dict[str, tuple[float, ...]]
    alone: dict[str, float]
    memory: int


class PathPart(Record, frozen=True):
    """A part of the path: median and 99th percentile of what it takes, in ms."""

    name: str
    p50: float
    p99: float


class Path(Record, frozen=True):
    """The whole path of a version in a worker of its own, rows of the hold-out (of a ranking: its lists) asked one by one: ms, by part (the slowest first), and the worker's memory in bytes.

    `transforms`: each expression computed alone, in ms. `slowest` names a part, or the transform in it.
    """

    calls: int
    p50: float
    p95: float
    p99: float
    slowest: str
    parts: tuple[PathPart, ...]
    transforms: dict[str, float]
    memory: int
