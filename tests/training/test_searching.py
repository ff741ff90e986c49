"""A run's search: with pruning, in processes beside it, in a bounded time, and gone on with after a kill."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from flyball.errors import BadInput
from flyball.records import codec
from flyball.records.training import Trial
from flyball.training.beside import Place
from flyball.training.run import execute, perform
from flyball.training.searching import Conduct

LOOP = """
import os
import time
import flyball as fb
import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, known_after="-1d"), "price": fb.column(float, known_after="-1d"), "up": fb.column(int, one_of=(0, 1))})

def fit(X: pl.DataFrame, y: pl.Series, X_valid: pl.DataFrame, y_valid: pl.Series, run, *, C: float = 1.0, steps: int = 4):
    BODY
    return LogisticRegression(C=C).fit(X, y)

m = fb.Model("m", task="binary", data=market, label="up",
    train=fb.Train(fit, search={"C": fb.floats(1e-6, 10.0, log=True), "steps": fb.integers(1, 30)}, objective="OBJECTIVE", window="40d", holdout="7d"),
    gates=[fb.metric("accuracy") >= 0.1])
"""

REPORTS = """for step in range(steps):
        model = LogisticRegression(C=C).fit(X, y)
        run.report(step, float((model.predict(X_valid) == y_valid.to_numpy()).mean()))"""


def loop(body: str = "pass", objective: str = "accuracy") -> str:
    return LOOP.replace("BODY", body).replace("OBJECTIVE", objective)


def outcome(result) -> list[tuple]:
    return [(trial.number, trial.parameters, trial.state, trial.value, trial.reports) for trial in result.history]


def place(project, tmp_path: Path) -> Place:
    return Place(blobs=str(project.blobs.root), scratch=str(tmp_path / "scratch"), code=project.code, file=project.file, model=project.name)


def test_every_trial_is_in_the_result_with_its_parameters_value_time_and_state(project):
    made = project(loop(), "m")
    result = execute(made.spec(trials=6), made.model, made.frames, made.blobs)
    assert [trial.number for trial in result.history] == [1, 2, 3, 4, 5, 6]
    assert result.history[0].parameters == {"C": 1.0, "steps": 4}
    assert all(trial.state == "complete" and 0 < trial.value <= 1 and trial.seconds > 0 for trial in result.history)
    best = max(result.history, key=lambda trial: (trial.value, -trial.number))
    assert result.parameters == best.parameters
    assert result.trials == 6


def test_a_trial_that_reports_less_than_the_others_is_pruned(project):
    result = execute((made := project(loop(REPORTS), "m")).spec(trials=20), made.model, made.frames, made.blobs)
    states = {state: [trial for trial in result.history if trial.state == state] for state in ("complete", "pruned")}
    assert states["pruned"]
    assert states["complete"]
    assert all(trial.value is None and trial.reports for trial in states["pruned"])
    assert min(trial.number for trial in states["pruned"]) > 8, "not before a median can be told"
    last = states["pruned"][-1]
    assert max(last.reports.values()) < max(trial.value for trial in states["complete"])


def test_of_an_error_less_is_better_when_trials_are_pruned(project):
    made = project(loop("run.report(0, abs(np.log10(C)))", objective="log_loss"), "m")
    result = execute(made.spec(trials=20), made.model, made.frames, made.blobs)
    worst = [abs(math.log10(trial.parameters["C"])) for trial in result.history if trial.state == "pruned"]
    best = [abs(math.log10(trial.parameters["C"])) for trial in result.history if trial.state == "complete"]
    assert min(worst) > min(best)
    assert max(worst) > max(best[6:], default=0) or not best[6:]


def test_what_cannot_be_reported_is_told_as_a_mistake_of_the_fit(project):
    made = project(loop("run.report(0.5, 1)"), "m")
    with pytest.raises(BadInput, match=r"run.report\(0.5, …\) is no step"):
        perform(made.spec(), made.model, made.frames, None, package=False)


def test_what_fit_logs_is_in_the_result(project):
    made = project(loop("run.log(rows=X.height)"), "m")
    assert perform(made.spec(), made.model, made.frames, None, package=False).result.logged["rows"] > 100


def test_a_trial_that_raises_is_a_failed_trial_with_its_reason(project):
    made = project(loop("assert C > 0.001, 'too small'"), "m")
    lines: list[str] = []
    result = execute(made.spec(trials=12), made.model, made.frames, made.blobs, conduct=Conduct(say=lines.append))
    failed = [trial for trial in result.history if trial.state == "failed"]
    assert failed
    assert all("AssertionError: too small" in trial.why for trial in failed)
    [note] = [note for note in result.notes if "trials of the search failed" in note]
    assert note.startswith(
        f"{len(failed)} of {len(result.history)} trials of the search failed, the first: fit raised AssertionError: too small"
    )
    assert len([line for line in lines if "failed: fit raised" in line]) == len(failed)
    assert result.parameters["C"] > 0.001


@pytest.mark.process
@pytest.mark.parametrize("split", ["", 'split="stratified", '])
def test_trials_at_once_find_what_one_after_the_other_finds(project, split: str, tmp_path: Path):
    text = loop(REPORTS) if not split else loop(REPORTS).replace('window="40d", holdout="7d"', f'{split}holdout="20%"')
    made = project(text, "m")
    alone = execute(made.spec(trials=14), made.model, made.frames, made.blobs)
    several = execute(made.spec(trials=14), made.model, made.frames, made.blobs, conduct=Conduct(at_once=3, place=place(made, tmp_path)))
    assert outcome(several) == outcome(alone)
    assert {trial.state for trial in alone.history} == {"complete", "pruned"}
    # the same was learned; in which form it is served follows from times that were measured
    assert several.fit_digest == alone.fit_digest
    assert not list((tmp_path / "scratch").glob("rows-*")), "the file of rows is gone"
    assert several.fit_s > sum(trial.cpu_s for trial in several.history) > 0


@pytest.mark.process
def test_a_trial_that_ends_its_process_is_a_failed_trial_where_it_has_one(project, tmp_path: Path):
    made = project(loop("C > 0.01 or os._exit(9)"), "m")
    result = execute(made.spec(trials=8), made.model, made.frames, made.blobs, conduct=Conduct(at_once=2, place=place(made, tmp_path)))
    assert {trial.why for trial in result.history if trial.state == "failed"} == {
        "its process ended with exit code 9 and left no reason; see the run's log"
    }
    assert result.parameters["C"] > 0.01


SLOW = "time.sleep(0.0 if steps == 4 else 40.0)"


def in_time(made, seconds: float, **more):
    began = time.monotonic()
    result = execute(made.spec(trials=8), made.model, made.frames, made.blobs, conduct=Conduct(until=began + seconds, **more))
    assert time.monotonic() - began < seconds
    return result


@pytest.mark.parametrize("at_once", [1, pytest.param(2, marks=pytest.mark.process)])
def test_a_trial_that_takes_the_time_of_the_fits_that_follow_is_stopped_and_the_run_goes_on(project, at_once: int, tmp_path: Path):
    made = project(loop(SLOW), "m")
    result = in_time(made, 40.0, at_once=at_once, place=place(made, tmp_path))
    assert result.history[0].state == "complete"
    assert "stopped" in {trial.state for trial in result.history}
    assert result.parameters == {"C": 1.0, "steps": 4}
    assert [note for note in result.notes if note.startswith(f"the search ended after {len(result.history)} of 8 trials")]


def test_a_search_goes_on_where_an_earlier_attempt_was_killed(project, tmp_path: Path):
    text = loop("with open(os.environ['FITS'], 'a') as file: file.write(f'{C!r}\\n')")
    made = project(text, "m")
    kept, fits = tmp_path / "memo" / "kept.trials", tmp_path / "fits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITS", str(fits))
        whole = execute(made.spec(trials=8), made.model, made.frames, made.blobs, conduct=Conduct(kept=kept))
        lines = kept.read_bytes().splitlines(keepends=True)
        assert [codec.decode(line, Trial).number for line in lines] == [1, 2, 3, 4, 5, 6, 7, 8]
        # killed within the sixth line
        kept.write_bytes(b"".join(lines[:5]) + lines[5][:20])
        fits.unlink()
        said: list[str] = []
        again = execute(made.spec(trials=8), made.model, made.frames, made.blobs, conduct=Conduct(kept=kept, say=said.append))
    assert outcome(again) == outcome(whole)
    assert again.fit_digest == whole.fit_digest
    tried = {repr(trial.parameters["C"]) for trial in again.history[:5]} - {repr(again.parameters["C"])}
    assert tried.isdisjoint(fits.read_text().split()), "what was made is not fitted again"
    assert said[0] == "trials 1, 2, 3, 4: made by an earlier attempt"


def test_trials_of_another_search_are_not_taken_for_its_own(project, tmp_path: Path):
    made, kept = project(loop(), "m"), tmp_path / "kept"
    kept.write_bytes(codec.encode(Trial(number=1, parameters={"C": 7.0, "steps": 1}, state="complete", value=99.0)) + b"\n")
    result = execute(made.spec(trials=4), made.model, made.frames, made.blobs, conduct=Conduct(kept=kept))
    assert all(trial.value <= 1 for trial in result.history)
