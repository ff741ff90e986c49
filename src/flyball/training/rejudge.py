"""A held version judged again: nothing is fitted, the evidence grows by the rows that came since."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import polars as pl

from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.evaluation.holdout import Measured
from flyball.evaluation.suites import NO_SUITES, Asked
from flyball.records.estimates import Estimate
from flyball.records.training import RunResult, RunSpec
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
    champion: tuple[Predictor, pl.DataFrame] | None,
    earlier: pl.DataFrame,
    champion_measured: Mapping[str, Estimate] | None = None,
    suites: Asked = NO_SUITES,
) -> tuple[RunResult, pl.DataFrame]:
    """The prior result with metrics and verdicts on `earlier` evidence and all newer rows known by `spec.as_of`; and that evidence.

    What the candidate and the champion answer to the newer rows is out of sample for both: each was fitted before they were predicted. `champion`
    comes with its own features of every row; `suites` is what the candidate answers to their cases now. The artifact, its parameters and its reference stay. Raises BadInput for earlier evidence of a
    model with groups that does not say whose row is whose.
    """
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
        return prior, earlier
    # the baseline learns from labels that were known when the first of these rows was predicted
    until = int(rows.times[first]) - gap
    since, stop = (int(place) for place in np.searchsorted(rows.times[:first], [until - int(prior.window), until], side="left"))
    cut = Split(start=since, inner=stop, valid=stop, stop=stop, holdout=first, end=known)
    given = candidate.predict(rows.frame[first:known].select(rows.features))
    theirs = (champion[0], champion[1][first:known]) if champion is not None else None
    frame = pl.concat([earlier, holdout_frame(model, given, rows, cut, champion=theirs)], how="diagonal_relaxed")
    found = judge_holdout(
        model, frame, candidate.signature.classes, Measured(prior.measured, champion_measured or {}, prior.unmeasured), suites
    )
    result = msgspec.structs.replace(
        prior,
        metrics=found.metrics,
        baseline=found.baseline,
        champion=found.champion,
        by_slice=found.by_slice,
        verdicts=found.verdicts,
        loss_bound=found.loss_bound,
        loss_cap=found.loss_cap,
        holdout_rows=frame.height,
    )
    return result, frame
