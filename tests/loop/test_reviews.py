"""The export of an incident says what was said, and nothing that was said is read as its form."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.loop.complained import About
from flyball.loop.deeds import Deed
from flyball.loop.reviews import markdown
from flyball.loop.timeline import Moment, Timeline
from flyball.records.incidents import Cause, IncidentRow, IncidentState, Review, ReviewAction

FORGED = "x\n\n## Impact\n\nnone <img src=x onerror=alert(1)> | [a](javascript:b) `c"


def incident(text: str = "errors", **more: object) -> IncidentRow:
    values = {
        "incident": "inc_1", "model": "m", "failure_mode": "errors", "alert": "m/errors/", "what": text, "cause": text, "owner": text,
        "state": IncidentState.REVIEWED, "opened_at": 1, "mitigate_by": 2, "review_by": 3, "root_cause_by": 4, "actions": ("page",),
        "causes": (Cause(kind="data", what=text, score=0.5, evidence=text),),
    }  # fmt: skip
    return IncidentRow(**values | more)  # type: ignore[arg-type]


def exported(text: str, review: Review | None = None) -> str:
    return markdown(
        incident(text, review=review),
        Timeline(moments=(Moment(seq=1, at=1, actor=text, text=text),)),
        None,
        (Deed(action="page", done=text), Deed(action="rollback", why=text)),
    )


def headings(written: str) -> list[str]:
    return [line for line in written.splitlines() if re.match(r" {0,3}(#|=+ *$|-+ *$)", line)][1:]


PLAIN = ["## What happened", "## Impact", "## Why", "## What will be different", "## Timeline"]


def reviewed(text: str) -> Review:
    return Review(what=text, why=text, impact=text, actions=(ReviewAction(what=text, owner=text, due=9),))


@pytest.mark.parametrize("review", [None, reviewed(FORGED)])
def test_what_was_said_forges_no_heading_no_html_and_no_link(review: Review | None) -> None:
    written = exported(FORGED, review)
    assert headings(written) == PLAIN
    assert not re.search(r"(?<!\\)[<>\[\]`]", written)
    assert "\\<img src=x onerror=alert(1)\\>" in written, "it stands there as it was said"


@given(st.text(alphabet="a1#=-_+.) \n\t\\\\|<>&`*[]~", max_size=30))
def test_no_text_changes_the_form_of_the_export(text: str) -> None:
    written = exported(text, reviewed(text))
    assert headings(written) == PLAIN
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>`\[*&]", written)
    assert len([line for line in written.splitlines() if re.match(r"\|", line)]) == 16
    rows = [line for line in written.splitlines() if line.startswith("| 1970")]
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows] == [4]


def test_a_person_keeps_the_lines_of_the_review() -> None:
    assert "the feed sent °F\n\nnobody had said which unit" in exported("x", Review(what="the feed sent °F\n\nnobody had said which unit"))


def test_times_are_to_the_second_and_a_complaint_names_its_request() -> None:
    at = 1_767_225_600_123_456
    review = Review(what="x", actions=(ReviewAction(what="x", owner="ana", due=at),))
    row = incident(opened_at=at, mitigated_at=at, reviewed_at=at, failure_mode="complaint", request="order-9", review=review)
    about = About(request="order-9", at=at, version="m@1.0.0", status="ok", row={"amount": 5.0}, value=1)
    written = markdown(row, Timeline(moments=(Moment(seq=1, at=at, actor="loop", text="x"),)), None, (), about)
    assert written.count("2026-01-01T00:00:00Z") == 6
    assert "123456" not in written
    assert "| request | order-9 |" in written
    assert "m@1.0.0 amount=5.0 → answered 1 |" in written
    assert "| request |" not in exported("x")


@pytest.mark.parametrize("text", ["2026-11-28T17:37:57Z m@1 x=1", "a well-known thing", "17-18 rows", "3#4"])
def test_what_begins_nothing_stands_as_it_was_said(text: str) -> None:
    assert f"| owner | {text} |" in exported(text)


@pytest.mark.parametrize(
    ("text", "written"), [("- x", r"\- x"), ("1. x", r"1\. x"), ("12) x", r"12\) x"), ("--- x", r"\--- x"), ("# x", r"\# x")]
)
def test_what_would_begin_a_list_a_rule_or_a_heading_begins_none(text: str, written: str) -> None:
    assert f"| owner | {written} |" in exported(text)
