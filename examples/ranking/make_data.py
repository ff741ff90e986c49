"""Searches in a shop whose answer is known: `python make_data.py` writes data/lists.csv and says how well it can be ranked at best.

Each search shows ten of sixty products to a shopper with a budget. What a product is worth to that shopper is planted: its rating counts, and how
far its price is from the budget. What the shopper then does (0 nothing, 1 looks, 2 puts it into the basket, 3 buys) is drawn from that worth, so even
who knows the worth itself does not rank perfectly. That is the best possible figure; a model can come near it and not pass it.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import ndcg_score

SEARCHES, SHOWN, PRODUCTS = 2_400, 10, 60
BEGIN, STEP = datetime(2026, 1, 1), timedelta(minutes=30)
HOLDOUT = 7 * 48
"""Searches of the last seven days."""


def lists(seed: int = 7) -> tuple[pl.DataFrame, np.ndarray]:
    """(rows, planted worth of each row). Rows: asked, search, sku, device, budget, price, rating, worth."""
    rng = np.random.default_rng(seed)
    price = rng.uniform(10, 200, PRODUCTS).round(2)
    rating = rng.uniform(1, 5, PRODUCTS).round(1)
    budget = np.repeat(rng.uniform(10, 200, SEARCHES).round(2), SHOWN)
    device = np.repeat(rng.choice(["phone", "desk"], SEARCHES), SHOWN)
    product = np.concatenate([rng.choice(PRODUCTS, SHOWN, replace=False) for _ in range(SEARCHES)])
    planted = 0.9 * (rating[product] - 3) - 0.03 * np.abs(price[product] - budget) + 0.5
    done = rng.binomial(3, 1 / (1 + np.exp(-planted)))
    frame = pl.DataFrame(
        {
            "asked": [(BEGIN + STEP * (row // SHOWN)).isoformat() + "Z" for row in range(SEARCHES * SHOWN)],
            "search": [f"s{row // SHOWN:05d}" for row in range(SEARCHES * SHOWN)],
            "sku": [f"sku-{one:02d}" for one in product],
            "device": device,
            "budget": budget,
            "price": price[product],
            "rating": rating[product],
            "worth": done,
        }
    )
    return frame, planted


def ndcg(worth: np.ndarray, score: np.ndarray, k: int = 10) -> float:
    """Mean NDCG of the first k over lists in which anything was done."""
    tables = worth.reshape(-1, SHOWN), score.reshape(-1, SHOWN)
    kept = tables[0].any(axis=1)
    return float(ndcg_score(tables[0][kept], tables[1][kept], k=k))


def known(frame: pl.DataFrame, planted: np.ndarray) -> dict[str, float]:
    """NDCG@10 on the last seven days: of the planted worth itself (the best possible), of popularity before them, and of no order at all."""
    worth = frame["worth"].to_numpy()
    held = slice(-HOLDOUT * SHOWN, None)
    before = frame.head(frame.height - HOLDOUT * SHOWN).group_by("sku").agg(pl.col("worth").mean())
    popular = frame.tail(HOLDOUT * SHOWN).join(before, on="sku", how="left", maintain_order="left", suffix="_before")["worth_before"]
    return {
        "planted": ndcg(worth[held], planted[held]),
        "popularity": ndcg(worth[held], popular.to_numpy()),
        "no order": ndcg(worth[held], np.zeros(HOLDOUT * SHOWN)),
    }


def main() -> None:
    """Write the file beside this one and print what is known of it."""
    frame, planted = lists()
    target = Path(__file__).parent / "data" / "lists.csv"
    target.parent.mkdir(exist_ok=True)
    frame.write_csv(target)
    told = ", ".join(f"{name} {value:.3f}" for name, value in known(frame, planted).items())
    sys.stdout.write(f"{target}: {frame.height:,} rows; NDCG@10 of the last 7 days: {told}\n")


if __name__ == "__main__":
    main()
