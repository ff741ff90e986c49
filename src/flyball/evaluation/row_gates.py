"""Gates on the rows of a hold-out: whole, in slices, as a gap between groups, against a number or a paired version. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from flyball.declare.checks import Check, Reference
from flyball.errors import BadInput
from flyball.evaluation import comparison
from flyball.evaluation.answers import Answers, Rows
from flyball.evaluation.comparison import Compared, too_little
from flyball.evaluation.fairness import split
from flyball.evaluation.gaps import gap
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.metrics import estimate
from flyball.evaluation.values import MOST_VALUES
from flyball.evaluation.verdicts import against_number, insufficient, no_champion, shortened
from flyball.records.estimates import Outcome, Verdict
from flyball.stats.multiplicity import holm


def _whole(check: Check, new: Answers, other: Answers | None, slice_: str, look: int) -> Verdict:
    """One check on one set of rows."""
    name, where, alpha = check.metric.name, _where(slice_), comparison.alpha_of(look)
    lack = too_little(name, new)
    if not isinstance(check.bound, Reference):
        found = estimate(name, new)
        outcome, why = against_number(check, check.bound, found, estimate(name, new, 1 - 2 * alpha), lack)
        return Verdict(check=str(check), outcome=outcome, slice=slice_, estimate=found, why=where + why)
    if other is None:
        return insufficient(check, f"{where}the hold-out has no answers of the {check.bound.of}", slice_)
    mine, theirs = estimate(name, new), estimate(name, other)
    if not lack and (theirs_lack := too_little(name, other)):
        lack = f"{check.bound.of}: {theirs_lack}"
    if mine.value is None or theirs.value is None or lack:
        why = (
            comparison.lacking(comparison.shown(mine), lack)
            if lack and mine.value is not None
            else lack or mine.why or f"{check.bound.of}: {theirs.why}"
        )
        return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, slice=slice_, estimate=mine, reference=theirs, why=where + why)
    found_difference = comparison.compare(name, new, other, check.bound, check.op, alpha)
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


def _gap(check: Check, holdout: Holdout, new: Answers) -> tuple[Verdict, ...]:
    """The gap between the groups of a column: of all rows, or in each value of the slices that the check names."""
    column, bound = check.metric.of_gap, check.bound
    if isinstance(bound, Reference):
        return (insufficient(check, "a gap is compared with a number"),)
    if column not in holdout.frame.columns:
        return (insufficient(check, f'the hold-out has no column "{column}"'),)
    try:
        groups = split(holdout.column(column), holdout.expected(column))
    except BadInput as error:
        return (insufficient(check, f"{error.what}: {error.why}"),)

    def within(rows: Rows, slice_: str) -> Verdict:
        return _between(
            check, bound, [(name, new.take(np.intersect1d(of, rows, assume_unique=True))) for name, of in groups], slice_, holdout.look
        )

    if not check.metric.slices:
        return (within(np.arange(new.n), ""),)
    return tuple(verdict for name in check.metric.slices for verdict in _by_slice(check, holdout, name, within))


def _between(check: Check, bound: float, parts: Sequence[tuple[str, Answers]], slice_: str, look: int) -> Verdict:
    """The gap between groups. One that is too small keeps the gap from passing, not from failing: with more of its rows the gap can only be wider."""
    found = gap(check.metric.name, parts, comparison.alpha_of(look))
    low, lacking = found.one_sided.low, shortened(found.lacking)
    beyond = bool(lacking) and check.op in ("<=", "<") and low is not None and not comparison.holds(check.op, low, bound)
    figure = msgspec.structs.replace(found.estimate, why=shortened(found.estimate.why))
    outcome, why = against_number(check, bound, figure, found.one_sided, "" if beyond else lacking)
    why = f"{found.between}: {why}" if found.between else why
    why = f"{why}, whatever the groups that are too small ({lacking})" if beyond else why
    return Verdict(check=str(check), outcome=outcome, slice=slice_, estimate=figure, why=_where(slice_) + why)


def _where(slice_: str) -> str:
    return f"{slice_.replace('=', ' ')}: " if slice_ else ""


def _by_slice(check: Check, holdout: Holdout, column: str, of: Callable[[Rows, str], Verdict]) -> list[Verdict]:
    if column not in holdout.frame.columns:
        return [insufficient(check, f'the hold-out has no slice "{column}"', column)]
    values = holdout.values(column)
    if len(values) > MOST_VALUES:
        return [insufficient(check, f"{column} has {len(values)} values; a slice is a column of at most {MOST_VALUES}", column)]
    if not holdout.column(column).len():
        return [insufficient(check, "n=0: the hold-out has no labelled rows", column)]
    return [of(rows, f"{column}={value}") if rows.size else _absent(check, f"{column}={value}") for value, rows in values]


def _absent(check: Check, slice_: str) -> Verdict:
    """A value that should be judged and has no rows: it is declared, or the champion has seen all of them."""
    return insufficient(check, f"{_where(slice_)}n=0: none of the rows that judge has this value", slice_)


def on_rows(check: Check, holdout: Holdout, required: set[str]) -> tuple[Verdict, ...]:
    """The verdicts of a check of a metric of rows: one for the whole, or one for each value of its slices.

    `required`: the slices that gates name; the others are watched against a clear loss where the check compares with the champion, and each verdict
    then says which of its fits was compared.
    """
    found, fits = tuple(_looked(check, one, holdout.look) for one in _on_rows(check, holdout, required)), holdout.paired.fits
    if not fits or not isinstance(check.bound, Reference) or check.bound.of != "champion":
        return found
    return tuple(msgspec.structs.replace(one, why=f"{one.why}; {fits}") if one.reference is not None else one for one in found)


def _looked(check: Check, verdict: Verdict, look: int) -> Verdict:
    """A verdict that rests on a test says at which level, where it is not the first on this version's evidence."""
    if look == 1 or verdict.estimate is None or not (isinstance(check.bound, Reference) or check.metric.bound):
        return verdict
    return msgspec.structs.replace(verdict, why=f"{verdict.why}; looked at again, so at α = {comparison.alpha_of(look):g}")


def _on_rows(check: Check, holdout: Holdout, required: set[str]) -> tuple[Verdict, ...]:
    reference = check.bound.of if isinstance(check.bound, Reference) else ""
    if reference == "champion" and not check.metric.of_gap:
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
        return _gap(check, holdout, new)
    if reference == "baseline" and new.constant and not too_little(check.metric.name, new):
        found = estimate(check.metric.name, new)
        why = "every row got one and the same answer: a constant is a baseline itself, and shows nothing that was learned"
        return (Verdict(check=str(check), outcome=Outcome.FAIL, estimate=found, why=f"{comparison.shown(found)}: {why}"),)
    other = {"champion": holdout.champion, "baseline": holdout.baseline}.get(reference)
    if not check.metric.slices:
        whole = _whole(check, new, other, "", holdout.look)
        if reference != "champion" or other is None:
            return (whole,)
        failing, note = _watched_slices(check, holdout, required, new, other)
        return (msgspec.structs.replace(whole, why=whole.why + note), *failing)

    def within(rows: Rows, slice_: str) -> Verdict:
        return _whole(check, new.take(rows), other.take(rows) if other else None, slice_, holdout.look)

    return tuple(verdict for column in check.metric.slices for verdict in _by_slice(check, holdout, column, within))
