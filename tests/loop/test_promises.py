"""`check` says how soon what goes wrong is found at the traffic there is, and how many pages of nothing there may be."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import flyball as fb
from flyball.loop.pages import false_pages_of
from flyball.loop.power import Known
from flyball.loop.promises import promise

from .test_power import MODEL, known


def lines(model: fb.Model = MODEL, what: Known | None = None) -> dict[str, list[tuple[str, dict]]]:
    found: dict[str, list[tuple[str, dict]]] = {}
    for text, document in promise(model, known() if what is None else what).lines:
        found.setdefault(document["kind"], []).append((text, document))
    return found


def test_a_rise_is_told_by_two_five_and_ten_points_with_the_time_it_takes() -> None:
    [(text, document)] = lines()["time_to_detection"]
    assert text.startswith("a rise of the error rate by 2, 5, 10 points is found after about ")
    assert text.endswith("at 1,000 labels a day")
    assert [one["points"] for one in document["rises"]] == [2, 5, 10]
    labels = [one["labels"] for one in document["rises"]]
    assert labels == sorted(labels, reverse=True)
    assert document["rises"][1]["days"] == pytest.approx(labels[1] / 1_000, abs=0.001)


def test_a_label_delay_is_told_beside_it() -> None:
    columns = {"day": fb.column(int, known_after="-1d"), "y": fb.column(int, one_of=(0, 1), known_after="3h")}
    late = MODEL.replace(data=fb.Dataset("d", source="d.csv", time="ts", columns=columns))
    [(text, document)] = lines(late)["time_to_detection"]
    assert text.endswith(", after a label delay of 3h")
    assert document["label_delay_s"] == 3 * 3_600


def test_labels_that_are_too_few_to_find_five_points_in_two_days_are_a_warning_with_how_many_would_do() -> None:
    assert promise(MODEL, known()).doubts == ()
    [doubt] = promise(MODEL, known(per_day=20), place="loop.py:3").doubts
    assert (doubt.where, doubt.at) == ('loop.py:3  Model "one"', "/monitors")
    assert "is not found within two days of its labels" in doubt.what
    enough = re.search(r"about ([\d,]+) labels a day would do", doubt.fix)
    assert enough is not None
    assert promise(MODEL, known(per_day=float(enough[1].replace(",", "")))).doubts == ()


def test_drift_is_found_after_two_windows() -> None:
    [(text, document)] = lines()["time_to_drift"]
    assert "in columns that do not swing at that scale after 2,000 rows: 2d; in the others after two windows of 7d: 14d" in text
    assert (document["days"], document["days_fast"]) == (14, 2)
    slow = known(per_day=10)
    [(seldom, few)] = lines(what=slow)["time_to_drift"]
    assert seldom.endswith("is found after two windows of 21d: 42d"), "two thousand rows take longer than that"
    assert few["days"] == 42, "a week of 70 rows is joined with the next ones"
    assert "time_to_drift" not in lines(MODEL.replace(monitors=[fb.metric("accuracy") >= 0.5]))
    told = Known(slow.version, slow.result, slow.frame, known().rate, fast=(2, 3))
    assert "2 of 3 columns, which do not swing at that scale" in lines(what=told)["time_to_drift"][0][0]


def test_an_objective_says_how_soon_an_outage_pages_or_why_none_does() -> None:
    objectives = [
        fb.Objective("error_rate", target="99%", window="30d"),
        fb.Objective("accuracy", target="75%", window="30d"),
        fb.Objective(fb.metric("f1") >= 0.5, target="90%", window="30d"),
    ]
    found = [text for text, _ in lines(MODEL.replace(objectives=objectives), known(per_day=24_000))["objective"]]
    assert found[0] == 'objective "error_rate, 99% over 30d": an outage pages after 8m38s at 24,000 labels a day'
    assert found[1].startswith('objective "accuracy, 75% over 30d" never pages, and is a ticket at most')
    assert len(found) == 2
    few = [text for text, _ in lines(MODEL.replace(objectives=objectives[:1]), known(per_day=100))["objective"]]
    assert few == ['objective "error_rate, 99% over 30d" never pages: fewer than 100 come in 6h at 100 labels a day']


def test_false_pages_are_bounded_by_one_a_year_of_each_detector_and_checks_are_told_apart() -> None:
    [(text, document)] = lines()["false_pages"]
    assert text == "expected false pages: ≤ 1 a year while nothing is wrong"
    assert document["a_year"] == 1
    [(text, _)] = lines(MODEL.replace(monitors=[fb.metric("error_rate") <= 0.1]))["false_pages"]
    assert text.endswith(
        "a year while nothing is wrong; 1 declared check is not counted: it fires when its bound is missed by more than chance, "
        "so if that is too often, loosen its bound or lengthen its .over()"
    )
    [(text, _)] = lines(MODEL.replace(monitors=[fb.metric("error_rate") <= 0.1, fb.metric("error_rate") <= 0.2]))["false_pages"]
    assert "2 declared checks are not counted: each fires" in text
    assert text.endswith("loosen their bounds or lengthen their .over()")
    few = false_pages_of(MODEL, labels=1.0, requests=None)
    assert few.total == pytest.approx(0.365), "A is a thousand labels at least"
    assert false_pages_of(MODEL, labels=None, requests=None).total == 1
    assert false_pages_of(MODEL, labels=1_000, requests=None, detector=False).total == 0
    steady = MODEL.replace(objectives=[fb.Objective("error_rate", target="99.9%", window="30d")])
    assert 1 <= false_pages_of(steady, labels=1_000, requests=24_000).total < 1.01


def test_where_the_detector_is_off_it_promises_nothing_and_pages_nobody() -> None:
    off = replace(known(per_day=20), detector=False)
    assert "time_to_detection" not in lines(what=off)
    assert lines(what=off)["false_pages"][0][0] == "expected false pages: ≤ 0 a year while nothing is wrong"
    assert promise(MODEL, off).doubts == ()


def test_before_the_first_run_nothing_is_promised_but_the_budget_of_pages() -> None:
    assert set(lines(what=Known())) == {"false_pages"}
