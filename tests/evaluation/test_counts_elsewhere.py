"""Rows that were answered elsewhere and their labels come when they may: each row is judged by its own time, on what was known by then."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.evaluation.counts import Folder
from flyball.records.evidence import Watch

S = 1_000_000
DELAY, PATIENCE = Span(100 * S), Span(5_000 * S)
NONE = pl.DataFrame()


def watch(**fields):
    return Watch(**({"model": "m", "task": "binary", "label_delay": DELAY, "patience": PATIENCE} | fields))


def row(request, at, *, value=1.0):
    return pl.DataFrame({"request_id": [request], "at": [at], "version": ["7"], "role": ["champion"], "value": [value]})


def label(request, known, came, *, value=1.0, **more):
    return pl.DataFrame({"request_id": [request], "at": [known], "came": [came], "value": [value], **more})


def total(batches, kind, name):
    return sum(getattr(one, name) for batch in batches for one in getattr(batch, kind) if not getattr(one, "slice", ""))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 800), st.none() | st.tuples(st.integers(0, 250), st.integers(0, 800))),
        min_size=1,
        max_size=12,
    ),
    st.sets(st.integers(0, 1_400), max_size=12),
)
def test_a_label_counts_if_it_was_known_in_time_whenever_it_comes_and_is_late_if_it_was_not(given_rows, cuts):
    events = []
    for place, (at, more, labelled) in enumerate(given_rows):
        events.append((at + more, row(f"r{place}", at * S), NONE))
        if labelled:
            known, took = labelled
            events.append((at + known + took, NONE, label(f"r{place}", (at + known) * S, (at + known + took) * S, value=float(place % 2))))
    folder, batches = Folder(watch()), []
    # what was answered elsewhere is there when it came, whatever its own time
    for moment, rows, labels in sorted(events, key=lambda event: event[0]):
        batches += [folder.take(cut * S) for cut in sorted(cuts) if cut < moment]
        cuts = {cut for cut in cuts if cut >= moment}
        folder.add(rows, labels)
    batches += [folder.take(cut * S) for cut in (*sorted(cuts), 1_500)]
    labels = [labelled[0] for _, _, labelled in given_rows if labelled]
    in_time = [known for known in labels if Span(known * S) <= DELAY]
    assert total(batches, "quality", "matured") == len(given_rows)
    assert total(batches, "quality", "labelled") == len(in_time)
    assert sum(len(block.losses) for batch in batches for block in batch.blocks) == len(in_time)
    assert total(batches, "labels", "came") == len(labels)
    assert total(batches, "labels", "late") == len(labels) - len(in_time)
    assert sum(sum(one.lag.values()) for batch in batches for one in batch.labels) == len(labels), (
        "the first label of each says how long it took"
    )
    folder.take(20_000 * S)
    assert folder.labels.waiting == 0


def test_a_label_is_kept_as_long_as_its_row_may_be_underway_and_no_longer():
    folder = Folder(watch())
    folder.add(NONE, label("a", 2 * S, 10 * S))
    folder.add(NONE, label("b", 2 * S, 10 * S))
    folder.take(4_000 * S)
    folder.add(row("a", 0), NONE)
    assert total([folder.take(4_500 * S)], "quality", "labelled") == 1
    assert folder.take(5_011 * S).unmatched == {"m": 1}, "of b nobody asked"
    folder.add(row("b", 0), NONE)
    assert total([folder.take(5_012 * S)], "quality", "labelled") == 0


def test_the_newest_label_that_was_known_in_time_counts_in_whichever_order_they_come():
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)):
        folder = Folder(watch())
        labels = [label("a", 10 * S, 600 * S, value=0.0), label("a", 90 * S, 600 * S, value=1.0), label("a", 150 * S, 600 * S, value=0.0)]
        for place in order:
            folder.add(NONE, labels[place])
        folder.take(600 * S)
        folder.add(row("a", 0), NONE)
        batch = folder.take(700 * S)
        [quality] = batch.quality
        assert (quality.tp, quality.fp) == (1, 0)
        assert (folder.labels.late, folder.labels.corrected, folder.labels.duplicates) == (1, 1, 0)
        assert total([batch], "labels", "late") == 1
        [lag] = [one.lag for one in batch.labels if one.lag]
        assert lag == {int(8 * 23.2534966642): 1}, "the first that was known, ten seconds after"


def test_a_row_that_is_sent_again_is_counted_once_and_groups_that_come_late_count_too():
    folder = Folder(watch(attributes={"sex": ("f",)}))
    folder.add(row("a", 0), NONE)
    first = folder.take(200 * S)
    folder.add(row("a", 0), label("a", 50 * S, 300 * S, **{"attribute:sex": ["f"]}))
    second = folder.take(400 * S)
    assert [(one.slice, one.matured, one.labelled) for one in (*first.quality, *second.quality)] == [
        ("", 1, 0),
        ("", 0, 1),
        ("sex=f", 0, 1),
    ]
    assert {one.minute for one in second.quality} == {first.quality[0].minute}, "it counts when it would have counted"


def test_a_burst_of_labels_leaves_those_of_rows_that_wait_for_theirs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("flyball.evaluation.counts_labels.MOST_WAITING", 50)
    folder = Folder(watch())
    folder.add(NONE, label("a", 10 * S, 20 * S))
    for place in range(100):
        folder.add(NONE, label(f"stranger {place}", 30 * S, 40 * S))
    folder.add(row("a", 0), NONE)
    assert total([folder.take(50 * S), folder.take(200 * S)], "quality", "labelled") == 1
    assert folder.labels.unmatched == 100


def test_a_model_that_is_served_here_from_now_on_is_counted_as_any_other():
    folder = Folder(watch())
    folder.add(row("a", 0), NONE)
    folder.take(10 * S)
    folder.rewatch(watch(patience=Span(0)))
    both = pl.concat([row("b", 11 * S), row("b", 11 * S).with_columns(role=pl.lit("shadow"), version=pl.lit("8"))])
    folder.add(both, label("b", 12 * S, 12 * S).drop("came"))
    assert total([folder.take(500 * S)], "quality", "matured") == 3, "a shadow scores the same request"
