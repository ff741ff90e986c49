"""Hold-outs with known answers."""

import numpy as np
import polars as pl
import pytest


def _binary(n, accuracy, *, champion=None, base=None, seed=0, **columns):
    """Rows in which the answers of each party are right with the given chance; scores agree with the answers."""
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.5
    frame = {"y": y.astype(int)}
    for prefix, right in (("", accuracy), ("champion_", champion), ("base_", base)):
        if right is None:
            continue
        value = np.where(random.random(n) < right, y, ~y)
        frame[f"{prefix}value"] = value.astype(int)
        frame[f"{prefix}score"] = np.where(value, 0.55, 0.05) + 0.4 * random.random(n)
    return pl.DataFrame(frame | columns)


def _numbers(n, spread, *, champion=None, base=None, seed=0, **columns):
    """Rows whose predictions miss by normal errors of the given spread."""
    random = np.random.default_rng(seed)
    y = random.normal(100, 20, n)
    frame = {"y": y}
    for prefix, sigma in (("", spread), ("champion_", champion), ("base_", base)):
        if sigma is not None:
            frame[f"{prefix}value"] = y + random.normal(0, sigma, n)
            frame[f"{prefix}score"] = [None] * n
    return pl.DataFrame(frame | columns)


@pytest.fixture
def binary():
    """Make a binary hold-out."""
    return _binary


@pytest.fixture
def numbers():
    """Make a numeric hold-out."""
    return _numbers
