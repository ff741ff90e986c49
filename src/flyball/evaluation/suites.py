"""Suites: sets of cases of their own that a version must do well on. Absent, too few, without labels or learned by heart is insufficient, never a pass. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import polars as pl

from flyball.declare.metrics import metric_info
from flyball.declare.model import Suite
from flyball.errors import BadInput
from flyball.evaluation.answers import Label, answers
from flyball.evaluation.comparison import lacking, number, shown, too_little
from flyball.evaluation.metrics import estimate
from flyball.evaluation.overlap import share
from flyball.records.estimates import Estimate, Outcome, Verdict


class Unanswered(str):
    """Why cases that are there, `rows` of them, have no answers."""

    __slots__ = ("rows",)
    rows: int

    def __new__(cls, why: str, rows: int) -> Unanswered:
        """`why` is the text itself."""
        made = super().__new__(cls, why)
        made.rows = rows
        return made


Asked = Mapping[str, pl.DataFrame | str]
"""Suite → the candidate's answers to its cases (`__time`, y, value, score, `__group` and SEEN), or why there are none."""

SEEN = "__seen"
"""The column that says of a case whether the candidate has learned from the very same row, label included. Answers from before it was kept have none."""

_MOST = 0.5
"""The share of such cases from which on a suite says nothing of new ones."""

LEARNED = "are in training too"

NOT_ASKED = "its cases were not asked"
NO_SUITES: Asked = {}


def check_of(case: Suite) -> str:
    """A suite as the check that it is: `suite german: accuracy ≥ 0.9`."""
    return f"suite {case.name}: {case.metric} ≥ {case.at_least:g}"


def judge_suites(
    suites: Sequence[Suite],
    asked: Asked,
    task: str,
    *,
    classes: Sequence[Label] = (),
    group: str = "",
    costs: Mapping[str, float] | None = None,
    copied: Estimate | None = None,
) -> tuple[Verdict, ...]:
    """One verdict a suite, in order. `group`: the column of the entity that cases share, where a frame has it; `copied`: the share of the hold-out's
    rows that are in training too, which is what rows of this kind have in common by themselves.
    """
    given = {case.name: asked.get(case.name, NOT_ASKED) for case in suites}
    verdicts = (_judge(case, given[case.name], task, classes, group=group, costs=costs) for case in suites)
    return tuple(_with_learned(verdict, given[case.name], copied) for case, verdict in zip(suites, verdicts, strict=True))


def of_learned(verdict: Verdict) -> bool:
    """Whether a suite is open because the candidate has learned from its cases."""
    return verdict.outcome is Outcome.INSUFFICIENT and verdict.check.startswith("suite ") and LEARNED in verdict.why


def _with_learned(verdict: Verdict, given: pl.DataFrame | str, copied: Estimate | None) -> Verdict:
    """A verdict with how many of its cases the candidate has learned from. Where most are such, more than of the rows that judged it, it passes nobody:
    what was learned by heart says nothing of new cases.
    """
    if isinstance(given, str) or SEEN not in given.columns:
        return verdict
    count, n = int(given[SEEN].sum()), given.height
    if not count:
        return verdict
    found = share(count, n, "")
    usual = copied.high if copied is not None and copied.high is not None else 0.0
    most = count / n > _MOST and found.low is not None and found.low > usual
    told = f"{verdict.why}; {count:,} of its {n:,} rows {LEARNED} ({count / n:.1%})"
    if not most or verdict.outcome is not Outcome.PASS:
        return msgspec.structs.replace(verdict, why=told)
    return msgspec.structs.replace(
        verdict, outcome=Outcome.INSUFFICIENT, why=f"{told}: what was learned by heart says nothing of new cases"
    )


def _judge(
    case: Suite, given: pl.DataFrame | str, task: str, classes: Sequence[Label], *, group: str, costs: Mapping[str, float] | None
) -> Verdict:
    check = check_of(case)
    if isinstance(given, str):
        asked = Estimate(value=None, n=given.rows, why=given) if isinstance(given, Unanswered) else None
        return Verdict(check=check, outcome=Outcome.INSUFFICIENT, estimate=asked, why=given)
    info = metric_info(case.metric)
    if info is None or task not in info.tasks or info.source not in ("quality", "prediction"):
        return Verdict(check=check, outcome=Outcome.INSUFFICIENT, why=f"{case.metric} is not measured of cases")
    try:
        found = answers(task, given, classes=classes, group=group if group in given.columns else "", costs=costs)
    except BadInput as error:
        return Verdict(check=check, outcome=Outcome.INSUFFICIENT, why=str(error))
    if not found.n:
        return Verdict(check=check, outcome=Outcome.INSUFFICIENT, why="it has no cases with a label")
    value = estimate(case.metric, found)
    lack = too_little(case.metric, found)
    if value.value is None or lack:
        return Verdict(
            check=check,
            outcome=Outcome.INSUFFICIENT,
            estimate=value,
            why=lacking(shown(value), lack) if value.value is not None else lack or value.why,
        )
    outcome = Outcome.PASS if value.value >= case.at_least else Outcome.FAIL
    return Verdict(check=check, outcome=outcome, estimate=value, why=f"{shown(value)}, at least {number(case.at_least)}")
