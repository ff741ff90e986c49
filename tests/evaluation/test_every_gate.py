"""Every kind of gate passes where it holds, fails where it does not, and is insufficient where that cannot be said.

Every metric that a gate may name has a case here: a new one without a case fails the last tests. The hold-outs are made, the verdicts are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.declare.metrics import MEASURED, METRICS, metric_info
from flyball.declare.rules_checks import PLANNED_METRICS
from flyball.evaluation.answers import answers
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout, Measured
from flyball.evaluation.metrics import estimate
from flyball.evaluation.persons import Approved, written
from flyball.evaluation.run_gates import LEAST
from flyball.evaluation.suites import judge_suites
from flyball.records.estimates import Estimate, Outcome, Verdict

PASS, FAIL, INSUFFICIENT = Outcome.PASS, Outcome.FAIL, Outcome.INSUFFICIENT
COSTS = {"false_positive": 4.0, "false_negative": 180.0}


def classes(n: int, right: float, *, seed: int = 0, champion: float | None = None, base: float | None = None) -> pl.DataFrame:
    """Rows in which each party is right with the given chance; scores are high where they should be as often."""
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.5
    columns: dict[str, Any] = {"y": y.astype(int), "sex": np.where(np.arange(n) % 2, "f", "m")}
    for prefix, chance in (("", right), ("champion_", champion), ("base_", base)):
        if chance is not None:
            value = np.where(random.random(n) < chance, y, ~y)
            columns[f"{prefix}value"] = value.astype(int)
            columns[f"{prefix}score"] = np.where(value, chance, 1 - chance)
    return pl.DataFrame(columns)


def uneven(n: int, of_f: float, of_m: float, seed: int = 0) -> pl.DataFrame:
    """Rows of two groups that are answered rightly with these chances."""
    rows = classes(n, of_m, seed=seed)
    other = classes(n, of_f, seed=seed + 1)
    women = pl.col("sex") == "f"
    taken = {name: pl.when(women).then(other[name]).otherwise(name) for name in ("y", "value", "score")}
    return rows.with_columns(**taken)


def confident(n: int, truth: float, seed: int = 0) -> pl.DataFrame:
    """Rows whose scores say 0.1 or 0.9, and are right as often as `truth`."""
    rows = classes(n, truth, seed=seed)
    return rows.with_columns(score=pl.when(pl.col("value") == 1).then(0.9).otherwise(0.1))


def called(n: int, share: float) -> pl.DataFrame:
    """Rows of which that share is called positive."""
    flags = (np.arange(n) % 100 < 100 * share).astype(int)
    return pl.DataFrame({"y": flags, "value": flags, "score": flags * 0.8 + 0.1})


def numbers(n: int, spread: float, *, seed: int = 0, champion: float | None = None, base: float | None = None) -> pl.DataFrame:
    """Rows whose answers miss by normal errors."""
    random = np.random.default_rng(seed)
    y = random.normal(100, 20, n)
    parts = (("", spread), ("champion_", champion), ("base_", base))
    return pl.DataFrame({"y": y, **{f"{prefix}value": y + random.normal(0, sigma, n) for prefix, sigma in parts if sigma is not None}})


def lists(n: int, noise: float, seed: int = 0) -> pl.DataFrame:
    """Lists of ten items, ordered by their relevance with noise."""
    random = np.random.default_rng(seed)
    y = np.tile((np.arange(20) < 10).astype(float), n // 20 + 1)[:n]
    return pl.DataFrame({"__time": np.arange(n) // 20, "__group": np.arange(n) // 20, "y": y, "value": y + random.normal(0, noise, n)})


class Made(NamedTuple):
    """Hold-outs of a metric: one on which it is good, one on which it is bad."""

    task: str
    good: Callable[[int], pl.DataFrame]
    bad: Callable[[int], pl.DataFrame]


BY_TASK = {
    "binary": Made("binary", lambda n: classes(n, 0.95), lambda n: classes(n, 0.6)),
    "regression": Made("regression", lambda n: numbers(n, 2.0), lambda n: numbers(n, 30.0)),
    "ranking": Made("ranking", lambda n: lists(n, 0.5), lambda n: lists(n, 3.0)),
}
OWN = {
    "calibration_error": Made("binary", lambda n: confident(n, 0.9), lambda n: confident(n, 0.6)),
    "positive_rate": Made("binary", lambda n: called(n, 0.2), lambda n: called(n, 0.6)),
}
PATTERNS = ("recall_at_5%", "ndcg_at_10", "recall_at_10")
OF_ROWS = [
    name
    for name, info in {**METRICS, **{name: metric_info(name) for name in PATTERNS}}.items()
    if info is not None and info.source in ("quality", "prediction") and name != "equalised_odds"
]


def made(name: str) -> Made:
    info = metric_info(name)
    assert info is not None
    return OWN.get(name) or next(BY_TASK[task] for task in ("binary", "regression", "ranking") if task in info.tasks)


def holdout(task: str, frame: pl.DataFrame) -> Holdout:
    order = (0, 1) if task == "binary" else ()
    return Holdout(
        frame, task, classes=order, group="__group" if "__group" in frame.columns else "", costs=COSTS if task == "binary" else {}
    )


def one(gate: Any, task: str, frame: pl.DataFrame, **rest: Any) -> Verdict:
    return judge([gate], holdout(task, frame), **rest)[0]


def value_of(name: str, task: str, frame: pl.DataFrame) -> Estimate:
    held = holdout(task, frame)
    return estimate(name, answers(task, frame, classes=held.classes, group=held.group, costs=held.costs))


def asks(name: str, bound: float, part: str = "") -> Any:
    """The metric's check at a bound, in the sense in which it is good, and in its unit."""
    info = metric_info(name)
    assert info is not None
    metric = fb.metric(name)
    metric = getattr(metric, part) if part else metric
    limit = f"{bound:.6f} EUR" if info.unit == "money" else bound
    return metric >= limit if info.higher_is_better else metric <= limit


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_number(name: str) -> None:
    task, good, bad = made(name)
    high, low = (value_of(name, task, frame(4_000)).value for frame in (good, bad))
    assert high is not None
    assert low is not None
    gate = asks(name, (high + low) / 2)

    assert one(gate, task, good(4_000)).outcome is PASS
    assert one(gate, task, bad(4_000)).outcome is FAIL
    few = one(gate, task, good(80))
    assert few.outcome is INSUFFICIENT
    assert few.why


@pytest.mark.parametrize("name", OF_ROWS)
def test_the_bound_of_an_interval(name: str) -> None:
    info = metric_info(name)
    assert info is not None
    task, good, bad = made(name)
    part = "lower" if info.higher_is_better else "upper"
    found, low = value_of(name, task, good(4_000)), value_of(name, task, bad(4_000))
    assert found.value is not None
    assert low.value is not None
    gate = asks(name, (found.value + low.value) / 2, part)

    assert one(gate, task, good(4_000)).outcome is PASS
    assert one(gate, task, bad(4_000)).outcome is FAIL
    end = found.low if info.higher_is_better else found.high
    assert end is not None
    # the estimate clears it, its interval does not
    assert one(asks(name, (found.value + end) / 2, part), task, good(4_000)).outcome is INSUFFICIENT


@pytest.mark.parametrize("of", ["champion", "baseline"])
@pytest.mark.parametrize(("name", "task"), [("accuracy", "binary"), ("roc_auc", "binary"), ("mae", "regression")])
def test_a_reference(name: str, task: str, of: str) -> None:
    other = {"champion": "champion", "baseline": "base"}[of]

    def rows(n: int, mine: float, theirs: float) -> pl.DataFrame:
        return (classes if task == "binary" else numbers)(n, mine, **{other: theirs})

    better, worse, equal = ((0.9, 0.8), (0.8, 0.9), (0.85, 0.85)) if task == "binary" else ((5.0, 9.0), (9.0, 5.0), (5.0, 5.0))
    reference = getattr(fb, of)
    gate = fb.metric(name) >= reference if task == "binary" else fb.metric(name) <= reference
    margin = fb.metric(name) >= reference - 0.02 if task == "binary" else fb.metric(name) <= reference * 1.05

    assert one(gate, task, rows(3_000, *better)).outcome is PASS
    assert one(gate, task, rows(3_000, *worse)).outcome is FAIL
    assert one(gate, task, rows(90, *better)).outcome is INSUFFICIENT
    assert one(margin, task, rows(150, *equal)).outcome in (INSUFFICIENT, FAIL)
    assert one(fb.metric(name) >= fb.baseline, task, rows(300, *better).select("y", "value")).outcome is INSUFFICIENT


def test_a_slice() -> None:
    gate = fb.metric("accuracy").by("sex") >= 0.8

    assert [each.outcome for each in judge([gate], holdout("binary", uneven(2_000, 0.9, 0.95)))] == [PASS, PASS]
    by_value = {each.slice: each.outcome for each in judge([gate], holdout("binary", uneven(2_000, 0.6, 0.95)))}
    assert by_value == {"sex=f": FAIL, "sex=m": PASS}
    assert {each.outcome for each in judge([gate], holdout("binary", uneven(150, 0.95, 0.95)))} == {INSUFFICIENT}
    assert one(gate, "binary", classes(200, 0.9).drop("sex")).outcome is INSUFFICIENT


@pytest.mark.parametrize("name", ["positive_rate", "recall", "equalised_odds", "calibration_error", "accuracy"])
def test_a_gap_between_groups(name: str) -> None:
    gate = fb.metric(name).gap("sex") <= 0.1
    even, odd = uneven(4_000, 0.9, 0.9), uneven(4_000, 0.55, 0.95)
    if name == "positive_rate":
        odd = odd.with_columns(value=pl.when(pl.col("sex") == "f").then(0).otherwise("value"))
    if name == "calibration_error":
        odd = odd.with_columns(score=pl.when(pl.col("value") == 1).then(0.95).otherwise(0.05))

    assert one(gate, "binary", even).outcome is PASS
    failed = one(gate, "binary", odd)
    assert failed.outcome is FAIL
    assert "f " in failed.why
    assert "m " in failed.why
    assert one(gate, "binary", even.head(120)).outcome is INSUFFICIENT
    assert one(fb.metric(name).gap("age") <= 0.1, "binary", even).outcome is INSUFFICIENT


def test_either_of_two() -> None:
    rows = classes(500, 0.8)
    yes, no = fb.metric("accuracy") >= 0.6, fb.metric("accuracy") >= 0.99
    open_ = fb.approval("owner")

    assert one(no | yes, "binary", rows).outcome is PASS
    assert one(no | (fb.metric("recall") >= 0.99), "binary", rows).outcome is FAIL
    assert one(no | open_, "binary", rows).outcome is INSUFFICIENT


def test_an_approval() -> None:
    rows, gate = classes(200, 0.8), fb.approval("risk-officer")

    assert one(gate, "binary", rows, approvals=[Approved("risk-officer", "ana")]).outcome is PASS
    assert one(gate, "binary", rows).outcome is INSUFFICIENT
    assert one(gate, "binary", rows, approvals=[Approved("engineer", "ana")]).outcome is INSUFFICIENT
    # a person's no rejects the version as such (tests/loop/test_approvals.py): there is no failing approval


def test_an_own_function() -> None:
    rows = classes(200, 0.8)

    def raises(_evidence: pl.DataFrame) -> bool:
        raise RuntimeError("boom")

    assert one(lambda evidence: evidence.height == 200, "binary", rows).outcome is PASS
    assert one(lambda evidence: evidence.height == 201, "binary", rows).outcome is FAIL
    assert one(lambda _evidence: None, "binary", rows).outcome is INSUFFICIENT
    assert one(raises, "binary", rows).outcome is INSUFFICIENT


def test_a_suite() -> None:
    cases = fb.Dataset("cases", source="c.csv", columns={"x": float, "y": int})
    suite = fb.suite("german", cases, metric="accuracy", at_least=0.8)

    def outcome(given: Mapping[str, pl.DataFrame | str]) -> Outcome:
        return judge_suites([suite], given, "binary", classes=(0, 1))[0].outcome

    assert outcome({"german": classes(400, 0.95)}) is PASS
    assert outcome({"german": classes(400, 0.6)}) is FAIL
    assert outcome({"german": classes(60, 1.0)}) is INSUFFICIENT
    assert outcome({}) is INSUFFICIENT


class Number(NamedTuple):
    """What a run measures: a bound as people write it, a number that holds it, and one that does not."""

    bound: Any
    good: float
    bad: float


OF_RUN = {
    # the data
    "leaks": Number(0, 0.0, 2.0),
    "duplicates": Number("1%", 0.002, 0.05),
    "group_overlap": Number(0, 0.0, 0.3),
    "minority_share": Number("5%", 0.2, 0.01),
    "domain_auc": Number(0.65, 0.52, 0.8),
    "recency_gap": Number(0.02, 0.0, 0.1),
    # the model
    "weak_slices": Number(0, 0.0, 1.0),
    "output_shift": Number(0.1, 0.02, 0.4),
    "dominated": Number(0, 0.0, 1.0),
    "robustness_missing": Number("5%", 0.01, 0.2),
    "robustness_noise": Number("5%", 0.01, 0.2),
    "robustness_unseen": Number("5%", 0.01, 0.2),
    "robustness_permuted": Number("50%", 0.2, 0.9),
    # serving it
    "latency_p50": Number("50ms", 12.0, 2_000.0),
    "latency_p95": Number("50ms", 12.0, 2_000.0),
    "latency_p99": Number("50ms", 12.0, 2_000.0),
    "size": Number("50MB", 1e6, 1e9),
    "memory": Number("1GB", 2e8, 4e9),
    # making it
    "train_cpu": Number("10m", 60_000.0, 3_600_000.0),
    "train_memory": Number("2GB", 2e8, 4e9),
    "train_energy": Number(5, 0.5, 50.0),
    "train_cost": Number("1 EUR", 0.1, 20.0),
}


@pytest.mark.parametrize("name", OF_RUN)
def test_a_number_that_the_run_measured(name: str) -> None:
    bound, good, bad = OF_RUN[name]
    rows = classes(200, 0.8, champion=0.8)
    metric = fb.metric(name)
    more = METRICS[name].higher_is_better
    gate = metric >= bound if more else metric <= bound
    against = metric >= fb.champion if more else metric <= fb.champion

    def known(value: float, n: int = 400) -> Estimate:
        return Estimate(value=value, low=value, high=value, n=n)

    def found(gate: Any, value: float | None, theirs: float | None = None) -> Verdict:
        measured = {} if value is None else {name: known(value)}
        champion = {} if theirs is None else {name: known(theirs)}
        missing = {name: "nobody has looked"}
        return one(gate, "binary", rows, measured=Measured(measured, champion, missing))

    assert found(gate, good).outcome is PASS
    assert found(gate, bad).outcome is FAIL
    lacking = found(gate, None)
    assert (lacking.outcome, lacking.why) == (INSUFFICIENT, "nobody has looked")
    assert found(against, good, bad).outcome is PASS
    assert found(against, bad, good).outcome is FAIL
    assert found(against, good).outcome is INSUFFICIENT
    if name in LEAST:
        few = Measured({name: Estimate(value=good, n=LEAST[name] - 1)}, {name: known(bad)})
        for each in (gate, against):
            verdict = one(each, "binary", rows, measured=few)
            assert verdict.outcome is INSUFFICIENT
            assert f"{LEAST[name] - 1} {'calls' if name.startswith('latency') else 'rows'} are too few" in verdict.why
        poor = Measured({name: Estimate(value=bad, n=LEAST[name] - 1)}, {name: known(good)})
        assert one(gate, "binary", rows, measured=poor).outcome is INSUFFICIENT, "it may be by chance"
        clear = Measured({name: known(bad, n=3)}, {name: known(good)})
        assert [one(each, "binary", rows, measured=clear).outcome for each in (gate, against)] == [FAIL, FAIL]


def test_what_is_blank_on_the_card() -> None:
    gate = fb.metric("card_blanks") <= 0
    found = judge([gate], holdout("binary", classes(200, 0.8)))

    assert found[0].outcome is INSUFFICIENT
    assert written(found, [])[0].outcome is PASS
    assert written(found, ["limits"])[0].outcome is INSUFFICIENT
    # a text that nobody has written yet may still be written: it fails nothing


NEVER = {"error_rate": "a hold-out has no traffic"}
"""Metrics that no gate can judge on, and why: always insufficient, whatever is asked of them."""


def test_what_only_traffic_can_tell_is_never_a_pass() -> None:
    for name in NEVER:
        for gate in (fb.metric(name) <= 1.0, fb.metric(name) >= 0.0):
            assert one(gate, "binary", classes(400, 0.9)).outcome is INSUFFICIENT


def test_every_metric_that_a_gate_may_name_has_a_case() -> None:
    cases = {*OF_ROWS, *OF_RUN, *NEVER, "equalised_odds", "card_blanks"}

    assert set(METRICS) - cases == set(), "a metric without a case above"
    assert set(MEASURED) <= cases
    assert set(PLANNED_METRICS) - set(METRICS) <= {"feature_age_p99"}


def test_every_kind_of_gate_has_a_case() -> None:
    """The kinds of a declaration's gates: a new one is judged above before it is offered."""
    from typing import get_args

    from flyball.declare.checks import AnyOf, Approval, Check
    from flyball.declare.functions import Code
    from flyball.declare.model import Gate

    assert set(get_args(Gate)) == {Check, AnyOf, Approval, *get_args(Code)}
