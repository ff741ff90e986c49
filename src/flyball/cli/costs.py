"""What a run took and what its search tried, in a line each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from flyball.cli.output import number
from flyball.declare.units import shown_size

if TYPE_CHECKING:
    from flyball.records.cost import Cost
    from flyball.records.training import RunResult


def cost_text(cost: Cost) -> str:
    """Processor time of the whole run, memory, energy, money; what is not known is said to be so."""
    paid = f"money not known: {cost.why}" if cost.money is None else f"{number(cost.money)} {cost.currency}"
    energy = f"{number(cost.energy_wh)} Wh ({cost.energy_by})"
    return f"{number(cost.cpu_s)} s CPU in all, {shown_size(cost.peak_bytes)} memory, {energy}, {paid}"


def search_text(result: RunResult) -> str:
    """How many trials there were, by state; empty without a search."""
    if not result.history:
        return ""
    states = Counter(trial.state for trial in result.history)
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    seconds = sum(trial.seconds for trial in result.history)
    return f"{len(result.history)} trials in {number(seconds)} s: {told}"
