"""Rules on business outcomes: they must be joinable, timed and named apart from metrics; sentences about them are monitors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flyball.declare.checks import AnyOf, Check, Reference
from flyball.declare.live import live_slices
from flyball.declare.metrics import metric_info
from flyball.declare.model import Model, Outcome
from flyball.declare.outcomes import PREDICTION_ID, about_outcomes, joined_by, outcome_of
from flyball.declare.rules_columns import Found
from flyball.declare.units import near

_NUMBERS = ("int", "float", "bool")


def outcome_rules(model: Model) -> Iterator[Found]:
    """Every rule on the model's outcomes and on the sentences about them."""
    names = [outcome.name for outcome in model.outcomes]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield Found(f'outcome "{name}" is declared twice', "monitors and figures go by the name", "call one otherwise")
        if metric_info(name) is not None:
            yield Found(f'outcome "{name}" has the name of a metric', "a check could mean either", "call it otherwise")
    for outcome in model.outcomes:
        yield from _joinable(model, outcome)
    yield from _sentences(model)


def _joinable(model: Model, outcome: Outcome) -> Iterator[Found]:
    data, called = outcome.source, f'outcome "{outcome.name}"'
    column = data.columns.get(outcome.column)
    if not data.time:
        yield Found(
            f'{called}: data set "{data.name}" has no time', "what comes within a span of an answer cannot be told", "declare time="
        )
    if outcome.on not in data.names:
        yield Found(f'{called}: "{outcome.on}" is not a column of "{data.name}"', "", near(outcome.on, data.columns))
    if column is None:
        yield Found(f'{called}: "{outcome.column}" is not a column of "{data.name}"', "", near(outcome.column, data.columns))
    elif outcome.how != "count" and column.type not in _NUMBERS:
        yield Found(f'{called}: "{outcome.column}" is no number', f"the {outcome.how} of it is asked for", 'count rows: how="count"')
    if not joined_by(model, outcome):
        yield Found(
            f'{called}: callers send no "{outcome.on}"',
            "no answer can be told to be the one that an outcome belongs to",
            f'join on a column of the request, on the key (Rollout(sticky="{outcome.on}")), or on the id of the prediction: on="{PREDICTION_ID}"',
        )


def _sentences(model: Model) -> Iterator[Found]:
    lists: tuple[tuple[str, Iterable[object], str], ...] = (
        ("gates", model.gates, "it is known after a release alone"),
        ("guards", model.rollout.guards, "it is known too late to send a release back"),
        ("when", model.retrain.when if model.retrain else (), "that it falls is no evidence that a training would help"),
    )
    for place, checks, why in lists:
        for check in checks:
            if about_outcomes(model, check):
                yield Found(f'{place} "{check}": an outcome is watched by monitors', why, "make it a monitor")
    for check in model.monitors:
        if isinstance(check, AnyOf) and about_outcomes(model, check):
            yield Found(
                f'monitors "{check}": an outcome is no alternative', "it is counted apart, days later", "make it a check of its own"
            )
        elif isinstance(check, Check) and outcome_of(model, check) is not None:
            yield from _monitor(model, check)


def _monitor(model: Model, check: Check) -> Iterator[Found]:
    sentence = f'monitors "{check}"'
    if isinstance(check.bound, Reference):
        yield Found(f"{sentence}: {check.bound.of} has no outcome", "no hold-out has one", "compare with a number")
    if check.metric.of_gap:
        yield Found(f"{sentence}: gaps of outcomes are not measured", "", f'look at each group: .by("{check.metric.of_gap}")')
    for name in check.metric.slices:
        if name in model.slice_names and name not in live_slices(model):
            yield Found(f'{sentence}: "{name}" is not made of columns of the request', "answers are not counted by it", "leave .by out")
