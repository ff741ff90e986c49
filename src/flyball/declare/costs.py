"""What costs say of a decision, by themselves."""

from __future__ import annotations

from collections.abc import Mapping

_OF_NUMBERS = ("absolute_error", "squared_error")
KINDS: dict[str, tuple[str, ...]] = {
    "binary": ("false_positive", "false_negative"),
    "multiclass": ("false_positive",),
    "regression": _OF_NUMBERS,
    "forecast": _OF_NUMBERS,
}
"""The kinds of error that a task makes and that have a price: of several classes every wrong one is a false positive, and a ranking has none."""

_COUNTED = {"false_positive": "fp", "false_negative": "fn", "absolute_error": "abs_error", "squared_error": "sq_error"}


def priced(task: str, costs: Mapping[str, float]) -> dict[str, float]:
    """What 1,000 answers cost for each error among them, by what counts these errors: `fp` and `fn`, `wrong` classes, or the sums `abs_error` and
    `sq_error`. Empty where no costs are declared; else every kind that the task has.

    >>> priced("binary", {"false_negative": 180.0}), priced("multiclass", {"false_positive": 2.0})
    ({'fp': 0.0, 'fn': 180000.0}, {'wrong': 2000.0})
    """
    if not costs:
        return {}
    if task == "multiclass":
        return {"wrong": 1000 * costs.get("false_positive", 0.0)}
    return {_COUNTED[kind]: 1000 * costs.get(kind, 0.0) for kind in KINDS.get(task, ())}


HALF = 0.5
"""From which score on the positive class is answered, where no costs say otherwise."""


def say_costs(task: str) -> str:
    """What to write so that errors of this task have a price."""
    pairs = ", ".join(f'"{kind}": "4 EUR"' for kind in KINDS[task])
    return f"say what an error costs: costs={{{pairs}}}"


def price_setting(currency: str = "EUR") -> str:
    """What to write where, so that runs cost money."""
    return f'write cpu_hour_price = "0.04 {currency}" (what an hour of CPU time costs you) under [settings] in flyball.toml'


def threshold_of(costs: Mapping[str, float]) -> float | None:
    """The score from which on calling a row positive costs less, if scores are probabilities: c_fp / (c_fp + c_fn) (Elkan, 2001). None: costs do not say.

    >>> threshold_of({"false_positive": 1.0, "false_negative": 3.0})
    0.25
    """
    alarm, miss = costs.get("false_positive", 0.0), costs.get("false_negative", 0.0)
    return alarm / (alarm + miss) if alarm > 0 and miss > 0 else None
