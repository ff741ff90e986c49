"""The half-hourly market of the shared test data, with a declaration like that of its loop."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Framing, Model
from flyball.declare.views import FeatureView, Window


@pytest.fixture
def electricity():
    """(model, frame)."""
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA does not name the folder of test data")
    frame = pl.read_csv(Path(folder) / "data" / "electricity.csv").with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S"))
    market = Dataset(
        "nsw-market",
        source="data/electricity.csv",
        time="ts",
        columns={
            "day": Column(int, between=(1, 7), known_after="-1d"),
            "period": Column(float, between=(0, 1), known_after="-1d"),
            **{name: Column(float) for name in ("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")},
            "up": Column(int, one_of=(0, 1)),
        },
    )
    features = {
        "price": Window("30m").last("nswprice"),
        "price_day": Window("1d").mean("nswprice"),
        "demand": Window("30m").last("nswdemand"),
        "up_last": Window("30m").last("up"),
        "swing": Window("7d").max("nswprice"),
    }
    model = Model(
        "price-direction",
        task="binary",
        data=market,
        label="up",
        features=[FeatureView("lags", market, ttl="7d", features=features)],
        framing=Framing("", horizon="4h"),
        transforms={"price_gap": pl.col("price") - pl.col("price_day")},
        slices=["day"],
    )
    return model, frame
