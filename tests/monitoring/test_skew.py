"""What verified features say: wrong values are an alert that names feature, class, count and a row; what recovered is over."""

from __future__ import annotations

from flyball.monitoring.skew import skew_findings
from flyball.records.skew import FeatureSkew, Skew, SkewExample, SkewRow

AT = 1_769_860_800_000_000


def row(*features: FeatureSkew, version: str = "1.0.0", examples: tuple[SkewExample, ...] = ()) -> SkewRow:
    return SkewRow(model="m", version=version, at=AT, rows=40, checked=80, features=features, examples=examples)


def test_wrong_values_are_an_alert_that_names_the_feature_the_class_the_count_and_a_row() -> None:
    shown = (
        SkewExample(row="p_1", at=AT, view="week", feature="sold", skew=Skew.STALE, served="1", offline="2"),
        SkewExample(row="p_2", at=AT, view="week", feature="sold", skew=Skew.WRONG, served="3.5", offline="7.0"),
    )
    [found] = skew_findings([row(FeatureSkew(view="week", feature="sold", equal=27, stale=1, wrong=12), examples=shown)], {"1.0.0"})
    assert (found.severity, found.failure, found.column, found.n, found.standing) == ("alert", "skew", "sold", 40, "settled")
    assert found.why == (
        "week.sold: of 40 served values 12 wrong, 1 stale; row p_2 of 2026-01-31T12:00:00Z is wrong: served 3.5, training would have 7.0"
    )


def test_what_is_missing_extra_or_stale_is_a_warning() -> None:
    parts = [FeatureSkew(view="v", feature=name, equal=1, **{name: 1}) for name in ("missing", "extra", "stale")]
    assert [found.severity for found in skew_findings([row(*parts)], {"1.0.0"})] == ["warn"] * 3


def test_a_value_of_a_person_is_not_told() -> None:
    shown = (SkewExample(row="", at=AT, view="v", feature="a", skew=Skew.WRONG),)
    [found] = skew_findings([row(FeatureSkew(view="v", feature="a", wrong=1), examples=shown)], {"1.0.0"})
    assert found.why.endswith("; a row of 2026-01-31T12:00:00Z is wrong")


def test_a_feature_that_recovered_says_so_and_one_that_was_never_wrong_says_nothing() -> None:
    [found] = skew_findings([row(FeatureSkew(view="v", feature="a", equal=40))], {"1.0.0"})
    assert found.severity == "none"
    assert list(skew_findings([row()], {"1.0.0"})) == []


def test_what_a_version_was_served_that_answers_no_more_is_over() -> None:
    former = row(FeatureSkew(view="v", feature="a", wrong=5))
    [found] = skew_findings([former, row(version="1.1.0")], {"1.1.0"})
    assert found.severity == "none"
    [both] = skew_findings([former, row(FeatureSkew(view="v", feature="a", equal=2, wrong=1), version="1.1.0")], {"1.0.0", "1.1.0"})
    assert (both.severity, both.n) == ("alert", 8)
