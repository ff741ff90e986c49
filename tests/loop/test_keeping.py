"""Monitors are stored in parts: a second's batch writes what it changed, and what is read again is what was kept."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.errors import Corrupt
from flyball.loop import keeping, memory
from flyball.loop.keeping import Kept
from flyball.monitoring.learning import Seen
from flyball.monitoring.slabs import DAY_MINUTES, MINUTE
from flyball.monitoring.state import MonitorState, absorb
from flyball.monitoring.windows import Series, Trail, Window
from flyball.records.evidence import Batch, Cursor, Quality, Watch

NOW = 1_700_000_000_000_000 // MINUTE * MINUTE


class Store(dict[str, bytes]):
    """Rows by key; `written` are those of the last save."""

    written: dict[str, bytes | None] = {}

    def load(self, key: str) -> bytes | None:
        return self.get(key)

    def save(self, items: Any) -> None:
        self.written = dict(items)
        for key, body in items.items():
            if body is None:
                self.pop(key, None)
            else:
                self[key] = body


def batch(minute: int, until: int, *, slices: int = 3) -> Batch:
    parts = tuple(
        Quality(
            model="m",
            version="1.0.0",
            role="champion",
            slice=f"g={place}" if place else "",
            minute=minute,
            matured=5,
            labelled=5,
            correct=4,
        )
        for place in range(slices)
    )
    return Batch(until=until, quality=parts)


def months(days: int) -> MonitorState:
    """A state that has seen a row an hour for so many days, up to NOW."""
    state = MonitorState(model="m", version="1.0.0", trails=(Trail(column="x", test="cells", pace="slow"),))
    for hour in range(days * 24):
        at = NOW - (days * 24 - hour - 1) * 60 * MINUTE
        state = absorb(state, batch(at // MINUTE, at), ())
    return state


def test_what_is_read_again_is_what_was_kept() -> None:
    store, state = Store(), months(8)
    items, kept = keeping.write("k", state, Kept())
    store.save(items)
    assert keeping.read("k", store.load) == (state, kept)
    assert len(store) > 3


def test_a_batch_writes_its_own_minutes_and_not_all_that_was_counted_before() -> None:
    store, state = Store(), months(60)
    items, kept = keeping.write("k", state, Kept())
    store.save(items)
    grown = absorb(state, batch(NOW // MINUTE, NOW + 1), ())
    items, _ = keeping.write("k", grown, kept)
    slabs = sum(len(slab.quality) for slab in state.slabs)
    assert set(items) == {"k", f"k/1-{NOW // MINUTE // 10}"}
    assert slabs > 200
    assert sum(len(body or b"") for body in items.values()) < sum(map(len, store.values())) / 10


def test_late_rows_are_written_where_they_belong() -> None:
    store, state = Store(), months(60)
    items, kept = keeping.write("k", state, Kept())
    store.save(items)
    late = NOW // MINUTE - 30 * DAY_MINUTES
    grown = absorb(state, batch(late, NOW + 1), ())
    items, _ = keeping.write("k", grown, kept)
    store.save(items)
    assert f"k/{DAY_MINUTES}-{late // (10 * DAY_MINUTES)}" in items
    found = keeping.read("k", store.load)
    assert found is not None
    assert found[0] == grown


def test_a_week_that_has_closed_is_not_written_again() -> None:
    weeks = tuple(Window(started=NOW + place * 7 * DAY_MINUTES * MINUTE, n=place) for place in range(3))
    state = MonitorState(model="m", slow=Series(windows=weeks), daily=Series(windows=weeks[:1]))
    store = Store()
    items, kept = keeping.write("k", state, Kept())
    store.save(items)
    assert len(items) == 3
    newest = msgspec.structs.replace(weeks[2], n=9)
    grown = msgspec.structs.replace(state, slow=Series(windows=(*weeks[:2], newest)))
    items, kept = keeping.write("k", grown, kept)
    store.save(items)
    assert set(items) == {"k"}
    keeping.forget()
    assert keeping.read("k", store.load) == (grown, kept)
    # a late row in a closed one
    late = msgspec.structs.replace(grown, slow=Series(windows=(weeks[0], msgspec.structs.replace(weeks[1], n=7), newest)))
    items, _ = keeping.write("k", late, kept)
    assert set(items) == {"k", f"k/week-{weeks[1].started}"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=25))
def test_however_time_goes_on_all_that_is_stored_is_the_state(steps: list[int]) -> None:
    store, state, kept, at = Store(), MonitorState(model="m"), Kept(), NOW
    for step in steps:
        at += step * MINUTE
        state = absorb(state, batch(at // MINUTE, at), ())
        items, kept = keeping.write("k", state, kept)
        store.save(items)
        assert set(store) == {"k", *(f"k/{name}" for name in kept.parts)}
    assert keeping.read("k", store.load) == (state, kept)


def test_a_reader_that_meets_a_writer_reads_again() -> None:
    store, state = Store(), months(3)
    items, kept = keeping.write("k", state, Kept())
    store.save(items)
    grown = absorb(state, batch(NOW // MINUTE + 1, NOW + MINUTE), ())
    grown = msgspec.structs.replace(grown, trails=(Trail(column="other", test="cells", pace="slow"),))
    later, _ = keeping.write("k", grown, kept)
    keeping.forget()
    reads: list[str] = []

    def load(key: str) -> bytes | None:
        found = store.load(key)
        reads.append(key)
        if len(reads) == 1:
            store.save(later)
        return found

    read = keeping.read("k", load)
    assert read is not None
    assert read[0] == grown
    assert reads.count("k") == 2


def test_parts_that_are_gone_are_told() -> None:
    store, state = Store(), months(3)
    items, _ = keeping.write("k", state, Kept())
    store.save(items)
    keeping.forget()
    del store["k/trails"]
    with pytest.raises(Corrupt, match="not whole"):
        keeping.read("k", store.load)


def test_monitors_and_cursor_are_saved_in_one_transaction() -> None:
    store = Store()
    kept = memory.load(store)
    kept = kept.with_batch(batch(NOW // MINUTE, NOW), Cursor(until=NOW, offsets={"g0/000001.wal": 7}), {}, {"m": _watch()})
    kept = memory.save(store, kept)
    assert set(store.written) >= {memory.stored("cursor"), memory.stored("monitor/m")}
    again = memory.load(store)
    assert again.cursor.offsets == {"g0/000001.wal": 7}
    assert again.monitor("m") == kept.monitor("m")
    assert memory.save(store, again).changed == frozenset()


def test_a_state_that_is_put_in_the_place_of_another_leaves_no_rows_of_that() -> None:
    store = Store()
    memory.save(store, memory.load(store).with_monitor(months(20)))
    memory.save(store, memory.load(store).with_monitor(MonitorState(model="m")))
    assert set(store) == {memory.stored("cursor"), memory.stored("monitor/m")}
    assert memory.load(store).monitor("m") == MonitorState(model="m")


def _watch() -> Watch:
    return Watch(model="m", task="binary", label_delay=Span(0))


def test_versions_that_were_seen_elsewhere_are_kept():
    store = Store()
    state = MonitorState(model="m", seen=(Seen(version="7", rows=3, first=NOW, last=NOW, labels=1),))
    memory.save(store, memory.load(store).with_monitor(state))
    assert memory.load(store).monitor("m") == state
