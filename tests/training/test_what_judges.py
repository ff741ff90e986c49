"""What a fit is given to stop by judges neither a trial of its search nor the threshold: a fit that learns it by heart gains nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.records import codec
from flyball.records.evaluation import Decision, Report
from flyball.training.choosing import Manner
from flyball.training.fitting import FitCache, Fitter
from flyball.training.folds import make_folds
from flyball.training.parts import parts
from flyball.training.rows import assemble
from flyball.training.run import memo_key, perform
from flyball.training.splits import split, trial_split

DAY = int(Span.parse("1d"))

LOOP = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

rows = fb.Dataset("rows", source="rows.csv", time=TIME, columns={
    "a": fb.column(float, known_after="-40d"), "who": fb.column(int, known_after="-40d"), "y": fb.column(int, one_of=(0, 1))})
GIVEN = []


class Fitted:
    def __init__(self, model, known):
        self.model, self.known = model, known


def fit(X: pl.DataFrame, y: pl.Series, X_valid: pl.DataFrame, y_valid: pl.Series, *, by_heart: bool = False):
    GIVEN.append((set(X["a"]), set(X_valid["a"])))
    return Fitted(LogisticRegression().fit(X.select("a"), y), dict(zip(X_valid["a"], y_valid)) if by_heart else {})


def predict(fitted, X: pl.DataFrame):
    chance = fitted.model.predict_proba(X.select("a"))[:, 1]
    if fitted.known:
        chance = np.array([float(fitted.known.get(a, 0)) for a in X["a"]])
    return chance


def alone(X: pl.DataFrame, y: pl.Series):
    GIVEN.append((set(X["a"]), set()))
    return LogisticRegression().fit(X, y)


def beside(X: pl.DataFrame, y: pl.Series, X_valid: pl.DataFrame):
    GIVEN.append((set(X["a"]), set(X_valid["a"])))
    return LogisticRegression().fit(X, y)


m = fb.Model("m", task="binary", data=rows, label="y", group="who", framing=fb.Framing("test", HORIZON), costs=COSTS,
    train=fb.Train(fit, predict=predict, search={"by_heart": fb.choice(False, True)}, trials=4, TRAIN), gates=[fb.metric("accuracy") >= 0.1])
"""
OWN = 'fit, predict=predict, search={"by_heart": fb.choice(False, True)}, trials=4,'
BY_TIME = 'window="60d", holdout="7d"'
SPLITS = (BY_TIME, 'split="stratified"', 'split="group"', 'window="60d", holdout="7d", split="rolling", folds=2')
COSTS = '{"false_positive": "1 EUR", "false_negative": "9 EUR"}'


def frame(n: int = 3_000, each: int = 30, people: int = 400) -> pl.DataFrame:
    """Rows `each` a day; each value of `a` is of one row alone."""
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, n)
    ts = pl.Series(1_700_000_000_000_000 + DAY // each * np.arange(n)).cast(pl.Datetime("us"))
    return pl.DataFrame({"a": a, "who": rng.integers(0, people, n), "y": (a + rng.logistic(0, 0.5, n) > 0).astype(int), "ts": ts})


@pytest.fixture
def made(project):
    def make(train: str, costs: str = "None", horizon: str = "", rows: pl.DataFrame | None = None, text: str = LOOP):
        by_share = '"stratified"' in train or '"group"' in train
        text = text.replace("TRAIN", train).replace("COSTS", costs).replace("HORIZON", f'horizon="{horizon}"' if horizon else "")
        done = project(text.replace("TIME", "None" if by_share else '"ts"'), "m")
        found = frame() if rows is None else rows
        done.frames = {"rows": found.drop("ts") if by_share else found}
        return done

    return make


def run(project, **fields):
    return perform(project.spec(**fields), project.model, project.frames, None, package=False).result


def decided(project) -> Decision:
    result = perform(project.spec(), project.model, project.frames, project.blobs).result
    found = codec.decode(project.blobs.get(result.report), Report).decision
    assert found is not None
    return found


def given_to(project) -> list[tuple[set[float], set[float]]]:
    return project.model.train.fit.__globals__["GIVEN"]


@pytest.mark.parametrize("train", SPLITS)
def test_a_fit_that_learns_x_valid_by_heart_does_not_win_its_search(made, train: str):
    result = run(made(train), trials=4)
    by_heart = {trial.parameters["by_heart"]: trial.value for trial in result.history}
    assert result.parameters == {"by_heart": False}
    assert by_heart[True] < 0.65 < by_heart[False]


@pytest.mark.parametrize("train", SPLITS)
def test_a_threshold_is_picked_on_rows_that_its_fit_was_not_given(made, train: str):
    project = made(train, COSTS, rows=frame(8_000, each=80, people=2_000))
    spec = project.spec(parameters={"by_heart": True})
    rows = assemble(project.model, project.frames, as_of=spec.as_of)
    known = rows.known_by(spec.as_of) if project.model.data.time else rows.frame.height
    for fold in make_folds(spec, Fitter(project.model, rows, 0, FitCache(), spec.as_of), known, Manner(lambda _progress: None)):
        decision = fold.chosen.decision
        assert decision is not None
        assert decision.cost is not None
        assert decision.cost > 300, "on the rows that it has by heart it is free of errors"


def test_the_candidate_and_what_is_released_get_all_of_the_validation_to_stop_by(made):
    project = made(BY_TIME)
    run(project, trials=4)
    heights = [len(stops_by) for _, stops_by in given_to(project)]
    # two points of the search, the candidate, what is released
    assert heights == [105, 105, 210, 210]
    trial, _, candidate, released = (stops_by for _, stops_by in given_to(project))
    assert trial < candidate
    assert not candidate & released
    a = project.frames["rows"]["a"].to_list()
    assert released == set(a[-210:]), "nothing judges what is released"


@given(holdout=st.integers(1, 30), window=st.integers(5, 120), gap=st.floats(0, 5))
def test_by_time_what_judges_a_trial_lies_after_what_its_fit_is_given(holdout: int, window: int, gap: float):
    times = np.arange(200 * 4, dtype=np.int64) * (DAY // 4)
    spans = int(times[-1]) + 1, Span(holdout * DAY), Span(window * DAY), Span(int(gap * DAY))
    cut, alone, halved = split(times, *spans), *(trial_split(times, *spans, stops_by=each) for each in (False, True))
    assert cut.stop == alone.end == halved.end <= cut.holdout, "the hold-out is not touched"
    assert cut.start == alone.start == halved.start
    assert (alone.stop, alone.holdout) == (cut.inner, cut.valid), "a fit without X_valid is judged on all of the validation"
    assert halved.start <= halved.inner <= halved.valid <= halved.stop <= halved.holdout <= halved.end
    if not int(gap * DAY):
        assert (halved.inner, halved.valid, halved.stop) == (cut.inner, cut.valid, halved.holdout)
    for before, after in ((halved.inner, halved.valid), (halved.stop, halved.holdout)):
        if halved.start < before and after < halved.end:
            assert times[before - 1] < times[after] - int(gap * DAY)


@pytest.mark.parametrize("train", ['split="group", holdout="25%"', 'split="group", folds=3', 'split="stratified"'])
def test_by_share_a_group_or_row_stands_in_one_half_of_the_validation(made, train: str):
    project = made(train)
    rows = assemble(project.model, project.frames, as_of=0)
    told = project.frames["rows"]["who" if "group" in train else "a"]
    for part in parts(rows, rows.frame.height, project.model.train, stops_by=True):
        cut, trial = part.cut, part.trial
        names = told.gather(pl.Series(part.order))
        assert (trial.start, trial.inner, trial.stop, trial.end) == (0, cut.inner, trial.holdout, cut.stop)
        sides = [set(names[one:two]) for one, two in pairwise((0, cut.inner, trial.holdout, cut.stop, cut.end))]
        assert all(sides)
        assert sum(len(side) for side in sides) == len(set.union(*sides)), "no one is on two sides"
        assert trial.holdout - cut.inner == pytest.approx(cut.stop - trial.holdout, rel=0.4)


@pytest.mark.parametrize(("fit", "judge"), [("alone", 600), ("beside", 300)])
def test_all_validation_rows_judge_a_fit_without_x_valid_and_half_of_them_one_with_it(made, fit: str, judge: int):
    project = made('split="stratified"', COSTS, text=LOOP.replace(OWN, f"{fit},"))
    decision = decided(project)
    known, stops_by = given_to(project)[1]
    assert decision.rows == pytest.approx(judge, rel=0.3)
    candidate, by = given_to(project)[0]
    assert decision.rows + len(known) + len(stops_by) == len(candidate) + len(by)


@pytest.mark.parametrize(
    ("rows", "horizon", "says"),
    [
        (frame(300, each=2), "", "7 rows to judge on, and needs 10"),
        (frame(3_000, each=30), "27d", "0 rows to fit on, and needs 30"),
        (
            frame(3_000, each=30).filter(
                ~pl.col("ts").is_between(*(pl.lit(1_700_000_000_000_000 + day * DAY).cast(pl.Datetime("us")) for day in (85, 89.5)))
            ),
            "",
            "rows for fit to stop by",
        ),
    ],
)
def test_a_search_without_rows_enough_for_both_halves_is_refused(made, rows: pl.DataFrame, horizon: str, says: str):
    project = made(BY_TIME, horizon=horizon, rows=rows)
    with pytest.raises(BadInput, match=says) as error:
        run(project, trials=4)
    assert error.value.code == "too-few-rows"
    assert "--trials 0" in error.value.fix
    # without a search nothing is halved
    assert run(project, trials=0).parameters == {"by_heart": False}


def test_where_one_half_has_one_class_the_threshold_is_left_to_the_costs(made):
    moment = pl.lit(1_700_000_000_000_000 + int(89.5 * DAY)).cast(pl.Datetime("us"))
    held = pl.lit(1_700_000_000_000_000 + 93 * DAY).cast(pl.Datetime("us"))
    rows = frame().with_columns(y=pl.when(pl.col("ts").is_between(moment, held)).then(0).otherwise("y").cast(pl.Int64))
    project = made(BY_TIME, COSTS, rows=rows, text=LOOP.replace(OWN, "beside,"))
    decision = decided(project)
    assert decision.at == pytest.approx(0.1)
    assert "0 positive, are too few" in decision.why


def test_rows_to_stop_by_that_arrived_after_the_judged_rows_were_predicted_are_not_given(made):
    late = frame().with_columns(came=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("ts").dt.offset_by("40d")).otherwise("ts"))
    text = LOOP.replace("time=TIME,", 'time=TIME, arrived="came",')
    project = made(BY_TIME, rows=late, text=text)
    run(project, parameters={"by_heart": False}, as_of=int(late["came"].cast(pl.Int64).max()))
    came = dict(zip(late["a"], late["came"].cast(pl.Int64), strict=True))
    known, stops_by = given_to(project)[0]
    first = int(late["ts"].cast(pl.Int64)[-210])
    assert stops_by
    assert max(came[a] for a in known | stops_by) <= first


def test_a_run_that_was_made_in_a_former_way_is_not_taken_for_one_of_now(made):
    project = made(BY_TIME)
    assert memo_key(project.spec(making=0)) != memo_key(project.spec(making=1))
