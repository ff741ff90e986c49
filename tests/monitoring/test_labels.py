"""How labels come is shown as it is counted, and a month of counts stays small."""

import numpy as np
import pytest
from tests.monitoring.test_checks import MINUTE, NOW, group

from flyball.clock import Span
from flyball.monitoring.labels import labels_seen
from flyball.monitoring.slabs import extend, slabs_of
from flyball.monitoring.state import MonitorState, absorb
from flyball.records import codec
from flyball.records.evidence import MOST, Batch, Labels, Quality

NOW_MINUTE = NOW // MINUTE


def came(minute, **counts):
    return Labels(model="m", minute=minute, **counts)


def test_coverage_lag_and_what_could_not_be_used_are_shown_for_the_last_week():
    half, day = int(8 * np.log2(1_800e6)), int(8 * np.log2(86_400e6))
    batch = Batch(
        until=NOW,
        quality=(Quality(model="m", version="1.0.0", role="champion", slice="", minute=NOW_MINUTE - 5, matured=200, labelled=150),),
        labels=(
            came(NOW_MINUTE - 5, came=90, duplicates=4, corrected=2, lag={half: 80}),
            came(NOW_MINUTE - 3, came=70, late=9, early=1, lag={day: 20}),
        ),
        unmatched={"m": 12},
    )
    state = absorb(MonitorState(model="m"), batch, ())
    seen = labels_seen(state.slabs, NOW)
    assert (seen.judged, seen.labelled, seen.coverage) == (200, 150, 0.75)
    assert (seen.came, seen.duplicates, seen.corrected, seen.late, seen.early, seen.unmatched) == (160, 4, 2, 9, 1, 12)
    assert seen.lag_p50_s == pytest.approx(1_800, rel=0.1)
    assert seen.lag_p90_s == pytest.approx(86_400, rel=0.1)
    assert labels_seen(state.slabs, NOW + Span.parse("9d")).judged == 0


def test_a_model_without_labels_has_no_lag():
    seen = labels_seen((), NOW)
    assert (seen.coverage, seen.lag_p50_s, seen.came) == (None, None, 0)


def test_what_is_known_of_labels_adds_up_as_slabs_grow_coarse():
    slabs = ()
    for minute in range(NOW_MINUTE - 600, NOW_MINUTE):
        new = slabs_of((), (), (came(minute, came=3, late=1, lag={100: 2, minute % 7: 1}),))
        slabs = extend(slabs, new, minute * MINUTE)
    seen = labels_seen(slabs, NOW)
    assert (seen.came, seen.late) == (1_800, 600)
    assert len(slabs) < 140


def test_a_month_of_a_model_with_twelve_slices_is_small():
    """A request a second and slice: what is saved each second, and what is kept of a month."""
    names = ["", *(f"purpose={value}" for value in "abcdef"), *(f"sex={value}" for value in "fm"), *(f"age={value}" for value in "xyz")]
    parts = [
        group(name, n, seed, minute=minute)
        for seed, name in enumerate(names)
        for minute, n in (
            *((NOW_MINUTE - age, 60) for age in range(120)),
            *((NOW_MINUTE - 60 * age, 3_600) for age in range(3, 72)),
            *((NOW_MINUTE - 1_440 * age, 20_000) for age in range(4, 31)),
        )
    ]
    slabs = extend((), slabs_of(parts, ()), NOW)
    state = MonitorState(model="m", slabs=slabs)
    body = codec.encode(state)
    assert len(body) < 3_000_000
    assert codec.decode(body, MonitorState) == state


def test_a_sum_beyond_the_range_stays_there_and_can_be_stored():
    huge = Quality(model="m", version="1", role="champion", slice="", minute=NOW_MINUTE, labelled=1, sq_error=MOST, truth=-MOST)
    slabs = extend((), slabs_of([huge] * 40, ()), NOW)
    [quality] = slabs[0].quality
    assert (quality.sq_error, quality.truth, quality.labelled) == (MOST, -MOST, 40)
    assert codec.decode(codec.encode(slabs[0]), type(slabs[0])) == slabs[0]
