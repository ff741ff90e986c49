"""Likely causes are ranked by their effect and by whether they began before the trouble; impact counts what was wrong beyond what was promised."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.declare.units import Money
from flyball.incidents.causes import MOST, Change, differ, ranked, with_known
from flyball.incidents.impact import impact, words
from flyball.records.alerts import AlertRow, AlertState, Finding
from flyball.records.evidence import Quality
from flyball.records.incidents import Cause, Impact

HOUR, DAY = Span.parse("1h"), Span.parse("1d")
T = 1_700_000_000_000_000


def alert(
    failure: str, *, since: int = T, column: str = "x", effect: float = 0.3, severity: str = "alert", state=AlertState.FIRING
) -> AlertRow:
    finding = Finding(
        monitor=failure,
        severity=severity,
        column=column,
        effect=effect,
        floor=0.1,
        failure=failure,
        why=f"{column}: PSI {effect}",  # type: ignore[arg-type]
    )
    return AlertRow(key=f"m/{failure}/{column}", model="m", monitor=failure, state=state, episode=1, since=since, finding=finding)


RELEASE = Change("version", "version 1.1.0 took over", T - HOUR, 0.8, "before it 1.0.0")


def names(found: tuple[Cause, ...]) -> list[tuple[str, str]]:
    return [(cause.kind, cause.what) for cause in found]


def test_a_column_one_of_its_slices_and_a_slice_of_its_name_are_three_causes() -> None:
    found = [alert("input_drift"), alert("input_drift"), alert("input_drift", column="")]
    for place, part in ((1, "kind=new"), (2, "x")):
        row = found[place]
        found[place] = msgspec.structs.replace(row, finding=msgspec.structs.replace(row.finding, slice=part))
    told = [("data", "input drift (in x)"), ("data", "input drift (x in kind=new)"), ("data", "input drift (x)")]
    assert names(ranked(found, [], T)) == told


def test_a_release_an_hour_before_errors_is_the_likeliest_cause_of_them() -> None:
    found = ranked([alert("errors", column=""), alert("input_drift", severity="warn")], [RELEASE], T)
    assert names(found) == [("version", "version 1.1.0 took over"), ("data", "input drift (x)")]
    assert "1h before it began" in found[0].evidence
    assert found[1].evidence == "x: PSI 0.3"


def test_the_evidence_of_a_change_tells_its_time_to_the_second() -> None:
    late = Change("version", "version 1.1.0 took over", T - 16_596_483, 0.8)
    (found,) = ranked([], [late], T)
    assert found.evidence.endswith("Z, 16s before it began")
    assert "." not in found.evidence


def test_what_was_mended_or_sent_back_is_still_named() -> None:
    opened = ranked([alert("latency", column=""), alert("skew")], [RELEASE], T)
    assert with_known((), opened) == opened
    assert names(opened) == [("feature", "skew (x)"), ("version", "version 1.1.0 took over")]
    again = tuple(msgspec.structs.replace(cause, score=0.1) for cause in opened)
    assert with_known(again, opened) == again, "what is found now is what counts"
    assert with_known(opened, opened) == opened, "nothing is named twice"


def test_a_schema_change_comes_before_a_release_of_days_ago_and_before_what_began_after_the_trouble() -> None:
    old = Change("version", "version 1.1.0 took over", T - 3 * DAY, 0.8)
    late = Change("upstream", "data set loans is refused", T + 2 * HOUR, 0.9)
    found = ranked([alert("schema_change", since=T - HOUR)], [old, late], T)
    assert [cause.kind for cause in found] == ["data", "version", "upstream"]
    assert found[0].score > found[1].score > found[2].score


@pytest.mark.parametrize(
    ("failure", "kind"), [("skew", "feature"), ("stale_data", "upstream"), ("input_drift", "data"), ("late_labels", "upstream")]
)
def test_each_finding_names_its_kind(failure: str, kind: str) -> None:
    assert [cause.kind for cause in ranked([alert(failure)], [], T)] == [kind]


def test_what_is_wrong_with_the_answers_is_no_cause_and_nor_is_what_is_over() -> None:
    over = alert("schema_change", state=AlertState.RESOLVED)
    assert ranked([alert("errors"), alert("concept_drift"), alert("latency"), over], [], T) == ()


def test_a_ranking_is_new_with_another_cause_or_another_clear_first_and_not_when_scores_waver() -> None:
    first, second = Cause(kind="data", what="x", score=0.7), Cause(kind="version", what="1.1.0", score=0.65)
    assert differ((), (first,))
    assert not differ((first, second), (first, second))
    assert not differ((first, second), (first,)), "one that is gone says nothing new"
    assert not differ((first, second), (msgspec.structs.replace(second, score=0.75), first))
    assert differ((first, second), (msgspec.structs.replace(second, score=0.9), first))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["schema_change", "input_drift", "skew", "stale_data", "errors"]),
            st.integers(-int(8 * DAY), int(8 * DAY)),
            st.sampled_from("abcdefgh"),
            st.floats(-5, 5),
        )
    )
)
def test_a_ranking_is_bounded_ordered_and_names_nothing_twice(parts: list[tuple[str, int, str, float]]) -> None:
    rows = [alert(failure, since=T + lag, column=column, effect=effect) for failure, lag, column, effect in parts]
    found = ranked(rows, [RELEASE], T)
    assert len(found) <= MOST
    assert len(set(names(found))) == len(found)
    assert [cause.score for cause in found] == sorted((cause.score for cause in found), reverse=True)
    assert all(0 <= cause.score <= 1 for cause in found)
    assert found == ranked(reversed(rows), [RELEASE], T)


def quality(labelled: int, fp: int, fn: int) -> Quality:
    return Quality(
        model="m",
        version="1.0.0",
        role="champion",
        slice="",
        minute=0,
        matured=labelled,
        labelled=labelled,
        correct=labelled - fp - fn,
        fp=fp,
        fn=fn,
    )


COSTS = {"false_positive": Money(1, "EUR"), "false_negative": Money(5, "EUR")}


def counted(found: Quality | None, task: str = "binary", costs: dict[str, Money] | None = None) -> Impact:
    return impact(task, costs or {}, found, m0=0.1, requests=2_000, errors=7, since=T, until=T + HOUR)


def test_only_what_was_wrong_beyond_the_bound_at_release_is_part_of_the_impact() -> None:
    found = counted(quality(1_000, 100, 200), costs=COSTS)
    assert (found.requests, found.errors, found.labelled, found.wrong) == (2_000, 7, 1_000, 200.0)
    assert (found.money, found.currency) == (733.33, "EUR"), "200 rows at the mix of one at 1 and two at 5"
    assert words(found) == "2,000 requests, 7 errors, about 200 of 1,000 labelled rows wrong beyond the bound at release, 733.33 EUR"
    well = counted(quality(1_000, 30, 30), costs=COSTS)
    assert (well.wrong, well.money) == (0.0, 0.0)


@pytest.mark.parametrize(("found", "task"), [(None, "binary"), (quality(0, 0, 0), "binary"), (quality(100, 0, 0), "regression")])
def test_where_no_row_can_be_wrong_only_requests_are_counted(found: Quality | None, task: str) -> None:
    told = counted(found, task, COSTS)
    assert (told.requests, told.wrong, told.money) == (2_000, 0.0, None)
    assert words(told) == "2,000 requests, 7 errors"


def test_without_costs_no_money_is_made_up() -> None:
    assert counted(quality(1_000, 100, 200)).money is None


def test_one_request_is_told_as_one() -> None:
    assert words(Impact(since=T, until=T, requests=1, errors=1, labelled=1, wrong=1.0)).startswith(
        "1 request, 1 error, about 1 of 1 labelled row wrong"
    )
