"""From answers and rows of an outcome to counts: a row belongs to the newest answer of its key that came before it, within the declared span. Pure.

So every row counts once, however many answers a customer had, and sums over answers are sums over rows. Nothing reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.declare.metrics import CLASSES
from flyball.evaluation.counts_columns import SLICE
from flyball.evaluation.counts_labels import plain
from flyball.evaluation.counts_quality import slice_names
from flyball.evaluation.sliced import VALUES
from flyball.records.evidence import MOST
from flyball.records.outcomes import OutcomeDay, Trial, TrialArm
from flyball.records.rollouts import RolloutRow

DAY = 86_400_000_000

FULL = 10_000
"""All traffic, in basis points."""

FEWEST_BEFORE = 100
"""Units with a value other than 0 before a rollout that are needed to say where values are cut off."""

CUT = 0.99
"""The share of such values that are not."""

OTHER = "other values"
"""What all but the largest `VALUES` values of a slice are counted as: what is kept, and looked at, is bounded."""

ANSWERS: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "at": pl.Int64(),
    "version": pl.String(),
    "role": pl.String(),
    "rollout": pl.String(),
    "weight": pl.Int64(),
    "unit": pl.String(),
    "given": pl.Boolean(),
    "stand_in": pl.Boolean(),
}
"""Columns of an answer beside `on` (what its outcomes are joined by), `value`, and its slices. `given`: it is a version's answer, and no error; `unit`: the
key, or the request, by which versions are dealt."""


@dataclass(frozen=True)
class Asked:
    """What an outcome is: `how` its rows make a value (sum, mean, count), within how many µs of the answer they fall, and up to when all are known."""

    how: str
    within: int
    known: Instant


@dataclass(frozen=True)
class Joined:
    """`answers` with the `rows`, `total` and `first` (µs after the answer) of what they brought; `touched`: each row that has an answer, with the
    answer's place, when it happened, and its value; of the rows since a moment, how many there were, and how many are `unmatched`.
    """

    answers: pl.DataFrame
    touched: pl.DataFrame
    rows: int
    unmatched: int


def join(answers: pl.DataFrame, rows: pl.DataFrame, asked: Asked, since: Instant = 0) -> Joined:
    """Give every row (`on`, `when` in µs, `value`) to an answer (`ANSWERS`, `on`). One that names no key, or has no value, is none. since: from when on
    rows are told of as matched or not.
    """
    rows = rows.filter(pl.col("on").is_not_null() & pl.col("value").is_not_null() & (pl.col("when") <= asked.known)).sort("when")
    rows = rows.with_columns(_held("value"))
    # of an arm that failed and the one that stood in for it, the one that gave an answer
    one_each = answers.sort("given", "at").unique("request_id", keep="last").sort("at", "request_id")
    placed = one_each.with_row_index("place")
    known = placed.filter(pl.col("on").is_not_null()).select("on", "at", "place")
    touched = (
        rows.join_asof(known, left_on="when", right_on="at", by="on", strategy="backward", tolerance=asked.within, check_sortedness=False)
        .filter(pl.col("place").is_not_null())
        .select("place", "when", "value", "at")
        if known.height and rows.height
        else pl.DataFrame(schema={"place": pl.UInt32, "when": pl.Int64, "value": pl.Float64, "at": pl.Int64})
    )
    each = touched.group_by("place").agg(
        rows=pl.len().cast(pl.Int64), total=pl.col("value").sum(), first=(pl.col("when") - pl.col("at")).min()
    )
    whole = placed.join(each, on="place", how="left", maintain_order="left").with_columns(
        pl.col("rows").fill_null(0), pl.col("total").fill_null(0.0)
    )
    told = int((rows["when"] >= since).sum())
    return Joined(whole, touched, told, told - int((touched["when"] >= since).sum()))


def valued(how: str) -> pl.Expr:
    """The value of what has `rows` and `total`: with no row, a mean is not known, and a sum or a count is 0."""
    if how == "count":
        return pl.col("rows").cast(pl.Float64)
    if how == "sum":
        return _held("total")
    return pl.when(pl.col("rows") > 0).then(pl.col("total") / pl.col("rows"))


def _held(name: str) -> pl.Expr:
    """What leaves the floating-point range when it is summed stays at `MOST`: no number, it could not be sent."""
    return pl.col(name).clip(-MOST, MOST)


def judged(answers: pl.DataFrame, labels: pl.DataFrame, *, task: str, near: float | None) -> pl.DataFrame:
    """Answers with `loss` (0/1, or the absolute error) and `right`; null without a label (`request_id`, `known`, `label`), of which the newest counts,
    and where the error is no finite number.

    near: the error up to which a number is called right; None: not known.
    """
    without = answers.with_columns(loss=pl.lit(None, pl.Float64), right=pl.lit(None, pl.Boolean))
    if task == "ranking" or labels.is_empty() or answers.is_empty():
        return without
    newest = labels.sort("known").unique("request_id", keep="last")
    found = answers.join(newest.select("request_id", "label"), on="request_id", how="left", maintain_order="left")
    value, label = plain(found["value"]), plain(found["label"])
    if value.dtype != label.dtype:
        return without
    pair = found.drop("label").with_columns(value.alias("_value"), label.alias("_label"))
    if task in CLASSES:
        right = pl.col("_value") == pl.col("_label")
        return pair.with_columns(right=right, loss=(~right).cast(pl.Float64)).drop("_value", "_label")
    apart = (pl.col("_value") - pl.col("_label")).abs()
    error = pl.when(apart.is_finite()).then(apart.clip(0.0, MOST))
    nearer = pl.lit(None, pl.Boolean) if near is None else error <= near
    return pair.with_columns(loss=error, right=nearer).drop("_value", "_label")


def days(answers: pl.DataFrame, asked: Asked, since: Instant) -> tuple[OutcomeDay, ...]:
    """Counts of the joined and judged answers that were given from `since` on, by version, role, slice and day."""
    given = answers.filter(pl.col("given") & (pl.col("at") >= since))
    if given.is_empty():
        return ()
    due = pl.col("at") + asked.within <= asked.known
    rows = given.with_columns(
        day=pl.col("at") // DAY,
        due=due,
        told=due & (pl.col("rows") > 0),
        y=pl.when(due).then(valued(asked.how)),
    )
    parts = [rows.with_columns(slice=pl.lit(""))]
    parts += [
        rows.filter(pl.col(SLICE + name).is_not_null()).with_columns(slice=pl.lit(f"{name}=") + _largest(rows[SLICE + name]))
        for name in slice_names(rows)
    ]
    return tuple(sorted((day for part in parts for day in _counted(part)), key=lambda one: (one.day, one.version, one.role, one.slice)))


def _largest(values: pl.Series) -> pl.Expr:
    sizes = values.drop_nulls().value_counts(name="n").sort(["n", values.name], descending=[True, False])
    value = pl.col(values.name)
    return pl.when(value.is_in(sizes[values.name].head(VALUES).implode())).then(value).otherwise(pl.lit(OTHER))


def _counted(rows: pl.DataFrame) -> Iterator[OutcomeDay]:
    y, right = pl.col("y"), pl.col("right")
    sums = {
        "asked": pl.len(),
        "due": pl.col("due").sum(),
        "told": pl.col("told").sum(),
        "n": y.count(),
        "total": y.sum(),
        "squares": (y**2).sum(),
        "other": ((y != 0) & (y != 1)).sum(),
        "labelled": pl.col("loss").count(),
        "loss": pl.col("loss").sum(),
        "lag": (pl.col("first").filter(pl.col("told")).clip(1).log(2.0) * 8).floor().cast(pl.Int64),
    }
    for name, side in (("right", right), ("wrong", ~right)):
        of = y.filter(side)
        sums |= {f"{name}_n": of.count(), f"{name}_total": of.sum(), f"{name}_squares": (of**2).sum()}
    sums |= {name: each.clip(-MOST, MOST) for name, each in sums.items() if name.endswith(("total", "squares", "loss"))}
    for row in rows.group_by("version", "role", "slice", "day").agg(**sums).iter_rows(named=True):
        cells, counts = np.unique(np.array(row.pop("lag"), dtype=np.int64), return_counts=True)
        yield OutcomeDay(**row, lag=dict(zip(cells.tolist(), counts.tolist(), strict=True)))


def trial(joined: Joined, records: pl.DataFrame, asked: Asked, rollout: RolloutRow) -> Trial | None:
    """What units brought that were dealt at random in a rollout, each under the version that it met first; None where nothing was dealt.

    A unit's value is made of the rows that fall within the span after it was met first, whichever of its answers they belong to. records: every attempt to
    answer, errors too: who met a version is told by them.
    """
    dealt = records.filter(
        (pl.col("rollout") == rollout.rollout)
        & (pl.col("weight") > 0)
        & (pl.col("weight") < FULL)
        & ~pl.col("stand_in")
        & pl.col("role").is_in(["champion", "challenger"])
    )
    if dealt.is_empty():
        return None
    met = (
        dealt.sort("at", "request_id")
        .unique("unit", keep="first", maintain_order=True)
        .select("unit", "weight", new=pl.col("role") == "challenger", met="at")
    )
    values = _of_units(joined, met, asked)
    before = records.filter(
        pl.col("at").is_between(rollout.planned_at - 2 * asked.within, rollout.planned_at - asked.within, closed="left")
    )
    then = _of_units(joined, before.sort("at").unique("unit", keep="first").select("unit", met="at"), asked)
    some = then.filter(pl.col("y").is_not_null() & (pl.col("y") != 0))["y"].abs()
    cap = float(np.quantile(some.to_numpy(), CUT, method="inverted_cdf")) if some.len() >= FEWEST_BEFORE else None
    bounded = bool(values["y"].drop_nulls().is_in([0.0, 1.0]).all())
    y = pl.col("y") if bounded or cap is None else pl.col("y").clip(-cap, cap)
    grouped = (
        values.with_columns(y=y)
        .group_by("new", "weight")
        .agg(units=pl.len(), n=pl.col("y").count(), total=pl.col("y").sum(), squares=(pl.col("y") ** 2).sum())
        .with_columns(_held("total"), _held("squares"))
        .sort("weight", "new")
    )
    both = dealt.filter(pl.col("on").is_not_null()).group_by("on", "weight").agg(pl.col("role").n_unique())
    return Trial(
        rollout=rollout.rollout,
        new=rollout.version,
        old=rollout.champion,
        started=rollout.planned_at,
        arms=tuple(TrialArm(**row) for row in grouped.iter_rows(named=True)),
        cap=cap,
        bounded=bounded,
        mixed=int((both["role"] > 1).sum()),
        joined=both.height,
    )


def _of_units(joined: Joined, met: pl.DataFrame, asked: Asked) -> pl.DataFrame:
    """The value `y` of each unit that is due; null where it is not known."""
    due = met.filter(pl.col("met") + asked.within <= asked.known)
    units = joined.answers.select("place", "unit")
    rows = (
        joined.touched.join(units, on="place")
        .join(due.select("unit", "met"), on="unit")
        .filter((pl.col("when") >= pl.col("met")) & (pl.col("when") <= pl.col("met") + asked.within))
        .group_by("unit")
        .agg(rows=pl.len().cast(pl.Int64), total=pl.col("value").sum())
    )
    whole = due.join(rows, on="unit", how="left").with_columns(pl.col("rows").fill_null(0), pl.col("total").fill_null(0.0))
    return whole.with_columns(y=valued(asked.how))
