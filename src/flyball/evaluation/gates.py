"""Gates: does a candidate hold what its declaration asks, on rows that neither it nor the champion has seen?

A number is compared with the estimate; `.lower` and `.upper` compare its one-sided 95% bound: pass when the bound clears the number, fail
when even the estimate misses it, else insufficient. A reference is a paired test on the same rows at the stated margin, α = .05:
pass when it is shown, fail when the observed difference lies beyond the margin, else insufficient. Too few rows are insufficient, always.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import polars as pl

from flyball.data.forms import first_for
from flyball.declare.checks import AnyOf, Approval, Check, Drift, Reference, Sentence
from flyball.declare.functions import Code, Function
from flyball.declare.metrics import metric_info
from flyball.declare.model import Gate
from flyball.evaluation import comparison
from flyball.evaluation.answers import Answers, Label, Rows, answers
from flyball.evaluation.comparison import Compared, number, shown, too_little
from flyball.evaluation.gaps import gap
from flyball.evaluation.metrics import estimate
from flyball.evaluation.persons import NONE_GIVEN, Approved, approved
from flyball.records.estimates import Asked, Estimate, Outcome, Verdict
from flyball.stats.multiplicity import holm

MOST_VALUES = 200
"""A slice is a column of few values; beyond this it is not one."""


@dataclass(frozen=True)
class Holdout:
    """Rows to judge on: columns y, value, score, base_value, base_score, champion_value, champion_score and the slice columns.

    Without `champion_value` there is no champion. `slices`: declared slices, all of them watched against a clear loss. `classes`: ascending, the
    last positive. `group`: column of the entity that rows share, or empty.
    """

    frame: pl.DataFrame
    task: str
    slices: tuple[str, ...] = ()
    classes: tuple[Label, ...] = ()
    group: str = ""

    def _answers(self, prefix: str) -> Answers | None:
        if f"{prefix}value" not in self.frame.columns:
            return None
        return answers(self.task, self.frame, value=f"{prefix}value", score=f"{prefix}score", classes=self.classes, group=self.group)

    @cached_property
    def new(self) -> Answers | None:
        """The candidate's answers."""
        return self._answers("")

    @cached_property
    def champion(self) -> Answers | None:
        """The champion's answers to the same rows, if there is one."""
        return self._answers("champion_")

    @cached_property
    def baseline(self) -> Answers | None:
        """The baseline's answers to the same rows."""
        return self._answers("base_")

    def values(self, column: str) -> list[tuple[str, Rows]]:
        """Each value of a slice column as text, with the numbers of its rows, in order; nulls are a value of their own."""
        labelled = self.frame.filter(pl.col("y").is_not_null()).select(pl.col(column)).with_row_index("__row")
        parts = labelled.group_by(column).agg("__row").sort(column, nulls_last=True)
        return [
            (_text(value), np.asarray(rows.to_numpy(), dtype=np.int64)) for value, rows in zip(parts[column], parts["__row"], strict=True)
        ]


def _text(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _insufficient(check: Sentence, why: str, slice_: str = "") -> Verdict:
    return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, slice=slice_, why=why)


def _against_number(check: Check, bound: float, found: Estimate, one_sided: Estimate, lack: str) -> tuple[Outcome, str]:
    """The outcome of a comparison with a number. `one_sided`: the estimate with one-sided bounds as its ends."""
    unit = f" {check.unit}" if check.unit else ""
    why = shown(found, unit)
    if found.value is None:
        return Outcome.INSUFFICIENT, found.why
    if lack:
        return Outcome.INSUFFICIENT, f"{why}: {lack}"
    if not check.metric.bound:
        return (Outcome.PASS if comparison.holds(check.op, found.value, bound) else Outcome.FAIL), why
    end = one_sided.low if check.metric.bound == "lower" else one_sided.high
    if end is None:
        return Outcome.INSUFFICIENT, f"{why}: its {check.metric.bound} bound is not defined"
    why = f"{why}, {check.metric.bound} bound {number(end)}{unit}"
    if comparison.holds(check.op, end, bound):
        return Outcome.PASS, why
    return (Outcome.INSUFFICIENT if comparison.holds(check.op, found.value, bound) else Outcome.FAIL), why


def _whole(check: Check, new: Answers, other: Answers | None, slice_: str) -> Verdict:
    """One check on one set of rows."""
    name, where = check.metric.name, f"{slice_.replace('=', ' ')}: " if slice_ else ""
    lack = too_little(name, new)
    if not isinstance(check.bound, Reference):
        found = estimate(name, new)
        outcome, why = _against_number(check, check.bound, found, estimate(name, new, 0.90), lack)
        return Verdict(check=str(check), outcome=outcome, slice=slice_, estimate=found, why=where + why)
    if other is None:
        return _insufficient(check, f"{where}the hold-out has no answers of the {check.bound.of}", slice_)
    mine, theirs = estimate(name, new), estimate(name, other)
    if mine.value is None or theirs.value is None or lack:
        why = lack or mine.why or f"{check.bound.of}: {theirs.why}"
        return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, slice=slice_, estimate=mine, reference=theirs, why=where + why)
    found_difference = comparison.compare(name, new, other, check.bound, check.op)
    why = where + comparison.explain(mine, theirs, check.bound, found_difference)
    return Verdict(check=str(check), outcome=_outcome(found_difference), slice=slice_, estimate=mine, reference=theirs, why=why)


def _outcome(found: Compared) -> Outcome:
    if found.advantage <= 0:
        return Outcome.FAIL
    return Outcome.PASS if found.shown else Outcome.INSUFFICIENT


def _watched_slices(check: Check, holdout: Holdout, required: set[str], new: Answers, champion: Answers) -> tuple[list[Verdict], str]:
    """Slices that no gate requires: one fails only when worse than twice the margin, with Holm's correction over all of them.

    Also says how many were too small to watch: they stop nothing, and are not passed over in silence.
    """
    reference = check.bound
    if not isinstance(reference, Reference):
        return [], ""
    slack, small = comparison.doubled(reference, check.op), 0
    tested: list[tuple[str, Answers, Answers, Compared]] = []
    for column in holdout.slices:
        if column in required or column not in holdout.frame.columns or holdout.frame[column].n_unique() > MOST_VALUES:
            continue
        for value, rows in holdout.values(column):
            mine, theirs = new.take(rows), champion.take(rows)
            if too_little(check.metric.name, mine) or too_little(check.metric.name, theirs):
                small += 1
                continue
            tested.append((f"{column}={value}", mine, theirs, comparison.compare(check.metric.name, mine, theirs, slack, check.op)))
    adjusted = holm([found.p_worse for *_, found in tested])
    failing = [
        Verdict(
            check=str(check),
            outcome=Outcome.FAIL,
            slice=name,
            estimate=(own := estimate(check.metric.name, mine)),
            reference=(other := estimate(check.metric.name, theirs)),
            why=f"{name.replace('=', ' ')}: {comparison.explain(own, other, slack, found)}, p={p:.2g} (Holm): worse than twice the margin",
        )
        for (name, mine, theirs, found), p in zip(tested, adjusted, strict=True)
        if p < 0.05
    ]
    return failing, f"; {small} of {small + len(tested)} slices too small to watch" if small else ""


def _given(check: Check, found: Estimate) -> Verdict:
    """A check of a number that was measured elsewhere, such as a latency."""
    if isinstance(check.bound, Reference):
        return _insufficient(check, f"{check.metric.name} was not measured on both versions")
    outcome, why = _against_number(check, check.bound, found, found, "")
    return Verdict(check=str(check), outcome=outcome, estimate=found, why=why)


def _gap(check: Check, holdout: Holdout, new: Answers) -> Verdict:
    if isinstance(check.bound, Reference):
        return _insufficient(check, "a gap is compared with a number")
    if check.metric.of_gap not in holdout.frame.columns:
        return _insufficient(check, f'the hold-out has no column "{check.metric.of_gap}"')
    parts = [(value, new.take(rows)) for value, rows in holdout.values(check.metric.of_gap)]
    found, one_sided, lack = gap(check.metric.name, parts)
    outcome, why = _against_number(check, check.bound, found, one_sided, lack)
    return Verdict(check=str(check), outcome=outcome, estimate=found, why=why)


def _check(check: Check, holdout: Holdout, extra: Mapping[str, Estimate], required: set[str]) -> tuple[Verdict, ...]:
    name = check.metric.name
    if name in extra:
        return (_given(check, extra[name]),)
    info = metric_info(name)
    if info is None or holdout.task not in info.tasks or info.source == "traffic":
        return (_insufficient(check, f"{name} was not measured on the hold-out"),)
    reference = check.bound.of if isinstance(check.bound, Reference) else ""
    if reference == "champion" and holdout.champion is None:
        return (Verdict(check=str(check), outcome=Outcome.PASS, why="no champion yet: there is nothing to compare with"),)
    if reference == "at_release":
        return (_insufficient(check, "at_release is a monitor's reference; a gate compares with champion or baseline"),)
    new = holdout.new
    if new is None:
        return (_insufficient(check, "the hold-out has no answers of the candidate"),)
    if check.metric.of_gap:
        return (_gap(check, holdout, new),)
    other = {"champion": holdout.champion, "baseline": holdout.baseline}.get(reference)
    if not check.metric.slices:
        whole = _whole(check, new, other, "")
        if reference != "champion" or other is None:
            return (whole,)
        failing, note = _watched_slices(check, holdout, required, new, other)
        return (msgspec.structs.replace(whole, why=whole.why + note), *failing)
    return tuple(verdict for column in check.metric.slices for verdict in _by_slice(check, holdout, column, new, other))


def _by_slice(check: Check, holdout: Holdout, column: str, new: Answers, other: Answers | None) -> list[Verdict]:
    if column not in holdout.frame.columns:
        return [_insufficient(check, f'the hold-out has no slice "{column}"', column)]
    values = holdout.values(column)
    if len(values) > MOST_VALUES:
        return [_insufficient(check, f"{column} has {len(values)} values; a slice is a column of at most {MOST_VALUES}", column)]
    if not values:
        return [_insufficient(check, "n=0: the hold-out has no labelled rows", column)]
    return [_whole(check, new.take(rows), other.take(rows) if other else None, f"{column}={value}") for value, rows in values]


def _approval(gate: Approval, approvals: Sequence[Approved]) -> Verdict:
    asked = Verdict(check=str(gate), outcome=Outcome.INSUFFICIENT, why=NONE_GIVEN, asks=(Asked(role=gate.role, count=gate.count),))
    return approved((asked,), approvals)[0]


def _any_of(gate: AnyOf, parts: Sequence[tuple[Verdict, ...]]) -> Verdict:
    outcomes = [combine(part) for part in parts]
    outcome = next(each for each in (Outcome.PASS, Outcome.INSUFFICIENT, Outcome.FAIL) if each in outcomes)
    best = parts[outcomes.index(outcome)]
    why = "; or ".join(f"{check}: {found} ({_why(part)})" for check, found, part in zip(gate.checks, outcomes, parts, strict=True))
    asks = tuple(dict.fromkeys(asked for part in parts for verdict in part for asked in verdict.asks))
    return Verdict(check=str(gate), outcome=outcome, estimate=best[0].estimate, reference=best[0].reference, why=why, asks=asks)


def _why(verdicts: Sequence[Verdict]) -> str:
    worst = combine(verdicts)
    return next((verdict.why for verdict in verdicts if verdict.outcome == worst), "")


def _by_function(gate: Code, holdout: Holdout) -> Verdict:
    """A gate of the user's own: takes the evidence frame in the form that it names, answers True, False, or None for "not enough data"."""
    if isinstance(gate, Function):
        return Verdict(check=gate.name, outcome=Outcome.INSUFFICIENT, why="a function is judged by the run, where its code is loaded")
    name = str(getattr(gate, "__name__", gate))
    try:
        answer = gate(first_for(gate)(holdout.frame))
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything, and one gate must not end the run
        return Verdict(check=name, outcome=Outcome.INSUFFICIENT, why=f"it raised {type(error).__name__}: {error}")
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
    extra: Mapping[str, Estimate] | None = None,
) -> tuple[Verdict, ...]:
    """The verdicts of all gates, in order: one for each gate, one for each value of a slice that a gate names (`slice` is `column=value`).

    A gate against the champion also gives a failing verdict for each slice in `holdout.slices` that is clearly worse though no gate names it. A
    gate against a champion passes where there is none. `approvals`: the yes of persons other than the author (the caller leaves the author's out).
    `extra`: metrics measured elsewhere, by name (latencies in ms). A function as a gate takes `holdout.frame`. Raises BadInput when the hold-out lacks y or has text for a numeric task.
    """
    given = extra or {}
    required = {column for gate in gates if isinstance(gate, Check) for column in gate.metric.slices}

    def verdicts(gate: Gate | Drift) -> tuple[Verdict, ...]:
        if isinstance(gate, Check):
            return _check(gate, holdout, given, required)
        if isinstance(gate, Approval):
            return (_approval(gate, approvals),)
        if isinstance(gate, AnyOf):
            return (_any_of(gate, [verdicts(part) for part in gate.checks]),)
        if isinstance(gate, Drift):
            return (_insufficient(gate, "drift is a monitor, not a gate: a hold-out has no traffic"),)
        return (_by_function(gate, holdout),)

    return tuple(verdict for gate in gates for verdict in verdicts(gate))


def combine(verdicts: Sequence[Verdict]) -> Outcome:
    """One outcome of many verdicts: any fail fails, else any insufficient is insufficient, else pass; a waived one counts as a pass."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return next((outcome for outcome in (Outcome.FAIL, Outcome.INSUFFICIENT) if counts[outcome]), Outcome.PASS)
