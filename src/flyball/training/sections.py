"""Every topic that a run looks into beside its hold-out, in order, and which of them a rehearsal cannot do without."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.declare.checks import AnyOf, Check
from flyball.declare.metrics import MEASURED
from flyball.declare.model import Model
from flyball.training import sections_asked, sections_data, sections_holdout, sections_live, sections_periods, simpler
from flyball.training.cost import METRICS as COSTS
from flyball.training.cost import cost
from flyball.training.evaluating import Section
from flyball.training.importances import importances
from flyball.training.packaging import packaging
from flyball.training.path import METRICS, path, size

SECTIONS: tuple[Section, ...] = (
    *sections_data.SECTIONS,
    *simpler.SECTIONS,
    *sections_periods.SECTIONS,
    *sections_live.SECTIONS,
    Section("importances", (), importances),
    *sections_holdout.SECTIONS,
    *sections_asked.SECTIONS,
    Section("packaging", (), packaging),
    Section("size", ("size",), size),
    Section("path", METRICS, path),
    Section("cost", COSTS, cost),
)
"""All of them, in the order in which they are made."""


def asked(model: Model) -> tuple[Section, ...]:
    """The sections that the model's gates rest on: all that a rehearsal makes."""
    named: set[str] = set()
    for gate in model.gates:
        parts: Sequence[object] = gate.checks if isinstance(gate, AnyOf) else (gate,)
        named |= {part.metric.name for part in parts if isinstance(part, Check) and part.metric.name in MEASURED}
    return tuple(section for section in SECTIONS if named & {*section.metrics})
