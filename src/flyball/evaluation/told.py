"""What a run's report says of rows, times and simpler models, in a line each. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.clock import rfc3339
from flyball.evaluation.comparison import between, number, shown
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Decision, Report
from flyball.records.rows import DataFacts, Live, Periods, Simplers, Staleness


def notes(report: Report) -> tuple[str, ...]:
    """What every run says, whatever its gates ask."""
    found = [*warnings(report.data)] if report.data is not None else []
    return (*found, *as_good(report.simpler)) if report.simpler is not None else tuple(found)


RARE = 0.05
"""A class with a smaller share of the training rows than this is worth a word."""


def row_lines(report: Report) -> Iterator[tuple[str, str]]:
    """Every line, with its topic."""
    if report.data is not None:
        yield from (("data", line) for line in data_lines(report.data))
    if report.simpler is not None:
        yield from (("simpler", line) for line in simpler_lines(report.simpler))
    if report.periods is not None:
        yield "periods", periods_line(report.periods)
    if report.staleness is not None:
        yield "staleness", staleness_line(report.staleness)
    if report.live is not None:
        yield "live", live_line(report.live)
    if report.decision is not None:
        yield "decides", decision_line(report.decision)
    for place, fold in enumerate(report.folds, start=1):
        figures = ", ".join(f"{name} {number(found.value)}" for name, found in fold.metrics.items() if found.value is not None)
        yield "folds", f"{place} of {len(report.folds)}: {fold.rows:,} rows, {fold.holdout_rows:,} held out: {figures}"


def periods_line(found: Periods) -> str:
    """The objective on the hold-out and on older rows."""
    older = ", ".join(f"{number(each.value.value)} to {rfc3339(each.last)[:10]}" for each in found.older)
    return (
        f"{found.objective} {number(found.holdout.value)} on the hold-out, before the training window {older}; "
        f"{_better(found.gap)} on the newest rows"
    )


def _better(gap: Estimate) -> str:
    """By how much something is better, or worse: the word has the sign."""
    worse = gap.value is not None and gap.value < 0
    ends = [None if end is None else -end for end in (gap.high, gap.low)] if worse else [gap.low, gap.high]
    size = None if gap.value is None else abs(gap.value)
    return f"{number(size)} {between(*ends)} {'worse' if worse else 'better'}"


def staleness_line(found: Staleness) -> str:
    """The objective by age."""
    ages = ", ".join(f"{number(each.value.value)} at {each.days:.3g} d" for each in found.curve)
    return f"{found.objective} by the age of what it was fitted on: {ages}"


def live_line(found: Live) -> str:
    """How well held-out rows are told from those that are asked now."""
    by = ", ".join(f"{name} ({number(value)} by itself)" for name, value in found.columns.items())
    return f"a classifier tells the hold-out from {found.live_rows:,} {found.source} with AUC {shown(found.auc)}" + (
        f": {by}" if by else ""
    )


def decision_line(found: Decision) -> str:
    """From which score on it answers the positive class."""
    paid = ""
    if found.cost is not None and found.cost_at_half is not None:
        paid = f"; 1,000 answers cost {number(found.cost)} on {found.rows:,} validation rows, from 0.5 on {number(found.cost_at_half)}"
    return f"positive from score {number(found.at)}: {found.why}{paid}"


def simpler_lines(found: Simplers) -> Iterator[str]:
    """Each simpler model beside the candidate."""
    mine, name = found.candidate.get(found.objective), found.objective
    yield from as_good(found)
    for each in found.models:
        theirs = each.metrics.get(name)
        if mine is None or theirs is None or mine.value is None or theirs.value is None:
            continue
        yield (
            f"{each.name}: {name} {shown(theirs)}, candidate {number(mine.value)}; fitted on {each.rows:,} rows in {each.cpu_s:.2g} CPU s"
        )
    if found.dominating:
        yield f"no worse in every metric, and better in one: {', '.join(found.dominating)}"


def as_good(found: Simplers) -> Iterator[str]:
    """The plainest model that does as well as the candidate, or better, if there is one. A candidate that answers as it does is that model."""
    name = found.objective
    mine = found.candidate.get(name)
    for each in found.models:
        theirs, apart = each.metrics.get(name), each.difference
        if not each.as_good or mine is None or theirs is None or mine.value is None or theirs.value is None:
            continue
        if each.alike:
            return
        better = apart.high is not None and apart.high < 0
        ends = f" {between(apart.low, apart.high)}" if apart.low is not None else ""
        yield (
            f"a simpler model does {'better' if better else 'as well'}: {each.name}, {name} {number(theirs.value)} against {number(mine.value)} on "
            f"{found.holdout_rows:,} rows; the candidate is {'shown to be worse' if better else 'not shown to be better'} ({number(apart.value)}{ends})"
        )
        return


def data_lines(found: DataFacts) -> Iterator[str]:
    """What the rows are, and what is wrong with them."""
    yield from warnings(found)
    if found.unsearched:
        yield found.unsearched
    elif not found.leaks:
        yield f"no leak in {found.looked_at:,} rows"
    if found.classes and not _rare(found):
        yield "classes: " + ", ".join(f"{name} {mine:.1%} ({theirs:.1%} held out)" for name, (mine, theirs) in found.classes.items())


def warnings(found: DataFacts) -> Iterator[str]:
    """What a person should know before they rely on the figures: said whatever the gates ask."""
    yield from (*found.leaks, *found.silent)
    if found.duplicates is not None and found.duplicates.value:
        example = f", such as {found.example}" if found.example else ""
        yield f"duplicates: {found.duplicates.why} ({found.duplicates.value:.1%}){example}"
    if found.group_overlap is not None and found.group_overlap.value:
        yield f"group overlap: {found.group_overlap.why} ({found.group_overlap.value:.1%}): what is known of them is not what is known of new ones"
    if (rare := _rare(found)) is not None:
        yield f"imbalance: class {rare} is {found.classes[rare][0]:.1%} of the training rows"


def _rare(found: DataFacts) -> str | None:
    name = min(found.classes, key=lambda each: found.classes[each][0], default=None)
    return name if name is not None and found.classes[name][0] < RARE else None
