"""A view of purchases, a store in memory that is as narrow as the port, and what the definition says, row by row."""

from __future__ import annotations

import math
from types import SimpleNamespace

import polars as pl
import pytest

import flyball as fb
from flyball.features.online import encode, materialise
from flyball.features.online.plan import plan
from flyball.features.online.read import OnlineView
from flyball.store.online_address import open_online

S = 1_000_000

purchases = fb.Dataset(
    "purchases",
    source="x.csv",
    time="t",
    arrived="a",
    columns={
        "k": str,
        "v": fb.column(float, nulls="100%"),
        "n": fb.column(int, nulls="100%"),
        "late": fb.column(float, nulls="100%", known_after="3s"),
        "early": fb.column(str, nulls="100%", known_after="-5s"),
        "flag": fb.column(bool, nulls="100%"),
    },
)

AGGREGATES = {
    "count": fb.window("20s").count(),
    "flagged": fb.window("20s").count(where="flag"),
    "sum": fb.window("30s").sum("v"),
    "mean": fb.window("10s", ago="5s").mean("v"),
    "mean_late": fb.window("30s").mean("late"),
    "low": fb.window("12s").min("n"),
    "high": fb.window("30s", ago="1s").max("v"),
    "last": fb.window("25s").last("early"),
    "kinds": fb.window("30s").distinct("n", where=pl.col("v") > 0),
}
NEWEST = {"v": "v", "late": "late", "early": "early", "twice": pl.col("n") * 2, "both": pl.col("v") + pl.col("late")}


def view(*, windows=True, newest=True, ttl=None, entity="k"):
    features = {**(NEWEST if newest else {}), **({f"w_{name}": item for name, item in AGGREGATES.items()} if windows else {})}
    return fb.FeatureView("view", purchases, entity=entity, ttl=ttl, features=features)


def frame(rows):
    """Rows (k, t, a, v, n, late, early, flag), times in seconds."""
    schema = {"k": pl.String, "t": pl.Int64, "a": pl.Int64, "v": pl.Float64, "n": pl.Int64}
    schema |= {"late": pl.Float64, "early": pl.String, "flag": pl.Boolean}
    made = pl.DataFrame(rows, schema=schema, orient="row")
    return made.with_columns((pl.col("t", "a") * S).cast(pl.Datetime("us")))


def expected(one, rows, key, moment, bound):
    """Every feature by its definition: `rows` as `frame` takes them, in order; moment and bound in seconds."""
    own = [
        {"t": t, "a": t if a is None else a, "i": place, "v": v, "n": n, "late": late, "early": early, "flag": flag}
        for place, (k, t, a, v, n, late, early, flag) in enumerate(rows)
        if t is not None and (not one.entity or (k is not None and k == key))
    ]
    order = lambda row: (row["t"], row["a"], row["i"])  # noqa: E731
    ttl = None if one.ttl is None else int(one.ttl) // S

    def known(row, *columns):
        return max(row["a"], row["t"] + (3 if "late" in columns else 0))

    out = {}
    made = {
        "v": (("v",), lambda row: row["v"]),
        "late": (("late",), lambda row: row["late"]),
        "early": (("early",), lambda row: row["early"]),
        "twice": (("n",), lambda row: None if row["n"] is None else row["n"] * 2),
        "both": (("v", "late"), lambda row: None if None in (row["v"], row["late"]) else row["v"] + row["late"]),
    }
    for name in one.features:
        if name in made:
            columns, value = made[name]
            seen = max((row for row in own if known(row, *columns) <= bound), key=order, default=None)
            stale = seen is None or (ttl is not None and moment - seen["t"] > ttl)
            out[name] = None if stale else value(seen)
            continue
        item = one.features[name]
        end = moment - int(item.window.ago) // S
        start = end - int(item.window.span) // S
        where = {None: lambda _row: True, "flag": lambda row: row["flag"]}.get(
            item.where if isinstance(item.where, str | None) else "", lambda row: row["v"] is not None and row["v"] > 0
        )
        some = sorted(
            (
                row
                for row in own
                if start < row["t"] <= end
                and known(row, item.column) <= bound
                and where(row)
                and (not item.column or row[item.column] is not None)
            ),
            key=order,
        )
        values = [row[item.column] for row in some] if item.column else some
        if some and ttl is not None and end - some[-1]["t"] > ttl:
            out[name] = None
        elif item.how in ("count", "sum", "distinct"):
            out[name] = {"count": len, "sum": math.fsum, "distinct": lambda values: len(set(values))}[item.how](values)
        elif not values:
            out[name] = None
        else:
            hows = {"mean": lambda values: math.fsum(values) / len(values), "min": min, "max": max, "last": lambda values: values[-1]}
            out[name] = hows[item.how](values)
            out[name] = float(out[name]) if item.how in ("min", "max") else out[name]
    return out


def asked(view, keys, moments, bounds):
    """What an online view is asked: times in seconds."""
    columns = {"row_time": [bound * S + 1 for bound in bounds], "moment": [moment * S for moment in moments]}
    return pl.DataFrame(columns | ({} if not view.entity else {"key": pl.Series(keys, dtype=pl.String)}))


@pytest.fixture
def kit():
    return SimpleNamespace(
        S=S, view=view, frame=frame, expected=expected, asked=asked, plan=plan, encode=encode, materialise=materialise, purchases=purchases
    )


@pytest.fixture
def store(tmp_path):
    made = open_online("", tmp_path)
    yield made
    made.close()


@pytest.fixture
def online():
    """(view, store) → the view as it is read."""
    return lambda view, store: OnlineView(view, store.read)
