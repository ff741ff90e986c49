"""An objective that cannot be held, or leaves no budget, is refused where it is declared."""

from __future__ import annotations

import pytest

import flyball as fb
from flyball.declare.objectives import failure_of, kind_of
from flyball.declare.problems import problems, warnings
from flyball.errors import Problem

COLUMNS = {"x": float, "day": int, "y": fb.column(int, one_of=(0, 1), known_after="1h")}
DATA = fb.Dataset("rows", source="rows.csv", time="ts", columns=COLUMNS)
FRESH = fb.Dataset("rows", source="rows.csv", time="ts", freshness="2h", columns=COLUMNS)


def said(*objectives: fb.Objective, data: fb.Dataset = DATA) -> list[Problem]:
    model = fb.Model("m", task="binary", data=data, label="y", slices=["day"], train=fb.Train(print), objectives=objectives)
    return [one for one in problems(model) if one.at.startswith("/objectives")]


@pytest.mark.parametrize(
    ("metric", "kind", "failure"),
    [
        ("error_rate", "requests", "errors"),
        (fb.metric("latency_p99") <= "50ms", "slow", "latency"),
        ("accuracy", "rows", "performance"),
        (fb.metric("recall"), "rows", "performance"),
        (fb.metric("f1") >= 0.7, "spans", "performance"),
        (fb.metric("error_rate") <= 0.01, "spans", "errors"),
        ("freshness", "freshness", "stale_data"),
    ],
)
def test_what_is_counted_follows_from_the_metric(metric, kind: str, failure: str) -> None:
    objective = fb.Objective(metric, target="99%", window="30d")
    assert (kind_of(objective), failure_of(objective)) == (kind, failure)
    assert said(objective, data=FRESH) == []


@pytest.mark.parametrize(
    ("objective", "what", "fix"),
    [
        (fb.Objective("eror_rate", target="99%", window="30d"), '"eror_rate" is not a metric', "error_rate"),
        (fb.Objective(fb.metric("mae") <= 2, target="99%", window="30d"), "mae says nothing of a binary model in service", ""),
        (fb.Objective("error_rate", target="100%", window="30d"), "a target of 100% leaves no budget", "99.9%"),
        (fb.Objective("error_rate", target="0%", window="30d"), "a target of 0% asks for nothing", "99.9%"),
        (fb.Objective("error_rate", target="99%", window="200d"), "its window is longer than what is kept", '"100d"'),
        (fb.Objective("latency_p99", target="99%", window="30d"), "nothing says what is slow", '<= "50ms"'),
        (fb.Objective(fb.metric("latency_p99") <= 50, target="99%", window="30d"), "the bound has no unit of time", '"50ms"'),
        (fb.Objective(fb.metric("latency_p99") >= "50ms", target="99%", window="30d"), "it asks for slow answers", "turn it round"),
        (fb.Objective("f1", target="99%", window="30d"), "f1 has no bound", 'fb.metric("f1") <= …'),
        (
            fb.Objective(fb.metric("accuracy") >= fb.at_release, target="99%", window="30d"),
            "an objective is held to a number",
            "write a number",
        ),
        (fb.Objective(fb.metric("accuracy").by("day"), target="99%", window="30d"), "it names a part, a span", 'fb.metric("accuracy")'),
        (fb.Objective(fb.metric("accuracy").over("7d"), target="99%", window="30d"), "it names a part, a span", 'fb.metric("accuracy")'),
        (fb.Objective("freshness", target="99%", window="30d"), "no data set says how old it may be", 'freshness="2h"'),
    ],
)
def test_an_objective_that_cannot_be_held_is_a_problem_with_its_fix(objective: fb.Objective, what: str, fix: str) -> None:
    [found] = said(objective)
    assert found.at == "/objectives/0"
    assert f'objective "{objective}": ' in found.what
    assert what in found.what
    assert fix in found.fix


def test_one_objective_twice_would_be_one_alert() -> None:
    objective = fb.Objective("error_rate", target="99%", window="30d")
    [found] = said(objective, objective)
    assert "is declared twice" in found.what


def test_objectives_are_built() -> None:
    model = fb.Model("m", task="binary", data=DATA, label="y", objectives=[fb.Objective("error_rate", target="99%", window="30d")])
    assert not [one for one in warnings(model) if "objective" in one.what]
