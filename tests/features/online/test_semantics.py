"""The table of what a row may see, answered by every online store: whatever order rows come in, and in however many batches."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.features.brute import assert_same, moments
from tests.features.semantics import CASES
from tests.features.test_point_in_time import cases

import flyball as fb
from flyball.features import windows
from flyball.features.online.materialise import Version, add, fill
from flyball.features.online.plan import plan
from flyball.features.online.read import OnlineView
from flyball.store.online_address import open_online

LONG_AGO = -(10**12)
"""A present before all rows: nothing is left out as too old."""


def whole(store, made, frame, _random):
    fill(store, made, Version("all", frame), LONG_AGO)


def one_by_one(store, made, frame, _random):
    at = fill(store, made, Version("none", frame.clear()), LONG_AGO)
    for place in range(frame.height):
        at = add(store, made, at, Version(str(place), frame[place]), LONG_AGO, rows=place + 1)


def shuffled(store, made, frame, random):
    at = fill(store, made, Version("none", frame.clear()), LONG_AGO)
    order = list(range(frame.height))
    random.shuffle(order)
    while order:
        batch = [order.pop() for _ in range(min(len(order), random.randint(1, 4)))]
        at = add(store, made, at, Version(str(len(order)), frame[batch]), LONG_AGO, rows=0, places=pl.Series(batch, dtype=pl.Int64))


WAYS = [whole, one_by_one, shuffled]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request, tmp_path_factory):
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    made = open_online(url, tmp_path_factory.mktemp("online"))
    yield made
    made.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=[case.says for case in CASES])
def test_every_store_answers_as_the_table_says(store, case, way):
    way(store, plan(case.view), case.frame, random.Random(case.says))
    assert_same(OnlineView(case.view, store.read).values(case.moments), case.expected)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), way=st.sampled_from(WAYS), order=st.randoms(use_true_random=False))
def test_a_value_read_online_is_that_of_the_offline_engine_bit_for_bit(tmp_path_factory, case, way, order):
    view, frame, asked, key = case
    store = open_online("", tmp_path_factory.mktemp("online"))
    way(store, plan(view), frame, order)
    got = OnlineView(view, store.read).values(moments(asked, key))
    store.close()
    wanted = windows.values(view, frame, moments(asked, key))
    assert got.schema == wanted.schema
    assert_same(got, wanted.rows(named=True))


def test_keys_of_any_length_are_told_apart(store):
    data = fb.Dataset("notes", source="n.csv", time="t", columns={"k": str, "v": int})
    view = fb.FeatureView("long", data, entity="k", features={"v": "v"})
    letters = "".join(chr(0x4E00 + place * 7_919 % 20_000) for place in range(5_000))
    keys = ["a", letters, letters + "b", letters[:171], letters[:170]]
    rows = pl.DataFrame({"k": keys, "t": range(5), "v": range(5)}).with_columns(pl.col("t").cast(pl.Datetime("us")))
    fill(store, plan(view), Version("all", rows), LONG_AGO)
    asked = pl.DataFrame({"row_time": [9] * 6, "moment": [8] * 6, "key": [*keys, letters + "c"]})
    assert OnlineView(view, store.read).values(asked)["v"].to_list() == [0, 1, 2, 3, 4, None]
