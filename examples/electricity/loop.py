"""Will the electricity price stand above its daily mean four hours from now?"""

import flyball as fb
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

market = fb.Dataset(
    "nsw-market",
    source="data/electricity.csv",
    time="ts",
    freshness="2h",
    min_rows=1_000,
    columns={
        "day": fb.column(int, between=(1, 7), known_after="-1d"),
        "period": fb.column(float, between=(0, 1), known_after="-1d"),
        "nswprice": fb.column(float, between=(0, 1)),
        "nswdemand": fb.column(float, between=(0, 1)),
        "vicprice": fb.column(float, between=(0, 1)),
        "vicdemand": float,
        "transfer": float,
        "up": fb.column(int, one_of=(0, 1)),
    },
)
lags = fb.FeatureView(
    "lags",
    market,
    entity=None,
    ttl="7d",
    owner="markets",
    features={
        "price": fb.window("30m").last("nswprice"),
        "price_day": fb.window("1d").mean("nswprice"),
        "demand": fb.window("30m").last("nswdemand"),
        "up_last": fb.window("30m").last("up"),
    },
)


def fit(X: pl.DataFrame, y: pl.Series, *, max_depth: int = 6, learning_rate: float = 0.1) -> object:
    return HistGradientBoostingClassifier(max_depth=max_depth, learning_rate=learning_rate).fit(X, y)


price = fb.Model(
    "price-direction",
    task="binary",
    data=market,
    label="up",
    features=[lags],
    owner="markets",
    framing=fb.Framing("charge batteries before a dear half hour", horizon="4h", act_within="1h", kpi="margin", risk="low"),
    transforms={"price_gap": pl.col("price") - pl.col("price_day")},
    train=fb.Train(fit, search={"max_depth": fb.integers(2, 8)}, window="auto", holdout="7d"),
    slices=["day"],
    gates=[fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy") >= fb.champion - 0.02],
    rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05, fb.metric("latency_p99") <= "50ms"], evidence="gate")
    .shadow("12h")
    .canary("25%", "6h"),
    monitors=[fb.drift(), fb.metric("accuracy").over("7d") >= 0.62],
    retrain=fb.Retrain(when=[fb.metric("accuracy") < fb.at_release], every="30d", cooldown="10d"),
    autonomy="act",
)
