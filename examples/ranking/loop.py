"""In which order should a search show its products to this shopper?"""

import flyball as fb
import numpy as np
import polars as pl

shop = fb.Dataset(
    "shop-lists",
    source="data/lists.csv",
    time="asked",
    min_rows=1_000,
    columns={
        "search": str,
        "sku": str,
        "device": fb.column(str, one_of=("phone", "desk")),
        "budget": fb.column(float, between=(0, 10_000)),
        "price": fb.column(float, between=(0, 10_000)),
        "rating": fb.column(float, between=(1, 5)),
        "worth": fb.column(int, between=(0, 3), known_after="1h"),
    },
)


def fit(
    X: np.ndarray, y: np.ndarray, group: np.ndarray, *, num_leaves: int = 15, n_estimators: int = 120, learning_rate: float = 0.08
) -> object:
    """LambdaRank. `group` numbers the lists in the order of the rows, so how often each number is there is what LightGBM asks for: their lengths."""
    from lightgbm import LGBMRanker

    lengths = np.unique(group, return_counts=True)[1]
    ranker = LGBMRanker(
        num_leaves=num_leaves, n_estimators=n_estimators, learning_rate=learning_rate, n_jobs=1, deterministic=True, verbose=-1
    )
    return ranker.fit(X, y, group=lengths)


search = fb.Model(
    "shop-search",
    task="ranking",
    data=shop,
    label="worth",
    group="search",
    item="sku",
    inputs=["budget", "price", "rating"],
    transforms={"off": pl.col("price") - pl.col("budget")},
    owner="shop",
    framing=fb.Framing("show first what the shopper wants", kpi="sales", risk="low"),
    train=fb.Train(fit, window="60d", holdout="7d"),
    slices=["device"],
    gates=[
        fb.metric("ndcg_at_10") >= fb.baseline + 0.03,
        fb.metric("ndcg_at_10") >= fb.champion - 0.01,
        fb.metric("recall_at_3").lower >= 0.25,
    ],
    rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 1.25, fb.metric("latency_p99") <= "100ms"], evidence="gate")
    .shadow("1h")
    .canary("25%", "6h"),
    monitors=[fb.drift()],
    retrain=fb.Retrain(every="30d"),
)
