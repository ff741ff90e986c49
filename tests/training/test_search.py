"""The search by itself: batches, pruning, failures, time; its outcome depends on nothing but the seed."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.declare.training import choice, floats, integers
from flyball.errors import BadInput
from flyball.records.training import Trial
from flyball.training.search import BATCH, COMPLETE, FAILED, PRUNED, STARTUP, STOPPED, Asked, Former, failures, holds, search

SPACE = {"depth": integers(1, 40), "rate": floats(0.001, 1.0, log=True), "kind": choice("a", "b")}
FIRST = {"depth": 6, "rate": 0.1, "kind": "a"}


def value(point) -> float:
    return -abs(point["depth"] - 17) - abs(point["rate"] - 0.3) - (point["kind"] == "a")


def whole(asked: Asked, **fields) -> Trial:
    known = {"number": asked.number, "parameters": asked.point, "state": COMPLETE, "value": float(asked.point["depth"])}
    return Trial(**(known | fields))


def done(asked: Asked, **fields) -> Trial:
    return Trial(**({"number": asked.number, "parameters": asked.point, "state": COMPLETE, "value": value(asked.point)} | fields))


def found(evaluate=lambda batch, _former: map(done, batch), *, trials=24, seed=3, space=SPACE, first=FIRST, **more):
    return search(space, evaluate, trials=trials, seed=seed, first=first, tell=lambda *_: None, **more)


def test_a_search_begins_with_the_defaults_and_finds_better_ones():
    made = found(trials=60)
    assert made.trials[0].parameters == FIRST
    assert [trial.number for trial in made.trials] == list(range(1, 61))
    assert value(made.best) == max(value(trial.parameters) for trial in made.trials) > value(FIRST) + 5


def test_the_outcome_is_the_same_whichever_trial_of_a_batch_ends_first():
    straight = found()
    turned = found(lambda batch, _former: map(done, reversed(batch)))
    assert straight == turned
    assert straight != found(seed=4)


def test_a_trial_sees_what_earlier_batches_reported_and_nothing_of_its_own():
    seen = []

    def evaluate(batch, former):
        seen.append((former.trials, {step: len(values) for step, values in former.reports.items()}))
        return [done(each, reports={0: value(each.point)}) for each in batch]

    found(evaluate, trials=3 * BATCH)
    assert seen == [(0, {}), (BATCH, {0: BATCH}), (2 * BATCH, {0: 2 * BATCH})]


def test_a_failed_trial_is_no_end_of_the_search_and_never_the_best():
    def evaluate(batch, _former):
        return [done(each) if each.point["kind"] == "a" else done(each, state=FAILED, value=None, why="no b") for each in batch]

    made = found(evaluate)
    states = {trial.state for trial in made.trials}
    assert states == {COMPLETE, FAILED}
    assert made.best["kind"] == "a"
    count = sum(trial.state == FAILED for trial in made.trials)
    assert failures(made.trials) == f"{count} of {len(made.trials)} trials of the search failed, the first: no b"
    assert failures([trial for trial in made.trials if trial.state != FAILED]) == ""


def test_a_search_whose_trials_all_fail_says_why():
    with pytest.raises(BadInput, match="none of the search's 5 trials came to its end") as error:
        found(lambda batch, _former: [done(each, state=FAILED, value=None, why="fit raised ValueError") for each in batch], trials=5)
    assert (error.value.code, error.value.why) == ("no-trial", "fit raised ValueError, whatever the hyperparameters")


def test_trials_that_fail_each_in_its_own_way_are_not_said_to_fail_alike():
    with pytest.raises(BadInput) as error:
        found(lambda batch, _former: [done(each, state=FAILED, value=None, why=f"no {each.number}") for each in batch], trials=5)
    assert error.value.why == "no 1"
    with pytest.raises(BadInput) as error:
        found(
            lambda batch, _former: [whole(each, state=FAILED, value=None, why="no") for each in batch],
            space={"depth": integers(3, 3)},
            first={"depth": 3},
            trials=5,
        )
    assert error.value.why == "no", "one point is no other"


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [(integers(2, 6), [2, 6], [1, 3.5, True, "3"]), (floats(0.0, 1.0), [0, 0.5], [1.5, True, "x"]), (choice("a", "b"), ["a"], ["c", 1])],
)
def test_what_a_search_would_try_is_known_of_every_value(space, inside, outside):
    assert [holds(space, value) for value in (*inside, *outside)] == [True] * len(inside) + [False] * len(outside)


def test_an_equal_point_is_tried_once():
    tried = []

    def evaluate(batch, _former):
        tried.extend(each.point["depth"] for each in batch)
        return [whole(each) for each in batch]

    made = found(evaluate, space={"depth": integers(1, 3)}, first={"depth": 2}, trials=20)
    assert [trial.value for trial in made.trials] == [trial.parameters["depth"] for trial in made.trials]
    assert made.best == {"depth": 3}
    assert len(tried) <= 3 * BATCH, "a value may be asked for twice in one batch, and in no later one"


def test_a_search_that_runs_out_of_time_ends_between_batches_with_the_best_so_far():
    made = found(ends=lambda done: "no time" if len(done) >= 8 else "")
    assert (len(made.trials), made.ended) == (8, "no time")
    assert value(made.best) == max(trial.value for trial in made.trials)


def test_a_stopped_trial_is_tried_anew_where_its_point_comes_again():
    states = []

    def evaluate(batch, _former):
        made = [whole(each) if states else whole(each, state=STOPPED, value=None, why="time") for each in batch]
        states.extend(each.state for each in made)
        return made

    made = found(evaluate, space={"depth": integers(1, 1)}, first={"depth": 1}, trials=8)
    assert [trial.state for trial in made.trials] == [STOPPED] * 4 + [COMPLETE] * 4


@settings(max_examples=60, deadline=None)
@given(
    history=st.lists(st.dictionaries(st.integers(0, 3), st.floats(-5, 5), min_size=1), min_size=0, max_size=9),
    own=st.dictionaries(st.integers(0, 3), st.floats(-5, 5), min_size=1),
)
def test_pruning_is_optunas_median_rule(history, own):
    """A pruner of Optuna needs its study, which trials in other processes have not: the rule is made here, and gives the same answers."""
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP))
    for reports in history:
        study.add_trial(optuna.trial.create_trial(value=0.0, intermediate_values=reports))
    steps: dict[int, list[float]] = {}
    for reports in history:
        for step, each in reports.items():
            steps.setdefault(step, []).append(each)
    trial, best = study.ask(), float("-inf")
    for step in sorted(own):
        trial.report(own[step], step)
        best = max(best, own[step])
        assert Former(len(history), steps).hopeless(step, best) == trial.should_prune()


def test_pruned_trials_are_told_to_the_sampler_with_their_reports():
    def evaluate(batch, _former):
        return [
            done(each, state=PRUNED if each.point["depth"] > 20 else COMPLETE, value=None if each.point["depth"] > 20 else value(each.point),
                 reports={0: value(each.point)})
            for each in batch
        ]  # fmt: skip

    made = found(evaluate, trials=40)
    assert {trial.state for trial in made.trials} == {COMPLETE, PRUNED}
    assert made.best["depth"] <= 20
