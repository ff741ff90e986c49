"""Two questions whose best possible answers are known: one of three kinds, and one number."""

import flyball as fb
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

made = fb.Dataset(
    "made",
    source="data/known.csv",
    time="at",
    min_rows=1_000,
    columns={
        "east": float,
        "north": float,
        "size": fb.column(float, between=(0, 6.3)),
        "strength": fb.column(float, between=(-1, 1)),
        "kind": fb.column(str, one_of=("round", "square", "star"), known_after="10m"),
        "amount": fb.column(float, known_after="10m"),
    },
)


def fit_kind(X: pl.DataFrame, y: pl.Series, *, C: float = 1.0) -> object:
    return LogisticRegression(C=C, max_iter=1_000).fit(X, y)


def fit_amount(X: pl.DataFrame, y: pl.Series, *, learning_rate: float = 0.1) -> object:
    return HistGradientBoostingRegressor(learning_rate=learning_rate).fit(X, y)


kind = fb.Model(
    "kind",
    task="multiclass",
    data=made,
    label="kind",
    inputs=["east", "north"],
    owner="examples",
    framing=fb.Framing("tell three kinds apart by where they lie", risk="low"),
    train=fb.Train(fit_kind, window="60d", holdout="14d"),
    gates=[fb.metric("accuracy").lower >= 0.8, fb.metric("accuracy") >= fb.baseline + 0.4, fb.metric("log_loss") <= 0.45],
)
amount = fb.Model(
    "amount",
    task="regression",
    data=made,
    label="amount",
    inputs=["size", "strength"],
    owner="examples",
    framing=fb.Framing("say how much it is", risk="low"),
    train=fb.Train(fit_amount, window="60d", holdout="14d"),
    gates=[fb.metric("mae").upper <= 0.95, fb.metric("mae") <= fb.baseline * 0.5, fb.metric("r2") >= 0.75],
)
