"""Will an applicant fail to pay the loan back? The demo's loop file; one second stands for a day."""

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

import flyball as fb

PURPOSES = ("car", "debt", "home", "medical", "other")

applications = fb.Dataset(
    "applications",
    source="data/*.parquet",
    time="applied_at",
    min_rows=1_000,
    columns={
        "amount": fb.column(float, between=(500, 100_000), about="asked for, EUR"),
        "income": fb.column(float, between=(0, 2_000_000), nulls="50%", about="a year, EUR; may be missing"),
        "debt": fb.column(float, between=(0, 5_000_000), about="owed elsewhere, EUR"),
        "accounts": fb.column(int, between=(0, 100)),
        "purpose": fb.column(str, about="as the upstream job writes it"),
        "base_rate": fb.column(float, between=(-5, 25), about="as quoted to the customer, percent"),
        "defaulted": fb.column(bool, known_after="1s", nulls="60%", about="known of approved loans only, and late"),
    },
)


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    """Boosted trees, which take a missing income as it is."""
    return HistGradientBoostingClassifier(max_iter=60, max_depth=4, min_samples_leaf=10, random_state=0).fit(X, y)


lending = fb.Model(
    "lending",
    task="binary",
    data=applications,
    label="defaulted",
    owner="risk-models",
    framing=fb.Framing("grant small loans at once", kpi="loans paid back", risk="high"),
    inputs=["amount", "income", "debt", "accounts", "base_rate"],
    transforms={
        "debt_to_income": pl.col("debt") / (pl.col("income") + 1),
        "amount_to_income": pl.col("amount") / (pl.col("income") + 1),
        **{f"for_{purpose}": (pl.col("purpose") == purpose).cast(pl.Float64) for purpose in PURPOSES},
        "for_none_of_these": (~pl.col("purpose").is_in(PURPOSES)).cast(pl.Float64),
    },
    train=fb.Train(fit, window="60s", holdout="3s", timeout="60s"),
    slices=["purpose"],
    gates=[fb.metric("roc_auc") >= fb.baseline, fb.metric("accuracy") >= fb.champion - 0.05],
    rollout=fb.Rollout(
        guards=[
            fb.metric("accuracy") >= fb.champion - 0.05,
            fb.metric("error_rate") <= fb.champion * 1.25,
            fb.metric("latency_p99") <= "250ms",
        ],
    )
    .shadow("2s")
    .canary("5%", "2s")
    .canary("25%", "1s"),
    monitors=[fb.drift(), fb.metric("accuracy").over("1m") >= fb.at_release - 0.05],
    # quality falls at once; what to learn from is there when the inputs have shown the new world in two windows
    playbook=fb.Playbook(performance=()),
    retrain=fb.Retrain(when=[fb.drift()], cooldown="8s"),
    autonomy="act",
)
