"""Looks beside the loop that failed: each is told as a monitor that is broken, until one of the same kind ends as it should.

Operational: a failure that is forgotten is found again with the next look.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flyball.ledger.bounds import clipped
from flyball.loop.memory import stored
from flyball.loop.ports import Memory
from flyball.monitoring.rules import broken
from flyball.records import codec
from flyball.records.alerts import Finding
from flyball.records.base import Record

_BROKEN: Final = "broken/"


class Broken(Record, frozen=True):
    """Why each monitor of a model is broken."""

    why: dict[str, str] = {}


def note_broken(memory: Memory, model: str, monitor: str, why: str) -> None:
    """Note that a monitor of a model failed, and why; that it did not, where `why` is empty. Raises Unavailable."""
    known = _known(memory, model)
    if known.get(monitor, "") != why:
        left = {name: text for name, text in known.items() if name != monitor} | ({monitor: clipped(why)} if why else {})
        memory.save({stored(_BROKEN + model): codec.encode(Broken(why=left)) if left else None})


def broken_findings(memory: Memory, model: str) -> Iterator[Finding]:
    """What is said of the monitors of a model that are broken. Raises Unavailable."""
    yield from (broken(monitor, why) for monitor, why in sorted(_known(memory, model).items()))


def _known(memory: Memory, model: str) -> dict[str, str]:
    raw = memory.load(stored(_BROKEN + model))
    return codec.decode(raw, Broken).why if raw is not None else {}
