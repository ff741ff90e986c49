"""From which score on a version answers the positive class: chosen where the search is judged, on rows that the hold-out knows nothing of."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import polars as pl

from flyball.declare.costs import threshold_of
from flyball.errors import BadInput
from flyball.evaluation.deciding import by_costs, decide
from flyball.records.evaluation import Decision
from flyball.training.choosing import Chosen
from flyball.training.fitting import Fitter
from flyball.training.judging import amounts
from flyball.training.predictor import Predictor, decided
from flyball.training.rows import MIN_TRAIN

MOST_S = 60.0
"""Where a fit took longer than this, none is made for the threshold alone: what costs say has to do."""


def with_threshold(fitter: Fitter, chosen: Chosen) -> Chosen:
    """The same, answering from the threshold that costs choose; as it is where they choose none, or where there are no scores."""
    costs = amounts(fitter.model)
    if fitter.model.task != "binary" or threshold_of(costs) is None or chosen.answers.score is None:
        return chosen
    decision = _decide(fitter, chosen, costs)
    take(chosen.candidate, decision.at)
    score = chosen.answers.score
    scores = np.column_stack([1 - score, score])
    answers = replace(chosen.answers, value=decided(scores, chosen.candidate.signature.classes, decision.at))
    return replace(chosen, answers=answers, decision=decision)


def take(predictor: Predictor, threshold: float) -> None:
    """Let a predictor answer the positive class from this score on."""
    predictor.signature = msgspec.structs.replace(predictor.signature, threshold=threshold)


def _decide(fitter: Fitter, chosen: Chosen, costs: dict[str, float]) -> Decision:
    cut = chosen.trial
    if fitter.learns(cut) < MIN_TRAIN or cut.end <= cut.holdout:
        return by_costs(costs, "no rows are left to look for a cheaper one")
    if fitter.longest_s > MOST_S and not fitter.made(cut, chosen.parameters):
        return by_costs(costs, f"a fit takes {fitter.longest_s:.0f} s of CPU, and none is made to look for a cheaper one")
    validation = fitter.rows.part(cut.holdout, cut.end)
    try:
        fitted = fitter.fit(cut, chosen.parameters, window="of the threshold")
        score = fitted.predict(validation.X).score
    except BadInput as error:
        return by_costs(costs, f"a cheaper one was not looked for: {error.what}")
    classes = chosen.candidate.signature.classes
    if score is None or fitted.signature.classes != classes:
        return by_costs(costs, "the rows before the validation lack a class")
    group = validation.group
    groups = None if group is None else group.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    return decide((validation.y == classes[-1]).cast(float).to_numpy(), score, costs, groups)
