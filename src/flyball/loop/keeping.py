"""One model's monitors as they are stored: what every batch changes in one row, what seldom changes in rows of its own.

A hundred days of counts by slice are a thousand times what a second adds. So slabs are stored by stretches of time, and trails apart; only what
became another object is written, with the row that names all parts by their content, in the caller's one transaction. Nothing here decides anything.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock

import msgspec

from flyball.errors import Corrupt
from flyball.monitoring.slabs import DAY_MINUTES, HOUR_MINUTES, Slab
from flyball.monitoring.state import MonitorState
from flyball.monitoring.windows import Series, Trail, Window
from flyball.records import codec
from flyball.records.base import Record

STRETCH = {1: 10, HOUR_MINUTES: DAY_MINUTES, DAY_MINUTES: 10 * DAY_MINUTES}
"""Minutes of slabs in one part, by the width of a slab: ten minutes, a day, ten days."""

_TRAILS, _WEEK, _DAY = "trails", "week-", "day-"
_READS = 10
"""So often is what is stored read again when it changes meanwhile: whoever writes it does so each second."""

_MOST = 64 << 20
"""Bytes of parts (as stored) that a process keeps decoded; the loop reads the same ones each second."""


class Part(Record, frozen=True):
    """Slabs of one stretch of time, a week or a day that rows may still be added to but hardly are, or all trails."""

    slabs: tuple[Slab, ...] = ()
    window: Window | None = None
    trails: tuple[Trail, ...] = ()


class Stored(Record, frozen=True):
    """The row of a model: its state without what lies in parts, and the digest of each part by its name."""

    state: MonitorState
    parts: dict[str, str] = {}


@dataclass(frozen=True)
class Kept:
    """The parts of one model as they are stored, by name, and their digests."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


def parts_of(state: MonitorState) -> dict[str, Part]:
    """What of a state is stored in rows of its own, by name. A slab lies in one part, by its width and its start."""
    found: dict[str, list[Slab]] = {}
    for slab in state.slabs:
        found.setdefault(f"{slab.width}-{slab.start // STRETCH.get(slab.width, DAY_MINUTES)}", []).append(slab)
    parts = {name: Part(slabs=tuple(slabs)) for name, slabs in found.items()}
    for name, series in ((_WEEK, state.slow), (_DAY, state.daily)):
        # the newest is the one that fills
        parts |= {f"{name}{window.started}": Part(window=window) for window in series.windows[:-1]}
    if state.trails:
        parts[_TRAILS] = Part(trails=state.trails)
    return parts


def _rest(state: MonitorState) -> MonitorState:
    """What lies in no part."""
    slow, daily = (msgspec.structs.replace(series, windows=series.windows[-1:]) for series in (state.slow, state.daily))
    return msgspec.structs.replace(state, slabs=(), trails=(), slow=slow, daily=daily)


def joined(state: MonitorState, parts: Mapping[str, Part]) -> MonitorState:
    """The whole state again, slabs and windows in order of time."""
    slabs = sorted((slab for part in parts.values() for slab in part.slabs), key=_start)
    trails = parts[_TRAILS].trails if _TRAILS in parts else ()
    slow, daily = (_whole(series, parts, name) for name, series in ((_WEEK, state.slow), (_DAY, state.daily)))
    return msgspec.structs.replace(state, slabs=tuple(slabs), trails=trails, slow=slow, daily=daily)


def _whole(series: Series, parts: Mapping[str, Part], name: str) -> Series:
    closed = sorted((part.window for key, part in parts.items() if key.startswith(name) and part.window), key=_started)
    return msgspec.structs.replace(series, windows=(*closed, *series.windows))


def _started(window: Window) -> int:
    return window.started


def _start(slab: Slab) -> int:
    return slab.start


def write(key: str, state: MonitorState, kept: Kept) -> tuple[dict[str, bytes | None], Kept]:
    """The rows to write (None: to remove) under `key` so that `state` is stored, and what is then. `kept`: what is stored now."""
    items: dict[str, bytes | None] = {}
    digests: dict[str, str] = {}
    parts = parts_of(state)
    for name, part in parts.items():
        known = kept.parts.get(name)
        if known is not None and _same(known, part):
            parts[name], digests[name] = known, kept.digests[name]
            continue
        body = codec.encode(part)
        digests[name] = _digest(body)
        items[f"{key}/{name}"] = body
        _RECENT.put(digests[name], part, len(body))
    items.update({f"{key}/{name}": None for name in kept.parts if name not in parts})
    items[key] = codec.encode(Stored(state=_rest(state), parts=digests))
    return items, Kept(parts, digests)


def read(key: str, load: Callable[[str], bytes | None]) -> tuple[MonitorState, Kept] | None:
    """What is stored under `key`; None: nothing. Raises Corrupt where parts are missing and do not come."""
    for _ in range(_READS):
        raw = load(key)
        if raw is None:
            return None
        stored = codec.decode(raw, Stored)
        parts = {name: _part(f"{key}/{name}", digest, load) for name, digest in stored.parts.items()}
        whole = {name: part for name, part in parts.items() if part is not None}
        if len(whole) == len(parts):
            return joined(stored.state, whole), Kept(whole, stored.parts)
    raise Corrupt(
        f"what the loop has counted under {key} is not whole",
        why="parts of it are missing, or are not the ones that its row names",
        fix="restore the database from a backup",
    )


def _part(key: str, digest: str, load: Callable[[str], bytes | None]) -> Part | None:
    known = _RECENT.get(digest)
    if known is not None:
        return known
    raw = load(key)
    if raw is None or _digest(raw) != digest:
        return None
    part = codec.decode(raw, Part)
    _RECENT.put(digest, part, len(raw))
    return part


def _digest(body: bytes) -> str:
    return blake2b(body, digest_size=12).hexdigest()


def _same(left: Part, right: Part) -> bool:
    # nothing is changed in place: another object is another value, and all others are as they were stored
    return (
        len(left.slabs) == len(right.slabs)
        and left.trails is right.trails
        and left.window is right.window
        and all(one is other for one, other in zip(left.slabs, right.slabs, strict=True))
    )


class _Recent:
    """Parts by their digest, of all models; the least lately used ones go first. The loop and whoever looks at a page ask from threads of their own."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._parts: OrderedDict[str, tuple[Part, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, digest: str) -> Part | None:
        with self._lock:
            found = self._parts.get(digest)
            if found is None:
                return None
            self._parts.move_to_end(digest)
            return found[0]

    def put(self, digest: str, part: Part, size: int) -> None:
        with self._lock:
            if digest in self._parts:
                return
            self._parts[digest] = (part, size)
            self._size += size
            while self._size > self._most and len(self._parts) > 1:
                _, (_, gone) = self._parts.popitem(last=False)
                self._size -= gone

    def clear(self) -> None:
        with self._lock:
            self._parts.clear()
            self._size = 0


_RECENT = _Recent(_MOST)


def forget() -> None:
    """Keep nothing decoded: the next read is of what is stored."""
    _RECENT.clear()
