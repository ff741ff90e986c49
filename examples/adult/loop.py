"""Does somebody earn more than 50,000 a year? And is the answer as good, and as often yes, for women as for men?"""

import flyball as fb
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

NUMBERED = ("workclass", "education", "marital-status", "occupation", "relationship", "native-country")
MEASURED = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")

census = fb.Dataset(
    "census",
    source="data/adult.csv",
    min_rows=10_000,
    columns={
        **{name: fb.column(int, between=(0, 200)) for name in (*NUMBERED, *MEASURED)},
        "race": fb.column(int, one_of=(0, 1, 2, 3, 4), protected=True),
        "sex": fb.column(int, one_of=(0, 1), protected=True, about="0 female, 1 male"),
        "income_over_50k": fb.column(int, one_of=(0, 1)),
    },
)


def fit(X: pl.DataFrame, y: pl.Series, *, max_depth: int = 4) -> object:
    """As good as it gets on average."""
    return HistGradientBoostingClassifier(max_depth=max_depth).fit(X, y)


def fit_fairly(X: pl.DataFrame, y: pl.Series, *, max_depth: int = 4) -> object:
    """The same, unlearning what household and trade alone say of the answer: both say much of a person's sex, which no fit ever sees.

    Each row weighs P(y) / P(y | household, trade), so that among the weighted rows neither says anything of y (Kamiran & Calders, 2012).
    """
    weight = reweighed(X.select("relationship", "occupation"), y)
    return HistGradientBoostingClassifier(max_depth=max_depth).fit(X, y, sample_weight=weight)


def reweighed(keys: pl.DataFrame, y: pl.Series) -> np.ndarray:
    """A weight a row that makes `y` independent of `keys`."""
    rows = keys.with_columns(y.alias("__y"))
    of_key, of_both, of_y = pl.len().over(keys.columns), pl.len().over([*keys.columns, "__y"]), pl.len().over("__y") / pl.len()
    return rows.select(of_y * of_key / of_both).to_series().to_numpy()


GATES = [
    fb.metric("roc_auc") >= 0.8,
    fb.metric("accuracy") >= fb.baseline + 0.03,
    fb.metric("accuracy") >= fb.champion - 0.01,
    fb.metric("positive_rate").gap("sex").upper <= 0.10,
    fb.metric("recall").gap("sex").upper <= 0.15,
]

income = fb.Model(
    "income",
    task="binary",
    data=census,
    label="income_over_50k",
    owner="census",
    framing=fb.Framing("show what a fairness gate does", risk="limited"),
    train=fb.Train(fit, split="stratified", holdout="20%"),
    slices=["sex", "race"],
    gates=GATES,
    rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 1.25], evidence="gate").shadow("1h").canary("10%", "1h"),
)
income_fair = income.replace("income-fair", train=fb.Train(fit_fairly, split="stratified", holdout="20%"))
