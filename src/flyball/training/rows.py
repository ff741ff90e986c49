"""Assembled rows and the parts of them that a run fits and judges on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.features.assemble import KNOWN, feature_columns, training_rows
from flyball.training.calls import Part
from flyball.training.splits import Split, Times
from flyball.training.stored import Stored

MIN_TRAIN = 30
MIN_HOLDOUT = 10
"""Fewer rows than these give no run: nothing could be said about its result."""


MOST_ROWS = 1_000_000
"""Training rows, the newest, that held-out rows and cases are looked for in."""

GROUP = "__group"
"""The column of the hold-out that names each row's entity, where the model declares `group`: rows that share one are one cluster."""


LIST, ITEM = "__list", "__item"
"""Of a ranking: which list a row is of (numbers, ascending), and what it ranks."""


@dataclass(frozen=True)
class Assembled:
    """Training rows as `features.assemble.training_rows` gives them, in order of time, with what is asked of them again and again.

    A caller that makes many runs of one history assembles it once, up to its end, and passes it to each: a run uses the rows that
    were known by its own `as_of`.
    """

    frame: pl.DataFrame
    features: tuple[str, ...]
    label_delay: int
    arranged: bool = False
    """Whether rows lie in the order of a split (`parts`), which no time tells apart, and not in that of their times."""

    @cached_property
    def times(self) -> Times:
        """Each row's T, i64 µs, ascending."""
        return self.frame["__time"].to_numpy().astype(np.int64, copy=False)

    @cached_property
    def digest(self) -> str:
        """Content of all rows: with positions in them it names any part."""
        hashed = hashlib.blake2b(digest_size=16)
        for column in self.frame.iter_columns():
            hashed.update(f"{column.name}:{column.dtype}".encode())
            hashed.update(column.hash(seed=0).to_numpy().tobytes())
        return hashed.hexdigest()

    def known_by(self, as_of: Instant) -> int:
        """How many rows, from the first, had their label known by `as_of`."""
        return int(np.searchsorted(self.times, as_of - self.label_delay, side="right"))

    @cached_property
    def known(self) -> Times:
        """When each row's label was known, i64 µs: its delay after the row, or when the row arrived, whichever is later."""
        return self.frame[KNOWN].to_numpy().astype(np.int64, copy=False) if KNOWN in self.frame.columns else self.times + self.label_delay

    @cached_property
    def late(self) -> bool:
        """Whether a row arrived after its label was due: then rows are not known in the order of their times."""
        return not self.arranged and KNOWN in self.frame.columns and bool((self.known > self.times + self.label_delay).any())

    def as_known(self, as_of: Instant) -> Assembled:
        """The rows that were known by then."""
        if not self.late or bool((self.known <= as_of).all()):
            return self
        return replace(self, frame=self.frame.filter(pl.col(KNOWN) <= as_of))

    def part(self, start: int, stop: int, *, known_by: Instant | None = None) -> Part:
        """Rows `[start, stop)` as a fit takes them, without those whose label was not known by then; nothing is copied where all were."""
        rows = self.frame[start:stop]
        if known_by is not None and self.late:
            rows = rows.filter(pl.col(KNOWN) <= known_by)
        return Part(
            X=rows.select(self.features),
            y=rows["__y"],
            weight=rows["__weight"] if "__weight" in rows.columns else None,
            group=next((rows[name] for name in (LIST, GROUP) if name in rows.columns), None),
        )


def assemble(model: Model, frames: Mapping[str, pl.DataFrame], *, as_of: Instant) -> Assembled:
    """Assemble every row whose label was known by `as_of`. Raises BadInput, DeclarationError."""
    frame = frames.training_rows(model, as_of=as_of) if isinstance(frames, Stored) else training_rows(model, frames, as_of=as_of)
    if GROUP in frame.columns:
        frame = frame.with_columns(_nameless(model, frame[GROUP]))
    if model.task == "ranking":
        frame = _in_lists(model, frame)
    return Assembled(frame, tuple(feature_columns(model)), int(model.label_delay))


def taught(model: Model, rows: Assembled, split: Split) -> pl.DataFrame:
    """The rows that a candidate has learned from, of which the newest MOST_ROWS."""
    train = rows.frame[max(split.start, split.stop - MOST_ROWS) : split.stop]
    if rows.late and split.end > split.holdout:
        return train.filter(pl.col(KNOWN) <= rows.times[split.holdout] - int(model.framing.horizon))
    return train


def taught_released(rows: Assembled, until: Instant, window: Span) -> pl.DataFrame:
    """The same of a version that learned once more from all rows of a window (0: every row) up to `until`, those that it was judged on as well."""
    end = int(np.searchsorted(rows.times, until, side="right"))
    start = int(np.searchsorted(rows.times, until - window, side="left")) if window else 0
    return rows.frame[max(start, end - MOST_ROWS) : end]


def _in_lists(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with their list's number, those of a list together. Raises BadInput for rows that are in no list, twice in one, or judged below 0."""
    where = f'model "{model.name}"'
    for name, column in ((GROUP, model.group), (ITEM, model.item)):
        if lacking := frame[name].null_count():
            raise BadInput(
                f"{where}: {lacking} of {frame.height} rows have no {column}",
                why="a ranking's rows are an item in a list",
                fix="leave such rows out of the source",
            )
    if frame.height and (low := float(frame["__y"].cast(pl.Float64).min())) < 0:  # type: ignore[arg-type]  # numbers, by declaration
        raise BadInput(
            f"{where}: the label {model.label_column} is {low:g} in a row",
            why="relevance is a number, 0 for none",
            fix="look at the label's column",
        )
    twice = frame.select("__time", GROUP, ITEM).is_duplicated()
    if twice.any():
        first = frame.filter(twice).row(0, named=True)
        raise BadInput(
            f"{where}: {int(twice.sum())} rows are twice in one list, first {model.item} {first[ITEM]} of {model.group} {first[GROUP]}",
            why="rows of one group and time are one list, in which an item has one place",
            fix=f"give each list its own {model.group} or {model.data.time or 'time'}",
        )
    frame = frame.sort("__time", GROUP, maintain_order=True)
    return frame.with_columns(pl.struct("__time", GROUP).rle_id().cast(pl.Int64).alias(LIST))


def differing(rows: Assembled, names: Mapping[str, str]) -> tuple[str, ...]:
    """Of a ranking's columns (name → its column in the rows), those whose values differ within a list."""
    there = {name: column for name, column in names.items() if column in rows.frame.columns}
    if LIST not in rows.frame.columns or not there:
        return ()
    same = rows.frame.select(
        pl.col(column).eq_missing(pl.col(column).first().over(LIST)).all().alias(name) for name, column in there.items()
    )
    return tuple(name for name in there if not same[name][0])


def _nameless(model: Model, groups: pl.Series) -> pl.Series:
    """Which rows belong together. Where the groups are persons, or protected, a hash of each: neither `fit` nor the evidence, which is kept, need
    know who they are.
    """
    column = model.data.columns.get(model.group)
    if model.group not in model.data.identifying and not (column is not None and column.protected):
        return groups
    known = groups.drop_nulls().unique().to_list()
    hashed = [
        hashlib.blake2b(str(each).encode("utf-8", "surrogatepass"), digest_size=16, person=b"flyball/group").hexdigest() for each in known
    ]
    return groups.replace_strict(known, hashed, default=None, return_dtype=pl.String)


def more_rows(there: int) -> str:
    """What helps where all rows that there are make no run, however they are cut; empty where they are enough for one."""
    if there >= MIN_TRAIN + MIN_HOLDOUT:
        return ""
    return (
        f"bring more rows: {there} have a label that is known, and a run takes {MIN_TRAIN} to learn from and {MIN_HOLDOUT} to be judged on"
    )


def check_train(part: Part, model: Model, window: str, labels: pl.Series, stop: int) -> None:
    """Raise BadInput when rows cannot train a model: too few, no feature (code "too-few-rows"), or one and the same label ("unusable-label").

    labels: those of all rows that there are, of which a window may take the first `stop`: what helps depends on them.
    """
    rows = part.X.height
    where = f'model "{model.name}": the training rows (window {window})'
    if part.X.width == 0:
        raise BadInput(
            f'model "{model.name}" has no features', why="no column is known at the moment of prediction", fix="declare inputs or views"
        )
    if rows < MIN_TRAIN:
        raise BadInput(
            f"{where} are {rows}",
            why=f"at least {MIN_TRAIN} are needed before the hold-out",
            fix=more_rows(len(labels)) or ("widen train window" if stop >= MIN_TRAIN else "shorten holdout, or bring more rows"),
            code="too-few-rows",
        )
    if model.task == "ranking" and part.group is not None and part.group.n_unique() == rows:
        raise BadInput(
            f"{where} are lists of one item each",
            why=f"rows of one {model.group} and one time are a list, and no two rows share both",
            fix=f"give the rows of a list the same {model.data.time or 'time'}",
        )
    if part.y.n_unique() < 2:
        raise BadInput(
            f"{where} all have the label {part.y[0]}",
            why="a model of one class or of a constant learns nothing"
            if model.task in ("binary", "multiclass")
            else "a constant needs no model",
            fix=_other_labels(labels, stop),
            code="unusable-label",
        )
    if model.task == "binary" and part.y.n_unique() > 2:
        raise BadInput(
            f"{where} have {part.y.n_unique()} different labels",
            why='a "binary" model has two',
            fix='declare task="multiclass", or look at the label',
            code="unusable-label",
        )


def _other_labels(labels: pl.Series, stop: int) -> str:
    """Where rows with another label are to be had."""
    if labels.n_unique() < 2:
        return f"bring rows with another label, or look at the label's column: all {len(labels):,} rows that there are have this one"
    if labels[:stop].n_unique() < 2:
        return "shorten holdout, or bring more rows: those with another label are all held out"
    return "widen train window: older rows have other labels"
