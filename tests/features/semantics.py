"""What a row may see, as a table: rows, a view, who asks and when, and what must come back.

One table for everything that answers: rows in memory, and every online store. A case's rows stand in the order in which they came into
the data set; `Case.by` gives those that had come by a moment, which is all that a store could have been told by then. Times are seconds.
docs/features.md says in words what the cases say in numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
from tests.features.brute import Asked, moments

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, Window
from flyball.features.keys import asked_keys

S = 1_000_000
SCHEMA = {
    "k": pl.String, "t": pl.Int64, "a": pl.Int64, "v": pl.Float64, "n": pl.Int64,
    "late": pl.Float64, "early": pl.Float64, "word": pl.String, "flag": pl.Boolean,
}  # fmt: skip

COLUMNS = {
    "k": Column(str, nulls="100%"),
    "v": Column(float, nulls="100%"),
    "n": Column(int, nulls="100%"),
    "late": Column(float, nulls="100%", known_after="3s"),
    "early": Column(float, nulls="100%", known_after="-5s"),
    "word": Column(str, nulls="100%"),
    "flag": Column(bool, nulls="100%"),
}
events = Dataset("events", source="events.csv", time="t", arrived="a", columns=COLUMNS)
punctual = Dataset("punctual", source="punctual.csv", time="t", columns=COLUMNS)


@dataclass(frozen=True)
class Case:
    """One sentence of the semantics. `expected[i]` are the view's values for `asked[i]`."""

    says: str
    view: FeatureView
    rows: tuple[dict[str, Any], ...]
    asked: tuple[Asked, ...]
    expected: tuple[dict[str, Any], ...]

    @property
    def frame(self) -> pl.DataFrame:
        """All rows, as a data set's version holds them."""
        made = pl.DataFrame([[row.get(name) for name in SCHEMA] for row in self.rows], schema=SCHEMA, orient="row")
        return made.with_columns((pl.col("t", "a") * S).cast(pl.Datetime("us")))

    @property
    def moments(self) -> pl.DataFrame:
        """What is asked, as a `Lookup` takes it."""
        if len(self.view.entity) < 2:
            return moments(self.asked, pl.String() if self.view.entity else None)
        keys = pl.DataFrame([each.key for each in self.asked], schema=list(self.view.entity), orient="row")
        return moments(self.asked).with_columns(asked_keys(self.view, keys).alias("key"))

    def by(self, moment: int) -> pl.DataFrame:
        """The rows that had come by a moment (i64 µs), in order of the data set."""
        came = pl.coalesce("a", "t") if self.view.data.arrived else pl.col("t")
        return self.frame.filter(came.cast(pl.Int64) <= moment)


def view(data=events, *, entity="k", ttl=None, **features):
    return FeatureView("view", data, entity=entity, ttl=ttl, features=features)


def row(t, v=None, *, k="a", **cells):
    return {"k": k, "t": t, "v": v} | cells


def at(t, k="a", *, horizon=0, own=False):
    """Asked by a model over another data set, unless it is the view's `own`."""
    return Asked(t * S, k, horizon * S, own)


def case(says, of, rows, *answers):
    """answers: (asked, {feature: value})."""
    return Case(says, of, tuple(rows), tuple(asked for asked, _ in answers), tuple(values for _, values in answers))


ten = Window("10s")

CASES = [
    case(
        "the newest row is that of the latest event time",
        view(v="v"),
        [row(1, 1.0), row(3, 3.0), row(2, 2.0)],
        (at(3), {"v": 3.0}),
        (at(9), {"v": 3.0}),
    ),
    case(
        "a row known exactly at M is seen, one known a moment later is not",
        view(v="v"),
        [row(1, 1.0), row(5, 5.0)],
        (at(5), {"v": 5.0}),
        (Asked(5 * S - 1, "a", own=False), {"v": 1.0}),
    ),
    case("before the first row nothing is seen", view(v="v", count=ten.count()), [row(5, 5.0)], (at(4), {"v": None, "count": 0})),
    case(
        "a late row is seen from its arrival on",
        view(v="v", count=ten.count()),
        [row(1, 1.0), row(2, 2.0, a=6)],
        (at(5), {"v": 1.0, "count": 1}),
        (at(6), {"v": 2.0, "count": 2}),
    ),
    case(
        "a late row is not newer than one about a later time",
        view(v="v", last=ten.last("v")),
        [row(3, 3.0), row(2, 2.0, a=6)],
        (at(5), {"v": 3.0, "last": 3.0}),
        (at(7), {"v": 3.0, "last": 3.0}),
    ),
    case(
        "of rows that all come late the newest known one is taken, whichever came first",
        view(v="v", sum=ten.sum("v")),
        [row(2, 2.0, a=7), row(1, 1.0, a=8), row(4, 4.0, a=9), row(3, 3.0, a=9)],
        (at(6), {"v": None, "sum": 0.0}),
        (at(7), {"v": 2.0, "sum": 2.0}),
        (at(8), {"v": 2.0, "sum": 3.0}),
        (at(9), {"v": 4.0, "sum": 10.0}),
    ),
    case(
        "of two rows of one time the one that arrived last is the newest",
        view(v="v", last=ten.last("v")),
        [row(1, 2.0, a=5), row(1, 1.0, a=3)],
        (at(2), {"v": None, "last": None}),
        (at(4), {"v": 1.0, "last": 1.0}),
        (at(5), {"v": 2.0, "last": 2.0}),
    ),
    case(
        "a row that does not say when it arrived came at its own time",
        view(v="v"),
        [row(2, 1.0, a=None), row(2, 2.0, a=1), row(3, 3.0, a=4)],
        (at(2), {"v": 1.0}),
        (at(4), {"v": 3.0}),
    ),
    case(
        "of forecasts of one time the one that was made last counts, and none before its time",
        view(v="v"),
        [row(10, 2.0, a=4), row(10, 1.0, a=3)],
        (at(9), {"v": None}),
        (at(10), {"v": 2.0}),
    ),
    case(
        "of two rows alike in time and arrival the last in the data set is the newest",
        view(v="v", last=ten.last("v"), count=ten.count(), sum=ten.sum("v")),
        [row(1, 1.0, a=2), row(1, 3.0, a=2), row(1, 2.0, a=2)],
        (at(2), {"v": 2.0, "last": 2.0, "count": 3, "sum": 6.0}),
    ),
    case(
        "a row that comes twice counts twice",
        view(count=ten.count(), distinct=ten.distinct("v")),
        [row(1, 1.0), row(1, 1.0)],
        (at(2), {"count": 2, "distinct": 1}),
    ),
    case(
        "the row itself is not seen, nor another of its time",
        view(punctual, v="v", count=ten.count()),
        [row(1, 1.0), row(5, 5.0), row(5, 6.0)],
        (at(5, own=True), {"v": 1.0, "count": 1}),
        (at(6, own=True), {"v": 6.0, "count": 3}),
    ),
    case(
        "in the model's own stream a row that arrives at T is not seen",
        view(v="v"),
        [row(1, 1.0), row(2, 2.0, a=5)],
        (at(5, own=True), {"v": 1.0}),
        (at(6, own=True), {"v": 2.0}),
    ),
    case(
        "with a horizon nothing is seen that becomes known after M",
        view(punctual, v="v", count=ten.count()),
        [row(1, 1.0), row(4, 4.0), row(5, 5.0)],
        (at(7, own=True, horizon=3), {"v": 4.0, "count": 2}),
        (at(7, own=True, horizon=4), {"v": 1.0, "count": 1}),
    ),
    case(
        "with a horizon a row known at M itself is seen, and the window ends there",
        view(punctual, last=Window("1s").last("v")),
        [row(4, 4.0), row(5, 5.0)],
        (at(8, own=True, horizon=4), {"last": 4.0}),
        (at(9, own=True, horizon=4), {"last": 5.0}),
        (at(10, own=True, horizon=4), {"last": None}),
    ),
    case(
        "known_after above 0: a feature sees a row from then on, and another feature of the view sooner",
        view(late="late", v="v", both=pl.col("v") + pl.col("late")),
        [row(1, 1.0, late=10.0), row(4, 4.0, late=40.0)],
        (at(4), {"late": 10.0, "v": 4.0, "both": 11.0}),
        (at(6), {"late": 10.0, "v": 4.0, "both": 11.0}),
        (at(7), {"late": 40.0, "v": 4.0, "both": 44.0}),
    ),
    case(
        "known_after above 0 counts from the event time, not from the arrival",
        view(late="late"),
        [row(1, late=1.0, a=2), row(5, late=5.0, a=20)],
        (at(4), {"late": 1.0}),
        (at(19), {"late": 1.0}),
        (at(20), {"late": 5.0}),
    ),
    case(
        "known_after below 0 shows no row before its event time",
        view(punctual, early="early", sum=ten.sum("early")),
        [row(1, early=1.0), row(6, early=6.0)],
        (at(5), {"early": 1.0, "sum": 1.0}),
        (at(6), {"early": 6.0, "sum": 7.0}),
    ),
    case(
        "what where= reads must be known as well",
        view(count=ten.count(where=pl.col("late") > 0), mean=ten.mean("v", where=pl.col("late") > 0), all=ten.count()),
        [row(1, 1.0, late=1.0), row(4, 4.0, late=1.0)],
        (at(5), {"count": 1, "mean": 1.0, "all": 2}),
        (at(7), {"count": 2, "mean": 2.5, "all": 2}),
    ),
    case(
        "an empty cell of the newest row is null: no older value is taken",
        view(v="v", n="n"),
        [row(1, 1.0, n=1), row(2, None, n=2)],
        (at(3), {"v": None, "n": 2}),
    ),
    case(
        "NaN is null, in a column and as what an expression comes to",
        view(v="v", ratio=pl.col("v") / pl.col("n"), count=ten.count(), mean=ten.mean("v")),
        [row(1, 1.0, n=2), row(2, float("nan"), n=2), row(3, 0.0, n=0)],
        (at(1), {"v": 1.0, "ratio": 0.5, "count": 1, "mean": 1.0}),
        (at(2), {"v": None, "ratio": None, "count": 2, "mean": 1.0}),
        (at(3), {"v": 0.0, "ratio": None, "count": 3, "mean": 0.5}),
    ),
    case(
        "empty cells are left out of windows, and last passes over them",
        view(sum=ten.sum("v"), mean=ten.mean("v"), min=ten.min("v"), max=ten.max("v"), last=ten.last("v"), distinct=ten.distinct("v"), count=ten.count()),
        [row(1, 1.0), row(2, 4.0), row(3)],
        (at(4), {"sum": 5.0, "mean": 2.5, "min": 1.0, "max": 4.0, "last": 4.0, "distinct": 2, "count": 3}),
    ),
    case(
        "count, sum and distinct of nothing are 0, the others null",
        view(sum=ten.sum("v"), mean=ten.mean("v"), min=ten.min("v"), max=ten.max("v"), last=ten.last("v"), distinct=ten.distinct("v"), count=ten.count()),
        [row(30, 1.0)],
        (at(20), {"sum": 0.0, "mean": None, "min": None, "max": None, "last": None, "distinct": 0, "count": 0}),
        (at(40), {"sum": 0.0, "mean": None, "min": None, "max": None, "last": None, "distinct": 0, "count": 0}),
    ),
    case(
        "a window is open where it begins and closed where it ends",
        view(sum=ten.sum("v"), ago=Window("10s", ago="5s").sum("v")),
        [row(1, 1.0), row(2, 2.0), row(6, 4.0), row(11, 8.0)],
        (at(11), {"sum": 14.0, "ago": 7.0}),
        (at(12), {"sum": 12.0, "ago": 7.0}),
        (at(16), {"sum": 8.0, "ago": 14.0}),
        (at(17), {"sum": 8.0, "ago": 12.0}),
    ),
    case(
        "a row that came late into a window that ended ago is seen from its arrival on",
        view(ago=Window("10s", ago="5s").sum("v")),
        [row(3, 1.0), row(4, 2.0, a=10)],
        (at(9), {"ago": 1.0}),
        (at(10), {"ago": 3.0}),
    ),
    case(
        "where= counts rows for which it is true, not null",
        view(flagged=ten.count(where="flag"), large=ten.sum("v", where=pl.col("v") > 1), last=ten.last("n", where="flag")),
        [row(1, 1.0, n=1, flag=True), row(2, 2.0, n=2, flag=False), row(3, 3.0, n=3), row(4, None, n=4, flag=True)],
        (at(3), {"flagged": 1, "large": 5.0, "last": 1}),
        (at(4), {"flagged": 2, "large": 5.0, "last": 4}),
    ),
    case(
        "the TTL of a newest value counts from its event time to M, however late it arrived",
        view(v="v", ttl="5s"),
        [row(1, 1.0), row(2, 2.0, a=6)],
        (at(6), {"v": 2.0}),
        (at(7), {"v": 2.0}),
        (at(8), {"v": None}),
    ),
    case(
        "the TTL looks at the newest row alone: an empty one that is fresh is null, and a stale one is not passed over",
        view(v="v", ttl="5s"),
        [row(1, 1.0), row(4)],
        (at(5), {"v": None}),
    ),
    case(
        "the TTL of a window counts from its newest row to its end",
        view(sum=Window("20s").sum("v"), ago=Window("20s", ago="10s").sum("v"), short=Window("5s").sum("v"), ttl="5s"),
        [row(1, 1.0), row(4, 4.0)],
        (at(9), {"sum": 5.0, "ago": 0.0, "short": 0.0}),
        (at(10), {"sum": None, "ago": 0.0, "short": 0.0}),
        (at(14), {"sum": None, "ago": 5.0, "short": 0.0}),
        (at(20), {"sum": None, "ago": None, "short": 0.0}),
    ),
    case(
        "a window without rows is empty, not stale",
        view(count=Window("20s").count(), mean=Window("20s").mean("v"), ttl="5s"),
        [row(1, 1.0)],
        (at(30), {"count": 0, "mean": None}),
    ),
    case(
        "entities are apart, and an unknown or missing key has no rows",
        view(v="v", count=ten.count(), sum=ten.sum("v"), distinct=ten.distinct("v"), mean=ten.mean("v")),
        [row(1, 1.0), row(2, 2.0, k="b"), row(3, 3.0, k=None)],
        (at(4, "a"), {"v": 1.0, "count": 1, "sum": 1.0, "distinct": 1, "mean": 1.0}),
        (at(4, "b"), {"v": 2.0, "count": 1, "sum": 2.0, "distinct": 1, "mean": 2.0}),
        (at(4, "nobody"), {"v": None, "count": 0, "sum": 0.0, "distinct": 0, "mean": None}),
        (at(4, None), {"v": None, "count": 0, "sum": 0.0, "distinct": 0, "mean": None}),
    ),
    case(
        "an entity of two columns is told by both of them",
        view(v="v", count=ten.count(), sum=ten.sum("v"), entity=("k", "n")),
        [row(1, 1.0, n=1), row(2, 2.0, n=2), row(3, 4.0, k="b", n=1), row(4, 8.0, n=1), row(5, 16.0, n=None), row(6, 32.0, k=None, n=1)],
        (at(7, ("a", 1)), {"v": 8.0, "count": 2, "sum": 9.0}),
        (at(7, ("a", 2)), {"v": 2.0, "count": 1, "sum": 2.0}),
        (at(7, ("b", 1)), {"v": 4.0, "count": 1, "sum": 4.0}),
        (at(7, ("b", 2)), {"v": None, "count": 0, "sum": 0.0}),
        (at(7, ("a", None)), {"v": None, "count": 0, "sum": 0.0}),
        (at(7, (None, 1)), {"v": None, "count": 0, "sum": 0.0}),
    ),
    case(
        "two entities are never one, however their columns are put together",
        view(n="n", entity=("k", "word")),
        [row(1, k="a", word="1:b", n=1), row(2, k="a1:", word="b", n=2), row(3, k="", word="a1:b", n=3), row(4, k="1:a", word="1:b", n=4)],
        (at(5, ("a", "1:b")), {"n": 1}),
        (at(5, ("a1:", "b")), {"n": 2}),
        (at(5, ("", "a1:b")), {"n": 3}),
        (at(5, ("1:a", "1:b")), {"n": 4}),
        (at(5, ("a1:b", "")), {"n": None}),
    ),
    case(
        "of a key of several columns too NaN is nobody, and zeros have no sign",
        view(n="n", entity=("flag", "v")),
        [row(1, 0.0, n=1, flag=True), row(2, float("nan"), n=2, flag=True), row(3, 0.0, n=3, flag=False)],
        (at(4, (True, -0.0)), {"n": 1}),
        (at(4, (False, 0.0)), {"n": 3}),
        (at(4, (True, float("nan"))), {"n": None}),
    ),
    case(
        "without an entity all rows are one series",
        view(v="v", count=ten.count(), entity=None),
        [row(1, 1.0), row(2, 2.0, k="b"), row(3, 3.0, k=None)],
        (at(2), {"v": 2.0, "count": 2}),
        (at(3), {"v": 3.0, "count": 3}),
    ),
    case(
        "a row without an event time is seen by nobody",
        view(v="v", count=ten.count()),
        [row(1, 1.0), row(None, 9.0, a=1)],
        (at(2), {"v": 1.0, "count": 1}),
    ),
    case(
        "every row that is asked comes back once, in its place",
        view(v="v"),
        [row(1, 1.0), row(2, 2.0, k="b")],
        (at(9), {"v": 1.0}),
        (at(9, "nobody"), {"v": None}),
        (at(9), {"v": 1.0}),
        (at(1), {"v": 1.0}),
        (at(9, "b"), {"v": 2.0}),
        (at(0), {"v": None}),
    ),
    case(
        "an expression is computed on the row that is the newest",
        view(double=pl.col("v") * 2, long=pl.col("word").str.len_chars(), both=pl.when(pl.col("flag")).then(pl.col("n"))),
        [row(1, 1.0, word="one", n=1, flag=True), row(2, 2.0, word="three", n=2, flag=False)],
        (at(1), {"double": 2.0, "long": 3, "both": 1}),
        (at(2), {"double": 4.0, "long": 5, "both": None}),
    ),
    case(
        "texts and bools are values like numbers",
        view(word="word", flag="flag", last=ten.last("word"), words=ten.distinct("word"), share=ten.mean("flag"), flags=ten.sum("flag")),
        [row(1, word="b", flag=True), row(2, word="a", flag=False), row(3, word="b", flag=True)],
        (at(2), {"word": "a", "flag": False, "last": "a", "words": 2, "share": 0.5, "flags": 1.0}),
        (at(3), {"word": "b", "flag": True, "last": "b", "words": 2, "share": 2 / 3, "flags": 2.0}),
    ),
    case(
        "a sum is exactly rounded, whatever the order",
        view(sum=ten.sum("v"), mean=ten.mean("v")),
        [row(1, 1e16), row(2, 1.0), row(3, -1e16), row(4, 0.1), row(5, 0.2)],
        (at(3), {"sum": 1.0, "mean": 1 / 3}),
        (at(5), {"sum": 1.3, "mean": 0.26}),
    ),
    case(
        "zeros that are summed or compared have no sign",
        view(sum=ten.sum("v"), min=ten.min("v"), max=ten.max("v"), distinct=ten.distinct("v")),
        [row(1, -0.0), row(2, 0.0)],
        (at(1), {"sum": 0.0, "min": 0.0, "max": 0.0, "distinct": 1}),
        (at(2), {"sum": 0.0, "min": 0.0, "max": 0.0, "distinct": 1}),
    ),
]  # fmt: skip
