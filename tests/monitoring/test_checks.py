"""Declared checks on live counts: any metric, whole, by slice, and as a gap between groups."""

import msgspec
import numpy as np
import pytest

from flyball.clock import Span
from flyball.declare.checks import Check, metric
from flyball.monitoring.alerts import UNDER_WAY
from flyball.monitoring.checks import check_findings, estimates, judged, seen
from flyball.monitoring.slabs import Slab, slabs_of
from flyball.monitoring.state import MonitorState
from flyball.records.estimates import Estimate
from flyball.records.evidence import Quality
from flyball.stats import binned

from .test_alerts import Rows

MINUTE = 60_000_000
NOW = 1_700_000_000_000_000
METRICS = (
    *("accuracy", "precision", "recall", "f1", "false_positive_rate", "positive_rate"),
    *("roc_auc", "log_loss", "brier", "calibration_error", "recall_at_5%", "cost_per_1000"),
)
PRICES = {"fp": 4_000.0, "fn": 180_000.0}


def group(name, n=1_000, seed=0, *, shift=0.0, at=0.5, minute=NOW // MINUTE - 5):
    """Counts of a group whose scores are right; `shift` moves how many are positive, `at` is from where on they are called so."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) + shift
    score = 1 / (1 + np.exp(-z))
    y, called = rng.random(n) < score, score >= at
    lost = -np.log(np.where(y, score, 1 - score))
    off = (score - y) ** 2
    return Quality(
        model="m",
        version="1.0.0",
        role="champion",
        slice=name,
        minute=minute,
        matured=n,
        labelled=n,
        correct=int((y == called).sum()),
        tp=int((y & called).sum()),
        fp=int((~y & called).sum()),
        fn=int((y & ~called).sum()),
        tn=int((~y & ~called).sum()),
        scored=n,
        log_loss=float(lost.sum()),
        log_loss_sq=float((lost**2).sum()),
        sq_score=float(off.sum()),
        quad_score=float((off**2).sum()),
        scores=binned.of(score, y),
    )


def slab(*parts):
    return Slab(start=parts[0].minute, quality=parts)


@pytest.mark.parametrize("name", METRICS)
def test_any_metric_is_told_whole_by_slice_and_as_a_gap_with_its_interval_and_n(name):
    counts = slab(group("", 3_000), group("sex=f", 1_200, 1), group("sex=m", 1_800, 2, shift=0.6))
    [(_, whole)] = estimates(metric(name), counts, PRICES)
    by = dict(estimates(metric(name).by("sex"), counts, PRICES))
    [(_, gap)] = estimates(metric(name).gap("sex"), counts, PRICES)
    for found, n in ((whole, 3_000), (by["sex=f"], 1_200), (by["sex=m"], 1_800), (gap, 3_000)):
        assert found.low <= found.value <= found.high
        assert found.n == n
    assert gap.value == pytest.approx(abs(by["sex=f"].value - by["sex=m"].value))


def test_equalised_odds_is_the_larger_of_two_gaps():
    counts = slab(group("sex=f", 2_000, 1, at=0.5), group("sex=m", 2_000, 2, at=0.3))
    [(_, odds)] = estimates(metric("equalised_odds").gap("sex"), counts)
    parts = [estimates(metric(name).gap("sex"), counts)[0][1] for name in ("recall", "false_positive_rate")]
    assert odds == max(parts, key=lambda part: part.value)
    assert odds.low > 0.1, "the groups are called positive from different scores"
    [(_, whole)] = estimates(metric("equalised_odds"), slab(group("")))
    assert (whole.value, whole.why) == (None, "it is a gap between groups")


def test_a_gap_between_groups_that_are_served_alike_is_within_chance():
    covered = 0
    for seed in range(60):
        counts = slab(group("sex=f", 500, 2 * seed), group("sex=m", 500, 2 * seed + 1))
        [(_, gap)] = estimates(metric("positive_rate").gap("sex"), counts)
        covered += gap.low == 0.0
    assert covered >= 54, "the interval of a gap of nothing reaches down to nothing 19 times in 20"


@pytest.mark.parametrize("op", [">=", ">", "<=", "<"])
def test_on_either_side_of_the_bound_an_interval_beyond_it_is_evident_and_one_across_it_is_not(op):
    check, up = Check(metric("accuracy"), op, 0.5), op in (">=", ">")

    def said(low, value, high):
        found = judged(check, "", Estimate(value=value, low=low, high=high, n=1_000), 0.5, span=Span.parse("7d"), failure="performance")
        return found.severity == "none", found.standing, found.wait, "within chance so far" in found.why

    assert said(0.51, 0.6, 0.7) == (up, "settled", 0, False)
    assert said(0.49, 0.6, 0.7) == (up, "pending", Span.parse("7d"), not up)
    assert said(0.3, 0.4, 0.51) == (not up, "pending", Span.parse("7d"), up)
    assert said(0.3, 0.4, 0.49) == (not up, "settled", 0, False)
    assert said(None, 0.6, None) == (up, "pending", Span.parse("7d"), not up), "no interval"
    assert said(0.5, 0.5, 0.5) == ("=" in op, "settled", 0, False)


def test_a_check_that_fired_is_held_without_its_oldest_counts_as_well():
    check = metric("error_rate").over("1m") <= 0.05
    minute = NOW // MINUTE
    slabs = (Slab(start=minute - 1, n=10_000, errors=0), Slab(start=minute, n=2_000, errors=300))
    state = MonitorState(model="m", version="1.0.0", released_at=0, slabs=slabs)
    [quiet] = check_findings(check, state, now=NOW)
    [fired] = check_findings(check, state, now=NOW, fired=True)
    assert (quiet.severity, quiet.standing) == ("none", "settled")
    assert (fired.severity, fired.standing, fired.wait) == ("none", "pending", 0)
    [few] = check_findings(
        check, msgspec.structs.replace(state, slabs=(slabs[0], Slab(start=minute, n=90, errors=90))), now=NOW, fired=True
    )
    assert (few.severity, few.standing) == ("none", "settled"), "too few to say otherwise"


@pytest.mark.parametrize("lasted", [4, 5, 20, 130])
def test_a_burst_of_errors_fires_once_at_whatever_second_of_a_minute_it_begins(lasted):
    check = metric("error_rate").over("1m") <= 0.05
    for begins in range(180, 240, 5):
        state, world, moves = MonitorState(model="m", version="1.0.0", released_at=0), Rows(), list[str]()
        slabs: dict[int, tuple[int, int]] = {}
        for second in range(begins - 130, begins + lasted + 200):
            minute = second // 60
            n, errors = slabs.get(minute, (0, 0))
            slabs[minute] = (n + 1_000, errors + 1_000 * (begins <= second < begins + lasted))
            state = msgspec.structs.replace(state, slabs=tuple(Slab(start=each, n=n, errors=bad) for each, (n, bad) in slabs.items()))
            fired = any(row.state in UNDER_WAY for row in world.rows.values())
            now = (second + 1) * 1_000_000
            moves += [target for _, target in world.look(*check_findings(check, state, now=now, fired=fired), now=now)]
        assert moves.count("firing") == 1, begins
        assert moves[-1] == "resolved", begins


def test_a_gap_needs_two_groups_with_enough_labels():
    [(_, few)] = estimates(metric("recall").gap("sex"), slab(group("sex=f", 500), group("sex=m", 60)))
    assert (few.value, few.why) == (None, "fewer than two groups of sex have 100 labels")


def test_fairness_in_production_gets_a_verdict_from_the_groups_that_came_with_the_labels():
    check = metric("positive_rate").gap("sex").over("30d") <= 0.10

    def verdict(*parts):
        state = MonitorState(model="m", version="1.0.0", released_at=NOW - Span.parse("60d"), slabs=slabs_of(parts, ()))
        [finding] = check_findings(check, state, now=NOW)
        return finding

    fair = verdict(group(""), group("sex=f", 2_000, 1), group("sex=m", 2_000, 2))
    unfair = verdict(group(""), group("sex=f", 2_000, 1), group("sex=m", 2_000, 2, shift=1.0))
    assert (fair.severity, fair.standing) == ("none", "settled")
    assert (unfair.severity, unfair.standing, unfair.failure) == ("alert", "settled", "bias")
    assert verdict(group("")).standing == "insufficient"
    assert unfair.why.startswith("positive_rate highest in sex=m, 0.")
    assert ", lowest in sex=f, 0." in unfair.why
    assert unfair.why.count("n=2,000") == 2
    assert ": a gap of 0." in unfair.why


@pytest.mark.parametrize(
    ("name", "first"), [("recall", "best"), ("log_loss", "best"), ("positive_rate", "highest"), ("equalised_odds", "")]
)
def test_a_gap_names_its_two_groups_with_values_and_rows_the_better_one_first(name, first):
    parts = (group("sex=f", 1_200, 1), group("sex=m", 1_800, 2, shift=1.0), group("sex=x", 50, 3))
    [(_, gap)] = estimates(metric(name).gap("sex"), slab(*parts))
    by = dict(estimates(metric(gap.why.split()[0]).by("sex"), slab(*parts)))
    told = {side: by[f"sex={side}"].value for side in "fm"}
    assert f"{told['f']:.4g}" in gap.why
    assert f"{told['m']:.4g}" in gap.why
    assert "n=1,200" in gap.why
    assert "n=1,800" in gap.why
    assert "sex=x" not in gap.why, "too few labels"
    best = min(told, key=told.get) if name == "log_loss" else max(told, key=told.get)
    if first:
        assert gap.why.startswith(f"{name} {first} in sex={best}, ")


def test_a_cost_without_prices_says_so():
    [(_, found)] = estimates(metric("cost_per_1000"), slab(group("")))
    assert (found.value, found.why) == (None, "no costs are declared")


def test_a_sum_of_slabs_says_what_the_rows_of_all_of_them_say():
    minutes = [NOW // MINUTE - back for back in (30, 20, 10)]
    parts = [group("", 700, seed, minute=minute) for seed, minute in enumerate(minutes)]
    kept = seen(metric("roc_auc"), slabs_of(parts, ()), NOW - Span.parse("1h"), NOW)
    [(_, auc)] = estimates(metric("roc_auc"), kept)
    whole = binned.auc(binned.unpack(binned.merged([part.scores for part in parts])))
    assert (auc.value, auc.n) == (whole.value, 2_100)
    assert seen(metric("roc_auc").by("sex"), slabs_of(parts, ()), NOW - Span.parse("1h"), NOW).quality[0].scores == b"", "not asked for"
