"""A run asks its candidate the cases of each suite, which are rows of another data set, and keeps what it answered."""

import dataclasses
import io

import msgspec
import polars as pl

from flyball.errors import BadInput
from flyball.evaluation.suites import judge_suites, of_learned
from flyball.records.estimates import Outcome, Verdict
from flyball.training.rejudge import rejudge
from flyball.training.rows import assemble, taught_released
from flyball.training.run import execute, perform
from flyball.training.suites import ask_suites, asked_again, cases_of, loaded_suites, with_cases, with_seen

from .conftest import HOUR, PRICE, end_of

SUITES = PRICE.replace(
    "def fit(",
    """
cases = fb.Dataset(
    "cases", source="data/cases.csv", time="ts",
    columns={"hour": fb.column(int, known_after="-1d"), "up": fb.column(int), "note": str},
)

def fit(""",
    1,
).replace(
    '    slices=["hour"],\n',
    '    slices=["hour"], suites=[fb.suite("evening", cases, metric="accuracy", at_least=0.75), fb.suite("hard", cases, metric="accuracy", at_least=0.99)],\n',
)


def made(project):
    return project(SUITES, "price")


def month(market: pl.DataFrame) -> pl.DataFrame:
    """Rows of a month, under another name."""
    return market.tail(720).select("hour", "up", "ts", note=pl.lit("hand-picked"))


def evening(market: pl.DataFrame) -> pl.DataFrame:
    """Cases of their own: none is a row of the market."""
    return month(market).with_columns(hour=(pl.col("hour") + 1) % 24)


def outcomes(result):
    return {verdict.check: verdict.outcome for verdict in result.verdicts if verdict.check.startswith("suite ")}


def test_cases_are_answered_with_the_model_s_own_views_and_judged(project):
    loop = made(project)
    frames = loop.frames | {"cases": evening(loop.frames["market"])}
    result = execute(loop.spec(), loop.model, frames, loop.blobs)

    assert outcomes(result) == {"suite evening: accuracy ≥ 0.75": Outcome.PASS, "suite hard: accuracy ≥ 0.99": Outcome.FAIL}
    answered = pl.read_parquet(io.BytesIO(loop.blobs.get(result.suites["evening"])))
    assert answered.height == 720
    assert set(answered.columns) == {"__time", "y", "value", "score", "__seen"}
    assert not answered["__seen"].any()


def test_a_case_has_the_features_that_a_row_of_the_model_s_own_at_its_time_has(project):
    loop = made(project)
    frames = loop.frames | {"cases": month(loop.frames["market"])}
    variant = with_cases(loop.model, loop.model.suites[0])
    as_cases, own = (assemble(model, frames, as_of=end_of(frames["market"])) for model in (variant, loop.model))

    assert as_cases.features == own.features
    theirs = own.frame.filter(pl.col("__time").is_in(as_cases.frame["__time"].to_list())).select(own.features)
    assert theirs.equals(as_cases.frame.select(as_cases.features))


def test_rows_that_were_learned_from_are_no_suite_under_another_name(project):
    loop = made(project)
    frames = loop.frames | {"cases": month(loop.frames["market"])}
    before = perform(loop.spec(), loop.model, frames, loop.blobs)
    [easy, hard] = [each for each in before.result.verdicts if each.check.startswith("suite ")]
    answered = pl.read_parquet(io.BytesIO(loop.blobs.get(before.result.suites["evening"])))
    cut = end_of(loop.frames["market"]) - 7 * 24 * HOUR
    assert answered.filter(pl.col("__time") >= cut)["__seen"].sum() == 0, "what was held out taught nothing"
    count = int(answered["__seen"].sum())
    assert 500 < count < 720 - 168
    told = f"{count} of its 720 rows are in training too ({count / 720:.1%})"
    assert (easy.outcome, easy.estimate.value > 0.75) == (Outcome.INSUFFICIENT, True)
    assert easy.why.endswith(f"at least 0.750; {told}: what was learned by heart says nothing of new cases")
    assert (hard.outcome, hard.why.endswith(f"; {told}")) == (Outcome.FAIL, True), "it fails even so"

    rows = assemble(loop.model, frames, as_of=loop.spec().as_of)
    learned = taught_released(rows, before.predictor.trained_until, before.result.window)
    again = asked_again(loop.model, before.predictor, frames, loop.spec().as_of, before.result, loop.blobs, learned=learned)
    assert again["evening"]["__seen"].sum() > count, "what answers has learned from the hold-out as well"

    # the rows that it learned from were lost: of the very cases it is known, of others it is not
    lost = asked_again(loop.model, before.predictor, frames, loop.spec().as_of, before.result, loop.blobs)

    def judged(contents: dict[str, str], prior=before.result) -> Verdict:
        known = with_seen(loop.model, lost, contents, prior, loop.blobs)
        return judge_suites(loop.model.suites, known, "binary", classes=(0, 1))[0]

    same = loop.spec().datasets
    of = before.result.suites_of["evening"]
    prior = msgspec.structs.replace(before.result, suites_of={"evening": msgspec.structs.replace(of, content="c1")})
    assert judged(same | {"cases": "c1"}, prior).why.endswith(f"; {told}: what was learned by heart says nothing of new cases")
    for contents, earlier in ((same | {"cases": "c2"}, prior), (same, before.result)):
        other = judged(contents, earlier)
        assert (other.outcome, of_learned(other)) == (Outcome.INSUFFICIENT, True)
        assert other.why.startswith("whether its cases are in training too cannot be told any more")


def test_a_few_rows_that_were_learned_from_are_told_and_stop_nothing(project):
    loop = made(project)
    market = loop.frames["market"]
    frames = loop.frames | {"cases": pl.concat([month(market).head(90), evening(market).tail(500)])}
    result = execute(loop.spec(), loop.model, frames, loop.blobs)
    [told] = [each for each in result.verdicts if each.check == "suite evening: accuracy ≥ 0.75"]
    assert told.outcome is Outcome.PASS
    assert "90 of its 590 rows are in training too (15.3%)" in told.why


def test_an_absent_suite_is_insufficient_and_costs_nothing_else(project):
    loop = made(project)
    result = execute(loop.spec(), loop.model, loop.frames, loop.blobs)

    assert set(outcomes(result).values()) == {Outcome.INSUFFICIENT}
    assert all('data set "cases" has no version' in each.why for each in result.verdicts if each.check.startswith("suite "))
    assert result.suites == {}
    assert [each.outcome for each in result.verdicts[:2]] == [Outcome.PASS, Outcome.PASS]


def test_cases_without_a_label_and_without_a_column_say_so(project):
    loop = made(project)
    cases = evening(loop.frames["market"])
    candidate = perform(loop.spec(), loop.model, loop.frames, None, package=False).predictor

    def asked(frame):
        return ask_suites(loop.model, candidate, loop.frames | {"cases": frame}, end_of(loop.frames["market"]))["evening"]

    assert "no rows whose label is known" in asked(cases.with_columns(up=pl.lit(None, dtype=pl.Int64)))
    assert "no rows whose label is known" in asked(cases.clear())
    assert "hour" in asked(cases.drop("hour"))


def test_what_is_not_known_yet_is_no_case(project):
    loop = made(project)
    cases = evening(loop.frames["market"])
    candidate = perform(loop.spec(), loop.model, loop.frames, None, package=False).predictor
    asked = ask_suites(loop.model, candidate, loop.frames | {"cases": cases}, end_of(loop.frames["market"]) - 100 * HOUR)["evening"]

    assert 600 < asked.height < 720


def test_judged_again_the_cases_are_asked_again_or_taken_as_they_were_answered(project):
    loop = made(project)
    frames = loop.frames | {"cases": evening(loop.frames["market"])}
    early = loop.spec(as_of=end_of(frames["market"]) - 240 * HOUR)
    before = perform(early, loop.model, frames, loop.blobs)
    later = loop.spec()

    def again(model, frames, prior=before.result):
        return asked_again(model, before.predictor, frames, later.as_of, prior, loop.blobs)

    stored = again(loop.model, loop.frames)
    assert stored["evening"].equals(loaded_suites(loop.model, before.result.suites, loop.blobs)["evening"])
    kept = cases_of(loop.model, stored, loop.frames, {}, before.result.suites_of)
    assert kept == before.result.suites_of, "whose cases they are is handed on"
    now = again(loop.model, frames)
    assert now["evening"].height > stored["evening"].height
    never = again(loop.model, loop.frames, msgspec.structs.replace(before.result, suites={}, suites_of={}))
    assert 'data set "cases" has no version' in never["evening"]

    rows = assemble(loop.model, frames, as_of=later.as_of)
    asked = {"candidate": before.predictor, "champion": None, "earlier": before.holdout}
    result, _ = rejudge(later, loop.model, rows, before.result, **asked, suites=now)
    assert outcomes(result)["suite evening: accuracy ≥ 0.75"] is Outcome.PASS
    result, _ = rejudge(later, loop.model, rows, before.result, **asked)
    assert set(outcomes(result).values()) == {Outcome.INSUFFICIENT}, "what nobody asks is not passed over"


def test_no_former_answer_stands_in_for_cases_that_are_there(project):
    loop = made(project)
    cases = evening(loop.frames["market"])
    before = perform(loop.spec(datasets={"cases": "c" * 64}), loop.model, loop.frames | {"cases": cases}, loop.blobs)
    assert before.result.suites_of["evening"].content == "c" * 64
    for frame, why in ((cases.drop("hour"), "hour"), (cases.clear(), "no rows"), (cases.with_columns(hour=pl.lit("late")), "cases")):
        asked = asked_again(loop.model, before.predictor, loop.frames | {"cases": frame}, loop.spec().as_of, before.result, loop.blobs)
        assert isinstance(asked["evening"], str), "it passed on the former cases"
        assert why in asked["evening"]


def test_no_former_answer_stands_in_for_cases_whose_source_is_missing_now(project):
    loop = made(project)
    frames = loop.frames | {"cases": evening(loop.frames["market"])}
    before = perform(loop.spec(), loop.model, frames, loop.blobs)
    gone = {"cases": 'data set "cases": data/cases.csv does not exist'}
    asked = asked_again(loop.model, before.predictor, loop.frames, loop.spec().as_of, before.result, loop.blobs, gone)
    assert set(asked.values()) == set(gone.values())
    result = execute(loop.spec(unread=gone), loop.model, loop.frames, loop.blobs)
    assert set(outcomes(result).values()) == {Outcome.INSUFFICIENT}
    assert {each.why for each in result.verdicts if each.check.startswith("suite ")} == set(gone.values())


def test_no_answer_to_another_data_set_stands_in_under_the_suite_s_name(project):
    loop = made(project)
    before = perform(loop.spec(), loop.model, loop.frames | {"cases": evening(loop.frames["market"])}, loop.blobs)
    suite = loop.model.suites[0]
    others = (dataclasses.replace(suite.data, name="night-cases"), dataclasses.replace(suite.data, source="data/others.csv"))
    for data in others:
        model = loop.model.replace(suites=[dataclasses.replace(suite, data=data)])
        asked = asked_again(model, before.predictor, loop.frames, loop.spec().as_of, before.result, loop.blobs)
        assert "has no version that may be used" in asked["evening"]
    unsaid = msgspec.structs.replace(before.result, suites_of={})
    asked = asked_again(loop.model, before.predictor, loop.frames, loop.spec().as_of, unsaid, loop.blobs)
    assert isinstance(asked["evening"], str), "nobody knows whose they are"


def test_cases_that_are_there_and_have_no_answers_are_counted(project):
    loop = made(project)
    frames = loop.frames | {"cases": evening(loop.frames["market"])}

    class Unable:
        def predict(self, rows):
            raise BadInput(f"{rows.height} answers that are NaN or infinite")

    [evening_cases, _] = judge_suites(loop.model.suites, ask_suites(loop.model, Unable(), frames, end_of(frames["market"])), "binary")
    assert (evening_cases.outcome, evening_cases.estimate.n) == (Outcome.INSUFFICIENT, 720)
    assert "720 answers that are NaN or infinite" in evening_cases.why
