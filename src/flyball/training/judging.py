"""What a run says about a candidate: the hold-out frame with everybody's answers, metrics, verdicts, and the detector's bound."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl

from flyball.clock import rfc3339
from flyball.declare import framing
from flyball.declare.checks import AnyOf, Check, Reference
from flyball.declare.metrics import RANKED, metric_info
from flyball.declare.model import Model
from flyball.evaluation import baselines
from flyball.evaluation.answers import TIME, Answers
from flyball.evaluation.answers import answers as read_answers
from flyball.evaluation.comparison import Compared, compare
from flyball.evaluation.detector import loss_bound, page_bound
from flyball.evaluation.gates import NOTHING, judge
from flyball.evaluation.holdout import FIT, Holdout, Measured
from flyball.evaluation.metrics import estimate, measure
from flyball.evaluation.rows import NOT_ASKED
from flyball.evaluation.slices import by_slice
from flyball.evaluation.suites import NO_SUITES, Asked, judge_suites
from flyball.features.assemble import KNOWN
from flyball.features.fields import declared_values, gap_columns, last_known_label
from flyball.records.estimates import Estimate, Verdict
from flyball.training.calls import Part
from flyball.training.predictor import Predictions, Predictor, answers
from flyball.training.rows import GROUP, ITEM, Assembled
from flyball.training.splits import Split

_TASK_OBJECTIVE = {"binary": "accuracy", "multiclass": "accuracy", "ranking": RANKED[0]}
_USUAL = {"binary": ("accuracy", "roc_auc", "log_loss"), "multiclass": ("accuracy", "log_loss"), "ranking": RANKED}


@dataclass(frozen=True)
class Judged:
    """Estimates on the hold-out and what the gates made of them."""

    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    champion: dict[str, Estimate]
    by_slice: dict[str, dict[str, Estimate]]
    verdicts: tuple[Verdict, ...]
    loss_bound: float
    loss_cap: float
    page_bound: float
    page_swing: float


def objective(model: Model) -> str:
    """The metric that searches and windows are judged by: `train.objective`, else accuracy for classes, NDCG of the first 10 for rankings, and the
    mean absolute error for numbers.
    """
    declared = model.train.objective if model.train else ""
    return declared or _TASK_OBJECTIVE.get(model.task, "mae")


def score(model: Model, part: Part, given: Predictions, classes: tuple[int | str | bool, ...]) -> float:
    """The objective of the answers `given` to a part's rows, turned so that higher is better; −inf where it is not defined."""
    name, y = objective(model), part.y
    # a search and a choice of windows ask this often, mostly for one of these two
    if name == "accuracy":
        return float(np.mean(given.value == y.to_numpy())) if len(y) else float("-inf")
    if name == "mae":
        return -float(np.mean(np.abs(given.value - y.to_numpy()))) if len(y) else float("-inf")
    found = estimate(name, _answers_of(model, part, given, classes)).value
    if found is None:
        return float("-inf")
    return found if rises(name) else -found


def rises(metric: str) -> bool:
    """Whether more of it is better."""
    info = metric_info(metric)
    return info is None or info.higher_is_better is not False


def compared(model: Model, mine: Answers, theirs: Answers) -> Compared:
    """Both answers to the same rows, in the model's objective: whether mine are better, shown at α = .05. Raises ValueError or ZeroDivisionError where it is not
    defined on them.
    """
    name = objective(model)
    return compare(name, mine, theirs, Reference("baseline"), ">=" if rises(name) else "<=")


def clearly_better(model: Model, part: Part, mine: Predictions, theirs: Predictions, classes: tuple[int | str | bool, ...]) -> bool:
    """Whether my answers to a part's rows are better in the objective, and not by chance alone."""
    try:
        return compared(model, *(_answers_of(model, part, given, classes) for given in (mine, theirs))).shown
    except (ValueError, ZeroDivisionError):
        return False


def _answers_of(model: Model, part: Part, given: Predictions, classes: tuple[int | str | bool, ...]) -> Answers:
    lists = [part.group.alias(GROUP)] if model.task == "ranking" and part.group is not None else []
    frame = pl.DataFrame([part.y.alias("y"), *answers(given), *lists])
    return read_answers(model.task, frame, classes=classes, group=GROUP if lists else "", costs=amounts(model))


def holdout_frame(
    model: Model, given: Predictions, rows: Assembled, split: Split, *, champion: tuple[Predictor, pl.DataFrame] | None
) -> pl.DataFrame:
    """`__time`, y, value, score, base_value, base_score, champion_value, champion_score, `__champion`, `__group` and the slices, one row a held-out row.

    `given` are the candidate's answers to these rows; `champion` comes with its own features of them; None: no champion_ columns.
    """
    held = rows.frame[split.holdout : split.end]
    columns = [held["__time"], held["__y"].alias("y"), *answers(given)]
    last = last_known_label(model)
    trained = rows.frame[split.start : split.stop]
    if rows.late and held.height:
        trained = trained.filter(pl.col(KNOWN) <= held["__time"][0] - int(model.framing.horizon))
    items = ITEM in held.columns
    base = baselines.fit(model.task, trained["__y"], trained[last] if last else None, trained[ITEM] if items else None)
    base_value, base_score = base.predict(held.height, held[last].cast(held["__y"].dtype) if last else None, held[ITEM] if items else None)
    columns.append(base_value.alias("base_value"))
    if base_score is not None:
        columns.append(base_score.alias("base_score"))
    if champion is not None:
        theirs = answers(champion[0].predict(champion[1]))
        columns += [series.alias(f"champion_{series.name}") for series in theirs]
        columns.append(pl.Series(FIT, [_fit_of(champion[0])], pl.String).new_from_index(0, held.height))
    if GROUP in held.columns:
        columns.append(held[GROUP])
    taken = {column.name for column in columns}
    columns += [
        held[f"__slice_{name}"].alias(name)
        for name in (*model.slice_names, *gap_columns(model))
        if f"__slice_{name}" in held.columns and name not in taken
    ]
    return pl.DataFrame(columns)


def _fit_of(champion: Predictor) -> str:
    """Which of a champion's fits is asked: what answers requests, or what was judged before its own hold-out taught it too."""
    name = "champion as it answers" if champion.judged is not None else "champion as it was judged"
    train = champion.model.train
    if train is not None and train.by_share:
        return f"{name}, without what it held out"
    return f"{name}, fitted until {rfc3339(champion.trained_until)[:10]}"


def measured(model: Model) -> list[str]:
    """The metrics every run reports: the objective, those that gates, guards and monitors name, and the task's usual ones."""
    usual = _USUAL.get(model.task, ("mae", "rmse"))
    named: list[str] = []
    for check in (*model.gates, *model.rollout.guards, *model.monitors, *(model.retrain.when if model.retrain else ())):
        parts: Sequence[object] = check.checks if isinstance(check, AnyOf) else (check,)
        named += [part.metric.name for part in parts if isinstance(part, Check)]
    wanted = dict.fromkeys((objective(model), *usual, *(["cost_per_1000"] if model.costs else []), *named))
    return [
        name for name in wanted if (info := metric_info(name)) and info.source in ("quality", "prediction") and model.task in info.tasks
    ]


def amounts(model: Model) -> dict[str, float]:
    """The declared costs as numbers, all in one currency."""
    return {name: each.amount for name, each in model.costs.items()}


def estimates(model: Model, frame: pl.DataFrame, classes: tuple[int | str | bool, ...]) -> dict[str, Estimate]:
    """The metrics that every run reports, of the candidate's answers in a hold-out or a part of one."""
    group = GROUP if GROUP in frame.columns else ""
    return _defined(model, measure(model.task, frame, measured(model), classes=classes, group=group, costs=amounts(model)))


def judge_holdout(
    model: Model,
    frame: pl.DataFrame,
    classes: tuple[int | str | bool, ...],
    beside: Measured = NOTHING,
    suites: Asked = NO_SUITES,
    look: int = 1,
) -> Judged:
    """Measure everybody on the hold-out and judge the gates, also on what was measured `beside` it and on what was answered to the cases of
    `suites`; rows of one group are one cluster. `look`: which look at this version's evidence it is.
    """
    names, asked = measured(model), framing.implied(model)
    slices = tuple(name for name in model.slice_names if name in frame.columns)
    group = GROUP if GROUP in frame.columns else ""
    costs = amounts(model)
    bound, cap = loss_bound(model.task, frame, group=group)
    page, swing = page_bound(model.task, frame, bound=bound, cap=cap)
    # a champion has no answers to rows that it has seen
    theirs = frame.filter(pl.col("champion_value").is_not_null()) if "champion_value" in frame.columns else frame.clear()
    sliced = [name for name in names if name in ("accuracy", "mae")] or None
    return Judged(
        metrics=_defined(model, measure(model.task, frame, names, classes=classes, group=group, costs=costs)),
        baseline=_defined(model, measure(model.task, _of(frame, "base_"), names, classes=classes, group=group, costs=costs)),
        champion=_defined(model, measure(model.task, _of(theirs, "champion_"), names, classes=classes, group=group, costs=costs))
        if theirs.height
        else {},
        by_slice=by_slice(model.task, frame, slices, sliced, classes=classes, group=group) if slices else {},
        verdicts=(
            *_told(
                judge(
                    framing.in_force(model).gates,
                    Holdout(
                        frame,
                        model.task,
                        slices=slices,
                        classes=classes,
                        group=group,
                        costs=costs,
                        declared=declared_values(model),
                        look=look,
                    ),
                    measured=beside,
                ),
                asked,
            ),
            *judge_suites(
                model.suites, suites, model.task, classes=classes, group=GROUP, costs=costs, copied=beside.numbers.get("duplicates")
            ),
        ),
        loss_bound=bound,
        loss_cap=cap,
        page_bound=page,
        page_swing=swing,
    )


def _told(verdicts: tuple[Verdict, ...], asked: tuple[framing.Implied, ...]) -> tuple[Verdict, ...]:
    """The verdicts, of which those on a gate that nobody wrote say where it comes from."""
    told = {str(one.check): one.told for one in asked if one.place == "gates"}
    return tuple(
        msgspec.structs.replace(one, why=f"{one.why}; {told[one.check]}".removeprefix("; ")) if one.check in told else one
        for one in verdicts
    )


def _of(frame: pl.DataFrame, prefix: str) -> pl.DataFrame:
    columns = [frame["y"], frame[f"{prefix}value"].alias("value")]
    if f"{prefix}score" in frame.columns:
        columns.append(frame[f"{prefix}score"].alias("score"))
    columns += [frame[name] for name in (TIME, GROUP) if name in frame.columns]
    return pl.DataFrame(columns)


def _defined(model: Model, found: dict[str, Estimate]) -> dict[str, Estimate]:
    """Without metrics that are none of the model's, such as those of scores where it gives none. What is money says in which currency."""
    kept = {name: each for name, each in found.items() if each.why not in NOT_ASKED}
    cost, currency = kept.get("cost_per_1000"), next((each.currency for each in model.costs.values()), "")
    if cost is not None and cost.value is not None and currency:
        kept["cost_per_1000"] = msgspec.structs.replace(cost, why=f"in {currency}")
    return kept


def parquet(frame: pl.DataFrame) -> bytes:
    """The hold-out as evidence."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()
