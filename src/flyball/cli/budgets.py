"""Error budgets, and how many false pages a year are to be expected, as `flyball status` shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flyball.cli.output import Output, number
from flyball.clock import Instant, rfc3339
from flyball.loop import lookup
from flyball.loop.budgets import budgets_of
from flyball.loop.memory import load
from flyball.loop.pages import false_pages_of, paging
from flyball.monitoring.objectives import Budget
from flyball.monitoring.slabs import within
from flyball.records.base import State

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.wiring import Wired

_WEEK = 7 * 86_400_000_000
_FEWEST = 100


def tell_budgets(out: Output, wired: Wired, state: State, names: Sequence[str], now: Instant) -> dict[str, Any]:
    """Say what is left of each budget, and how many false pages there may be; the same for machines."""
    found, pages = budgets(wired, state, names, now), false_pages(wired, state, names, now)
    for line in budget_lines(out, found):
        out.line(line)
    if pages["models"]:
        out.line(paging(pages["a_year"], pages["checks"]))
    return {"budgets": document(found), "false_pages": pages}


def budgets(wired: Wired, state: State, names: Iterable[str], now: Instant) -> list[tuple[str, Budget]]:
    """Each model's budgets, with its name; none of a model that cannot be read."""
    kept = load(wired.ports.memory)
    return [
        (model.name, each) for model in _models(wired, state, names) for each in budgets_of(state, model, kept.monitor(model.name), now)
    ]


def _models(wired: Wired, state: State, names: Iterable[str]) -> list[Model]:
    found = (lookup.readable(wired.ports.library, lookup.declaration(state, name))[0] for name in names)
    return [model for model in found if model is not None]


def budget_lines(out: Output, found: Sequence[tuple[str, Budget]]) -> list[str]:
    """A line a budget: what is left, how fast it burns, and what follows."""
    return [f"{out.paint('budget', 'bad' if each.spent else 'good')}    {model}: {each.objective}: {_told(each)}" for model, each in found]


def _told(each: Budget) -> str:
    if not each.events:
        return f"no {each.unit} yet"
    left = f"{number(100 * each.left)}% left ({round(each.bad):,} of {round(each.events):,} {each.unit} were bad)"
    fast = max(each.burns, key=lambda burn: burn.state == "burning", default=None)
    burning = f", burning {number(fast.rate)}× in {fast.long}" if fast is not None and fast.state == "burning" else ""
    held = f"; spent until {rfc3339(each.back_at)[:10]}: flyball releases nothing by itself" if each.spent else ""
    return left + burning + held


def document(found: Iterable[tuple[str, Budget]]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "model": model,
            "objective": each.objective,
            "target": each.target,
            "window": str(each.window),
            "unit": each.unit,
            "events": each.events,
            "bad": each.bad,
            "left": round(each.left, 6),
            "spent": each.spent,
            "back_at": rfc3339(each.back_at) if each.back_at else None,
            "burns": [
                {
                    "times": burn.times,
                    "long": str(burn.long),
                    "short": str(burn.short),
                    "rate": round(burn.rate, 6),
                    "short_rate": round(burn.short_rate, 6),
                    "state": burn.state,
                }
                for burn in each.burns
            ],
        }
        for model, each in found
    ]


def false_pages(wired: Wired, state: State, names: Iterable[str], now: Instant) -> dict[str, Any]:
    """Expected false pages a year, at most: of each model, and of all."""
    kept, found = load(wired.ports.memory), []
    for model in _models(wired, state, names):
        watched = kept.monitor(model.name)
        week = within(watched.slabs, now - _WEEK, now)
        labels = watched.labels_per_day if watched.labels >= _FEWEST else None
        found.append(false_pages_of(model, labels=labels, requests=week.n / 7, detector=wired.ports.detector))
    told = [{"model": each.model, "a_year": round(each.total, 3), "checks": each.checks} for each in found]
    return {"a_year": round(sum(each.total for each in found), 3), "checks": sum(each.checks for each in found), "models": told}
