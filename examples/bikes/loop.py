"""How many bikes will be rented in the next hour, and what does a wrong answer cost?"""

import flyball as fb
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

CALENDAR = ("season", "yr", "mth", "hr", "holiday", "weekday", "workingday")
FORECAST = ("temp", "atemp", "hum", "windspeed")

rides = fb.Dataset(
    "bike-rides",
    source="data/bike_sharing.csv",
    time="ts",
    min_rows=1_000,
    unique=["ts"],
    columns={
        **{name: fb.column(int, known_after="-365d") for name in CALENDAR},
        **{name: fb.column(float, between=(0, 1), known_after="-6h", about="as forecast six hours ahead") for name in FORECAST},
        "weathersit": fb.column(int, one_of=(1, 2, 3, 4), known_after="-6h", about="1 clear to 4 heavy rain"),
        "rentals": fb.column(int, between=(0, 5_000), known_after="1h"),
    },
)
demand = fb.FeatureView(
    "demand",
    rides,
    entity=None,
    ttl="14d",
    owner="fleet",
    features={
        "mean_24h": fb.window("24h").mean("rentals"),
        "mean_7d": fb.window("7d").mean("rentals"),
        "yesterday": fb.window("1h", ago="24h").last("rentals"),
        "last_week": fb.window("1h", ago="168h").last("rentals"),
    },
)


def fit(X: pl.DataFrame, y: np.ndarray, *, max_depth: int = 8, learning_rate: float = 0.1) -> object:
    return HistGradientBoostingRegressor(loss="poisson", max_depth=max_depth, learning_rate=learning_rate).fit(X, y)


bikes = fb.Model(
    "bike-demand",
    task="forecast",
    data=rides,
    label="rentals",
    features=[demand],
    owner="fleet",
    framing=fb.Framing("place bikes where they will be taken", horizon="1h", act_within="30m", kpi="empty docks", risk="low"),
    transforms={"hour_sin": (pl.col("hr") * (2 * np.pi / 24)).sin(), "hour_cos": (pl.col("hr") * (2 * np.pi / 24)).cos()},
    train=fb.Train(fit, window="365d", holdout="28d", search={"max_depth": fb.integers(3, 10)}, trials=6),
    slices=["weathersit", "workingday"],
    costs={"absolute_error": "0.40 EUR"},
    gates=[
        fb.metric("mae") <= fb.baseline * 0.9,
        fb.metric("mae") <= fb.champion * 1.01,
        fb.metric("mae").by("workingday") <= fb.champion * 1.05,
        fb.metric("cost_per_1000") <= "25000 EUR",
    ],
    rollout=fb.Rollout(guards=[fb.metric("mae") <= fb.champion * 1.05, fb.metric("latency_p99") <= "50ms"])
    .shadow("2d")
    .canary("25%", "1d"),
    monitors=[fb.drift(), fb.metric("mae").over("7d") <= fb.at_release * 1.3],
    retrain=fb.Retrain(when=[fb.metric("mae") > fb.at_release], every="30d", cooldown="28d", max_runs="4/30d"),
)
