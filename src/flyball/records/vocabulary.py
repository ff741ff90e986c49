"""The vocabulary: every kind of event with its version, and every projection. What is not listed here is refused by the ledger.

How a kind changes: give its struct the new fields, raise its `version_of_kind` by one, and append to `UPCASTS` the function that turns
the plain fields of the former version into those of the new one. Events that are stored stay as they are: they are upcast on read, for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from flyball.records import (
    alerts,
    data,
    declarations,
    deliveries,
    elsewhere,
    environments,
    fallbacks,
    feedback,
    identity,
    incidents,
    mutes,
    proofs,
    proposals,
    removals,
    rollouts,
    serving,
    skew,
    training,
    unlabelled,
    versions,
)
from flyball.records.base import Event, Record, Table

_MODULES = (
    proofs,
    identity,
    declarations,
    data,
    training,
    versions,
    environments,
    elsewhere,
    removals,
    rollouts,
    serving,
    alerts,
    mutes,
    incidents,
    deliveries,
    fallbacks,
    feedback,
    proposals,
    skew,
    unlabelled,
)

KINDS: Mapping[str, type[Event]] = {str(kind.__struct_config__.tag): kind for module in _MODULES for kind in module.EVENTS}
"""Event kind → its struct."""

PROJECTIONS: tuple[Table[Record], ...] = tuple(value for module in _MODULES for value in vars(module).values() if isinstance(value, Table))
"""Every projection table."""

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""The plain fields of an event of one version → those of the next. Pure; it may change what it is given."""

UPCASTS: Mapping[str, tuple[Upcast, ...]] = {kind: steps for module in _MODULES for kind, steps in getattr(module, "UPCASTS", {}).items()}
"""Event kind → its upcasts: the first one reads version 1, the second version 2, and so on. One fewer than the kind's version."""
