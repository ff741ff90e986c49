"""Everything that can be said of a model without its data: what is wrong, and what is declared but not built yet."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.declare.checks import Approval, Check, Reference
from flyball.declare.data import Dataset, Sql
from flyball.declare.functions import Frame
from flyball.declare.metrics import metric_info
from flyball.declare.model import Label, Model
from flyball.declare.policy import ACTIONS, FAILURE_MODES
from flyball.declare.rules_checks import PLANNED_METRICS, check_rules, sentences
from flyball.declare.rules_columns import Found, column_rules, horizon_rules
from flyball.declare.rules_fit import fit_rules
from flyball.declare.units import near
from flyball.errors import Problem

COSTS = ("false_positive", "false_negative", "absolute_error", "squared_error")


def problems(model: Model, *, place: str = "") -> list[Problem]:
    """Every rule that the model breaks, all at once. `place` is its `file:line`."""
    return _placed(model, place, _rules(model))


def warnings(model: Model, *, place: str = "") -> list[Problem]:
    """What a person should know before it runs: doubtful sentences, and what is declared but not built yet."""
    return [*_placed(model, place, _doubts(model)), *unbuilt(model, place=place)]


def unbuilt(model: Model, *, place: str = "") -> list[Problem]:
    """What is declared and has no effect yet, named one by one."""
    told = (
        Found(f"not built yet: {what}", why or "the declaration is kept and has no effect", fix)
        for what, why, fix in (*_unbuilt_data(model), *_unbuilt_policy(model), *_unbuilt_checks(model))
    )
    return _placed(model, place, told)


def _placed(model: Model, place: str, found: Iterator[Found]) -> list[Problem]:
    where = f'{place}  Model "{model.name}"' if place else f'Model "{model.name}"'
    return [Problem(where, item.what, item.why, item.fix) for item in dict.fromkeys(found)]


def _rules(model: Model) -> Iterator[Found]:
    yield from column_rules(model)
    yield from horizon_rules(model)
    yield from fit_rules(model)
    yield from check_rules(model)
    for key in model.costs:
        if key not in COSTS:
            yield Found(f'costs name "{key}"', "", near(key, COSTS))
    if len({amount.currency for amount in model.costs.values()}) > 1:
        yield Found("costs are in several currencies", "they are added up", "write all in one")
    for mode in FAILURE_MODES:
        for action in getattr(model.playbook, mode) or ():
            if action not in ACTIONS:
                yield Found(f'playbook {mode} names "{action}"', "it is not an action", near(action, ACTIONS))
    if model.fallback is not None and model.task in ("regression", "forecast") and isinstance(model.fallback, str | bool):
        yield Found(f"fallback {model.fallback!r} is not a number", f"the model is a {model.task} model", "write a number")


def _doubts(model: Model) -> Iterator[Found]:
    if not model.rollout.steps:
        yield Found("rollout has no steps", "a release takes all traffic at once", 'add .shadow("1d").canary("10%", "1d")')
    if not model.gates:
        yield Found("there is no gate", "every candidate may be released", 'add gates=[fb.metric("accuracy") >= fb.champion - 0.02]')
    if not model.owner:
        yield Found("there is no owner", "incidents have nobody to go to", "name the team: owner=")
    for place, check in sentences(model):
        info = metric_info(check.metric.name) if isinstance(check, Check) else None
        if not isinstance(check, Check) or info is None or info.higher_is_better is None or check.metric.of_gap:
            continue
        asks_high = check.op in (">=", ">")
        if asks_high != (info.higher_is_better if place != "when" else not info.higher_is_better):
            word = "triggers when the model is good" if place == "when" else "asks for a worse model"
            yield Found(
                f'{place} "{check}" {word}', f"{info.meaning}: {'higher' if info.higher_is_better else 'lower'} is better", "turn it round"
            )
        if place in ("gates", "guards") and check.metric.span is not None:
            yield Found(
                f'{place} "{check}": the span has no meaning there', f"{place} look at the hold-out or the rollout", "leave .over out"
            )


def _unbuilt_data(model: Model) -> Iterator[tuple[str, str, str]]:
    sets: dict[str, Dataset] = {model.data.name: model.data} | {view.data.name: view.data for view in model.features}
    for data in sets.values():
        if data.freshness is not None:
            yield f'freshness (data set "{data.name}")', "nobody notices when the source stops", ""
        scheme = data.source.partition("://")[0] if isinstance(data.source, str) and "://" in data.source else ""
        if isinstance(data.source, Sql) or scheme:
            kind = f"{scheme}://" if scheme else "fb.sql"
            yield f'a {kind} source (data set "{data.name}")', "its rows are not read", "write them to CSV or Parquet and name the path"
        if isinstance(data.source, Frame):
            yield f'a frame as source (data set "{data.name}")', "a running flyball cannot read it again", "write it to Parquet"
    if isinstance(model.label, Label):
        name = model.label.source.name
        yield f'a label from another data set ("{name}")', "the model cannot be trained", "bring the label in as a column with known_after="
    for outcome in model.outcomes:
        yield f'outcome "{outcome.name}"', "", ""
    if model.task == "ranking":
        yield "the ranking task", "the model cannot be trained", ""
    if model.train is None:
        yield "a model without train (served elsewhere)", "nothing is trained or served", "declare train=fb.Train(fit)"
    elif model.train.folds > 1:
        yield f"folds={model.train.folds}", "the hold-out is one span at the end", ""
    for case in model.suites:
        yield f'suite "{case.name}"', "", ""


def _unbuilt_policy(model: Model) -> Iterator[tuple[str, str, str]]:
    for name, there in (
        ("review", model.review is not None),
        ("batch", bool(model.batch)),
        ("objectives", bool(model.objectives)),
        ("costs", bool(model.costs)),
        ("rollout change_window", bool(model.rollout.change_window)),
        ("playbook route", bool(model.playbook.route)),
    ):
        if there:
            yield name, "", ""
    for kind in ("ab_test", "blue_green"):
        if any(step.kind == kind for step in model.rollout.steps):
            yield f"rollout step {kind}", "a release with it cannot be planned", "use .shadow and .canary"
    retrain = model.retrain
    if retrain is not None and retrain.budget is not None:
        yield "retrain budget", "what a run costs is not known", "bound the number of runs: max_runs="
    for mode in FAILURE_MODES:
        if getattr(model.playbook, mode) is not None:
            missing = [action for action in getattr(model.playbook, mode) if action in ACTIONS and not ACTIONS[action]]
            if missing:
                yield f"playbook {mode}: {', '.join(missing)}", "the incident names the action, and nothing does it", ""


def _unbuilt_checks(model: Model) -> Iterator[tuple[str, str, str]]:
    for place, check in sentences(model):
        if isinstance(check, Approval) and place == "gates":
            yield f'"{check}"', "flyball approve does not exist, so the gate stays insufficient", ""
        if not isinstance(check, Check):
            continue
        if check.metric.name in PLANNED_METRICS:
            yield f'the metric {check.metric.name} ({place} "{check}")', "the check is insufficient", ""
        elif place == "gates" and getattr(metric_info(check.metric.name), "source", "") == "traffic":
            yield f'{check.metric.name} in gates ("{check}")', "a hold-out has no traffic: the check is insufficient", "make it a guard"
        elif place == "guards" and not _testable(model, check):
            yield f'a live test of {check.metric.name} (guards "{check}")', "the guard is shown without a reading and stops nothing", ""
        elif place == "monitors" and check.metric.of_gap and check.metric.of_gap not in model.slice_names:
            why = "live counts are kept by slice: the check lacks data"
            yield f'a gap across a column that is no slice (monitors "{check}")', why, f'add "{check.metric.of_gap}" to slices'
        elif place == "when" and isinstance(check.bound, Reference) and (check.metric.of_gap or check.metric.slices):
            yield f'slices in a trigger against at_release ("{check}")', "the detector watches the model as a whole", ""
        elif isinstance(check.bound, Reference) and check.metric.bound and place != "gates":
            yield f'a bound of an interval against a reference ({place} "{check}")', "", ""


def _testable(model: Model, guard: Check) -> bool:
    """Whether two versions can be compared live by a guard's metric: errors, latencies and the one loss of the task."""
    loss = "accuracy" if model.task in ("binary", "multiclass") else "mae"
    name = guard.metric.name
    return name == "error_rate" or name.startswith("latency_p") or (name == loss and not guard.metric.of_gap)
