"""Whose each part of a model is."""

from __future__ import annotations

import pytest

import flyball as fb
from flyball.declare.owners import of_failure, owners

RATES = fb.Dataset("rates", source="rates.csv", time="ts", columns={"rate": float}, owner="treasury")
ROWS = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))}, owner="data")
LAGS = fb.FeatureView("lags", RATES, features={"rate_day": fb.window("1d").mean("rate")}, owner="features")


def model(data: fb.Dataset = ROWS, view: fb.FeatureView = LAGS) -> fb.Model:
    gates = [fb.metric("accuracy") >= 0.6, fb.approval("risk-officer")]
    return fb.Model("m", task="binary", data=data, label="y", features=[view], gates=gates, owner="markets")


def test_every_part_has_an_owner() -> None:
    assert owners(model()) == {
        "model m": "markets",
        "data set rows": "data",
        "data set rates": "treasury",
        "view lags": "features",
        "gate accuracy ≥ 0.6": "markets",
        "gate approval by 1 risk-officer": "risk-officer",
    }


def test_what_names_no_team_is_the_models() -> None:
    data = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": int})
    view = fb.FeatureView("lags", data, features={"x_day": fb.window("1d").mean("x")})
    assert set(owners(model(data, view)).values()) == {"markets", "risk-officer"}


@pytest.mark.parametrize(
    ("mode", "column", "team"),
    [
        ("schema_change", "x", "data"),
        ("stale_data", "", "data"),
        ("input_drift", "x", "data"),
        ("input_drift", "", "data"),
        ("input_drift", "rate_day", "features"),
        ("input_drift", "score", "markets"),
        ("skew", "rate_day", "features"),
        ("skew", "", "features"),
        ("errors", "", "markets"),
        ("latency", "", "markets"),
        ("performance", "x", "markets"),
        ("concept_drift", "", "markets"),
        ("late_labels", "", "markets"),
        ("bad_release", "", "markets"),
        ("evidence_gap", "", "markets"),
        ("bias", "x", "markets"),
    ],
)
def test_an_incident_is_the_failing_layers(mode: str, column: str, team: str) -> None:
    assert of_failure(model(), mode, column) == team
