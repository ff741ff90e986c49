"""Credit: labels come a year late, and of approved loans alone. The economy moves, later an upstream job renames a category; nobody says so.

2,000 applications a day in virtual time, through the loop's own tick. Each of the two becomes an incident of its own within 48 hours, its cause named;
where nothing happens, nothing opens.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

import flyball as fb
from flyball.clock import Instant, Span, VirtualClock
from flyball.data.commit import commit
from flyball.declare.policy import Rollout
from flyball.demo.world import BECOMES, Climate, applications
from flyball.loop import backtest
from flyball.loop.backtest import History, Policy
from flyball.records.incidents import IncidentOpened
from flyball.store.blobs import LocalBlobs
from flyball.training.fitting import FitCache
from flyball.training.rows import assemble

PER_DAY, TAUGHT, HELD, A_YEAR, LIVE = 2_000, 30, 7, 365, 35
ECONOMY, RECODED = 8, 22
"""Days of the live time on whose morning the base rate jumps, and the purpose is written otherwise."""

START = datetime(2024, 1, 1, tzinfo=UTC)


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    return HistGradientBoostingClassifier(max_iter=40, max_depth=4, random_state=0).fit(X, y)


def day(chance: np.random.Generator, number: int, climate: Climate, *, selective: bool) -> pl.DataFrame:
    """One day's applications; of those who were refused nobody will ever know."""
    found = applications(chance, PER_DAY, climate)
    frame = pl.DataFrame([one.row for one in found])
    moments = np.sort(chance.uniform(0, 86_400, PER_DAY))
    at = [START + timedelta(days=number, seconds=float(second)) for second in moments]
    label = pl.Series("defaulted", [one.defaults for one in found])
    if selective:
        burden = frame["debt"] / frame["income"] + chance.normal(0, 0.1, PER_DAY)
        label = label.set(burden > burden.quantile(0.7), None)  # type: ignore[arg-type]
    return frame.with_columns(label, pl.Series("applied_at", at, dtype=pl.Datetime("us", "UTC")))


def history(events: bool, folder: Path) -> tuple[fb.Model, History, Instant]:
    """The model, its rows, and when time begins. What is held out was asked when the labels of what was learned were known, a year after; so are the
    live rows, another year after.
    """
    chance = np.random.default_rng(5)
    held, first = TAUGHT + A_YEAR, TAUGHT + HELD + 2 * A_YEAR
    taught = [day(chance, number, Climate(), selective=True) for number in (*range(TAUGHT), *range(held, held + HELD))]
    live = [
        day(
            chance,
            first + number,
            Climate(economy=float(events and number >= ECONOMY), recoded=events and number >= RECODED),
            selective=False,
        )
        for number in range(LIVE)
    ]
    frame = pl.concat([*taught, *live]).with_columns(pl.col("applied_at").dt.replace_time_zone(None))
    data = fb.Dataset(
        "applications",
        source=frame,
        time="applied_at",
        columns={
            "amount": fb.column(float, between=(0, 200_000)),
            "income": fb.column(float, between=(0, 2_000_000)),
            "debt": fb.column(float, between=(0, 5_000_000)),
            "accounts": fb.column(int, between=(0, 100)),
            "purpose": str,
            "base_rate": fb.column(float, between=(-5, 25)),
            "defaulted": fb.column(bool, known_after="365d", nulls="60%"),
        },
        owner="origination",
    )
    model = fb.Model(
        "credit",
        task="binary",
        data=data,
        label="defaulted",
        owner="risk-models",
        inputs=["amount", "income", "debt", "accounts", "base_rate"],
        transforms={"for_debt": (pl.col("purpose") == "debt").cast(pl.Float64)},
        slices=["purpose"],
        train=fb.Train(fit, window="60d", holdout="7d"),
        monitors=[fb.drift(), fb.drift("predictions")],
        playbook=fb.Playbook(performance=["page"]),
        autonomy="propose",
    )
    frame = frame.select(data.names)
    version = commit(data, frame, LocalBlobs(folder), None, "made")
    rows = assemble(model, {"applications": frame}, as_of=2**52)
    begins = int((START + timedelta(days=first)).timestamp() * 1e6)
    return model, History({"applications": frame}, rows, {"applications": version}), begins


class Told(NamedTuple):
    """An incident, and on which day of the live time it opened."""

    day: float
    event: IncidentOpened


def lived(events: bool, folder: Path) -> list[Told]:
    """Every incident of the live days, the loop looking once an hour."""
    model, past, begins = history(events, folder / "data")
    clock = VirtualClock(begins)
    ports, _, _ = backtest._ports(Policy("credit", model), past, folder, clock, FitCache())
    backtest._declare(model.replace(gates=(), rollout=Rollout(), autonomy="act"), ports, "first")
    backtest._settle(begins, ports)
    backtest._check_first(model.name, ports)
    backtest._declare(model, ports, "policy")
    for hour in range(LIVE * 24):
        now = begins + hour * Span.parse("1h")
        clock.advance_to(now)
        backtest.tick(now, ports)
    recorded = ports.ledger.read(0, ports.ledger.size())
    return [Told((one.at - begins) / 86_400e6, one.event) for one in recorded if isinstance(one.event, IncidentOpened)]


def test_the_economy_and_a_renamed_category_are_two_incidents_each_within_two_days(tmp_path: Path) -> None:
    found = lived(True, tmp_path)
    assert len(found) == 2, found
    economy, recoded = found
    assert ECONOMY < economy.day <= ECONOMY + 2
    assert economy.event.failure_mode == "input_drift"
    assert "base_rate: values are higher" in economy.event.cause
    assert RECODED < recoded.day <= RECODED + 2
    assert recoded.event.failure_mode == "schema_change"
    assert f'"{BECOMES}"' in recoded.event.cause
    assert {one.event.owner for one in found} == {"origination"}


def test_where_nothing_happens_nothing_opens(tmp_path: Path) -> None:
    assert lived(False, tmp_path) == []
