"""A version judged again: nothing is fitted. The evidence grows by the rows that came since, or the gates are other ones."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import polars as pl

from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.evaluation.holdout import Measured
from flyball.evaluation.suites import NO_SUITES, Asked
from flyball.features.fields import gap_columns
from flyball.records.estimates import Estimate
from flyball.records.training import RunResult, RunSpec
from flyball.training.folds import their_rows
from flyball.training.judging import holdout_frame, judge_holdout
from flyball.training.predictor import Predictor
from flyball.training.rows import GROUP, Assembled
from flyball.training.splits import Split


def rejudge(
    spec: RunSpec,
    model: Model,
    rows: Assembled,
    prior: RunResult,
    *,
    candidate: Predictor,
    champion: tuple[Predictor, Assembled] | None,
    earlier: pl.DataFrame,
    champion_measured: Mapping[str, Estimate] | None = None,
    suites: Asked = NO_SUITES,
    judge: Model | None = None,
) -> tuple[RunResult, pl.DataFrame]:
    """The prior result with metrics and verdicts on `earlier` evidence and all newer rows known by `spec.as_of`; and that evidence.

    What the candidate and the champion answer to the newer rows is out of sample for both: each was fitted before they were predicted. `champion`
    comes with its own rows, of which those of the same moments are asked; `suites` is what the candidate answers to their cases now. The artifact, its parameters and its
    reference stay. `judge` is the declaration whose gates, slices and suites judge; the model's own where it is left out. Raises BadInput for earlier
    evidence of a model with groups that does not say whose row is whose, and for a champion whose rows are others.
    """
    judge = judge or model
    earlier = with_columns(judge, earlier, rows)
    if model.group and GROUP not in earlier.columns:
        raise BadInput(
            f'model "{model.name}": the evidence so far does not say which rows share a {model.group}',
            why="it was written before hold-outs kept their groups, and rows of one group count as one cluster",
            fix=f"flyball train {model.name}",
        )
    rows = rows.as_known(spec.as_of)
    known = rows.known_by(spec.as_of)
    # rows that were to be predicted before the candidate was fitted say nothing: it saw labels that were not known then
    gap = rows.label_delay + int(model.framing.horizon)
    blind = candidate.trained_until + gap
    newest = max(int(earlier["__time"].max()), blind)  # type: ignore[arg-type]  # a column of i64
    first = int(np.searchsorted(rows.times[:known], newest, side="right"))
    if first >= known:
        return judged(spec, judge, earlier, prior, candidate=candidate, champion_measured=champion_measured, suites=suites), earlier
    # the baseline learns from labels that were known when the first of these rows was predicted
    until = int(rows.times[first]) - gap
    since, stop = (int(place) for place in np.searchsorted(rows.times[:first], [until - int(prior.window), until], side="left"))
    cut = Split(start=since, inner=stop, valid=stop, stop=stop, holdout=first, end=known)
    held = rows.frame[first:known]
    given = candidate.predict(held.select(rows.features))
    theirs = (champion[0], their_rows(model, held, champion[0].model, champion[1].as_known(spec.as_of))) if champion is not None else None
    frame = pl.concat([earlier, holdout_frame(model, given, rows, cut, champion=theirs)], how="diagonal_relaxed")
    return judged(spec, judge, frame, prior, candidate=candidate, champion_measured=champion_measured, suites=suites), frame


def judged(
    spec: RunSpec,
    model: Model,
    frame: pl.DataFrame,
    prior: RunResult,
    *,
    candidate: Predictor,
    champion_measured: Mapping[str, Estimate] | None = None,
    suites: Asked = NO_SUITES,
) -> RunResult:
    """The prior result with what this declaration's metrics, gates and suites make of this evidence, and of what the run had measured beside it."""
    beside = Measured(prior.measured, champion_measured or {}, prior.unmeasured)
    found = judge_holdout(model, frame, candidate.signature.classes, beside, suites, spec.look)
    return msgspec.structs.replace(
        prior,
        metrics=found.metrics,
        baseline=found.baseline,
        champion=found.champion,
        by_slice=found.by_slice,
        verdicts=found.verdicts,
        loss_bound=found.loss_bound,
        loss_cap=found.loss_cap,
        page_bound=found.page_bound,
        page_swing=found.page_swing,
        holdout_rows=frame.height,
    )


def lacking(model: Model, frame: pl.DataFrame) -> list[str]:
    """The columns of slices, and of groups whose gap is looked at, that evidence from before they were declared does not have."""
    return [name for name in dict.fromkeys((*model.slice_names, *gap_columns(model))) if name not in frame.columns]


def with_columns(model: Model, frame: pl.DataFrame, rows: Assembled) -> pl.DataFrame:
    """The evidence with the columns that it lacks, from the same `rows`. Raises BadInput where these are not the same any more."""
    wanted = [name for name in lacking(model, frame) if f"__slice_{name}" in rows.frame.columns]
    if not wanted:
        return frame
    if model.train is not None and model.train.by_share:
        raise BadInput(
            f'model "{model.name}": its gates look at {", ".join(wanted)} now, which the evidence does not say',
            why="what is held out by share is kept in an order of its own, to which nothing can be joined",
            fix=f"flyball train {model.name} judges a version by them",
        )
    held = rows.frame.filter(pl.col("__time").is_in(frame["__time"].unique().implode()))
    if held["__time"].to_list() != frame["__time"].to_list() or held["__y"].to_list() != frame["y"].to_list():
        raise BadInput(
            f'model "{model.name}": the rows of the hold-out are not the same any more',
            why=f"its gates look at {', '.join(wanted)} now, which the evidence does not say, and rows were erased or corrected since",
            fix=f"flyball train {model.name}",
        )
    return frame.with_columns(held[f"__slice_{name}"].alias(name) for name in wanted)
