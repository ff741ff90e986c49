"""Gates: does a candidate hold what its declaration asks, on rows that neither it nor the champion has seen?

A number is compared with the estimate; `.lower` and `.upper` compare its one-sided 95% bound: pass when the bound clears the number, fail
when even the estimate misses it, else insufficient. A reference is a paired test on the same rows at the stated margin, α = .05:
pass when it is shown, fail when the observed difference lies beyond the margin, else insufficient. Too few rows are insufficient, always.
Numbers that a run measured beside its hold-out have rules of their own: run_gates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from flyball.data.forms import first_for
from flyball.declare.checks import AnyOf, Approval, Check, Drift, Reference
from flyball.declare.functions import Code, Function
from flyball.declare.metrics import CARD_BLANKS, MEASURED, metric_info
from flyball.declare.model import Gate
from flyball.errors import Stopped
from flyball.evaluation.holdout import Holdout, Measured
from flyball.evaluation.persons import NONE_GIVEN, Approved, approved, blank_text
from flyball.evaluation.row_gates import on_rows
from flyball.evaluation.run_gates import on_run
from flyball.evaluation.verdicts import NO_CHAMPION, combine, insufficient, why_of
from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.versions import BLANKS

NOTHING = Measured()


def _check(check: Check, holdout: Holdout, measured: Measured, required: set[str]) -> tuple[Verdict, ...]:
    name = check.metric.name
    if name == CARD_BLANKS:
        return (_on_card(check),)
    if name in MEASURED:
        return (on_run(check, measured, champion=holdout.champion is not None),)
    info = metric_info(name)
    if info is None or holdout.task not in info.tasks or info.source == "traffic":
        return (insufficient(check, f"{name} was not measured on the hold-out"),)
    return on_rows(check, holdout, required)


def _on_card(check: Check) -> Verdict:
    """A card is written after its run: until then the gate is open, as one is that asks for a person's yes."""
    if isinstance(check.bound, Reference) or check.op not in ("<=", "<"):
        return insufficient(check, "blanks of a card are held to a number")
    allowed = math.floor(check.bound) if check.op == "<=" else math.ceil(check.bound) - 1
    return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, why=blank_text(BLANKS), blanks=allowed)


def _approval(gate: Approval, approvals: Sequence[Approved]) -> Verdict:
    asked = Verdict(check=str(gate), outcome=Outcome.INSUFFICIENT, why=NONE_GIVEN, asks=(Asked(role=gate.role, count=gate.count),))
    return approved((asked,), approvals)[0]


def _any_of(gate: AnyOf, parts: Sequence[tuple[Verdict, ...]]) -> Verdict:
    open_ = [all(verdict.why == NO_CHAMPION for verdict in part) for part in parts]
    # a comparison that nobody can make yet decides nothing where another alternative is judged
    judged = [part for part, one in zip(parts, open_, strict=True) if not one] or parts
    outcomes = [combine(part) for part in judged]
    outcome = next(each for each in (Outcome.PASS, Outcome.INSUFFICIENT, Outcome.FAIL) if each in outcomes)
    best = judged[outcomes.index(outcome)]
    told = ["not judged" if one and not all(open_) else str(combine(part)) for part, one in zip(parts, open_, strict=True)]
    why = "; or ".join(f"{check}: {found} ({why_of(part)})" for check, found, part in zip(gate.checks, told, parts, strict=True))
    asks = tuple(dict.fromkeys(asked for part in parts for verdict in part for asked in verdict.asks))
    blanks = max((verdict.blanks for part in parts for verdict in part if verdict.blanks is not None), default=None)
    return Verdict(
        check=str(gate), outcome=outcome, estimate=best[0].estimate, reference=best[0].reference, why=why, asks=asks, blanks=blanks
    )


def _by_function(gate: Code, holdout: Holdout) -> Verdict:
    """A gate of the user's own: takes the evidence frame in the form that it names, answers True, False, or None for "not enough data"."""
    if isinstance(gate, Function):
        return Verdict(check=gate.name, outcome=Outcome.INSUFFICIENT, why="a function is judged by the run, where its code is loaded")
    name = str(getattr(gate, "__name__", gate))
    try:
        answer = gate(first_for(gate)(holdout.frame))
    except (Stopped, KeyboardInterrupt):  # a person's Ctrl-C in a rehearsal
        raise
    except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, and one gate must not end the run
        told = f"called sys.exit({error})" if isinstance(error, SystemExit) else f"raised {type(error).__name__}: {error}"
        return Verdict(check=name, outcome=Outcome.INSUFFICIENT, why=f"it {told}")
    if answer is None:
        return Verdict(check=name, outcome=Outcome.INSUFFICIENT, why="it answered None: not enough data")
    if not isinstance(answer, bool | np.bool_):
        return Verdict(check=name, outcome=Outcome.INSUFFICIENT, why=f"it answered {answer!r}, not True, False or None")
    return Verdict(check=name, outcome=Outcome.PASS if answer else Outcome.FAIL, why="as its function answered")


def judge(
    gates: Sequence[Gate | Drift],
    holdout: Holdout,
    *,
    approvals: Sequence[Approved] = (),
    measured: Measured = NOTHING,
) -> tuple[Verdict, ...]:
    """The verdicts of all gates, in order: one for each gate, one for each value of a slice that a gate names (`slice` is `column=value`).

    A gate against the champion also gives a failing verdict for each slice in `holdout.slices` that is clearly worse though no gate names it. A
    gate against a champion passes where there is none; as an alternative (`a | b`) it leaves the others to decide then. `approvals`: the yes of persons other than the author (the caller leaves the author's out).
    `measured`: what the run measured beside the hold-out. A function as a gate takes `holdout.frame`. Raises BadInput when the hold-out lacks y or has text for a numeric task.
    """
    required = {column for gate in gates if isinstance(gate, Check) for column in gate.metric.slices}

    def verdicts(gate: Gate | Drift) -> tuple[Verdict, ...]:
        if isinstance(gate, Check):
            return _check(gate, holdout, measured, required)
        if isinstance(gate, Approval):
            return (_approval(gate, approvals),)
        if isinstance(gate, AnyOf):
            return (_any_of(gate, [verdicts(part) for part in gate.checks]),)
        if isinstance(gate, Drift):
            return (insufficient(gate, "drift is a monitor, not a gate: a hold-out has no traffic"),)
        return (_by_function(gate, holdout),)

    return tuple(verdict for gate in gates for verdict in verdicts(gate))
