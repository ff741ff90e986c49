"""Everything that can be said of a model without its data: what is wrong, and what is declared but not built yet."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.clock import Span
from flyball.declare.checks import Approval, Check, Drift, Reference, at_release
from flyball.declare.costs import HALF, KINDS
from flyball.declare.elsewhere import is_elsewhere
from flyball.declare.framing import framing_doubts, framing_rules
from flyball.declare.live import label_delay, live_slices, loss_metric, sent, uncounted, untested
from flyball.declare.metrics import MEASURED, TRAFFIC, metric_info
from flyball.declare.model import Model
from flyball.declare.objectives import objective_rules
from flyball.declare.outcomes import outcome_of
from flyball.declare.policy import ACTIONS, FAILURE_MODES
from flyball.declare.reads import looked_at
from flyball.declare.rules_checks import PLANNED_METRICS, check_rules, misspelt, sentences
from flyball.declare.rules_columns import Found, column_rules, inputs
from flyball.declare.rules_elsewhere import elsewhere_doubts, elsewhere_rules
from flyball.declare.rules_fit import fit_rules
from flyball.declare.rules_outcomes import outcome_rules
from flyball.declare.rules_suites import suite_rules
from flyball.declare.units import near
from flyball.errors import Problem
from flyball.records.identity import Job, Role


def problems(model: Model, *, place: str = "") -> list[Problem]:
    """Every rule that the model breaks, all at once. `place` is its `file:line`."""
    return _placed(model, place, _rules(model))


def warnings(model: Model, *, place: str = "") -> list[Problem]:
    """What a person should know before it runs: doubtful sentences, and what is declared but not built yet."""
    return [*_placed(model, place, _doubts(model)), *unbuilt(model, place=place)]


def unbuilt(model: Model, *, place: str = "") -> list[Problem]:
    """What is declared and has no effect yet, named one by one."""
    told = ((*each, "") for each in (*_unbuilt_data(model), *_unbuilt_policy(model)))
    checks = ((*each, at) for kind, at, check in sentences(model) for each in _unbuilt_check(model, kind, check))
    found = (
        Found(f"not built yet: {what}", why or "the declaration is kept and has no effect", fix, at)
        for what, why, fix, at in (*told, *checks)
    )
    return _placed(model, place, found)


def _placed(model: Model, place: str, found: Iterator[Found]) -> list[Problem]:
    where = f'{place}  Model "{model.name}"' if place else f'Model "{model.name}"'
    return [Problem(where, *item) for item in dict.fromkeys(found)]


def _rules(model: Model) -> Iterator[Found]:
    yield from column_rules(model)
    yield from framing_rules(model)
    yield from fit_rules(model)
    yield from elsewhere_rules(model)
    yield from check_rules(model)
    yield from suite_rules(model)
    yield from objective_rules(model)
    yield from outcome_rules(model)
    yield from _costs(model)
    for mode in FAILURE_MODES:
        for action in getattr(model.playbook, mode) or ():
            if action not in ACTIONS:
                yield Found(f'playbook {mode} names "{action}"', "it is not an action", near(action, ACTIONS))
    if model.fallback is not None and model.task in ("regression", "forecast", "ranking") and isinstance(model.fallback, str | bool):
        yield Found(f"fallback {model.fallback!r} is not a number", f"the model is a {model.task} model", "write a number")


def _costs(model: Model) -> Iterator[Found]:
    """What errors cost: of kinds that the task makes, for any other would price every error at nothing, and in one currency."""
    taken = KINDS.get(model.task, ())
    for key in model.costs:
        if key not in taken:
            why = (
                f"errors of a {model.task} model are of the kind {' or '.join(taken)}"
                if taken
                else f"no error of a {model.task} model has a price"
            )
            yield Found(f'costs name "{key}"', why, near(key, taken) if taken else "leave costs out")
    if len({amount.currency for amount in model.costs.values()}) > 1:
        yield Found("costs are in several currencies", "they are added up", "write all in one")


def _doubts(model: Model) -> Iterator[Found]:
    yield from elsewhere_doubts(model)
    # nobody releases a version of a model that is served elsewhere
    if not model.rollout.steps and not is_elsewhere(model):
        yield Found("rollout has no steps", "a release takes all traffic at once", 'add .shadow("1d").canary("10%", "1d")')
    if not model.gates and not model.suites and not is_elsewhere(model):
        yield Found("there is no gate", "every candidate may be released", 'add gates=[fb.metric("accuracy") >= fb.champion - 0.02]')
    if not model.owner:
        yield Found("there is no owner", "incidents have nobody to go to", "name the team: owner=")
    for data in {model.data.name: model.data, **{view.data.name: view.data for view in model.features}}.values():
        for what in data.untold:
            yield Found(
                f'data set "{data.name}": its schema asks for more than is checked: {what}', "", "declare it otherwise, or leave it out"
            )
    yield from _one_sided(model)
    yield from _doubtful_rollout(model)
    yield from framing_doubts(model)
    for place, at, check in sentences(model):
        if isinstance(check, Approval) and check.role not in (*Role, *Job) and not misspelt(check.role):
            yield Found(
                f'{place} "{check}": nobody is a {check.role}',
                "it is no role and no job, so it stays open",
                near(check.role, [*Job, *Role]),
                at,
            )
        info = metric_info(check.metric.name) if isinstance(check, Check) else None
        if not isinstance(check, Check) or info is None or info.higher_is_better is None or check.metric.of_gap:
            continue
        asks_high = check.op in (">=", ">")
        if asks_high != (info.higher_is_better if place != "when" else not info.higher_is_better):
            word = "triggers when the model is good" if place == "when" else "asks for a worse model"
            better = "higher" if info.higher_is_better else "lower"
            yield Found(f'{place} "{check}" {word}', f"{info.meaning}: {better} is better", "turn it round", at)
        if place in ("gates", "guards") and check.metric.span is not None:
            why = f"{place} look at the hold-out or the rollout"
            yield Found(f'{place} "{check}": the span has no meaning there', why, "leave .over out", at)


def _one_sided(model: Model) -> Iterator[Found]:
    """Costs of a binary model that price one kind of error alone: whoever answers one and the same to every row pays nothing."""
    priced = {kind: each for kind, each in model.costs.items() if each.amount > 0 and kind in KINDS["binary"]}
    if model.task != "binary" or len(priced) != 1:
        return
    (kind, price), (free,) = next(iter(priced.items())), set(KINDS["binary"]) - set(priced)
    always = "negative" if kind == "false_positive" else "positive"
    yield Found(
        f"costs: a {free} has no price",
        f"a model that answers {always} to every row would cost nothing: cost_per_1000 prefers it, and the threshold is not chosen by costs but stays {HALF}",
        f'give it a price too: costs={{"{kind}": "{price}", "{free}": "… {price.currency}"}}',
        "/costs",
    )


def _doubtful_rollout(model: Model) -> Iterator[Found]:
    rollout, delay = model.rollout, label_delay(model)
    if is_elsewhere(model):
        return
    if rollout.sticky and rollout.sticky not in sent(model):
        yield Found(
            f'sticky "{rollout.sticky}" is a column that no caller sends',
            "a request without a key is dealt by its own id, so one customer meets both versions",
            f'send it as "key" with each request, or make it an input: inputs=[…, "{rollout.sticky}"]',
        )
    if not rollout.steps or rollout.evidence == "gate":
        return
    longest = Span(sum(step.bake for step in rollout.steps) + rollout.give_up)
    loss = loss_metric(model.task)
    tested = [guard for guard in rollout.guards if guard.metric.name == loss and not untested(guard, model.task)]
    if not tested:
        yield Found(
            "rollout: no guard on quality that live rows can test",
            "a release is promoted on its operations, and the ledger says: quality not tested on live rows",
            'evidence="gate"' + ("" if delay > longest or not loss else f', or add fb.metric("{loss}") against fb.champion'),
        )
    elif delay > longest:
        yield Found(
            f"rollout: labels take {delay.brief}, and an undecided release is given up after {longest.brief}",
            "a guard on quality waits for labels, so no release can be promoted",
            'rest on the paired gate: evidence="gate"; or wait longer: give_up=',
        )


def _unbuilt_data(model: Model) -> Iterator[tuple[str, str, str]]:
    for data in looked_at(model).values():
        scheme = data.source.partition("://")[0] if isinstance(data.source, str) and "://" in data.source else ""
        if scheme and scheme != "push":
            what = f'a {scheme}:// source (data set "{data.name}")'
            yield what, "its rows are not read", "write them to files and name the path, or push them: push://"


def _unbuilt_policy(model: Model) -> Iterator[tuple[str, str, str]]:
    for name, there in (
        ("review", model.review is not None),
        ("batch", bool(model.batch)),
    ):
        if there:
            yield name, "", ""
    for kind in ("ab_test", "blue_green"):
        if any(step.kind == kind for step in model.rollout.steps):
            yield f"rollout step {kind}", "it is carried out as a canary of its weight", "use .shadow and .canary"


def _unbuilt_check(model: Model, place: str, check: Check | Approval | Drift) -> Iterator[tuple[str, str, str]]:
    if isinstance(check, Drift):
        yield from _unbuilt_drift(model, place, check)
    if not isinstance(check, Check):
        return
    if check.metric.name in PLANNED_METRICS:
        yield f'the metric {check.metric.name} ({place} "{check}")', "the check is insufficient", ""
    elif place == "gates" and check.metric.name in TRAFFIC - MEASURED:
        yield f'{check.metric.name} in gates ("{check}")', "a hold-out has no traffic: the check is insufficient", "make it a guard"
    elif isinstance(check.bound, Reference) and check.metric.bound and place != "gates":
        yield f'a bound of an interval against a reference ({place} "{check}")', "", ""
    elif place == "guards":
        yield from _unbuilt_guard(model, check)
    elif place in ("monitors", "when"):
        yield from _unbuilt_watch(model, place, check)


def _unbuilt_guard(model: Model, guard: Check) -> Iterator[tuple[str, str, str]]:
    why = untested(guard, model.task)
    if why:
        yield f'a live test of {guard.metric.name} (guards "{guard}")', f"{why}: the guard is shown without a reading and stops nothing", ""
        return
    blind = [name for name in guard.metric.slices if name not in live_slices(model)]
    if blind:
        yield f'a live test in {", ".join(blind)} (guards "{guard}")', "it is no column of the request: only the whole is tested", ""


def _unbuilt_watch(model: Model, place: str, check: Check) -> Iterator[tuple[str, str, str]]:
    if outcome_of(model, check) is not None:
        return
    name, gap, why = check.metric.name, check.metric.of_gap, uncounted(model, check)
    if place == "when" and check.bound == at_release and name not in TRAFFIC:
        if gap or check.metric.slices:
            yield f'slices in a trigger against at_release ("{check}")', "the detector watches the model as a whole", ""
        elif name != loss_metric(model.task):
            own = "error rate" if loss_metric(model.task) == "accuracy" else "mean absolute error"
            yield f'a trigger on {name} itself ("{check}")', f"the detector of every model watches its {own}, in the place of {name}", ""
    elif why and gap and gap not in model.slice_names:
        yield f'a gap across a column that is no slice ({place} "{check}")', f"{why}: the check lacks data", f'add "{gap}" to slices'
    elif why:
        yield f'live counts of {check.metric} ({place} "{check}")', f"{why}: the check lacks data", ""


def _unbuilt_drift(model: Model, place: str, drift: Drift) -> Iterator[tuple[str, str, str]]:
    """Drift is watched in what callers send and the model sees; what is made of it is not in the log."""
    if drift.of != "inputs" and drift.columns:
        one = "answers are" if drift.of == "predictions" else "labels are"
        yield f'columns of {drift.of} ({place} "{drift}")', f"{one} one column: nothing is watched", f'write fb.drift("{drift.of}")'
        return
    blind = [column for column in drift.columns if column not in inputs(model)]
    if blind or (drift.of == "inputs" and not inputs(model)):
        why = "only inputs are logged: nothing of it is watched" if blind else "the model has no inputs: nothing is watched"
        yield f'drift of {", ".join(blind) or "inputs"} ({place} "{drift}")', why, f"inputs: {', '.join(inputs(model)) or 'none'}"
