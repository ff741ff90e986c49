"""Matured rows with their labels, as sums: quality per slice, pairs of two versions, losses in order.

A loss lies in [0, 1]: 0/1 error, or the loss over its cap, clipped (docs/statistics.md §3). All functions are pure.
"""

from __future__ import annotations

import msgspec
import polars as pl

from flyball.clock import Span
from flyball.evaluation.counts_columns import held
from flyball.records.evidence import LabelBlock, Quality, Watch

BLOCK = 16
"""Losses in a block, at most."""

MINUTE = 60_000_000
_SLICE = "slice:"


def slice_columns(rows: pl.DataFrame, watch: Watch) -> list[pl.Expr]:
    """The slices of a row as text `column=value`, in columns `slice:column`; a null has no slice."""
    return [
        (pl.lit(f"{name}=") + pl.col(held(name)).cast(pl.String).str.slice(0, 80)).alias(f"{_SLICE}{name}")
        for name in watch.slices
        if held(name) in rows.columns
    ]


def with_losses(matured: pl.DataFrame, watch: Watch) -> pl.DataFrame:
    """Add `loss` (clipped, null without a label) and `wrong` (0/1) to rows with `value`, `score`, `label`."""
    wrong = (pl.col("value") != pl.col("label")).cast(pl.Float64)
    numbers = matured["value"].dtype == pl.Float64
    if watch.task == "ranking":
        # how far an item's score is from its relevance says nothing of the order
        return matured.with_columns(loss=pl.lit(None, pl.Float64), wrong=pl.lit(None, pl.Float64))
    loss = wrong
    if numbers and watch.loss != "zero_one":
        loss = ((pl.col("value") - pl.col("label")).abs() / watch.loss_cap).clip(0.0, 1.0)
    return matured.with_columns(loss=loss, wrong=wrong)


def quality(matured: pl.DataFrame, watch: Watch) -> tuple[Quality, ...]:
    """Sums per version, role, slice and minute of maturity. `matured` comes from `with_losses` and has `mature_at`."""
    if matured.is_empty():
        return ()
    slices = [name for name in matured.columns if name.startswith(_SLICE)]
    numbers = matured["value"].dtype == pl.Float64
    counts = pl.col("label").is_not_null()
    sums: dict[str, pl.Expr] = {
        "matured": pl.len(),
        "labelled": counts.sum(),
        "loss": pl.col("loss").sum(),
        "loss_sq": (pl.col("loss") ** 2).sum(),
    }
    if watch.task in ("binary", "multiclass"):
        sums["correct"] = (pl.col("wrong") == 0).sum()
    if watch.task == "binary" and numbers:
        for name, answered, truth in (("tp", 1, 1), ("fp", 1, 0), ("fn", 0, 1), ("tn", 0, 0)):
            sums[name] = ((pl.col("value") == answered) & (pl.col("label") == truth)).sum()
    if watch.task not in ("binary", "multiclass", "ranking") and numbers:
        sums["abs_error"] = (pl.col("value") - pl.col("label")).abs().sum()
        sums["sq_error"] = ((pl.col("value") - pl.col("label")) ** 2).sum()
        sums["quad_error"] = ((pl.col("value") - pl.col("label")) ** 4).sum()
    keep = [name for name in ("version", "role", "mature_at", "value", "label", "loss", "wrong") if name in matured.columns]
    parts = [matured.select(*keep, slice=pl.lit(""))]
    parts += [matured.filter(pl.col(name).is_not_null()).select(*keep, slice=pl.col(name)) for name in slices]
    grouped = (
        pl.concat(parts)
        .group_by("version", "role", "slice", (pl.col("mature_at") // MINUTE).alias("minute"))
        .agg(**sums)
        .sort("version", "role", "slice", "minute")
    )
    return tuple(Quality(model=watch.model, **row) for row in grouped.iter_rows(named=True))


def labelled_late(late: pl.DataFrame, watch: Watch) -> tuple[Quality, ...]:
    """The sums of rows that were counted as matured before, without their labels."""
    return tuple(msgspec.structs.replace(part, matured=0) for part in quality(late, watch))


def blocks(matured: pl.DataFrame, watch: Watch) -> tuple[LabelBlock, ...]:
    """The champion's losses in order of maturity, cut into blocks. Only their sequence means anything, not where it is cut."""
    if matured.is_empty():
        return ()
    labelled = matured.filter((pl.col("role") == "champion") & pl.col("loss").is_not_null())
    found: list[LabelBlock] = []
    version, losses, until = "", list[float](), 0
    for name, loss, moment in labelled.select("version", "loss", "mature_at").iter_rows():
        if losses and (name != version or len(losses) == BLOCK):
            found.append(LabelBlock(model=watch.model, version=version, losses=tuple(losses), until=until))
            losses = []
        version, until = name, moment
        losses.append(loss)
    if losses:
        found.append(LabelBlock(model=watch.model, version=version, losses=tuple(losses), until=until))
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
    slices = [name for name in pairs.columns if name.startswith(_SLICE)]
    keep = ["rollout", "new", "version", "minus", "zero", "plus", "loss"]
    parts = [pairs.select(*keep, slice=pl.lit(""))]
    parts += [pairs.filter(pl.col(name).is_not_null()).select(*keep, slice=pl.col(name)) for name in slices]
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


def mature_at(delay: Span) -> pl.Expr:
    """The moment at which a row is judged on what is known by then."""
    return (pl.col("at") + int(delay)).alias("mature_at")
