"""What live rows can say of a sentence. `check`, monitors and rollouts ask here, so what is tested and what is called untested cannot differ.

Live rows are kept as additive counts: whole, by slices that are made of columns of the request, and by protected columns, whose values come with the
labels; two versions are compared on their errors, their p99 and the one loss of the task.
"""

from __future__ import annotations

from collections.abc import Mapping

from flyball.clock import Span
from flyball.declare.checks import AnyOf, Check, Drift, Reference
from flyball.declare.columns import Column
from flyball.declare.costs import priced
from flyball.declare.functions import expression_text, roots
from flyball.declare.metrics import CLASSES, RANKED, at_k, metric_info
from flyball.declare.model import Model
from flyball.declare.rules_columns import feature_names, inputs, known_in_time, ranked, transform_names

ERRORS, SLOW = "error_rate", "latency_p99"
"""The metrics of traffic by which a rollout compares two versions."""


def label_delay(model: Model) -> Span:
    """H: from the moment of prediction until the label is known."""
    return Span(model.framing.horizon + model.label_delay)


def loss_metric(task: str) -> str:
    """The metric whose loss is kept of each labelled live row: what the detector watches and a guard on quality may name. Empty: there is none,
    for the label of one item says nothing of the order that it stood in.

    >>> loss_metric("forecast"), loss_metric("ranking")
    ('mae', '')
    """
    if task == "ranking":
        return ""
    return "accuracy" if task in CLASSES else "mae"


def grows(model: Model) -> bool:
    """Whether the rows that come judge a held version again: not where a share of the rows is held out, wherever in time they lie."""
    return model.train is None or not model.train.by_share


def sent(model: Model) -> tuple[str, ...]:
    """The columns that a caller sends, as far as they can be known without Polars: inputs, entity keys, the item of a ranking, what transforms
    and slices read.
    """
    made = {*feature_names(model), *transform_names(model)}
    expressions = model.transforms.values() if isinstance(model.transforms, Mapping) else ()
    read = [root for value in expressions for root in roots(value)]
    for part in model.slices:
        read += [part.name] if part.expression is None else roots(part.expression)
    columns = model.data.columns
    seen = [name for name in read if name not in made and name in columns and known_in_time(model, columns[name])]
    names = dict.fromkeys((*inputs(model), *(key for view in model.features for key in view.key), *ranked(model), *seen))
    return tuple(name for name in names if name not in (model.data.time, model.data.arrived))


def shown(model: Model) -> tuple[str, ...]:
    """The columns that a function of the user's is shown beside the values of views: what a caller sends, without what says who a row is of,
    and without what is personal or protected.
    """
    data, columns = model.data, model.data.columns
    return tuple(name for name in sent(model) if name not in data.identifying and not (name in columns and columns[name].protected))


def other_requests(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """What of a request's fields (name → type) is not as it was: callers of the one cannot go on with the other.

    >>> other_requests({"a": "int"}, {"a": "float", "b": "str"})
    ('field b is new', 'field a was int and is float')
    """
    return (
        *(f"field {name} is new" for name in after if name not in before),
        *(f"field {name} is gone" for name in before if name not in after),
        *(f"field {name} was {before[name]} and is {kind}" for name, kind in after.items() if before.get(name, kind) != kind),
    )


def request_slices(model: Model) -> tuple[str, ...]:
    """The slices that are columns of the request."""
    there = sent(model)
    return tuple(part.name for part in model.slices if part.expression is None and part.name in there)


def watches_days(model: Model) -> bool:
    """Whether a monitor or a trigger looks at drift day by day."""
    sentences = (*model.monitors, *(model.retrain.when if model.retrain else ()))
    parts = (part for one in sentences for part in (one.checks if isinstance(one, AnyOf) else (one,)))
    return any(isinstance(part, Drift) and part.window is not None for part in parts)


def derived_slices(model: Model) -> dict[str, str]:
    """The slices that are expressions on columns of the request alone, as text that Polars reads. Of a time the log has a number, so none reads one."""
    there, columns = sent(model), model.data.columns
    return {
        part.name: expression_text(part.expression)
        for part in model.slices
        if part.expression is not None
        and all(root in there and root in columns and columns[root].type != "time" for root in roots(part.expression))
    }


def derived_reads(model: Model) -> tuple[str, ...]:
    """The columns of the request that `derived_slices` read."""
    made = derived_slices(model)
    return tuple(dict.fromkeys(root for part in model.slices if part.name in made for root in roots(part.expression)))


def live_slices(model: Model) -> tuple[str, ...]:
    """The slices by which live rows are counted: those that are made of columns of the request. All others are seen on the hold-out alone."""
    known = {*request_slices(model), *derived_slices(model)}
    return tuple(part.name for part in model.slices if part.name in known)


def label_attributes(model: Model) -> dict[str, tuple[str, ...]]:
    """Protected columns by which live rows are counted, and the values they may have, as text: those that a slice, a monitor or a trigger names. Nobody
    sends them with a request; they come with the labels. One whose values are not declared is not counted: it might have any number of them.
    """
    triggers = model.retrain.when if model.retrain else ()
    checks = [part for each in (*model.monitors, *triggers) for part in (each.checks if isinstance(each, AnyOf) else (each,))]
    named = [part.name for part in model.slices if part.expression is None]
    named += [name for check in checks if isinstance(check, Check) for name in (*check.metric.slices, check.metric.of_gap) if name]
    there, columns = live_slices(model), model.data.columns
    found = {name: columns[name] for name in named if name in columns and columns[name].protected and name not in there}
    return {name: values for name, column in found.items() if (values := _declared_values(column))}


def _declared_values(column: Column) -> tuple[str, ...]:
    if column.one_of is not None:
        return tuple(dict.fromkeys(attribute_text(value) for value in column.one_of))
    return ("false", "true") if column.type == "bool" else ()


def attribute_text(value: object) -> str:
    """A value of an attribute as text, the same whether JSON had it as 1 or as 1.0.

    >>> attribute_text(True), attribute_text(2.0), attribute_text("f")
    ('true', '2', 'f')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def prices(model: Model) -> dict[str, float]:
    """What errors cost by the declaration, as counts of them are priced (`costs.priced`)."""
    return priced(model.task, {name: each.amount for name, each in model.costs.items()})


def ranked_live(model: Model) -> tuple[str, ...]:
    """The metrics of lists that are counted of a ranking's live rows: those that every ranking is reported by, and those that a sentence names."""
    if model.task != "ranking":
        return ()
    triggers = model.retrain.when if model.retrain else ()
    checks = [part for each in (*model.gates, *model.monitors, *triggers) for part in (each.checks if isinstance(each, AnyOf) else (each,))]
    checks += [each.metric for each in model.objectives if isinstance(each.metric, Check)]
    named = [check.metric.name for check in checks if isinstance(check, Check) and at_k(check.metric.name) is not None]
    return tuple(dict.fromkeys((*RANKED, *named)))


def tells_quality(model: Model, name: str) -> bool:
    """Whether counts of labelled live rows give a metric of the whole that says how good the answers are."""
    info = metric_info(name)
    if info is None or not info.counted or info.source != "quality" or name == "equalised_odds":
        return False
    return name != "cost_per_1000" or bool(prices(model))


def uncounted(model: Model, check: Check) -> str:
    """Why live counts cannot give a monitor's or a trigger's metric; empty if they can."""
    metric, info = check.metric, metric_info(check.metric.name)
    if info is None or not info.counted:
        return f"{metric.name} cannot be computed from counts of live rows"
    if info.source == "traffic":
        if metric.slices or metric.of_gap:
            return "errors and latencies are counted as a whole, not by slice"
        return "the hold-out has no traffic to compare with" if isinstance(check.bound, Reference) else ""
    if metric.name == "equalised_odds" and not metric.of_gap:
        return "it is a gap between groups"
    if metric.name == "cost_per_1000" and not prices(model):
        return "no costs are declared"
    blind = [_blind(model, name) for name in (*metric.slices, *([metric.of_gap] if metric.of_gap else ()))]
    if any(blind):
        return "; ".join(dict.fromkeys(filter(None, blind)))
    return "a gap is compared with a number" if metric.of_gap and isinstance(check.bound, Reference) else ""


def _blind(model: Model, name: str) -> str:
    """Why live rows are not counted by a slice or a group; empty if they are."""
    if name in live_slices(model) or name in label_attributes(model):
        return ""
    column = model.data.columns.get(name)
    if column is not None and column.protected:
        return f"{name} comes with the labels, and is counted once its values are declared (one_of=)"
    return f"live rows are counted by slices that are made of columns of the request, and {name} is none"


def paired_gates(model: Model) -> tuple[Check, ...]:
    """The gates that a release may rest on where live labels lack: no worse than the champion in a metric of labelled rows, which both answered.

    A size or a latency against the champion's is a gate too, and says nothing of how good the answers are; nor does a share of positive answers.
    """
    return tuple(gate for gate in model.gates if isinstance(gate, Check) and _with_champion(gate) and _of_quality(gate))


def _of_quality(gate: Check) -> bool:
    info = metric_info(gate.metric.name)
    return info is not None and info.source == "quality" and info.higher_is_better is (gate.op in (">=", ">"))


def champion_gates(model: Model) -> tuple[Check, ...]:
    """The gates that compare a version with the champion, in whatever metric, alone or as one of several alternatives."""
    parts = (part for gate in model.gates for part in (gate.checks if isinstance(gate, AnyOf) else (gate,)))
    return tuple(part for part in parts if isinstance(part, Check) and _with_champion(part))


def _with_champion(check: Check) -> bool:
    return isinstance(check.bound, Reference) and check.bound.of == "champion"


def compared_live(model: Model) -> bool:
    """Whether labelled live rows compare a version with the champion before it answers everybody, as strictly as each gate against a champion does."""
    plan = model.rollout
    guards = [guard for guard in plan.guards if guard.metric.name == loss_metric(model.task) and not untested(guard, model.task)]
    waits = plan.evidence == "live" and bool(plan.steps)
    return waits and all(any(_as_strict(guard, gate) for guard in guards) for gate in champion_gates(model))


def _as_strict(guard: Check, gate: Check) -> bool:
    """Whether a guard that was shown to hold is what a gate against the champion asks, whatever the champion's metric is: none is below 0.

    Live rows show it of the whole: slices are watched there for what speaks against them alone.
    """
    asked, held, high = gate.bound, guard.bound, gate.op in (">=", ">")
    if not isinstance(asked, Reference) or not isinstance(held, Reference):
        return False
    if guard.metric != gate.metric or gate.metric.slices or high != (guard.op in (">=", ">")):
        return False
    least, most = (asked, held) if high else (held, asked)
    return least.times <= most.times and least.plus <= most.plus


def untested(guard: Check, task: str) -> str:
    """Why live evidence cannot test a guard; empty if it can."""
    metric, bound = guard.metric, guard.bound
    if metric.of_gap:
        return "two versions are not compared by a gap between groups"
    if isinstance(bound, Reference) and bound.of != "champion":
        return "two versions are compared with each other"
    if metric.name not in (ERRORS, SLOW):
        return _untested_quality(guard, task)
    if metric.slices:
        return "errors and latencies are counted as a whole, not by slice"
    if guard.op not in ("<=", "<"):
        return "it asks for worse traffic"
    if isinstance(bound, Reference):
        if bound.times < 1 or bound.plus < 0:
            return "a version is held to be no worse than the champion, not to be better"
        return "errors are compared as a multiple of the champion's" if metric.name == ERRORS and bound.plus else ""
    return "no number of requests shows a share to be zero" if metric.name == ERRORS and bound <= 0 else ""


def _untested_quality(guard: Check, task: str) -> str:
    name, allowed = guard.metric.name, loss_metric(task)
    if name != allowed:
        told = f"{allowed}, {ERRORS}" if allowed else ERRORS
        return f"live, two versions of a {task} model are compared by {told} and {SLOW}"
    return "" if (guard.op in (">=", ">")) == (allowed == "accuracy") else "it asks for a worse version"
