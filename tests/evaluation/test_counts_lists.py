"""Lists of a ranking as sums: what counts say of live lists is what rows say of the same lists, however time is cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.declare.checks import at_release, metric
from flyball.evaluation import ranking
from flyball.evaluation.counts import Folder
from flyball.evaluation.counts_columns import LIST
from flyball.evaluation.counts_metrics import from_counts
from flyball.monitoring.checks import check_findings
from flyball.monitoring.slabs import slabs_of
from flyball.monitoring.slabs import within as between
from flyball.monitoring.state import MonitorState
from flyball.records.estimates import Estimate
from flyball.records.evidence import Batch, Quality, Watch

S = 1_000_000
DELAY = Span(10 * S)
NAMES = ("ndcg_at_10", "recall_at_10", "ndcg_at_2")
WATCH = Watch(model="m", task="ranking", label_delay=DELAY, slices=("shop", "brand"), ranked=NAMES)


def asked(name: str, at: int, scores: list[float], *, shop: str = "a", brands: list[str] | None = None, **more: Any) -> pl.DataFrame:
    """One list as the log has it: a row an item."""
    n = len(scores)
    told = {"version": "1.0.0", "role": "champion"} | more
    return pl.DataFrame(
        {
            "request_id": [f"{name}/{item}" for item in range(n)],
            LIST: [name] * n,
            "at": [at] * n,
            **{key: [value] * n for key, value in told.items()},
            "value": scores,
            "shop": [shop] * n,
            "brand": brands or ["x"] * n,
        }
    )


def worth(name: str, at: int, values: list[float | None]) -> pl.DataFrame:
    """Labels of a list's items; None: it has none."""
    rows = [(f"{name}/{item}", at, value) for item, value in enumerate(values) if value is not None]
    return pl.DataFrame(rows, schema={"request_id": pl.String, "at": pl.Int64, "value": pl.Float64}, orient="row")


def folded(*parts: tuple[pl.DataFrame, pl.DataFrame], cuts: tuple[int, ...] = ()) -> list[Batch]:
    folder = Folder(WATCH)
    for rows, labels in parts:
        folder.add(rows, labels)
    return [folder.take(cut) for cut in (*sorted(cuts), 10_000 * S)]


def of(batches: list[Batch], slice_: str = "") -> Quality:
    """The sum of all counts of the whole, or of a slice."""
    slabs = slabs_of((one for batch in batches for one in batch.quality), ())
    return next(part for part in between(slabs, 0, 10_001 * S).quality if part.slice == slice_)


def test_a_list_counts_once_with_what_its_rows_say() -> None:
    found = of(folded((asked("l1", S, [3.0, 2.0, 1.0]), worth("l1", 2 * S, [0.0, 2.0, 1.0]))))
    rows = ranking.of_lists("ndcg", 2, y=np.array([0.0, 2.0, 1.0]), score=np.array([3.0, 2.0, 1.0]), lists=np.zeros(3, dtype=np.int64))
    assert found.ranked["ndcg_at_2"].n == 1
    assert found.ranked["ndcg_at_2"].total == pytest.approx(float(rows.values[0]))
    assert (found.matured, found.labelled) == (3, 3)


def test_a_list_with_an_item_whose_label_lacks_is_not_judged_and_one_without_a_relevant_item_says_nothing() -> None:
    parts = [
        (asked("whole", S, [2.0, 1.0]), worth("whole", 2 * S, [1.0, 0.0])),
        (asked("clicked", S, [2.0, 1.0]), worth("clicked", 2 * S, [None, 1.0])),
        (asked("unwanted", S, [2.0, 1.0]), worth("unwanted", 2 * S, [0.0, 0.0])),
        (asked("late", S, [2.0, 1.0]), worth("late", 2_000 * S, [1.0, 0.0])),
    ]
    found = of(folded(*parts))
    assert (found.ranked["ndcg_at_10"].n, found.ranked["ndcg_at_10"].total, found.ranked["ndcg_at_10"].empty) == (1, 1.0, 1)
    estimate = from_counts("ndcg_at_10", found)
    assert (estimate.value, estimate.n, estimate.why) == (1.0, 1, "1 of 2 lists have no relevant item and are left out")
    assert from_counts("ndcg_at_7", found).why == "no list has a label for each of its items"


def test_a_list_has_a_slice_where_its_items_share_it() -> None:
    mixed = asked("l1", S, [1.0, 2.0], shop="a", brands=["x", "y"])
    alike = asked("l2", S, [2.0, 1.0], shop="b", brands=["x", "x"])
    found = folded((mixed, worth("l1", 2 * S, [1.0, 0.0])), (alike, worth("l2", 2 * S, [1.0, 0.0])))
    assert of(found, "shop=a").ranked["ndcg_at_10"].total == pytest.approx(1 / np.log2(3))
    assert of(found, "shop=b").ranked["ndcg_at_10"].total == 1.0
    assert of(found, "brand=x").ranked["ndcg_at_10"].n == 1
    assert of(found, "brand=y").ranked == {}


def test_two_versions_that_ordered_one_list_are_counted_apart() -> None:
    shadow = asked("l1", S, [1.0, 2.0], version="1.1.0", role="shadow")
    [*_, batch] = folded((pl.concat([asked("l1", S, [2.0, 1.0]), shadow]), worth("l1", 2 * S, [1.0, 0.0])))
    told = {one.version: one.ranked["recall_at_10"].n for one in batch.quality if not one.slice}
    ordered = {one.version: one.ranked["ndcg_at_2"].total for one in batch.quality if not one.slice}
    assert told == {"1.0.0": 1, "1.1.0": 1}
    assert ordered["1.0.0"] == 1.0
    assert ordered["1.1.0"] == pytest.approx(1 / np.log2(3))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0, 3.0])), min_size=1, max_size=6), min_size=1, max_size=8),
    st.lists(st.integers(1, 400), max_size=4),
)
def test_however_time_is_cut_counts_say_what_the_rows_of_all_lists_say(made: list[list[tuple[int, float]]], cuts: list[int]) -> None:
    parts = []
    for place, items in enumerate(made):
        scores, values = [float(score) for score, _ in items], [value for _, value in items]
        parts.append((asked(f"l{place}", (1 + 37 * place) * S, scores), worth(f"l{place}", (2 + 37 * place) * S, values)))  # type: ignore[arg-type]
    found = of(folded(*parts, cuts=tuple(cut * S for cut in cuts)))
    y, score = (np.array([item[side] for items in made for item in items], dtype=float) for side in (1, 0))
    lists = np.repeat(np.arange(len(made)), [len(items) for items in made])
    for name, (kind, k) in zip(NAMES, (("ndcg", 10), ("recall", 10), ("ndcg", 2)), strict=True):
        values = ranking.of_lists(kind, k, y=y, score=score, lists=lists).values
        known = values[np.isfinite(values)]
        assert found.ranked[name].n == known.size
        assert found.ranked[name].empty == values.size - known.size
        assert found.ranked[name].total == pytest.approx(float(known.sum()))
        assert found.ranked[name].squares == pytest.approx(float((known**2).sum()))


def live(n: int, good: float) -> MonitorState:
    """A monitor's state after n lists whose relevant item stood first in `good` of them, else second."""
    now, rng, parts = 9_000 * S, np.random.default_rng(0), []
    for place in range(n):
        first = rng.random() < good
        parts.append(
            (asked(f"l{place}", S * (1 + place), [2.0, 1.0]), worth(f"l{place}", S * (2 + place), [1.0, 0.0] if first else [0.0, 1.0]))
        )
    slabs = slabs_of((one for batch in folded(*parts) for one in batch.quality), ())
    at_release = {"ndcg_at_10": Estimate(value=0.95, n=500)}
    return MonitorState(model="m", version="1.0.0", released_at=1, until=now, slabs=slabs, at_release=at_release)


def test_a_monitor_of_lists_fires_on_evidence_and_needs_a_hundred_of_them() -> None:
    check = metric("ndcg_at_10").over("1d") >= 0.9
    [worse] = check_findings(check, live(300, 0.5), now=9_000 * S)
    assert (worse.severity, worse.standing, worse.n, worse.failure) == ("alert", "settled", 300, "performance")
    [well] = check_findings(check, live(300, 0.95), now=9_000 * S)
    assert (well.severity, well.standing) == ("none", "settled")
    [few] = check_findings(check, live(60, 0.5), now=9_000 * S)
    assert (few.standing, few.why) == ("insufficient", "n=60 < 100")


def test_and_one_by_slice_and_against_what_it_was_at_its_release() -> None:
    [by_shop] = check_findings(metric("ndcg_at_10").by("shop") >= 0.9, live(300, 0.5), now=9_000 * S)
    assert (by_shop.slice, by_shop.severity) == ("shop=a", "alert")
    [since] = check_findings(metric("ndcg_at_10") >= at_release - 0.02, live(300, 0.5), now=9_000 * S)
    assert (since.severity, since.floor) == ("alert", pytest.approx(0.93))
