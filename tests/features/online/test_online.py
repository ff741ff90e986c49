"""What is read online is what the definition says, however the rows came: late, twice, out of order, ahead of time, in any number of steps."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flyball as fb
from flyball.errors import BadInput, DeclarationError, Unavailable
from flyball.features.online.plan import HEAD, SUMMED, plan
from flyball.features.online.read import OnlineView
from flyball.store.online import Part

numbers = st.one_of(st.none(), st.sampled_from([1.0, 1e16, -1e16, 0.1, -0.5, 3e-300]), st.floats(-1e6, 1e6))
a_row = st.tuples(
    st.sampled_from(["x", "y", None]),
    st.integers(0, 40),
    st.one_of(st.none(), st.integers(0, 60)),
    numbers,
    st.one_of(st.none(), st.integers(-3, 3)),
    numbers,
    st.one_of(st.none(), st.sampled_from(["p", "q"])),
    st.one_of(st.none(), st.booleans()),
)


def some(rows):
    # the definition sorts and adds: a shape of plain tuples
    return [tuple(row) for row in rows]


class Held:
    """The parts of one view, merged as a store does it."""

    def __init__(self, kit, view):
        self._kit, self._plan = kit, plan(view)
        self.parts = {}
        self.next = 0

    def upsert(self, rows, places, present):
        from flyball.features.online.merge import merged_head, merged_tile

        taken = self._kit.encode.take(self._plan, self._kit.frame(rows), pl.Series(places, dtype=pl.Int64))
        for entity, own in self._kit.encode.head_rows(self._plan, taken, present):
            self._set(entity, HEAD, merged_head(self._plan, self.parts.get((entity, HEAD)), own, present))
        for entity, number, own in self._kit.encode.tile_rows(self._plan, taken, present):
            self._set(entity, number, merged_tile(self._plan, self.parts.get((entity, number)), own))

    def _set(self, entity, number, body):
        self.parts[entity, number] = body

    def read(self, name, entities):
        assert name == self._plan.store_name
        return [Part(*key, body) for key, body in sorted(self.parts.items()) if key[0] in set(entities)]


def check(kit, view, rows, held, moments):
    keys = [key for key in ("x", "y", "z") for _ in moments] if view.entity else [None] * len(moments)
    every = [moment for _ in range(3 if view.entity else 1) for moment in moments]
    bounds = [moment - (place % 2) for place, moment in enumerate(every)]
    got = OnlineView(view, held.read).values(kit.asked(view, keys, every, bounds))
    for place, (key, moment, bound) in enumerate(zip(keys, every, bounds, strict=True)):
        wanted = kit.expected(view, rows, key, moment, bound)
        assert got.row(place, named=True) == wanted, (key, moment, bound)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(a_row, max_size=40).map(some),
    order=st.randoms(use_true_random=False),
    steps=st.integers(1, 5),
    ttl=st.sampled_from([None, "8s", "15s"]),
    entity=st.sampled_from(["k", None]),
    moments=st.lists(st.integers(-5, 80), min_size=1, max_size=6),
)
def test_rows_in_any_order_and_number_of_steps_give_the_values_of_the_definition(kit, rows, order, steps, ttl, entity, moments):
    view = kit.view(ttl=ttl, entity=entity)
    held = Held(kit, view)
    shuffled = list(enumerate(rows))
    order.shuffle(shuffled)
    size = -(-len(shuffled) // steps) or 1
    for start in range(0, len(shuffled), size):
        part = shuffled[start : start + size]
        held.upsert([row for _, row in part], [place for place, _ in part], 0)
    check(kit, view, rows, held, moments)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(a_row, min_size=SUMMED * 3, max_size=SUMMED * 5).map(some), moments=st.lists(st.integers(-5, 80), min_size=1, max_size=4)
)
def test_tiles_of_many_rows_give_the_same_numbers_as_their_rows(kit, rows, moments):
    narrow = [(key, t // 6, arrived if arrived is None else arrived // 6, *rest) for key, t, arrived, *rest in rows]
    view = kit.view(newest=False)
    held = Held(kit, view)
    for start in range(0, len(narrow), 50):
        held.upsert(narrow[start : start + 50], range(start, min(start + 50, len(narrow))), 0)
    check(kit, view, narrow, held, [moment // 3 for moment in moments])


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(a_row, max_size=30).map(some), kept=st.integers(0, 30), moments=st.lists(st.integers(0, 50), min_size=1, max_size=4))
def test_rows_that_are_left_out_are_those_that_no_moment_within_what_is_kept_sees(kit, rows, kept, moments):
    """The present moves on with every row; whoever asks about a moment no older than what is kept gets the definition's values."""
    view = kit.view()
    object.__setattr__(plan(view), "kept", kept * kit.S)
    held, present = Held(kit, view), 0
    for place, row in enumerate(rows):
        arrived = row[1] if row[2] is None else row[2]
        present = max(present, min(40, max(arrived, row[1])) * kit.S)
        held.upsert([row], [place], present)
    late = [moment for moment in moments if moment * kit.S >= present - kept * kit.S]
    if late:
        check(kit, view, rows, held, late)


def test_the_same_rows_make_the_same_bytes_in_any_order_and_twice(kit):
    view = kit.view()
    rows = [("x", t % 7, t % 5, float(t), t, None, "p", True) for t in range(60)]
    once, other = Held(kit, view), Held(kit, view)
    once.upsert(rows, range(60), 0)
    for place in reversed(range(60)):
        other.upsert([rows[place]], [place], 0)
    other.upsert(rows[10:20], range(10, 20), 0)
    assert once.parts == other.parts


def test_a_head_keeps_one_row_where_time_and_knowledge_go_together(kit):
    from flyball.features.online.form import unpack_rows

    view = kit.view(windows=False)
    held = Held(kit, view)
    hours = [("x", hour * 3600, hour * 3600, 1.0, 1, 1.0, "p", True) for hour in range(100)]
    for place, row in enumerate(hours):
        held.upsert([row], [place], row[1] * kit.S)
    (body,) = held.parts.values()
    assert len(unpack_rows(body)) <= 3, "the newest, the one before it that the last hour saw, and one whose late column is not known yet"


def test_types_are_those_of_the_offline_engine(kit):
    data = fb.Dataset(
        "d",
        source="x.csv",
        time="t",
        columns={"i": int, "f": float, "b": bool, "s": str, "when": "time"},
    )
    view = fb.FeatureView(
        "v",
        data,
        features={
            **{name: name for name in ("i", "f", "b", "s", "when")},
            "day": pl.col("when").dt.date(),
            "gap": pl.col("t") - pl.col("when"),
            "small": pl.col("i").cast(pl.Int8),
            "half": pl.col("f").cast(pl.Float32),
            "kind": pl.col("s").cast(pl.Categorical),
            "last": fb.window("1d").last("when"),
            "low": fb.window("1d").min("b"),
        },
    )
    time = pl.Series([1_700_000_000_000_000]).cast(pl.Datetime("us"))
    rows = pl.DataFrame({"i": [3], "f": [0.1], "b": [True], "s": ["a"], "when": time, "t": time})
    made = plan(view)
    parts = list(kit.encode.parts(made, kit.encode.take(made, rows), 0))
    at = 1_700_000_000_000_000
    got = OnlineView(view, lambda _name, _entities: parts).values(pl.DataFrame({"row_time": [at + 1], "moment": [at]}))
    wanted = rows.select(
        "i", "f", "b", "s", "when", *(view.features[name].value.alias(name) for name in ("day", "gap", "small", "half", "kind"))
    )
    assert got.select(wanted.columns).equals(wanted)
    assert got.select(wanted.columns).dtypes == wanted.dtypes
    assert got.row(0, named=True)["last"] == rows["when"][0]
    assert got.row(0, named=True)["low"] == 1.0


def test_keys_of_another_type_find_their_entity_and_what_is_no_key_finds_nothing(kit):
    data = fb.Dataset("d", source="x.csv", time="t", columns={"k": float, "v": int})
    view = fb.FeatureView("v", data, entity="k", features={"v": "v"})
    time = pl.Series([0, 0, 0, 0]).cast(pl.Datetime("us"))
    rows = pl.DataFrame({"k": [1.0, -0.0, float("nan"), None], "v": [1, 2, 3, 4], "t": time})
    made = plan(view)
    parts = list(kit.encode.parts(made, kit.encode.take(made, rows), 0))
    assert len(parts) == 2
    own = OnlineView(view, lambda _name, entities: [part for part in parts if part.entity in entities])

    def ask(keys):
        count = len(keys)
        return own.values(pl.DataFrame({"row_time": [9] * count, "moment": [8] * count, "key": keys}))["v"].to_list()

    assert ask(pl.Series([1, 0, 2, None], dtype=pl.Int64)) == [1, 2, None, None]
    assert ask(pl.Series([0.0, float("nan"), float("inf")])) == [2, None, None]
    assert ask(pl.Series([], dtype=pl.Int64)) == []


def test_a_moment_older_than_what_is_kept_is_refused_and_never_answered_wrong(kit):
    view = kit.view()
    own = OnlineView(view, lambda _name, _entities: [])
    own.kept_from = 100 * kit.S
    with pytest.raises(BadInput, match="keeps no rows online"):
        own.values(kit.asked(view, ["x", "x"], [100, 99], [100, 99]))
    assert own.values(kit.asked(view, ["x"], [100], [100]))["w_count"].to_list() == [0]


def test_what_cannot_be_kept_or_computed_is_told_by_its_name(kit):
    data = fb.Dataset("d", source="x.csv", time="t", columns={"s": str})
    for feature, what in ((pl.col("s").str.split(","), 'feature "x".*List'), (fb.window("1d").sum("s"), 'the sum of column "s"')):
        with pytest.raises(DeclarationError, match=what):
            plan(fb.FeatureView("v", data, features={"x": feature}))
    view = fb.FeatureView("v", data, features={"x": pl.col("s").str.to_integer()})
    rows = pl.DataFrame({"s": ["no number"], "t": pl.Series([0]).cast(pl.Datetime("us"))})
    with pytest.raises(BadInput, match='feature "x" cannot be computed'):
        kit.encode.take(plan(view), rows)


def test_two_definitions_of_one_name_are_two_views(kit):
    assert plan(kit.view(ttl="8s")).store_name != plan(kit.view(ttl="9s")).store_name
    assert plan(kit.view()).store_name == plan(kit.view().on("v")).store_name, "whichever column looks it up"


def test_a_store_that_is_gone_is_what_the_reader_tells(kit):
    def gone(_name, _entities):
        raise Unavailable("the online store is gone")

    with pytest.raises(Unavailable):
        OnlineView(kit.view(), gone).values(kit.asked(kit.view(), ["x"], [1], [1]))
