"""The demo's world: people who ask for a loan, and whether they will pay it back. Seeded and pure; one second stands for a day.

Two things go wrong in it at once. The economy moves: the base rate rises, and those who borrow to pay debts feel it most. And an
upstream job begins to write the purpose `debt` as `debt_consolidation`, so that a model which learned the one word reads nothing in the
other. Neither makes a request fail or an answer slow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

PURPOSES = ("car", "debt", "home", "medical", "other")
SHARES = (0.28, 0.20, 0.21, 0.11, 0.20)
RECODED, BECOMES = "debt", "debt_consolidation"
"""The category that the upstream job renames, and its new name."""

_PURPOSE_RISK = {"car": -0.4, "debt": 0.3, "home": -0.6, "medical": 0.3, "other": 0.0}
_CALM_RATE, _HIGH_RATE = 2.0, 4.5
_SQUEEZE = 6.0
"""How much more the risk (log odds) of those who borrow to pay debts grows, once the economy has moved."""


@dataclass(frozen=True)
class Climate:
    """How things stand. `economy`: 0 calm, 1 the base rate has risen; `recoded`: the upstream job has changed; `partner`: share of
    applications that come through a new partner, who does not ask for the income.
    """

    economy: float = 0.0
    recoded: bool = False
    partner: float = 0.0


@dataclass(frozen=True)
class Application:
    """One application: `row` is what the model is asked, `defaults` what will become of the loan."""

    customer: str
    row: dict[str, Any]
    defaults: bool


def applications(chance: np.random.Generator, count: int, climate: Climate, *, first: int = 0) -> list[Application]:
    """`count` applications in this climate, customers numbered from `first`. Equal generators give equal people.

    Money is in EUR, `base_rate` in percent as it was quoted to the customer. `income` is None for the partner's customers.
    """
    purpose = chance.choice(len(PURPOSES), count, p=SHARES)
    income = _cents(chance.lognormal(10.5, 0.35, count))
    amount = _cents(chance.lognormal(9.0, 0.55, count).clip(500, 100_000))
    debt = _cents(chance.lognormal(9.1, 0.6, count))
    accounts = chance.poisson(3.0, count)
    base_rate = _cents(_CALM_RATE + (_HIGH_RATE - _CALM_RATE) * climate.economy + chance.normal(0.0, 0.5, count))
    chances = default_chance(purpose, income, amount, debt, accounts, base_rate, climate.economy)
    defaults = chance.random(count) < chances
    through_partner = chance.random(count) < climate.partner
    return [
        Application(
            customer=f"c{first + place:07d}",
            row={
                "amount": float(amount[place]),
                "income": None if through_partner[place] else float(income[place]),
                "debt": float(debt[place]),
                "accounts": int(accounts[place]),
                "purpose": _written(PURPOSES[purpose[place]], climate),
                "base_rate": float(base_rate[place]),
            },
            defaults=bool(defaults[place]),
        )
        for place in range(count)
    ]


def _cents(values: Floats) -> Floats:
    return np.asarray(values.round(2), dtype=np.float64)


def _written(purpose: str, climate: Climate) -> str:
    return BECOMES if climate.recoded and purpose == RECODED else purpose


def default_chance(
    purpose: NDArray[np.int64], income: Floats, amount: Floats, debt: Floats, accounts: NDArray[np.int64], base_rate: Floats, economy: float
) -> Floats:
    """The chance (n,) that a loan is not paid back: logistic in debts and amount by income, the purpose, and what the economy adds.

    The base rate's own weight grows with the economy's move, and most for the purpose `debt`: what was learned before no longer holds.
    """
    own = np.array([_PURPOSE_RISK[name] for name in PURPOSES])[purpose]
    indebted = purpose == PURPOSES.index(RECODED)
    burden = 6.0 * np.minimum(debt / income, 2.0) + 5.0 * np.minimum(amount / income, 2.0) + 0.08 * accounts
    pressure = (0.1 + 0.15 * economy) * (base_rate - _CALM_RATE) + _SQUEEZE * economy * indebted
    return np.asarray(1.0 / (1.0 + np.exp(-(burden - 6.3 + own + pressure))), dtype=np.float64)
