"""Every kind of event and every projection, in one place. What is not listed here is refused by the ledger."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.records import commands, data, declarations, monitoring, rollouts, serving, training, versions
from flyball.records.base import Event, Record, Table

KINDS: Mapping[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind
    for module in (commands, declarations, data, training, versions, rollouts, serving, monitoring)
    for kind in module.EVENTS
}
"""Event kind → its struct."""

PROJECTIONS: tuple[Table[Record], ...] = tuple(
    value
    for module in (commands, declarations, data, training, versions, rollouts, serving, monitoring)
    for value in vars(module).values()
    if isinstance(value, Table)
)
"""Every projection table."""
