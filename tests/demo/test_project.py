"""The demo's project is one that any user could have written, and its edits do what they say."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from flyball.declare.code import load_model
from flyball.declare.project import read_project
from flyball.demo.project import LABEL_DELAY_S, LOOP_FILE, MODEL, Matured, hasty_text, loop_text, write_project, write_rows
from flyball.demo.run import history
from flyball.demo.world import Climate, applications
from flyball.loop.checking import check_project
from flyball.settings import read_settings


def make(root, **kind):
    write_project(root, history(1), **kind)
    return root


def test_the_loop_file_passes_check_with_its_data_and_is_told_what_its_high_risk_asks_for(tmp_path):
    checked = check_project(make(tmp_path / "bank"), data=True, applied={})
    assert not checked.problems
    assert [warning.what for warning in checked.warnings] == [
        "risk is high, and versions are released without a person's approval",
        "risk is high, and no column is protected",
    ]
    assert [model.name for model in checked.models] == [MODEL]


def test_labels_are_declared_as_late_as_they_are(tmp_path):
    model = load_model(make(tmp_path / "bank"), LOOP_FILE, MODEL)
    assert model.label_delay.seconds == LABEL_DELAY_S


def test_sabotage_switches_detector_monitors_and_triggers_off_and_nothing_else(tmp_path):
    sound = load_model(make(tmp_path / "sound"), LOOP_FILE, MODEL)
    blind = load_model(make(tmp_path / "blind", sabotage=True), LOOP_FILE, MODEL)
    assert sound.monitors
    assert sound.retrain is not None
    assert (blind.monitors, blind.retrain) == ((), None)
    assert (blind.gates, blind.rollout) == (sound.gates, sound.rollout)
    on, off = (read_settings(read_project(tmp_path / name).settings, {}) for name in ("sound", "blind"))
    assert (on.detector, off) == (1, replace(on, detector=0))


def test_the_hasty_edit_is_as_good_on_known_rows_and_cannot_take_a_missing_income(tmp_path):
    (tmp_path / LOOP_FILE).write_text(hasty_text(loop_text()))
    hasty = load_model(tmp_path, LOOP_FILE, MODEL)
    people = applications(np.random.default_rng(1), 600, Climate(partner=0.5))
    rows, y = pl.DataFrame([one.row for one in people], infer_schema_length=None), pl.Series([one.defaults for one in people])
    X = rows.with_columns(**hasty.transforms).drop("purpose")
    whole = X["income"].is_not_null()
    fitted = hasty.train.fit(X.filter(whole), y.filter(whole))
    assert (fitted.predict(X.filter(whole)) == y.filter(whole).to_numpy()).mean() > 0.85
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(X.filter(~whole))


def test_a_refused_application_has_no_outcome_in_the_upstream_file(tmp_path):
    (tmp_path / "data").mkdir()
    one, other = applications(np.random.default_rng(1), 2, Climate())
    now = time.time_ns() // 1000
    write_rows(tmp_path, "day", [Matured(one, now, None), Matured(other, now, True)])
    frame = pl.read_parquet(tmp_path / "data" / "day.parquet")
    assert frame["defaulted"].to_list() == [None, True]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["day.parquet"]
