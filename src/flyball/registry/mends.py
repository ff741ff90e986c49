"""What ends the wait of a version that is held or rejected: of each kind of gate that is open or failed, what helps. One rule for every face that tells it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flyball.declare.costs import price_setting
from flyball.declare.metrics import metric_info
from flyball.evaluation.comparison import LEAST_ROWS
from flyball.evaluation.persons import of_card, of_persons, of_price
from flyball.evaluation.rows import NOT_FINITE
from flyball.evaluation.suites import of_learned
from flyball.records.estimates import Outcome, Verdict
from flyball.records.identity import Role
from flyball.records.versions import VersionRow
from flyball.registry.states import RELEASED
from flyball.registry.told import count

Whom = Callable[[Sequence[str]], str]
"""Roles and jobs → how a person is called who is one of them."""

MAY_WAIVE = (Role.APPROVER.value, Role.ADMIN.value)
"""Whose waiver of a measured gate counts."""

_SUITE = "suite "
"""How the text of a gate on cases begins."""


def anybody(names: Sequence[str]) -> str:
    """Another person, of whom only the role or job is known."""
    return f"another person, as {' or '.join(dict.fromkeys(names))},"


def mends(row: VersionRow, whom: Whom | None = None, *, grows: bool = True) -> str:
    """What there is to do about every gate of a version that failed or is open, each once; at last who may let it pass as it is.

    whom: how the person is called whose word is wanted. grows: whether newer rows judge it again, which no row does where a share of the rows is held out.
    A failed gate comes before what is open: nobody is asked to say yes to a version that failed. After a person's no only another version helps.
    """
    failed = [verdict for verdict in row.verdicts if verdict.outcome is Outcome.FAIL]
    open_ = [verdict for verdict in row.verdicts if verdict.outcome is Outcome.INSUFFICIENT]
    wanted = "; ".join(dict.fromkeys((*_of_people(row, open_, whom), *_of_cases(row, open_), *_of_runs(row, open_, grows=grows))))
    passes = _of_waivers(row, failed or open_, whom or anybody)
    if not failed:
        return f"{wanted}; or {passes}" if passes else wanted
    then = f"; then, for what is open: {wanted}" if passes and open_ else ""
    return f"train a better version: {_train(row)}" + (f"; or {passes}{then}" if passes else "")


def _of_waivers(row: VersionRow, stopping: Sequence[Verdict], whom: Whom) -> str:
    """Who lets what a gate has measured pass as it is: of a gate that asks for a person, that person's word is wanted; their no is lifted by nothing."""
    measured = list(dict.fromkeys(verdict.check for verdict in stopping if not of_persons(verdict)))
    if not measured or any(not said.yes for said in row.said):
        return ""
    more = len(measured) > 1 or count(row, stopping[0].outcome) > len(stopping)
    return waives(row, measured[0], whom) + (", each gate for itself" if more else "")


def waives(row: VersionRow, gate: str, whom: Whom) -> str:
    """Who lets a gate pass, and how."""
    return f'{whom(MAY_WAIVE)} lets it pass: flyball waive {row.model}@{row.version} --gate "{gate}" --reason "…"'


def _of_people(row: VersionRow, open_: Sequence[Verdict], whom: Whom | None) -> Iterator[str]:
    ref = f"{row.model}@{row.version}"
    wanted = [asked.role for verdict in open_ for asked in verdict.asks]
    if wanted:
        yield f'{whom(wanted) + " says " if whom else ""}flyball approve {ref} --reason "…"'
    if any(of_card(verdict) for verdict in open_):
        yield f'write what is missing: flyball models card {ref} --fill {next(iter(row.blanks), "limitations")} "…"'


def _of_cases(row: VersionRow, open_: Sequence[Verdict]) -> Iterator[str]:
    """Cases may be missing, be too few, or be there and have no answer that could be counted."""
    for verdict in open_:
        if not verdict.check.startswith(_SUITE):
            continue
        name, train = verdict.check.removeprefix(_SUITE).partition(":")[0], _train(row)
        if of_learned(verdict):
            yield f"bring cases of suite {name} that are not among the training rows{_and(verdict)}, then {train}"
        elif verdict.estimate is None or not verdict.estimate.n:
            yield f"bring the cases that are missing: flyball check --data says which; then {train} judges it on them"
        elif verdict.estimate.value is None and not _of_answers(verdict):
            yield f"bring other cases of suite {name} as well: {verdict.why}; then {train}"
        elif verdict.estimate.value is None:
            yield f"let the model answer every case of suite {name} as its metric asks (its verdict says where it does not), then {train}"
        else:
            yield f"bring more cases of suite {name}, then {train}"


def _of_answers(verdict: Verdict) -> bool:
    """Whether it is the answers to the cases that leave a metric without a value, and not the cases themselves."""
    return verdict.why.startswith("data set ") or NOT_FINITE in verdict.why


def _and(verdict: Verdict) -> str:
    """What else such cases have to be."""
    known = verdict.estimate
    if known is None or not known.n:
        return ""
    if known.value is None:
        return f", and others than these ({verdict.why.partition('; ')[0]})"
    return f", {LEAST_ROWS} at least" if known.n < LEAST_ROWS else ""


def _of_runs(row: VersionRow, open_: Sequence[Verdict], *, grows: bool) -> Iterator[str]:
    """What only another run measures, and what more rows decide."""
    train = _train(row)
    left = [each for each in open_ if not (of_card(each) or of_persons(each) or each.check.startswith(_SUITE))]
    rows = not open_
    for verdict in left:
        names = [_metric(part) for part in verdict.check.split(" or ")]
        nothing = verdict.estimate is None or verdict.estimate.value is None
        if of_price(verdict):
            yield f"{price_setting(_currency(verdict.check))}, then {train}"
        elif nothing and len(names) == 1 and _by_run(names[0]):
            yield f"flyball runs show {row.run}{_there(row)} says why {names[0]} was not measured; then {train}"
        else:
            rows = True
    if rows and row.state in RELEASED:
        yield f"what was released once is not judged again as rows come: declare a longer hold-out, then {train}"
    elif rows and grows:
        yield f"it is judged again as labelled rows come, until its hold-out is twice as long; or declare a longer one, then {train}"
    elif rows:
        yield f"no row that comes judges it again, for a share of the rows is held out: bring more rows, or declare a larger share, then {train}"


def _train(row: VersionRow) -> str:
    return f"flyball train {row.model}{_there(row)}"


def _there(row: VersionRow) -> str:
    """Versions are made in the environment that they come from."""
    return f" --env {row.origin}" if row.origin else ""


def _metric(check: str) -> str:
    return check.removeprefix("upper bound of ").removeprefix("lower bound of ").partition(" ")[0]


def _by_run(name: str) -> bool:
    info = metric_info(name)
    return info is not None and info.source == "run"


def _currency(check: str) -> str:
    """That of the bound, where it names one."""
    last = check.partition(" or ")[0].rpartition(" ")[2]
    return last if len(last) == 3 and last.isalpha() and last.isupper() else "EUR"
