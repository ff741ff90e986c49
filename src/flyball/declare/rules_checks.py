"""Rules on sentences: gates, guards, monitors, triggers. Known metrics, in their unit, against references that exist there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from flyball.declare.checks import AnyOf, Approval, Check, Drift, Reference, at_release
from flyball.declare.costs import say_costs
from flyball.declare.live import paired_gates
from flyball.declare.metrics import CARD_BLANKS, METRICS, at_k, metric_info, metric_names
from flyball.declare.model import Model
from flyball.declare.rules_columns import Found, feature_names, inputs, transform_names
from flyball.declare.units import near
from flyball.records.identity import Job, Role

PLANNED_METRICS = ("feature_age_p99",)
"""Metrics of the public vocabulary that nothing computes yet."""

_REFERENCES = {
    "gates": ("champion", "baseline"),
    "guards": ("champion",),
    "monitors": ("at_release",),
    "when": ("at_release",),
}


def check_rules(model: Model) -> Iterator[Found]:
    """Every rule on the model's sentences."""
    for place, at, check in sentences(model):
        yield from (found._replace(at=at) for found in _sentence(model, place, check))
    yield from _rollout(model)
    yield from _retrain(model)


class Sentence(NamedTuple):
    """A check, the list it stands in (gates, guards, monitors, when), and the JSON pointer to it."""

    place: str
    at: str
    check: Check | Approval | Drift


def sentences(model: Model) -> Iterator[Sentence]:
    """Every check of a model; alternatives one by one."""
    lists: tuple[tuple[str, str, Iterable[Any]], ...] = (
        ("gates", "/gates", model.gates),
        ("guards", "/rollout/guards", model.rollout.guards),
        ("monitors", "/monitors", model.monitors),
        ("when", "/retrain/when", model.retrain.when if model.retrain else ()),
    )
    for place, at, checks in lists:
        for index, check in enumerate(checks):
            if isinstance(check, AnyOf):
                yield from (Sentence(place, f"{at}/{index}", part) for part in check.checks)
            elif isinstance(check, Check | Approval | Drift):
                yield Sentence(place, f"{at}/{index}", check)


def _sentence(model: Model, place: str, check: Check | Approval | Drift) -> Iterator[Found]:
    if isinstance(check, Check):
        yield from _metric(model, place, check)
        yield from _bound(place, check)
        yield from _currency(model, place, check)
    elif isinstance(check, Drift):
        yield from _drift(model, place, check)
    elif misspelt(check.role):
        why = "it is no role and no job, so nobody could ever say this yes"
        yield Found(f'{place} "{check}": nobody is a {check.role}', why, near(check.role, [*Job, *Role]))


def misspelt(role: str) -> bool:
    """Whether a role that nobody can have is a slip of the pen: a role or a job is called nearly so. What is like none is somebody's own word."""
    return role not in (*Role, *Job) and bool(difflib.get_close_matches(role.lower(), [*Role, *Job], n=1, cutoff=0.8))


def _metric(model: Model, place: str, check: Check) -> Iterator[Found]:
    name = check.metric.name
    info = metric_info(name)
    sentence = f'{place} "{check}"'
    known = [*metric_names(model.task), *(key for key, value in METRICS.items() if value.source == "traffic")]
    known += [outcome.name for outcome in model.outcomes]
    known += [key for key, value in METRICS.items() if value.source == "run"] if place == "gates" else []
    if info is None and name not in PLANNED_METRICS and name not in known:
        yield Found(f'{sentence}: "{name}" is not a metric', "", near(name, known))
    elif info is not None and model.task not in info.tasks:
        own = [key for key in metric_names(model.task) if (one := metric_info(key)) and one.source == "quality" and key != "cost_per_1000"]
        yield Found(f"{sentence}: {name} says nothing of a {model.task} model", f"it is {info.meaning}", near(name, own or known))
    elif info is not None and info.source == "run":
        yield from _of_run(place, check, sentence)
    elif name == "cost_per_1000" and not model.costs:
        yield Found(
            f"{sentence}: no costs are declared",
            "",
            say_costs(model.task),
        )
    elif name == "equalised_odds" and not check.metric.of_gap:
        yield Found(
            f"{sentence}: equalised_odds is a gap between groups",
            "",
            'name the groups: fb.metric("equalised_odds").gap("sex").upper <= 0.1',
        )
    elif place == "guards" and at_k(name) is not None:
        why = "two versions are compared row by row, and one item says nothing of the order it stood in"
        yield Found(f"{sentence}: {name} does not compare versions live", why, 'make it a gate; a rollout may rest on it: evidence="gate"')
    elif place == "when" and at_k(name) is not None and check.bound == at_release:
        why = "no detector watches the loss of lists, so chance alone would trip it"
        yield Found(
            f"{sentence}: a bare at_release says nothing of lists", why, f'leave a margin: fb.metric("{name}") < fb.at_release - 0.02'
        )
    for part in check.metric.slices:
        if part not in model.slice_names:
            yield Found(f'{sentence}: "{part}" is not a slice', "", near(part, model.slice_names).replace("nothing", "no slice"))
    if check.metric.of_gap:
        yield from _gap(place, check, sentence)
    if check.metric.of_gap and check.metric.of_gap not in {*model.data.columns, *model.slice_names}:
        yield Found(f'{sentence}: "{check.metric.of_gap}" is not a column', "", near(check.metric.of_gap, model.data.columns))
    if isinstance(check.bound, Reference) and check.bound.of not in _REFERENCES[place]:
        allowed = " or ".join(f"fb.{of}" for of in _REFERENCES[place])
        yield Found(
            f"{sentence}: {check.bound.of} is not known there",
            {
                "gates": "a gate judges a candidate on the hold-out, beside the champion and the baseline",
                "guards": "a guard compares two versions on the same traffic",
                "monitors": "a monitor watches the champion against what it was at its release",
                "when": "a trigger watches the champion against what it was at its release",
            }[place],
            f"compare with {allowed} or a number",
        )


def _gap(place: str, check: Check, sentence: str) -> Iterator[Found]:
    """A gap is held to a number; live it is known of all rows together. What of it is not counted live is told as not built."""
    if place == "gates" and isinstance(check.bound, Reference):
        why = f"two gaps are not compared in pairs of rows: whether one is wider than that of {check.bound.of} could never be shown"
        yield Found(f"{sentence}: a gap is compared with a number", why, f"write {check.metric.name}'s gap with a number, such as <= 0.1")
    if place != "gates" and check.metric.slices:
        why = "live rows are counted by the values of one slice at a time"
        yield Found(f"{sentence}: a gap is not known within a slice there", why, "make it a gate, or leave .by out")


def _of_run(place: str, check: Check, sentence: str) -> Iterator[Found]:
    """A number that a run measures once: whole, for gates alone."""
    metric = check.metric
    if place != "gates":
        yield Found(f"{sentence}: {metric.name} is measured by a run, and not in service", "", "make it a gate")
    if metric.name == CARD_BLANKS and (check.op not in ("<=", "<") or isinstance(check.bound, Reference) or metric.bound):
        yield Found(f"{sentence}: blanks of a card are counted, and held to a number", "", f'write fb.metric("{CARD_BLANKS}") <= 0')
    if metric.slices or metric.of_gap:
        yield Found(f"{sentence}: {metric.name} is one number of a run", "it has no slices and no groups", "leave .by and .gap out")
    if isinstance(check.bound, Reference) and check.bound.of == "baseline":
        yield Found(f"{sentence}: the baseline has no {metric.name}", "it is measured of versions", "compare with fb.champion or a number")


def _bound(place: str, check: Check) -> Iterator[Found]:
    sentence = f'{place} "{check}"'
    if isinstance(check.bound, Reference):
        return
    name, info = check.metric.name, metric_info(check.metric.name)
    unit = info.unit if info is not None else "ms" if name.startswith("feature_age_") else ""
    if unit == "ms" and check.unit != "ms":
        yield Found(f"{sentence}: the bound has no unit of time", "", 'write a quantity such as "50ms"')
    elif unit == "B" and check.unit != "B":
        yield Found(f"{sentence}: the bound is no size", "", 'write a quantity such as "50MB"')
    elif unit == "money" and check.unit in ("", "ms", "B"):
        yield Found(f"{sentence}: the bound is no amount of money", "", 'write an amount and a currency, such as "0.40 EUR"')
    elif not unit and check.unit in ("ms", "B"):
        yield Found(f"{sentence}: {name} is no {'time' if check.unit == 'ms' else 'size'}", "", "write a plain number or a percentage")
    share = info is not None and info.bounded and check.metric.name != "r2"
    if share and not 0 <= check.bound <= 1 and not check.unit:
        yield Found(f"{sentence}: {check.metric.name} is between 0 and 1", "", 'write such as 0.9 or "90%"')


def _currency(model: Model, place: str, check: Check) -> Iterator[Found]:
    """What errors cost is held to an amount in the money that they are declared in: nothing is converted."""
    declared = {amount.currency for amount in model.costs.values()}
    if check.metric.name != "cost_per_1000" or isinstance(check.bound, Reference) or check.unit in ("", "ms", "B"):
        return
    if len(declared) == 1 and check.unit not in declared:
        currency = next(iter(declared))
        yield Found(
            f'{place} "{check}": the bound is in {check.unit}, and the costs are in {currency}',
            "amounts are compared as they are, and no rate of exchange is known",
            f"write the bound in {currency}",
        )


def _drift(model: Model, place: str, check: Drift) -> Iterator[Found]:
    known = {*model.data.columns, *feature_names(model), *transform_names(model)}
    for column in check.columns:
        if column not in known:
            yield Found(f'{place} "{check}": "{column}" is not a column', "", near(column, model.data.columns))
        elif column == model.label_column:
            yield Found(f'{place} "{check}": "{column}" is the label', "drift is watched in what is served", near("", inputs(model)))


def _rollout(model: Model) -> Iterator[Found]:
    rollout = model.rollout
    weights = [step.weight for step in rollout.steps if step.kind == "canary"]
    if weights != sorted(weights):
        yield Found("rollout: a canary step takes less traffic than the one before", "", "order the steps by weight")
    kinds = [step.kind for step in rollout.steps]
    if "shadow" in kinds[1:] and kinds[0] != "shadow":
        yield Found("rollout: a shadow step comes after a step with traffic", "", "put shadow first")
    if rollout.evidence == "gate" and not paired_gates(model):
        yield Found(
            'rollout: evidence="gate" without a gate on quality against the champion',
            "there is no paired evidence of quality that a release could rest on: a size or a latency is none, nor is an alternative",
            'add a gate such as fb.metric("accuracy") >= fb.champion - 0.02, or wait for labels: evidence="live"',
        )


def _retrain(model: Model) -> Iterator[Found]:
    retrain, train = model.retrain, model.train
    if retrain is None:
        return
    if train is None:
        yield Found("retrain without train", "there is nothing to train with", "declare train=fb.Train(fit)")
    elif retrain.cooldown is not None and retrain.cooldown < train.holdout_span:
        yield Found(
            f"cooldown {retrain.cooldown} is shorter than the hold-out {train.holdout}",
            "the champion would have seen the rows that its successor is judged on",
            f'write cooldown="{train.holdout}" or longer, or a shorter hold-out',
        )
    if not retrain.when and retrain.every is None and retrain.new_labels is None:
        yield Found("retrain has no trigger", "", "say when=, every= or new_labels=, or leave retrain out")
