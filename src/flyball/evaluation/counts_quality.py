"""Matured rows with their labels, as sums: pairs of two versions, losses in order. Quality is in `counts_sums`.

A loss lies in [0, 1]: 0/1 error, or the loss over its cap, clipped (docs/statistics.md §3). All functions are pure.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import polars as pl

from flyball.evaluation.counts_columns import SLICE, held
from flyball.evaluation.counts_groups import coded
from flyball.evaluation.direct import known, shortened
from flyball.records.evidence import LabelBlock, Watch

BLOCK = 16
"""Losses in a block, at most."""

MINUTE = 60_000_000


def with_slices(rows: pl.DataFrame, watch: Watch) -> pl.DataFrame:
    """Add the slices of a row (`slices_of`)."""
    return rows.with_columns(slices_of(rows, watch))


def slices_of(rows: pl.DataFrame, watch: Watch) -> list[pl.Series]:
    """The slices of rows as text, as columns `slice:name`; a null has no slice."""
    # a backtest has the values of expressions, but not all that they are made of
    made = watch.derived if all(held(name) in rows.columns for name in watch.reads) else {}
    found = [
        rows[held(name)].alias(SLICE + name) for name in (*watch.slices, *watch.derived) if name not in made and held(name) in rows.columns
    ]
    found += [one for name, text in made.items() if (one := _made(rows, watch, name, text)) is not None]
    return [shortened(series.cast(pl.String), 80) for series in found]


def slice_names(rows: pl.DataFrame) -> list[str]:
    """The slices that rows have a column of."""
    return [name.removeprefix(SLICE) for name in rows.columns if name.startswith(SLICE)]


def _made(rows: pl.DataFrame, watch: Watch, name: str, text: str) -> pl.Series | None:
    """A slice by an expression on the columns of the request; None where these rows hold what it cannot be made of."""
    there = rows.select(pl.col(held(column)).alias(column) for column in watch.reads)
    try:
        return there.select(_expression(text).alias(SLICE + name))[SLICE + name]
    except pl.exceptions.PolarsError:
        # rows that a caller sent with other types than declared, such as all null: they are counted as a whole
        return None


@lru_cache(maxsize=512)
def _expression(text: str) -> pl.Expr:
    return pl.Expr.deserialize(text.encode(), format="json")


def with_losses(matured: pl.DataFrame, watch: Watch) -> pl.DataFrame:
    """Add `loss` (clipped, null without a label) and `wrong` (0/1) to rows with `value`, `score`, `label`."""
    if watch.task == "ranking":
        # how far an item's score is from its relevance says nothing of the order
        return matured.with_columns(loss=pl.lit(None, pl.Float64), wrong=pl.lit(None, pl.Float64))
    loss = wrong = (matured["value"] != matured["label"]).cast(pl.Float64)
    if matured["value"].dtype == pl.Float64 and watch.loss != "zero_one":
        # an answer that is no number costs as much as the worst
        loss = ((matured["value"] - matured["label"]).abs() / watch.loss_cap).fill_nan(1.0).clip(0.0, 1.0)
    return matured.hstack([loss.alias("loss"), wrong.alias("wrong")])


def blocks(matured: pl.DataFrame, watch: Watch) -> tuple[LabelBlock, ...]:
    """The champion's losses in order of maturity, cut into blocks. Only their sequence means anything, not where it is cut."""
    if matured.is_empty():
        return ()
    loss = matured["loss"]
    there = (matured["role"] == "champion").to_numpy()
    there &= known(loss)
    if not there.any():
        return ()
    version = coded(matured["version"])
    versions, losses, until = version.codes[there], loss.to_numpy()[there].tolist(), matured["mature_at"].to_numpy()[there].tolist()
    changes = (np.flatnonzero(versions[1:] != versions[:-1]) + 1).tolist()
    found: list[LabelBlock] = []
    for start, end in pairwise((0, *changes, len(losses))):
        cuts = [*range(start, end, BLOCK), end]
        found += [
            LabelBlock(watch.model, version.values[versions[start]], tuple(losses[low:high]), until[high - 1])
            for low, high in pairwise(cuts)
        ]
    return tuple(found)


def pair(rows: pl.DataFrame, watch: Watch) -> pl.DataFrame:
    """Match labelled rows of a rollout by request: one row a pair, with `minus`, `zero`, `plus`, `old_loss`, in order of time.

    New and old are told by `watch.arms`, else by role: a challenger or shadow is new, and so is a champion beside a former one.
    """
    rows = rows.with_columns(side=_side(rows, watch)).filter(pl.col("side") != "")
    new = rows.filter(pl.col("side") == "new").unique(["rollout", "request_id"], keep="first", maintain_order=True)
    old = rows.filter(pl.col("side") == "old").unique(["rollout", "request_id"], keep="first", maintain_order=True)
    difference = (pl.col("loss") - pl.col("new_loss")).clip(-1.0, 1.0)
    return (
        old.join(
            new.select("rollout", "request_id", new="version", new_loss="loss", new_at="at"),
            on=["rollout", "request_id"],
        )
        .with_columns(
            when=pl.max_horizontal("at", "new_at"),
            minus=(-difference).clip(0.0),
            zero=1.0 - difference.abs(),
            plus=difference.clip(0.0),
        )
        .sort("when", "request_id")
    )


def pair_sums(pairs: pl.DataFrame) -> pl.DataFrame:
    """Sums of pairs by rollout, versions and slice: the arguments of `PairCounts`."""
    keep = ["rollout", "new", "version", "minus", "zero", "plus", "loss"]
    parts = [pairs.select(*keep, slice=pl.lit(""))]
    parts += [
        pairs.filter(pl.col(SLICE + name).is_not_null()).select(*keep, slice=pl.lit(f"{name}=") + pl.col(SLICE + name))
        for name in slice_names(pairs)
    ]
    return (
        pl.concat(parts)
        .group_by("rollout", "new", pl.col("version").alias("old"), "slice")
        .agg(pl.col("minus", "zero", "plus").sum(), old_loss=pl.col("loss").sum())
        .sort("rollout", "new", "old", "slice")
    )


def _side(rows: pl.DataFrame, watch: Watch) -> pl.Expr:
    role = pl.col("role")
    beside_former = pl.col("request_id").is_in(rows.filter(role == "former")["request_id"].implode())
    by_role = (
        pl.when(role.is_in(["challenger", "shadow"]) | ((role == "champion") & beside_former)).then(pl.lit("new")).otherwise(pl.lit("old"))
    )
    for rollout, (new, old) in watch.arms.items():
        version = pl.col("version")
        known = pl.when(version == new).then(pl.lit("new")).when(version == old).then(pl.lit("old")).otherwise(pl.lit(""))
        by_role = pl.when(pl.col("rollout") == rollout).then(known).otherwise(by_role)
    return by_role
