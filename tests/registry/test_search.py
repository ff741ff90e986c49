"""A search says what a version has to be; what it cannot mean is refused with what it could."""

from __future__ import annotations

import math
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import BadInput
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.versions import VersionRow, VersionState
from flyball.registry.search import matches, parse


def row(value: float | None = 0.75, **more: object) -> VersionRow:
    fields: dict[str, object] = {
        "model": "m",
        "version": "1.0.0",
        "state": VersionState.ELIGIBLE,
        "run": "run_01ABC",
        "artifact": "a" * 64,
        "result": "b" * 64,
        "version_digest": "v",
        "policy_digest": "p",
        "data": {"loans": "c0ffee" + "0" * 58},
        "metrics": {"accuracy": Estimate(value=value), "roc_auc": Estimate(value=0.9)},
        "registered_at": 1,
        "tags": {"region": "eu", "reviewed": ""},
        "commit": "3f2a1c9d04be7788aa-dirty",
        "features_digest": "sha256:beef00",
    }
    return VersionRow(**(fields | more))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", True),
        ("accuracy>0.7", True),
        ("accuracy>0.75", False),
        ("accuracy>=0.75 roc_auc<1", True),
        ("accuracy>0.7 roc_auc>0.95", False),
        ("mae<100", False),
        ("state=eligible", True),
        ("state!=eligible", False),
        ("state=held", False),
        ("tag=reviewed", True),
        ("tag=region:eu", True),
        ("tag=region:us", False),
        ("commit=3f2a1c9", True),
        ("commit=4", False),
        ("features=beef", True),
        ("features!=beef", False),
        ("tag!=owner", True),
        ("run=1ABC", True),
        ("run=run_01ABC", True),
        ("data=loans", True),
        ("data=loans:c0ff", True),
        ("data=loans:beef", False),
        ("deprecated=no waived=no", True),
        ("deprecated=yes", False),
    ],
)
def test_every_term_has_to_hold(text: str, found: bool) -> None:
    assert matches(parse(text), row()) is found


def test_what_is_waived_and_advised_against_is_found() -> None:
    doubtful = row(deprecated="too old", verdicts=(Verdict(check="a", outcome=Outcome.WAIVED),))
    assert matches(parse("deprecated=yes waived=yes"), doubtful)
    assert not matches(parse("waived=no"), doubtful)


def test_a_metric_without_a_value_holds_nothing() -> None:
    for op in ("<", ">", "=", "!="):
        assert not matches(parse(f"accuracy{op}0.5"), row(None))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("accuracy", "is no term of a search"),
        ("accuracy > 0.7", "is no term of a search"),
        ("accuracy > 0.7 state = held", "write accuracy>0.7 state=held"),
        ("state=released", 'that is "deployed"'),
        ("acuracy>0.7", "accuracy"),
        ("stat=held", "state"),
        ("state=elgible", "eligible"),
        ("state>held", "no order"),
        ("accuracy>high", "no number"),
        ("accuracy>nan", "no number"),
        ("deprecated=maybe", "it is or it is not"),
        ("x" * 501, "too long"),
        ("'; drop table version; --", "is no term"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_could(text: str, says: str) -> None:
    with pytest.raises(BadInput) as error:
        parse(text)
    assert says in str(error.value)
    assert error.value.fix


@given(st.floats(-10, 10), st.floats(-10, 10), st.sampled_from(["<", "<=", ">", ">=", "=", "!="]))
def test_a_comparison_is_that_of_numbers(value: float, bound: float, op: str) -> None:
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "!=": operator.ne}[op]
    assert matches(parse(f"accuracy{op}{bound!r}"), row(value)) is compare(value, bound)


@given(st.text(max_size=60))
def test_any_text_is_a_search_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except BadInput:
        return
    assert matches(query, row()) in (True, False)
    assert not any(math.isnan(term.number) for term in query)
