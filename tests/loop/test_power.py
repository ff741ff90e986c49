"""What `check` says of power rests on the last run, else on the rows of the data, and on the traffic there is."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.loop.checking import check_project, to_json, to_lines
from flyball.loop.power import Known, Told, tell
from flyball.loop.tally import Rate, Tally
from flyball.records.models import Signature
from flyball.records.training import RunResult

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


def test_a_margin_that_would_do_is_told_as_it_is_declared() -> None:
    times = MODEL.replace(gates=[fb.metric("accuracy") >= fb.champion * 0.98])
    [doubt] = tell(times, known(), place="loop.py:3").doubts
    factor = float(doubt.fix.rpartition("or champion × ")[2])
    assert 0.9 < factor < 0.98
    wide = MODEL.replace(gates=[fb.metric("accuracy") >= fb.champion * round(factor - 0.002, 3)])
    assert tell(wide, known()).doubts == ()


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
