"""What a framing asks of the rest of a declaration: what it implies where nothing is declared, and what it contradicts.

What is declared wins. What is implied is shown by `flyball check`, stands in the verdicts, and is obeyed like what is declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from flyball.clock import Span
from flyball.declare.checks import AnyOf, Approval, Check, Reference, metric
from flyball.declare.live import SLOW
from flyball.declare.metrics import RANKED
from flyball.declare.model import Framing, Label, Model
from flyball.declare.rules_checks import sentences
from flyball.declare.rules_columns import Found, inputs
from flyball.declare.views import WindowFeature
from flyball.records.identity import Role

_LISTED = 4


class Implied(NamedTuple):
    """A sentence that nobody wrote and that holds all the same: in which list, and what of the framing asks for it."""

    place: Literal["gates", "monitors"]
    check: Check | Approval
    why: str

    def __str__(self) -> str:
        """Write `monitors latency_p99 ≤ 1h, implied by framing: answers must come within act_within 1h`."""
        return f"{self.place} {self.check}, {self.told}"

    @property
    def told(self) -> str:
        """Where it comes from, in words."""
        return f"implied by framing: {self.why}"


def implied(model: Model) -> tuple[Implied, ...]:
    """What the framing asks for and the declaration is silent about."""
    found = []
    if model.framing.risk == "high" and not _approvals(model) and model.autonomy.release != "act":
        found.append(Implied("gates", Approval(Role.APPROVER), "risk is high, so a person who is not the author approves a version"))
    act = model.framing.act_within
    if act is not None and not _watches_latency(model):
        found.append(Implied("monitors", metric(SLOW) <= act, f"answers must come within act_within {act}"))
    return tuple(found)


def in_force(model: Model) -> Model:
    """The declaration with all that it implies; the same object where it implies nothing."""
    more = implied(model)
    if not more:
        return model
    gates = (*model.gates, *(one.check for one in more if one.place == "gates"))
    monitors = (*model.monitors, *(one.check for one in more if isinstance(one.check, Check)))
    return model.replace(gates=gates, monitors=monitors)


def summary(framing: Framing) -> str:
    """A framing in one line: `buy the right amount of power; 6h ahead, to be acted on within 1h; KPI cost of imbalance; risk low`."""
    asked = [f"{framing.horizon} ahead"] if framing.horizon else []
    asked += [f"to be acted on within {framing.act_within}"] if framing.act_within is not None else []
    parts = (framing.purpose, ", ".join(asked), f"KPI {framing.kpi}" if framing.kpi else "", framing.gain, f"risk {framing.risk}")
    return "; ".join(part for part in parts if part)


def framing_rules(model: Model) -> Iterator[Found]:
    """`act_within` must leave the answer useful: no longer than from the moment of prediction to when the label is known anyway."""
    act, horizon, known = model.framing.act_within, model.framing.horizon, known_after(model)
    limit = Span(horizon + known)
    if act is not None and act > limit:
        shorter = f'; or act within {limit}: act_within="{limit}"' if limit > 0 else ""
        yield Found(
            f"act_within {act} is longer than {limit}",
            f"the answer comes {horizon} before a row's time and the label is known {known} after it: too late for a reaction that takes {act}",
            f'predict earlier: horizon="{Span(act - known)}"{shorter}',
        )


def known_after(model: Model) -> Span:
    """How long after a row's time its label is known; below zero where it is known before."""
    if isinstance(model.label, Label):
        return model.label.within
    declared = model.data.columns.get(model.label)
    return declared.known_after if declared is not None else Span(0)


def framing_doubts(model: Model) -> Iterator[Found]:
    """Where the rest of the declaration does not go with its framing."""
    yield from _leak(model)
    yield from _late_answers(model)
    yield from _old_data(model)
    if model.framing.risk == "high":
        yield from _high_risk(model)


def _leak(model: Model) -> Iterator[Found]:
    """A label that is known when the model is asked, and inputs that are known no earlier than it."""
    known = known_after(model)
    # rows without a time are of no moment: nothing says when any of it is known
    if isinstance(model.label, Label) or not model.data.time or known > -model.framing.horizon:
        return
    beside = [name for name in inputs(model) if name in model.data.columns and model.data.columns[name].known_after >= known]
    shown = ", ".join(beside[:_LISTED]) + (f" and {len(beside) - _LISTED} more" if len(beside) > _LISTED else "")
    told = f"; known no earlier than the label, so that it may be read off them: {shown}" if beside else ""
    yield Found(
        f'leak: label "{model.label_column}" is known at the moment of prediction',
        f"there is nothing to predict, and a row is judged at once, on the label known by then: one that comes later is never counted{told}",
        'say how long it takes: known_after= of the label\'s column; or predict ahead: framing=fb.Framing(…, horizon="4h")',
    )


def _approvals(model: Model) -> list[Approval]:
    parts = [part for gate in model.gates for part in (gate.checks if isinstance(gate, AnyOf) else (gate,))]
    return [part for part in parts if isinstance(part, Approval)]


def _watches_latency(model: Model) -> bool:
    named = [check.metric.name for place, _, check in sentences(model) if place == "monitors" and isinstance(check, Check)]
    named += [one.metric.metric.name if isinstance(one.metric, Check) else one.metric.name for one in model.objectives]
    return any(name.startswith("latency_") for name in named)


def _late_answers(model: Model) -> Iterator[Found]:
    act = model.framing.act_within
    if act is None:
        return
    listed = [(place, at, check) for place, at, check in sentences(model) if place != "when"]
    listed += [
        ("objectives", f"/objectives/{place}", one.metric) for place, one in enumerate(model.objectives) if isinstance(one.metric, Check)
    ]
    for place, at, check in listed:
        if not isinstance(check, Check) or isinstance(check.bound, Reference) or check.unit != "ms":
            continue
        if check.metric.name.startswith("latency_") and check.bound * 1000 > act:
            yield Found(
                f'{place} "{check}" allows answers that come later than act_within {act}',
                "an answer that comes so late cannot be acted on",
                f'write fb.metric("{check.metric.name}") <= "{act}" or less',
                at,
            )


def _old_data(model: Model) -> Iterator[Found]:
    """Windows that are empty while the data still count as fresh."""
    for view in model.features:
        fresh = view.data.freshness
        if fresh is None:
            continue
        windows = {name: item.window for name, item in view.features.items() if isinstance(item, WindowFeature)}
        short = [name for name, window in windows.items() if window.span + window.ago <= fresh]
        if short:
            reach = Span(max(windows[name].span + windows[name].ago for name in short))
            yield Found(
                f'view "{view.name}": {", ".join(short)} may be empty while data set "{view.data.name}" counts as fresh',
                f"its newest row may be {fresh} old, and they look back {reach} from the moment of prediction",
                f"look back further than {fresh}, or declare a shorter freshness",
            )
        if view.ttl is not None and view.ttl <= fresh:
            yield Found(
                f'view "{view.name}": values expire after {view.ttl} while data set "{view.data.name}" counts as fresh for {fresh}',
                "a request then gets no value, and nobody is told that the data are old",
                "lengthen ttl, or declare a shorter freshness",
            )


def _high_risk(model: Model) -> Iterator[Found]:
    """What governance asks of a model of high risk, and is missing."""
    if not _approvals(model) and model.autonomy.release == "act":
        yield Found(
            "risk is high, and versions are released without a person's approval",
            'autonomy says that releases act, which wins over what risk="high" implies',
            'add fb.approval("risk-officer") to gates, or leave release to a person: autonomy={"release": "propose"}',
        )
    protected = [name for name, column in model.data.columns.items() if column.protected]
    gaps = {check.metric.of_gap for place, _, check in sentences(model) if place == "gates" and isinstance(check, Check)}
    if not protected:
        yield Found(
            "risk is high, and no column is protected",
            "nobody can see whether groups of people are treated alike",
            "declare the columns that say so: fb.column(str, protected=True); they never reach fit",
        )
    elif unseen := [name for name in protected if name not in gaps]:
        yield Found(
            f"risk is high, and no gate looks at the gap across {', '.join(unseen)}",
            "a version that treats groups of people unequally is stopped by nothing",
            f'add such as fb.metric("{_gap_metric(model)}").gap("{unseen[0]}").upper <= 0.05 to gates',
        )


def _gap_metric(model: Model) -> str:
    return {"binary": "positive_rate", "multiclass": "accuracy", "ranking": RANKED[0]}.get(model.task, "mae")
