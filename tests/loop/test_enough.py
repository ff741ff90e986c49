"""`check --data` says which gates and suites have too few rows for any verdict, and never of one that has enough."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.declare.problems import problems
from flyball.errors import Problem
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.row_gates import on_rows
from flyball.features.fields import declared_values
from flyball.loop.enough import tallies
from flyball.loop.power import Known, tell
from flyball.loop.tally import Tally
from flyball.records.estimates import Outcome

DATA = fb.Dataset("d", source="d.csv", time="ts", columns={"day": fb.column(int, known_after="-1d"), "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("one", task="binary", data=DATA, label="y", slices=["day"], train=fb.Train(print, holdout="7d"))  # type: ignore[arg-type]  # it is never called


def tallied(models: list[fb.Model]) -> dict[str, Tally]:
    return dict(tallies(models))


def counted(days: dict[int, int], cases: int = 200) -> dict[str, Tally]:
    """What was read: so many rows of each day in the week that is held out, and so many cases of the suite."""
    data = fb.Dataset("d", source="d.csv", time="ts", columns={"day": fb.column(int, one_of=(1, 2, 3), known_after="-1d"), "y": int})
    elders = fb.Dataset("elders", source="elders.csv", columns={"day": int, "y": int})
    model = MODEL.replace(data=data, suites=[fb.suite("old", elders, metric="accuracy", at_least=0.8)])
    found = tallied([model])
    at = [datetime(2024, 1, 1) + timedelta(minutes=minute) for minute in range(sum(days.values()))]
    values = [value for value, n in days.items() for _ in range(n)]
    found["d"].add(pl.DataFrame({"ts": at, "day": values, "y": [0] * len(at)}))
    found["elders"].add(pl.DataFrame({"day": [1] * cases, "y": [0] * cases}))
    return found


def warned(gates: list[object], found: dict[str, Tally]) -> list[str]:
    model = MODEL.replace(
        data=found["d"].dataset, gates=gates, suites=[fb.suite("old", found["elders"].dataset, metric="accuracy", at_least=0.8)]
    )
    return [f"{doubt.at} {doubt.what}: {doubt.why}" for doubt in tell(model, Known(), found).doubts]


BELOW = "below 100 it is insufficient, which holds every version"


def test_a_gate_whose_slices_have_too_few_rows_for_a_verdict_is_told_beforehand() -> None:
    few = counted({1: 99, 2: 100, 3: 400})
    assert warned([fb.metric("accuracy").by("day") >= 0.7], few) == [
        f'/gates/0 gates "accuracy in each day ≥ 0.7": the hold-out has too few rows for a verdict in 1 of 3 slices: day=1 n=99: {BELOW}'
    ]
    assert warned([fb.metric("recall").gap("day") <= 0.1], few)[0].startswith('/gates/0 gates "recall gap across day ≤ 0.1"')
    assert warned([fb.metric("accuracy").by("day") >= 0.7], counted({1: 100, 2: 100, 3: 100})) == []
    assert warned([fb.metric("accuracy") >= 0.7, fb.metric("size") <= "5MB"], few) == [], "599 rows are enough as a whole"
    assert [each[:8] for each in warned([fb.metric("accuracy").by("day") >= fb.champion - 0.5], few)] == ["/gates/0"], "it is said once"


def test_a_declared_value_without_any_row_is_told_and_alternatives_are_not() -> None:
    none = counted({1: 300, 2: 300})
    [told] = warned([fb.metric("recall").gap("day") <= 0.1], none)
    assert "in 1 of 3 slices: day=3 n=0" in told
    assert warned([(fb.metric("recall").gap("day") <= 0.1) | (fb.metric("accuracy") >= 0.9)], none) == [], "the other may decide"


def test_a_suite_with_too_few_cases_is_told_beforehand() -> None:
    days = {1: 100, 2: 100, 3: 100}
    assert warned([], counted(days, cases=40)) == [f'/suites/0 suite "old" has too few cases for a verdict: n=40: {BELOW}']
    assert warned([], counted(days, cases=100)) == []
    assert warned([], counted(days, cases=0)) == [], "one that is empty is said to be so otherwise"


def of_gates(model: fb.Model, found: dict[str, Tally]) -> list[Problem]:
    return [doubt for doubt in tell(model, Known(), found).doubts if doubt.at.startswith("/gates")]


NOW = datetime(2024, 6, 1)
SEED = np.random.default_rng(0)
N = 3_000
COLUMNS: dict[str, Any] = {
    "age": SEED.integers(18, 90, N),
    "few": SEED.integers(0, 3, N),
    "share": SEED.random(N),
    "city": np.where(SEED.random(N) < 0.03, [f"village {place}" for place in range(N)], SEED.choice(["a", "b", "c"], N)),
    "id": [f"c{place}" for place in range(N)],
    "flag": SEED.random(N) < 0.5,
    "rare": SEED.random(N) < 0.01,
    "never": [False] * N,
    "grade": SEED.choice([1.0, 2.0], N),
    "hole": [None if place % 40 == 0 else place % 2 for place in range(N)],
}
DECLARED: dict[str, Any] = {
    "age": int, "few": int, "share": float, "city": str, "id": str, "flag": fb.column(bool, one_of=(True, False)), "rare": bool, "never": bool,
    "grade": fb.column(float, one_of=(1, 2)), "hole": fb.column(int, nulls="10%"), "y": fb.column(int, one_of=(0, 1), known_after="1h"),
}  # fmt: skip


def gate_of(column: str, kind: str) -> Any:
    return fb.metric("accuracy").gap(column) <= 0.9 if kind == "gap" else fb.metric("accuracy").by(column) >= 0.1


@pytest.mark.parametrize("kind", ["gap", "slices"])
@pytest.mark.parametrize("column", list(COLUMNS))
def test_who_is_warned_is_held_and_who_has_enough_is_not_warned(column: str, kind: str) -> None:
    """Beside the very gate, on the rows that are held out: every answer is right, so only their number can hold it."""
    frame = pl.DataFrame({"ts": [NOW - timedelta(minutes=3 * place) for place in range(N)], **COLUMNS, "y": [0, 1] * (N // 2)}).sort("ts")
    data = fb.Dataset("d", source="d.csv", time="ts", columns=DECLARED)
    slices = [column] if kind == "slices" else []
    model = fb.Model(
        "one", task="binary", data=data, label="y", owner="me", slices=slices, gates=[gate_of(column, kind)],
        train=fb.Train(print, holdout="7d"),  # type: ignore[arg-type]  # it is never called
    )  # fmt: skip
    found = tallied([model])
    for part in frame.iter_slices(700):
        found["d"].add(part)
    told = of_gates(model, found)
    held = Holdout(
        frame.filter(pl.col("ts") <= NOW - timedelta(hours=1)).with_columns(value="y"), "binary", declared=declared_values(model)
    )
    verdicts = on_rows(model.gates[0], held, set())  # type: ignore[arg-type]  # a check
    assert bool(told) == any(one.outcome is Outcome.INSUFFICIENT for one in verdicts), (told, verdicts)
    assert all(one.outcome in (Outcome.PASS, Outcome.INSUFFICIENT) for one in verdicts)


def test_a_slice_that_has_the_name_of_a_column_is_not_counted_as_the_column() -> None:
    shadow = MODEL.replace(
        slices={"day": pl.col("day") > 3},
        gates=[fb.metric("accuracy").by("day") >= 0.7, fb.metric("accuracy").by("day") >= fb.champion - 0.2],
    )
    found = tallied([shadow, MODEL])
    found["d"].add(
        pl.DataFrame(
            {"ts": [NOW - timedelta(minutes=place) for place in range(500)], "day": [place % 50 for place in range(500)], "y": [0] * 500}
        )
    )
    assert of_gates(shadow, found) == []


def test_where_nobody_knows_which_rows_have_a_label_nothing_is_said() -> None:
    frame = pl.DataFrame({"ts": [NOW], "day": [1], "y": [0], "z": [0]})
    data = fb.Dataset("d", source="d.csv", time="ts", columns={"day": int, "y": int, "z": fb.column(int, nulls="50%"), "who": int})
    gates = [fb.metric("accuracy") >= 0.7]
    labels = fb.Dataset("l", source="l.csv", time="ts", columns={"who": int, "y": int})
    there, other, elsewhere = (
        MODEL.replace(name, data=data, label=label, gates=gates)
        for name, label in (("a", "y"), ("b", "z"), ("c", fb.Label("y", source=labels, on="who", within="14d")))
    )
    found = tallied([there, other, elsewhere])
    found["d"].add(frame)
    assert [len(of_gates(model, found)) for model in (there, other, elsewhere)] == [1, 0, 0], "of y alone no value may be missing"
    alone = tallied([other])
    alone["d"].add(frame)
    assert len(of_gates(other, alone)) == 1


def read(rows: int, minutes: int, **train: Any) -> tuple[fb.Model, dict[str, Tally]]:
    model = MODEL.replace(train=fb.Train(print, **train), slices=[], gates=[fb.metric("accuracy") >= 0.7])  # type: ignore[arg-type]  # it is never called
    found = tallied([model])
    found["d"].add(
        pl.DataFrame({"ts": [NOW - timedelta(minutes=minutes * place) for place in range(rows)], "day": [1] * rows, "y": [0] * rows})
    )
    return model, found


def advised(rows: int, minutes: int, **train: Any) -> str:
    model, found = read(rows, minutes, **train)
    [doubt] = of_gates(model, found)
    return doubt.fix


def test_what_is_advised_can_be_declared_and_is_enough() -> None:
    assert advised(1_000, 180, holdout="7d", window="10d") == 'a longer hold-out: holdout="17d", window="34d"'
    model, found = read(1_000, 180, holdout="17d", window="34d")
    assert not [each for each in problems(model) if "window" in each.what]
    assert of_gates(model, found) == []
    assert advised(1_000, 180, holdout="7d", window="60d") == 'a longer hold-out: holdout="17d"'
    assert advised(60, 180, holdout="7d", window="60d") == "more rows", "there are eight days of data"
    model, found = read(1_000, 180, holdout="7d", window="60d")
    [doubt] = of_gates(model.replace(retrain=fb.Retrain(every="30d", cooldown="10d")), found)
    assert doubt.fix == 'a longer hold-out: holdout="17d", cooldown="17d"'


def test_of_a_slice_whose_first_row_is_just_held_out_all_its_rows_are_asked_how_long_it_takes() -> None:
    model, found = read(1, 1, holdout="3d", window="60d")
    by_day = model.replace(slices=["day"], gates=[fb.metric("accuracy").by("day") >= 0.7, fb.metric("recall").by("day") >= 0.7])
    found = tallied([by_day])
    at = [NOW - timedelta(hours=hour) for hour in range(24 * 200)]
    found["d"].add(pl.DataFrame({"ts": at, "day": [when.isoweekday() for when in at], "y": [0] * len(at)}))
    [doubt] = of_gates(by_day, found)
    assert (
        doubt.what
        == 'gates "accuracy in each day ≥ 0.7", "recall in each day ≥ 0.7": the hold-out has too few rows for a verdict in 4 of 4 slices'
    )
    assert doubt.fix == 'a longer hold-out: holdout="40d"; or compare coarser slices', "twenty-four of each come in a week"


def test_a_gate_against_the_champion_holds_no_first_version() -> None:
    model, found = read(50, 60, holdout="7d", window="60d")
    against = model.replace(gates=[fb.metric("recall") >= fb.champion - 0.1])
    [doubt] = of_gates(against, found)
    assert doubt.why.endswith("which holds every version after the first")


def test_of_a_share_chance_is_allowed_for() -> None:
    def told(split: str, day: int, rows: int) -> list[str]:
        train = fb.Train(print, holdout="20%", split=split)  # type: ignore[arg-type]  # it is never called
        model = MODEL.replace(train=train, group="day" if split == "group" else "", gates=[fb.metric("accuracy").by("day") >= 0.7])
        found = tallied([model])
        found["d"].add(pl.DataFrame({"ts": [NOW] * 9_000, "day": [1] * (9_000 - rows) + [2] * rows, "y": [0] * 9_000}))
        return [doubt.why for doubt in of_gates(model, found)]

    assert told("stratified", 2, 300) == ["day=2 about n=60: below 100 it is insufficient, which holds every version"]
    assert told("stratified", 2, 440) == ["day=2 about n=88: below 100 it is insufficient, which holds every version"]
    assert told("stratified", 2, 470) == [], "ninety-four may well be a hundred"
    assert told("group", 2, 300) == [], "a group of three hundred is held out as a whole, if it is"
