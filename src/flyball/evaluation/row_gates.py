"""Gates on the rows of a hold-out: whole, in slices, as a gap between groups, against a number or a paired version. Pure."""

from __future__ import annotations

import msgspec

from flyball.declare.checks import Check, Reference
from flyball.evaluation import comparison
from flyball.evaluation.answers import Answers
from flyball.evaluation.comparison import Compared, too_little
from flyball.evaluation.gaps import gap
from flyball.evaluation.holdout import MOST_VALUES, Holdout
from flyball.evaluation.metrics import estimate
from flyball.evaluation.verdicts import against_number, insufficient, no_champion
from flyball.records.estimates import Outcome, Verdict
from flyball.stats.multiplicity import holm


def _whole(check: Check, new: Answers, other: Answers | None, slice_: str) -> Verdict:
    """One check on one set of rows."""
    name, where = check.metric.name, f"{slice_.replace('=', ' ')}: " if slice_ else ""
    lack = too_little(name, new)
    if not isinstance(check.bound, Reference):
        found = estimate(name, new)
        outcome, why = against_number(check, check.bound, found, estimate(name, new, 0.90), lack)
        return Verdict(check=str(check), outcome=outcome, slice=slice_, estimate=found, why=where + why)
    if other is None:
        return insufficient(check, f"{where}the hold-out has no answers of the {check.bound.of}", slice_)
    mine, theirs = estimate(name, new), estimate(name, other)
    if mine.value is None or theirs.value is None or lack:
        why = (
            comparison.lacking(comparison.shown(mine), lack)
            if lack and mine.value is not None
            else lack or mine.why or f"{check.bound.of}: {theirs.why}"
        )
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


def _gap(check: Check, holdout: Holdout, new: Answers) -> Verdict:
    if isinstance(check.bound, Reference):
        return insufficient(check, "a gap is compared with a number")
    if check.metric.of_gap not in holdout.frame.columns:
        return insufficient(check, f'the hold-out has no column "{check.metric.of_gap}"')
    parts = [(value, new.take(rows)) for value, rows in holdout.values(check.metric.of_gap)]
    found = gap(check.metric.name, parts)
    outcome, why = against_number(check, check.bound, found.estimate, found.one_sided, found.lacking)
    return Verdict(check=str(check), outcome=outcome, estimate=found.estimate, why=f"{found.between}: {why}" if found.between else why)


def _by_slice(check: Check, holdout: Holdout, column: str, new: Answers, other: Answers | None) -> list[Verdict]:
    if column not in holdout.frame.columns:
        return [insufficient(check, f'the hold-out has no slice "{column}"', column)]
    values = holdout.values(column)
    if len(values) > MOST_VALUES:
        return [insufficient(check, f"{column} has {len(values)} values; a slice is a column of at most {MOST_VALUES}", column)]
    if not values:
        return [insufficient(check, "n=0: the hold-out has no labelled rows", column)]
    return [_whole(check, new.take(rows), other.take(rows) if other else None, f"{column}={value}") for value, rows in values]


def on_rows(check: Check, holdout: Holdout, required: set[str]) -> tuple[Verdict, ...]:
    """The verdicts of a check of a metric of rows: one for the whole, or one for each value of its slices.

    `required`: the slices that gates name; the others are watched against a clear loss where the check compares with the champion.
    """
    reference = check.bound.of if isinstance(check.bound, Reference) else ""
    if reference == "champion":
        if holdout.champion is None:
            return (no_champion(check),)
        holdout = holdout.paired
        if not holdout.frame.height:
            return (insufficient(check, "the champion has seen every row that judges: they were not held out of its own training"),)
    if reference == "at_release":
        return (insufficient(check, "at_release is a monitor's reference; a gate compares with champion or baseline"),)
    new = holdout.new
    if new is None:
        return (insufficient(check, "the hold-out has no answers of the candidate"),)
    if check.metric.of_gap:
        return (_gap(check, holdout, new),)
    if reference == "baseline" and new.constant and not too_little(check.metric.name, new):
        found = estimate(check.metric.name, new)
        why = "every row got one and the same answer: a constant is a baseline itself, and shows nothing that was learned"
        return (Verdict(check=str(check), outcome=Outcome.FAIL, estimate=found, why=f"{comparison.shown(found)}: {why}"),)
    other = {"champion": holdout.champion, "baseline": holdout.baseline}.get(reference)
    if not check.metric.slices:
        whole = _whole(check, new, other, "")
        if reference != "champion" or other is None:
            return (whole,)
        failing, note = _watched_slices(check, holdout, required, new, other)
        return (msgspec.structs.replace(whole, why=whole.why + note), *failing)
    return tuple(verdict for column in check.metric.slices for verdict in _by_slice(check, holdout, column, new, other))
