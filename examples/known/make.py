"""Writes data/known.csv: rows of which the best possible answer is known. `python make.py`."""

import math
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

ROWS = 12_000
RADIUS = 1.5
"""How far the middle of each kind lies from the origin; each kind scatters around its own with σ = 1 in both directions."""

NOISE = 1.0
"""σ of what nobody can know of an amount."""

BEST_ACCURACY = 0.838
"""Of the kinds: the nearest middle is the best answer there is (`best_accuracy` computes it)."""

BEST_MAE = NOISE * math.sqrt(2 / math.pi)
"""Of the amounts: the mean distance of a normal variable from its mean."""


def middles() -> np.ndarray:
    angles = np.arange(3) * 2 * np.pi / 3
    return RADIUS * np.column_stack([np.cos(angles), np.sin(angles)])


def best_accuracy(draws: int = 2_000_000, seed: int = 1) -> float:
    points = middles()[0] + np.random.default_rng(seed).normal(size=(draws, 2))
    distances = ((points[:, None, :] - middles()[None]) ** 2).sum(axis=2)
    return float((distances.argmin(axis=1) == 0).mean())


def rows(seed: int = 0, count: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, count)
    place = middles()[kind] + rng.normal(size=(count, 2))
    size, strength = rng.uniform(0, 2 * np.pi, count), rng.uniform(-1, 1, count)
    amount = 3 * np.sin(size) + 4 * strength**2 + NOISE * rng.normal(size=count)
    start = datetime(2026, 1, 1)
    return pl.DataFrame(
        {
            "at": [(start + timedelta(minutes=10 * row)).isoformat() for row in range(count)],
            "east": place[:, 0].round(6),
            "north": place[:, 1].round(6),
            "size": size.round(6),
            "strength": strength.round(6),
            "kind": np.array(["round", "square", "star"])[kind],
            "amount": amount.round(6),
        }
    )


if __name__ == "__main__":
    folder = Path(__file__).parent / "data"
    folder.mkdir(exist_ok=True)
    rows().write_csv(folder / "known.csv")
    print(f"{ROWS:,} rows; best accuracy {best_accuracy():.4f}, best mean absolute error {BEST_MAE:.4f}")
