from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import flyball as fb
from flyball.data.commit import commit
from flyball.features.assemble import serving_rows
from flyball.serving.history import History
from flyball.serving.layout import Layout, write_json
from flyball.store.blobs import LocalBlobs

HOUR = 3_600_000_000

market = fb.Dataset("market", source="x.csv", time="ts", columns={"hour": fb.column(int, known_after="-1d"), "price": float, "up": int})
lags = fb.FeatureView("lags", market, entity=None, ttl="7d", features={"last": fb.window("2h").last("price")})


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


def frame(hours: int) -> pl.DataFrame:
    ts = pl.Series("ts", [hour * HOUR for hour in range(hours)]).cast(pl.Datetime("us"))
    return pl.DataFrame({"hour": [0] * hours, "price": [float(hour) for hour in range(hours)], "up": [1] * hours, "ts": ts})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.prepare()
    return made


def point_to(layout: Layout, content: str) -> None:
    write_json(layout.pointers / "market.json", {"content": content})


def last_price(history: History, at: int) -> float | None:
    return serving_rows(MODEL, pl.DataFrame({"hour": [0]}), [at], history.prepared)["last"][0]


def test_a_worker_takes_up_the_newest_data_its_windows_look_at(layout: Layout) -> None:
    blobs = LocalBlobs(layout.blobs)
    history = History(MODEL, layout, blobs)
    assert not history.refresh()
    assert last_price(history, 104 * HOUR) is None
    point_to(layout, commit(market, frame(101), blobs, None, "a").content)
    assert history.refresh()
    assert last_price(history, 104 * HOUR) == 100.0
    assert not history.refresh()
    point_to(layout, commit(market, frame(111), blobs, None, "b").content)
    assert history.refresh()
    assert last_price(history, 114 * HOUR) == 110.0


def test_data_that_cannot_be_read_leaves_the_last_in_use(layout: Layout) -> None:
    blobs = LocalBlobs(layout.blobs)
    history = History(MODEL, layout, blobs)
    point_to(layout, commit(market, frame(101), blobs, None, "a").content)
    history.refresh()
    point_to(layout, "0" * 64)
    assert not history.refresh()
    assert history.problem
    assert last_price(history, 104 * HOUR) == 100.0
