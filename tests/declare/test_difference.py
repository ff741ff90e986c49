"""Differences of two declarations, a line each."""

import polars as pl

import flyball as fb
from flyball.declare import codec
from flyball.declare.difference import differences


def fit_otherwise(X, y, *, depth=3, rate=0.1):
    return None


def test_equal_declarations_differ_in_nothing_decoded_or_not(make) -> None:
    assert differences(make(), make()) == ()
    assert differences(codec.decode(codec.encode(make())), codec.decode(codec.encode(make()))) == ()


def test_each_difference_is_a_line(make) -> None:
    before = codec.decode(codec.encode(make()))
    after = make(
        owner="risk",
        gates=[fb.metric("accuracy") >= fb.baseline],
        rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.01]).shadow("12h").canary("10%", "6h"),
        transforms={"gap": pl.col("last_price") * 2, "more": pl.col("day")},
        train=fb.Train(fit_otherwise, search={"depth": fb.integers(2, 9)}, window="28d", holdout="7d"),
    )
    assert differences(before, codec.decode(codec.encode(after))) == (
        "train fit: fit → fit_otherwise",
        "train search depth high: 8 → 9",
        "owner: markets → risk",
        "transforms: + more",
        "transforms gap: the expression changed",
        "gates: − accuracy in each day ≥ champion − 0.02",
        "rollout guards: − accuracy ≥ champion − 0.05",
        "rollout guards: + accuracy ≥ champion − 0.01",
        "rollout steps: shadow 12h → canary 25% 6h   now   shadow 12h → canary 10% 6h",
    )
