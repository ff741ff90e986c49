"""Every run says what each feature is worth to its candidate, with an interval."""

from __future__ import annotations

import pytest

from flyball.records import codec
from flyball.records.evaluation import Report
from flyball.training.run import perform


def report(project, **more) -> Report:
    result = perform(project.spec(**more), project.model, project.frames, project.blobs).result
    return codec.decode(project.blobs.get(result.report), Report)


def test_the_report_ranks_features_by_what_is_lost_without_them(bikes):
    found = report(bikes).importances
    assert found is not None
    assert found.loss == "absolute_error"
    assert {each.feature for each in found.features} == {"hr", "temp", "mean_24h", "yesterday", "hour_sin"}
    values = [each.rise.value for each in found.features]
    assert values == sorted(values, reverse=True)
    named = {each.feature: each.rise for each in found.features}
    assert named["temp"].low > 0, "rides follow the temperature"
    assert named["temp"].low < named["temp"].value < named["temp"].high
    assert named["temp"].n == found.rows == 7 * 24


def test_with_probabilities_the_loss_is_the_log_loss_and_a_run_tells_the_same_again(price):
    first, second = report(price).importances, report(price).importances
    assert first == second
    assert first.loss == "log_loss"
    assert 0 < first.mean_loss < 0.7


def test_a_rehearsal_does_not_look(price):
    result = perform(price.spec(), price.model, price.frames, None, package=False).result
    assert result.report == ""


def test_a_report_of_before_is_read_without_importances():
    assert codec.decode(b'{"missing": {"path": "no row"}}', Report).importances is None


@pytest.mark.parametrize("seed", [1, 2])
def test_importances_are_those_of_the_candidate_that_never_saw_the_rows(project, seed):
    text = (
        "import flyball as fb, polars as pl\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "market = fb.Dataset('market', source='data/market.csv', time='ts', columns={'hour': fb.column(int, known_after='-1d'),"
        " 'price': fb.column(float, known_after='-1d'), 'up': fb.column(int, one_of=(0, 1))})\n"
        "def fit(X: pl.DataFrame, y: pl.Series): return HistGradientBoostingClassifier(max_iter=20).fit(X, y)\n"
        "other = fb.Model('other', task='binary', data=market, label='up', framing=fb.Framing('test'), train=fb.Train(fit, window='30d', holdout='7d'))\n"
    )
    found = report(project(text, "other"), seed=seed).importances
    assert found.features[0].feature == "price"
    assert found.features[0].rise.low > 0
