"""Training rows that are joined piece by piece are those that are joined at once, row for row."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flyball.data.commit import commit
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Framing, Label, Model
from flyball.declare.views import FeatureView, Window
from flyball.errors import BadInput
from flyball.features import assemble
from flyball.store.blobs import LocalBlobs
from flyball.training import rows, stored
from flyball.training.streamed import training_batches

H = 3_600_000_000
END = 10**15

payments = Dataset(
    "payments", source="p.csv", time="at", arrived="came", id="payment_id",
    columns={
        "payment_id": str, "card": Column(str, nulls="100%"), "shop": int, "amount": Column(float, known_after="-1d"),
        "declined": Column(bool, known_after="2h", nulls="100%"),
    },
)  # fmt: skip
shops = Dataset(
    "shops", source="s.csv", time="since", arrived="told", columns={"shop": int, "rating": Column(float, nulls="100%"), "kind": str}
)
disputes = Dataset("disputes", source="d.csv", time="reported", columns={"payment_id": str, "fraud": bool})

week = Window("20h")
VIEWS = [
    FeatureView(
        "card",
        payments,
        entity="card",
        ttl="30h",
        features={"spent": week.sum("amount"), "declined_n": week.count(where="declined"), "last_amount": "amount"},
    ),
    FeatureView(
        "all",
        payments,
        features={"everything": Window("5h", ago="2h").mean("amount"), "kinds": week.distinct("shop"), "last_declined": "declined"},
    ),
    FeatureView(
        "shop",
        shops,
        entity="shop",
        features={"rating": "rating", "kind": "kind", "twice": pl.col("rating") * 2, "rated": Window("40h").count()},
    ),
    FeatureView("pair", payments, entity=("card", "shop"), features={"pair_n": week.count(), "pair_amount": "amount"}),
    FeatureView("shops", shops, features={"newest_kind": pl.col("kind").str.to_uppercase()}, ttl="15h"),
]


def model(**changes):
    label = Label("fraud", source=disputes, on="payment_id", within="10h", missing=changes.pop("missing", False))
    return Model(
        "fraud", task="binary", data=payments, label=label, features=VIEWS, inputs=["amount"], framing=Framing("", horizon="1h"),
        transforms={"share": pl.col("amount") / (pl.col("spent") + 1)}, **changes,
    )  # fmt: skip


def world(seed, count=150):
    random = np.random.default_rng(seed)
    hour = np.sort(random.integers(0, 120, count))
    late = hour + np.where(random.random(count) < 0.3, random.integers(0, 30, count), 0)
    paid = pl.DataFrame(
        {
            "payment_id": [f"p{place}" for place in range(count)],
            "card": [None if value == 5 else f"c{value}" for value in random.integers(0, 6, count)],
            "shop": random.integers(0, 5, count),
            "amount": random.normal(size=count),
            "declined": random.random(count) < 0.3,
            "at": hour * H,
            "came": late * H,
        }
    ).with_columns(pl.col("at", "came").cast(pl.Datetime("us")))
    told = np.sort(random.integers(0, 120, 80))
    shop = pl.DataFrame(
        {
            "shop": random.integers(0, 5, 80),
            "rating": [None if value < 0.2 else float(value) for value in random.random(80)],
            "kind": [f"k{value}" for value in random.integers(0, 3, 80)],
            "since": told * H,
            "told": (told + random.integers(-3, 12, 80)) * H,
        }
    ).with_columns(pl.col("since", "told").cast(pl.Datetime("us")))
    some = random.choice(count, 60, replace=False)
    reported = np.sort(hour[some] + random.integers(0, 14, 60))
    fraud = pl.DataFrame(
        {"payment_id": [f"p{place}" for place in some], "fraud": random.random(60) < 0.5, "reported": reported * H}
    ).with_columns(pl.col("reported").cast(pl.Datetime("us")))
    return {"payments": paid, "shops": shop, "disputes": fraud}


def streams(frames, size):
    return {name: (lambda frame=frame: frame.iter_slices(size)) for name, frame in frames.items()}


@pytest.mark.parametrize(("size", "held", "parts"), [(1_000, 10_000, 4), (37, 10_000, 3), (37, 40, 2), (30, 16, 1)])
def test_rows_joined_piece_by_piece_are_those_joined_at_once(tmp_path, size, held, parts):
    made, frames = model(missing=False if parts > 1 else None), world(size)
    for as_of, since in ((END, None), (90 * H, 20 * H)):
        whole = assemble.training_rows(made, frames, as_of=as_of, since=since)
        batches = list(training_batches(made, streams(frames, size), tmp_path, as_of=as_of, since=since, held=held, parts=parts))
        assert pl.concat(batches).equals(whole)
        assert whole.height > 5
    assert list(tmp_path.iterdir()) == []


def test_a_run_takes_the_same_rows_of_what_is_stored_whichever_way_they_fit(tmp_path, monkeypatch):
    made, frames, blobs = model(), world(7), LocalBlobs(tmp_path / "blobs")
    contents = {data.name: commit(data, frames[data.name], blobs, None, "m").content for data in (payments, shops, disputes)}
    at_once = rows.assemble(made, stored.Stored(contents, blobs, tmp_path / "scratch"), as_of=END)
    monkeypatch.setattr(stored, "MANY", 10)
    monkeypatch.setattr(stored, "training_rows", None)
    piece_by_piece = rows.assemble(made, stored.Stored(contents, blobs, tmp_path / "scratch"), as_of=END)
    assert piece_by_piece.frame.equals(at_once.frame)
    assert piece_by_piece.digest == at_once.digest
    assert at_once.frame.equals(assemble.training_rows(made, frames, as_of=END))


def test_a_piece_without_a_row_that_counts_and_rows_without_a_time_are_no_matter(tmp_path):
    made, frames = model(), world(3)
    frames["shops"] = frames["shops"].with_columns(pl.when(pl.int_range(pl.len()) % 9 > 0).then("since").alias("since"))
    for as_of in (END, -1):
        whole = assemble.training_rows(made, frames, as_of=as_of)
        batches = list(training_batches(made, streams(frames, 50), tmp_path, as_of=as_of, held=60, parts=2))
        assert pl.concat(batches).equals(whole)


def test_data_sets_without_a_row_give_one_batch_without_a_row(tmp_path):
    made, frames = model(), {name: frame.clear() for name, frame in world(3).items()}
    given = {name: (lambda frame=frame: [frame]) for name, frame in frames.items()}
    [batch] = training_batches(made, given, tmp_path, as_of=END)
    assert batch.equals(assemble.training_rows(made, frames, as_of=END))


def test_a_label_of_the_models_own_data_set_is_taken_as_it_is(tmp_path):
    made = Model("declines", task="binary", data=payments, label="declined", features=VIEWS[:1], inputs=["amount"])
    frames = world(4)
    batches = training_batches(made, streams(frames, 25), tmp_path, as_of=END, held=50, parts=3)
    assert pl.concat(list(batches)).equals(assemble.training_rows(made, frames, as_of=END))


def test_rows_out_of_order_and_a_data_set_that_is_missing_are_named(tmp_path):
    frames = world(5)
    with pytest.raises(BadInput, match='no rows of data set "disputes"'):
        list(training_batches(model(), streams({name: frames[name] for name in ("payments", "shops")}, 50), tmp_path, as_of=END))
    frames["shops"] = frames["shops"].reverse()
    with pytest.raises(BadInput, match='data set "shops" are not in order of time'):
        list(training_batches(model(), streams(frames, 10), tmp_path, as_of=END))
    assert list(tmp_path.iterdir()) == []


def test_files_are_gone_when_the_reader_stops_early(tmp_path):
    batches = training_batches(model(), streams(world(6), 20), tmp_path, as_of=END, held=50, parts=2)
    next(batches)
    assert list(tmp_path.iterdir()) != []
    batches.close()
    assert list(tmp_path.iterdir()) == []
