"""What a worker's views give: from the online store, as it is at each question, and nothing where the store is gone."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import polars as pl
import pytest

import flyball as fb
from flyball.errors import Unavailable
from flyball.features.assemble import served
from flyball.features.online.kept import NotKept
from flyball.features.online.materialise import Version, add, fill, live
from flyball.features.online.plan import plan
from flyball.serving.history import RETRY_S, History, store_of
from flyball.serving.layout import Layout, write_json
from flyball.serving.vectors import TakenUp
from flyball.store.online import OnlineStore
from flyball.store.online_address import open_online

HOUR = 3_600_000_000
LATER = 10**15

market = fb.Dataset("market", source="x.csv", time="ts", columns={"hour": fb.column(int, known_after="-1d"), "price": float, "up": int})
lags = fb.FeatureView(
    "lags", market, entity=None, ttl="7d", features={"last": fb.window("2h").last("price"), "newest": "price", "twice": pl.col("price") * 2}
)


def fit(X, y):
    return None


MODEL = fb.Model(
    "m",
    task="binary",
    data=market,
    label="up",
    features=[lags],
    train=fb.Train(fit, window="30d", holdout="7d"),
    framing=fb.Framing("test", horizon="4h"),
)
PLAIN = MODEL.replace("plain", features=[])


def frame(hours: int, since: int = 0) -> pl.DataFrame:
    ts = pl.Series("ts", [hour * HOUR for hour in range(since, hours)]).cast(pl.Datetime("us"))
    count = hours - since
    return pl.DataFrame({"hour": [0] * count, "price": [float(hour) for hour in range(since, hours)], "up": [1] * count, "ts": ts})


@pytest.fixture
def store(tmp_path: Path) -> OnlineStore:
    return open_online("", tmp_path)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(history: History, at: int, model: fb.Model = MODEL) -> list:
    return served(model, pl.DataFrame({"hour": [0]}), [at], history.prepared).features.row(0)[1:]


def test_a_worker_answers_from_what_is_online_without_being_told_of_it(store: OnlineStore, tmp_path: Path) -> None:
    at = fill(store, plan(lags), Version("one", frame(101)), LATER)
    history = History(MODEL, lambda: open_online("", tmp_path))
    assert list(asked(history, 104 * HOUR)) == [100.0, 100.0, 200.0]
    add(store, plan(lags), at, Version("two", frame(111, 101)), LATER, rows=111)
    assert list(asked(history, 114 * HOUR)) == [110.0, 110.0, 220.0]


def test_what_is_told_to_the_log_says_of_which_rows_the_values_are(store: OnlineStore, tmp_path: Path) -> None:
    history = History(MODEL, lambda: open_online("", tmp_path))
    assert not history.refresh()
    assert history.absent == ("lags",)
    at = fill(store, plan(lags), Version("one", frame(101)), LATER)
    assert history.refresh()
    assert not history.absent
    assert history.views is not None
    [taken] = msgspec.msgpack.decode(history.views.packed, type=list[TakenUp])
    assert (taken.content, taken.as_of, taken.data) == ("one", 100 * HOUR, "market")
    assert not history.refresh()
    add(store, plan(lags), at, Version("two", frame(111, 101)), LATER, rows=111)
    assert history.refresh()
    [taken] = msgspec.msgpack.decode(history.views.packed, type=list[TakenUp])
    assert (taken.content, taken.as_of) == ("two", 110 * HOUR)


def test_rows_that_were_pushed_and_are_of_no_version_yet_are_told_by_their_number(store: OnlineStore, tmp_path: Path) -> None:
    def told() -> tuple[str, int]:
        history.refresh()
        assert history.views is not None
        [taken] = msgspec.msgpack.decode(history.views.packed, type=list[TakenUp])
        return taken.content, taken.pushed

    at = fill(store, plan(lags), Version("one", frame(101), through=5), LATER)
    history = History(MODEL, lambda: open_online("", tmp_path))
    assert told() == ("one", 0)
    at = add(store, plan(lags), at, Version("one", frame(103, 101), through=5), LATER, rows=103, pushed=7)
    assert told() == ("one", 7)
    add(store, plan(lags), at, Version("two", frame(103).clear(), through=7), LATER, rows=103)
    assert told() == ("two", 0)


def test_a_view_that_is_not_online_yet_is_no_answer_rather_than_a_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        asked(History(MODEL, lambda: open_online("", tmp_path)), 104 * HOUR)


def test_a_moment_before_what_is_kept_is_refused_and_says_from_when_on_it_can_be_asked_about(store: OnlineStore, tmp_path: Path) -> None:
    fill(store, plan(lags), Version("one", frame(101)), LATER)
    history = History(MODEL, lambda: open_online("", tmp_path))
    assert history.refresh()
    assert list(asked(history, 102 * HOUR)) == [98.0, 98.0, 196.0], "its windows reach two hours back"
    with pytest.raises(NotKept, match='"lags" keeps no rows online for 1970-01-05T01:59:59') as refused:
        asked(history, 102 * HOUR - 1)
    assert "from 1970-01-05T02:00:00Z on" in refused.value.why


def test_a_moment_that_was_kept_a_moment_ago_is_not_answered_from_what_is_left_of_it(store: OnlineStore, tmp_path: Path) -> None:
    """New rows let old ones go at once, and a worker looks once a second at what is kept."""
    at = fill(store, plan(lags), Version("one", frame(101)), LATER)
    history = History(MODEL, lambda: open_online("", tmp_path))
    assert history.refresh()
    assert list(asked(history, 104 * HOUR)) == [100.0, 100.0, 200.0]
    add(store, plan(lags), at, Version("two", frame(111, 101)), LATER, rows=111)
    with pytest.raises(NotKept, match="from 1970-01-05T12:00:00Z on"):
        asked(history, 104 * HOUR)
    assert list(asked(history, 114 * HOUR)) == [110.0, 110.0, 220.0]


def test_moments_of_the_present_cost_one_look_up(store: OnlineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns() // 1000
    hours = now // HOUR
    fill(store, plan(lags), Version("one", frame(hours, hours - 9)), now)
    history = History(MODEL, lambda: open_online("", tmp_path))
    assert history.refresh()
    monkeypatch.setattr(history, "refresh", None)
    for each in history._online:
        each._look = lambda: pytest.fail("it was looked at again")
    assert asked(history, now + 4 * HOUR)[1] == float(hours - 1)


def test_a_store_that_is_gone_fails_at_once_for_a_moment_and_is_asked_again_after_it(store: OnlineStore, tmp_path: Path) -> None:
    fill(store, plan(lags), Version("one", frame(101)), LATER)
    clock, file = Clock(), tmp_path / "online.sqlite3"
    history = History(MODEL, lambda: open_online("", tmp_path), clock)
    assert list(asked(history, 104 * HOUR)) == [100.0, 100.0, 200.0]
    file.rename(tmp_path / "away")
    with pytest.raises(Unavailable):
        asked(history, 104 * HOUR)
    (tmp_path / "away").rename(file)
    clock.now += RETRY_S / 2
    with pytest.raises(Unavailable):
        asked(history, 104 * HOUR)
    assert not history.refresh(), "nor is it looked at"
    assert history.problem
    clock.now += RETRY_S
    assert list(asked(history, 104 * HOUR)) == [100.0, 100.0, 200.0]
    history.refresh()
    assert not history.problem


def test_a_model_without_views_opens_no_store() -> None:
    def never() -> OnlineStore:
        raise AssertionError

    history = History(PLAIN, never)
    assert not history.refresh()
    assert history.views is None
    assert list(asked(history, 104 * HOUR, PLAIN)) == []


def test_workers_find_the_store_where_the_control_plane_says_it_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path / ".flyball")
    layout.prepare()
    assert store_of(layout).name == str(tmp_path / ".flyball" / "online.sqlite3")
    write_json(layout.online, {"url": "sqlite:///here.db"})
    assert store_of(layout).name == str(tmp_path / "here.db"), "a relative path is the project's"
    write_json(layout.online, {"url": f"sqlite:///{tmp_path}/there.db"})
    assert store_of(layout).name == str(tmp_path / "there.db")


def test_how_far_a_view_is_survives_its_form(store: OnlineStore) -> None:
    at = fill(store, plan(lags), Version("one", frame(101)), LATER)
    assert live(store, plan(lags)) == at
    store.put(at.generation, (), b"another form")
    assert live(store, plan(lags)) is None, "it is made anew"
