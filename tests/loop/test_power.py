"""What `check` says of power rests on the last run, else on the rows of the data, and on the traffic there is."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.loop.checking import check_project, to_json, to_lines
from flyball.loop.power import Known, Rate, Tally, Told, tallies, tell
from flyball.records.models import Signature
from flyball.records.training import RunResult
from flyball.training.splits import anchor, split

DATA = fb.Dataset("d", source="d.csv", time="ts", columns={"day": fb.column(int, known_after="-1d"), "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model(
    "one",
    task="binary",
    data=DATA,
    label="y",
    slices=["day"],
    train=fb.Train(print, holdout="7d"),  # type: ignore[arg-type]  # it is never called
    gates=[fb.metric("accuracy") >= fb.champion - 0.02, fb.metric("accuracy").by("day") >= fb.champion - 0.2],
    rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05], give_up="7d").shadow("1d"),
)
RESULT = RunResult(
    artifact="a" * 64,
    signature=Signature(task="binary", fields=(), classes=(0, 1)),
    parameters={},
    window=fb.Train(print, window="90d").window,  # type: ignore[arg-type]  # a span
    rows=9_000,
    holdout_rows=1_000,
    metrics={},
    baseline={},
    loss_bound=0.17,
)


def known(rows: int = 1_000, *, per_day: float = 1_000) -> Known:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, rows)
    new, old = (np.where(random.random(rows) < 0.15, 1 - y, y) for _ in range(2))
    frame = pl.DataFrame({"y": y, "value": new, "champion_value": old, "day": np.arange(rows) % 2 + 1})
    return Known("1.0.0", RESULT, frame, Rate(per_day, "labels a day"))


def test_each_gate_guard_and_the_detector_has_its_line() -> None:
    lines = [line.text for line in tell(MODEL, known()).lines]
    assert lines[0].startswith('"accuracy ≥ champion − 0.02" can see a drop of 0.0')
    assert "n=1,000; measured" in lines[0]
    assert "slices show 0.200" in lines[1]
    assert lines[2].startswith('"accuracy ≥ champion − 0.05" promotes an equal version after about ')
    assert "at 1,000 labels a day" in lines[2]
    assert "in accuracy is found after about " in lines[-1]
    assert [line.document["kind"] for line in tell(MODEL, known()).lines][:3] == ["gate", "gate", "promotion"]


def test_a_margin_that_the_hold_out_cannot_show_is_a_warning_at_its_gate_with_what_would_do() -> None:
    [doubt] = tell(MODEL, known(), place="loop.py:3").doubts
    assert (doubt.where, doubt.at) == ('loop.py:3  Model "one"', "/gates/0")
    assert 'gates "accuracy ≥ champion − 0.02": its margin is smaller than what the hold-out can show' in doubt.what
    assert "pass less often than 4 times in 5" in doubt.why
    assert 'a longer hold-out: holdout="' in doubt.fix
    days = int(doubt.fix.split('"')[1].removesuffix("d"))
    assert tell(MODEL, known(round(1_000 * days / 7 * 1.2))).doubts == (), "with the hold-out that is named the gate shows it"


def test_labels_that_come_too_seldom_for_the_rollout_are_a_warning() -> None:
    [doubt] = [one for one in tell(MODEL, known(per_day=10)).doubts if one.at == "/rollout"]
    assert "labels are too few to promote an equal version in time" in doubt.what
    assert "at 10 labels a day" in doubt.why
    assert "given up after 8d" in doubt.why
    at_gate = MODEL.replace(rollout=fb.Rollout(guards=MODEL.rollout.guards, evidence="gate").shadow("1d"))
    assert [one.at for one in tell(at_gate, known(per_day=10)).doubts] == ["/gates/0"], "who rests on the gate waits for no label"


def test_with_nothing_known_it_says_so() -> None:
    lines = [line.text for line in tell(MODEL, Known()).lines]
    assert lines[0] == '"accuracy ≥ champion − 0.02": what it can see is not known before a run of this declaration has measured it'
    assert "there is no traffic yet" in lines[2]
    assert tell(MODEL, Known()).doubts == ()


def test_where_nothing_says_how_many_labels_come_the_way_to_know_is_told() -> None:
    def promotion(told: Told) -> str:
        return next(line.text for line in told.lines if line.document["kind"] == "promotion")

    assert "no rows were read: flyball check --data reads them" in promotion(tell(MODEL, Known()))
    untimed = Tally(fb.Dataset("rows", source="rows.csv", columns={"x": float}), ())
    assert "the rows that were read have no time" in promotion(tell(MODEL, Known(), {"d": untimed}))


def test_evidence_of_another_task_is_none() -> None:
    other = MODEL.replace(task="multiclass")
    assert tell(other, known()).lines[0].document["smallest"] is None


def test_rows_are_tallied_over_the_newest_hold_out_in_any_batches() -> None:
    rows = 24 * 30
    start = datetime(2024, 1, 1)
    frame = pl.DataFrame(
        {"ts": [start + timedelta(hours=hour) for hour in range(rows)], "day": [hour // 24 % 7 + 1 for hour in range(rows)]}
    )
    tally = Tally(DATA, ("day",))
    for at in range(0, rows, 7):
        tally.add(frame[at : at + 7])
    newest = fb.Train(print, holdout="7d")  # type: ignore[arg-type]  # it is never called
    assert tally.held(newest, ()) == [("", 7 * 24)]
    assert tally.held(newest, ("day",)) == [(f"day={day}", 24) for day in range(1, 8)]
    rolling = fb.Train(print, holdout="7d", split="rolling", folds=3)  # type: ignore[arg-type]
    assert tally.held(rolling, ()) == [("", 3 * 7 * 24)]
    assert tally.held(fb.Train(print, holdout="25%", split="stratified"), ()) == [("", 180)]  # type: ignore[arg-type]
    assert tally.held(fb.Train(print, folds=5, split="stratified"), ()) == [("", 720)], "of five parts each is held out once"  # type: ignore[arg-type]
    tally.add(frame.with_columns(pl.lit(None, pl.Datetime("us")).alias("ts"))[:3])
    assert tally.held(newest, ()) == [("", 7 * 24)], "rows without their time are in no hold-out"
    tally.rows -= 3
    rate = tally.rate()
    assert rate is not None
    assert rate.per_day == pytest.approx(24)
    assert rate.of == 'rows a day of data set "d"'


@pytest.mark.parametrize(("delay", "folds"), [("0s", 1), ("5h", 1), ("5h", 3)])
def test_rows_are_counted_as_a_run_holds_them_out_to_the_row(delay: str, folds: int) -> None:
    """Rows lie seven minutes apart, and some have no label."""
    start = datetime(2024, 1, 1)
    at = [start + timedelta(minutes=7 * place) for place in range(6_000)]
    frame = pl.DataFrame({"ts": at, "day": [1] * len(at), "y": [None if place % 5 == 0 else place % 2 for place in range(len(at))]})
    data = fb.Dataset("d", source="d.csv", time="ts", columns={"day": int, "y": fb.column(int, nulls="50%", known_after=delay)})
    more = {"split": "rolling", "folds": folds} if folds > 1 else {}
    model = MODEL.replace(data=data, label="y", slices=["day"], train=fb.Train(print, holdout="7d", **more))  # type: ignore[arg-type]  # it is never called
    tally = tallies([model])["d"]
    for place in range(0, len(at), 500):
        tally.add(frame[place : place + 500])
    assert model.train is not None
    known = frame.filter(pl.col("y").is_not_null())["ts"].dt.epoch("us").to_numpy()
    as_of, label_delay = int(frame["ts"].dt.epoch("us")[-1]), int(model.label_delay)
    known = known[known <= as_of - label_delay]
    holdout = model.train.holdout_span
    end, held = anchor(known, as_of, model.label_delay), 0
    for fold in range(folds):
        cut = split(known, end - fold * holdout, holdout, Span.parse("10d"), Span(0))
        held += cut.end - cut.holdout
    assert tally.held(model.train, (), delay=label_delay) == [("", held)]
    assert tally.held(model.train, ("day",), delay=label_delay) == [("day=1", held)]
    assert sum(part.height for part in tally._parts[""]) < len(at), "of rows before the hold-outs no time is kept"


def test_of_rows_without_a_time_a_share_is_held_out_and_nothing_comes_in_a_day() -> None:
    timeless = fb.Dataset("d", source="d.csv", columns={"day": int, "y": int})
    tally = Tally(timeless, ("day",))
    tally.add(pl.DataFrame({"day": [1] * 300 + [2] * 100, "y": [0] * 400}))
    train = fb.Train(print, holdout="20%", split="stratified")  # type: ignore[arg-type]  # it is never called
    assert tally.held(train, ()) == [("", 80)]
    assert tally.held(train, ("day",)) == [("day=1", 60), ("day=2", 20)]
    assert tally.rate() is None
    model = MODEL.replace(data=timeless, train=train)
    whole, _ = [doubt for doubt in tell(model, Known(), {"d": tally}).doubts if doubt.at.startswith("/gates")]
    assert "n=80" in whole.why
    assert whole.fix.startswith("more rows; or a margin of ")
    assert tell(model.replace(group="day"), Known(), {"d": tally}).lines[0].document["smallest"] is None, (
        "rows of one group are no rows of their own"
    )
    enough = tell(model.replace(train=fb.Train(print, holdout="2%", split="stratified"), gates=MODEL.gates[:1]), known(800)).doubts[0]  # type: ignore[arg-type]
    share = int(enough.fix.split('holdout="')[1].split("%")[0])
    assert 2 < share <= 90


def counted(days: dict[int, int], cases: int = 200) -> dict[str, Tally]:
    """What was read: so many rows of each day in the week that is held out, and so many cases of the suite."""
    data = fb.Dataset("d", source="d.csv", time="ts", columns={"day": fb.column(int, one_of=(1, 2, 3), known_after="-1d"), "y": int})
    elders = fb.Dataset("elders", source="elders.csv", columns={"day": int, "y": int})
    model = MODEL.replace(data=data, suites=[fb.suite("old", elders, metric="accuracy", at_least=0.8)])
    found = tallies([model])
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


LOOP = """
import flyball as fb

data = fb.Dataset("d", source="d.csv", time="ts", columns={
    "day": fb.column(int, between=(1, 7), known_after="-1d"), "a": fb.column(float), "y": fb.column(int, one_of=(0, 1), known_after="1h")})

def fit(X, y, *, depth=2):
    return depth

one = fb.Model("one", task="binary", data=data, label="y", owner="me", slices=["day"], train=fb.Train(fit, holdout="7d"),
    gates=[fb.metric("accuracy").by("day") >= fb.champion - 0.05],
    rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05], evidence="gate").shadow("12h"))
"""


@pytest.mark.process
def test_the_check_with_data_counts_what_a_hold_out_would_have_before_any_run(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").touch()
    (tmp_path / "loop.py").write_text(LOOP)
    rows = 24 * 60
    start = datetime(2024, 1, 1)
    pl.DataFrame(
        {
            "ts": [(start + timedelta(hours=hour)).isoformat() for hour in range(rows)],
            "day": [hour // 24 % 7 + 1 for hour in range(rows)],
            "a": np.random.default_rng(0).random(rows),
            "y": np.random.default_rng(1).integers(0, 2, rows),
        }
    ).write_csv(tmp_path / "d.csv")
    checked = check_project(tmp_path, data=True)
    assert checked.problems == ()
    [gate] = [line for line in to_lines(checked) if "power" in line and "in each day" in line]
    assert '"accuracy in each day ≥ champion − 0.05" can see a drop of 0.161 in day=' in gate
    assert "with this hold-out (n=24 < 100: insufficient; 0 of 7 slices show 0.050; assumed" in gate
    [warning] = [one for one in to_json(checked)["models"][0]["warnings"] if one["where"] == "/gates/0"]
    assert 'a longer hold-out: holdout="' in warning["fix"]
    kinds = {one["kind"]: one for one in to_json(checked)["models"][0]["power"]}
    assert kinds["promotion"]["per_day"] == pytest.approx(24)
    assert (kinds["promotion"]["labels"], kinds["promotion"]["days"]) == (320, pytest.approx(320 / 24, abs=0.01))
