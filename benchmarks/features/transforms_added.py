"""What three expressions add to a request in a worker: the same scorer on the same rows, with and without them.

The expressions are of the kinds that loops hold: a difference, a sine of a product, a quotient. What they give is compared with Polars before anything is timed.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, cast

import numpy as np
import polars as pl
from benchmarks.report import Bar, Report, Row

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.features.assemble import PreparedHistory, served
from flyball.features.fields import signature
from flyball.serving.history import History
from flyball.serving.worker import Scorer
from flyball.training.predictor import Predictor

INPUTS = ("price", "price_day", "income", "debt", "demand", "accounts", "temperature")
REQUESTS = 100
ROUNDS = 300
EXPRESSIONS = {
    "gap": pl.col("price") - pl.col("price_day"),
    "hour_sin": (pl.col("hr") * (2 * np.pi / 24)).sin(),
    "debt_to_income": pl.col("debt") / (pl.col("income") + 1),
}


class _Constant:
    """A model that costs nothing."""

    def predict(self, values: Any) -> Any:
        return np.zeros(len(values))


class _NoViews:
    """A model without views looks nothing up."""

    prepared = PreparedHistory(())
    views = None


def model(expressions: dict[str, pl.Expr]) -> Model:
    """Eight inputs that a caller sends, and the expressions."""
    columns = {name: Column(float, known_after="-1d") for name in INPUTS}
    columns |= {"hr": Column(int, known_after="-1d"), "y": Column(float, known_after="1h")}
    data = Dataset("rows", source="rows.csv", time="at", columns=columns)
    return Model("bench", task="regression", data=data, label="y", transforms=expressions)


def requests(declared: Model) -> list[list[Any]]:
    """One row a request, in signature order."""
    random = np.random.default_rng(0)
    fields = [field.name for field in signature(declared).fields]
    return [[int(random.integers(0, 24)) if name == "hr" else float(random.normal()) for name in fields] for _ in range(REQUESTS)]


def scorer(declared: Model) -> Scorer:
    """The part of a worker that answers."""
    return Scorer(Predictor(declared, signature(declared), _Constant()), cast("History", _NoViews()))


def check(declared: Model, rows: list[list[Any]]) -> None:
    """Raise unless the features of single rows are those that Polars gives for the frame."""
    names = [field.name for field in signature(declared).fields]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(pl.col("hr").cast(pl.Int64))
    whole = frame.with_columns(**EXPRESSIONS)
    for place in range(100):
        alone = served(declared, frame[place : place + 1], [0]).features
        if not alone.equals(whole[place : place + 1].select(alone.columns)):
            raise SystemExit("a row alone has other features than Polars gives it")


def cpu_us(each: Scorer, rows: list[list[Any]]) -> float:
    """CPU µs a request."""
    began = time.process_time()
    for row in rows:
        each.score([row], [0])
    return (time.process_time() - began) / len(rows) * 1e6


def _query_us(frame: pl.DataFrame) -> float:
    began = time.process_time()
    for _ in range(REQUESTS):
        frame.with_columns(**EXPRESSIONS)
    return (time.process_time() - began) / REQUESTS * 1e6


def run(report: Report, *, peers: bool) -> None:  # noqa: ARG001 - Polars itself is what is compared with
    """Compare, then time: short rounds with and without in turn. The bar takes the least tenth of each: what disturbs a round only adds to it."""
    plain, rich = model({}), model(EXPRESSIONS)
    rows = requests(rich)
    check(rich, rows)
    without, having = scorer(plain), scorer(rich)
    pairs = [(cpu_us(without, rows), cpu_us(having, rows)) for _ in range(ROUNDS)][1:]
    without_us, with_us = (sorted(times)[: ROUNDS // 10] for times in zip(*pairs, strict=True))
    added = [more - less for less, more in zip(without_us, with_us, strict=True)]
    frame = pl.DataFrame(rows[:1], schema=[field.name for field in signature(rich).fields], orient="row")
    query = sorted(_query_us(frame) for _ in range(ROUNDS // 5))[: ROUNDS // 50]
    report.rows += [
        Row.of("a request of eight inputs in a worker", "CPU µs", without_us),
        Row.of("three expressions more", "CPU µs", added, peer="a query of Polars", peer_samples=query),
    ]
    report.bars.append(Bar.at_most("transforms_added_us", statistics.median(added), 15, "CPU µs"))
