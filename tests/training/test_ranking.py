"""A ranking's run: whole lists on either side of the hold-out, in order; judged list by list, against popularity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.errors import BadInput
from flyball.evaluation import baselines
from flyball.evaluation.metrics import measure
from flyball.features.assemble import training_rows
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.records.models import Signature
from flyball.training.artifact import load, manifest_of
from flyball.training.rejudge import rejudge
from flyball.training.rows import LIST, assemble
from flyball.training.run import perform

from .conftest import HOUR, START, Project

SHOP = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.linear_model import LinearRegression

shop = fb.Dataset(
    "shop", source="data/lists.csv", time="ts",
    columns={"search": str, "visit": str, "sku": str, "device": str, "budget": float, "price": float, "rating": float,
             "worth": fb.column(int, known_after="1h")},
)

def fit(X: pl.DataFrame, y: pl.Series, group: pl.Series, *, seed_of: int = 0):
    assert group.is_sorted() and group.rle().struct.field("value").n_unique() == group.n_unique()
    return LinearRegression().fit(X, y)

rank = fb.Model(
    "rank", task="ranking", data=shop, label="worth", group="search", item="sku", inputs=["budget", "price", "rating"],
    transforms={"off": (pl.col("price") - pl.col("budget")) ** 2}, slices=["device"], framing=fb.Framing("test"),
    train=fb.Train(fit, window="28d", holdout="7d"),
    gates=[fb.metric("ndcg_at_10") >= fb.baseline + 0.02, fb.metric("ndcg_at_10") >= fb.champion - 0.02, fb.metric("recall_at_3") >= 0.3],
)
"""
LISTS, ITEMS = 900, 8


def lists(seed: int = 0) -> pl.DataFrame:
    """An hour each, shuffled within a file: two searches share every second hour."""
    rng = np.random.default_rng(seed)
    n = LISTS * ITEMS
    of = np.repeat(np.arange(LISTS), ITEMS)
    sku = np.concatenate([rng.choice(30, ITEMS, replace=False) for _ in range(LISTS)])
    price, rating = rng.uniform(0, 1, 30)[sku], rng.uniform(0, 1, 30)[sku]
    budget = rng.uniform(0, 1, LISTS)[of]
    planted = 3 * rating - 12 * (price - budget) ** 2
    frame = pl.DataFrame(
        {
            "ts": pl.Series(START + HOUR * (of // 2 * 2)).cast(pl.Datetime("us")),
            "search": [f"s{one}" for one in of],
            "visit": [f"v{LISTS - one}" for one in of],
            "sku": [f"k{one:02d}" for one in sku],
            "device": np.where(of % 3, "phone", "desk"),
            "budget": budget,
            "price": price,
            "rating": rating,
            "worth": rng.binomial(3, 1 / (1 + np.exp(-planted))),
        }
    )
    return frame[rng.permutation(n)]


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    return Project(tmp_path / "shop", SHOP, "rank", {"shop": lists()})


def spec(shop: Project, **fields: Any) -> Any:
    return shop.spec(as_of=START + HOUR * (LISTS + 2), **fields)


def test_a_run_ranks_better_than_popularity_and_says_how_well(shop: Project):
    done = perform(spec(shop), shop.model, shop.frames, shop.blobs)
    result = done.result
    assert [verdict.outcome for verdict in result.verdicts] == [Outcome.PASS] * 3, result.verdicts
    assert set(result.metrics) == {"ndcg_at_10", "recall_at_10", "recall_at_3"}
    assert set(result.by_slice) == {"device=desk", "device=phone"}
    # the baseline is popularity: better than no order
    held = done.holdout
    flat = measure("ranking", held.select("y", "__time", "__group", value=pl.lit(0.0)), ["ndcg_at_10"], group="__group")["ndcg_at_10"].value
    ours, popular = (one["ndcg_at_10"].value for one in (result.metrics, result.baseline))
    assert flat is not None
    assert ours is not None
    assert popular is not None
    assert flat + 0.02 < popular < ours - 0.02
    assert result.loss_bound == 1.0


def test_a_list_is_never_cut_between_training_and_hold_out(shop: Project):
    done = perform(spec(shop), shop.model, shop.frames, shop.blobs)
    assert done.holdout.group_by("__group").len()["len"].unique().to_list() == [ITEMS]
    assert done.result.holdout_rows % ITEMS == 0
    assert done.result.rows % ITEMS == 0


def test_rows_of_a_list_stand_together_and_lists_are_numbered_in_order(shop: Project):
    rows = assemble(shop.model, shop.frames, as_of=START + HOUR * (LISTS + 2))
    numbers = rows.frame[LIST]
    assert numbers.is_sorted()
    assert rows.frame.group_by(LIST).agg(pl.col("__group").n_unique(), pl.len()).select("__group", "len").unique().rows() == [(1, ITEMS)]
    part = rows.part(0, 40)
    assert part.group is not None
    assert part.group.to_list() == numbers[:40].to_list()


def test_the_signature_says_which_fields_are_the_items(shop: Project, tmp_path: Path):
    done = perform(spec(shop), shop.model, shop.frames, shop.blobs)
    signature = done.result.signature
    assert [field.name for field in signature.fields] == ["budget", "device", "price", "rating", "sku"]
    assert (signature.item, signature.item_fields) == ("sku", ("price", "rating", "sku"))
    assert manifest_of(done.result.artifact, shop.blobs).signature == signature
    loaded = load(done.result.artifact, shop.blobs, tmp_path / "scratch")
    X = pl.DataFrame({"budget": [0.5, 0.5], "price": [0.5, 0.9], "rating": [0.9, 0.1], "off": [0.0, 0.16]})
    first, second = loaded.predict(X).value
    assert first > second


def test_a_signature_of_before_rankings_decodes():
    old = b'{"task": "binary", "fields": [], "classes": [0, 1]}'
    assert codec.decode(old, Signature) == Signature(task="binary", fields=(), classes=(0, 1))


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda frame: pl.concat([frame, frame.head(1)]), "2 rows are twice in one list, first sku"),
        (lambda frame: frame.with_columns(worth=pl.col("worth") - 1), "the label worth is -1 in a row"),
        (lambda frame: frame.with_columns(search=pl.lit(None, pl.String)), "7200 of 7200 rows have no search"),
        (lambda frame: frame.with_columns(sku=pl.when(pl.col("sku") != "k00").then("sku")), "rows have no sku"),
        (lambda frame: frame.with_columns(search=pl.int_range(pl.len()).cast(pl.String)), "are lists of one item each"),
    ],
)
def test_rows_that_make_no_lists_are_told(shop: Project, broken: Any, told: str):
    with pytest.raises(BadInput, match=told):
        perform(spec(shop), shop.model, {"shop": broken(shop.frames["shop"])}, shop.blobs)


def test_a_list_is_known_when_its_last_item_is(shop: Project):
    arrived = replace(shop.model.data, arrived="came")  # type: ignore[type-var]
    model = shop.model.replace(data=arrived)
    late = START + HOUR * 200
    frame = shop.frames["shop"].with_columns(
        came=pl.when((pl.col("search") == "s10") & (pl.col("sku") == pl.col("sku").filter(pl.col("search") == "s10").first()))
        .then(pl.lit(late))
        .otherwise(pl.col("ts").cast(pl.Int64))
        .cast(pl.Datetime("us"))
    )
    before = training_rows(model, {"shop": frame}, as_of=START + HOUR * 100)
    after = training_rows(model, {"shop": frame}, as_of=late)
    assert before.filter(pl.col("__group") == "s10").height == 0
    assert after.filter(pl.col("__group") == "s10").height == ITEMS


def test_popularity_is_each_items_mean_and_the_mean_of_all_for_others():
    y = pl.Series([0, 2, 3, 1])
    found = baselines.fit("ranking", y, items=pl.Series(["a", "a", "b", "c"]))
    assert found.kind == "popularity"
    assert found.predict(4, items=pl.Series(["a", "b", "new", None])).value.to_list() == [1.0, 3.0, 1.5, 1.5]
    assert found.predict(2).value.to_list() == [1.5, 1.5]


def test_a_held_ranking_is_judged_again_on_newer_lists(shop: Project):
    early, late = START + HOUR * (LISTS - 150), START + HOUR * (LISTS + 2)
    made = perform(shop.spec(as_of=early), shop.model, shop.frames, None, package=False)
    rows = assemble(shop.model, shop.frames, as_of=late)
    again = msgspec.structs.replace(shop.spec(as_of=early), as_of=late)
    result, frame = rejudge(again, shop.model, rows, made.result, candidate=made.predictor, champion=None, earlier=made.holdout)
    assert frame.height > made.holdout.height
    assert frame.group_by("__group").len()["len"].unique().to_list() == [ITEMS]
    relevant = frame.group_by("__group").agg(pl.col("y").max() > 0)["y"].sum()
    assert result.metrics["ndcg_at_10"].n == relevant
    assert result.metrics["ndcg_at_10"].n > made.result.metrics["ndcg_at_10"].n


def test_a_view_may_be_looked_up_by_the_item(tmp_path: Path):
    text = SHOP.replace(
        "def fit(", 'seen = fb.FeatureView("seen", shop, entity="sku", features={"wanted": fb.window("7d").mean("worth")})\n\ndef fit('
    )
    text = text.replace('item="sku",', 'item="sku", features=[seen],').replace(".fit(X, y)", ".fit(X.fill_null(1.0), y)")
    text = text.replace("def fit(", "def predict(model, X: pl.DataFrame):\n    return model.predict(X.fill_null(1.0))\n\ndef fit(")
    text = text.replace("fb.Train(fit,", "fb.Train(fit, predict=predict,")
    shop = Project(tmp_path / "seen", text, "rank", {"shop": lists()})
    done = perform(spec(shop), shop.model, shop.frames, shop.blobs)
    assert [field.name for field in done.result.signature.fields] == ["budget", "device", "price", "rating", "sku"]
    assert (done.result.signature.item, done.result.signature.item_fields) == ("sku", ("price", "rating", "sku"))


def test_what_the_order_rests_on_is_told_of_whole_lists(shop: Project):
    done = perform(spec(shop), shop.model, shop.frames, shop.blobs)
    report = codec.decode(shop.blobs.get(done.result.report), Report)
    assert "importances" not in report.missing
    assert report.importances is not None
    assert report.importances.loss == "1 − ndcg_at_10"
    assert report.importances.mean_loss == pytest.approx(1 - (done.result.metrics["ndcg_at_10"].value or 0), abs=0.01)
    assert report.importances.rows % ITEMS == 0
    rises = {one.feature: one.rise for one in report.importances.features}
    assert min(rises["rating"].value or 0, rises["off"].value or 0) > 0.01
    # the budget is the same for a whole list, and stands in the difference already
    assert (rises["rating"].low or 0) > 0 > (rises["budget"].low or 0)


def test_a_champion_that_ranked_other_lists_is_not_compared_row_by_row(shop: Project):
    # as many rows at the same moments, in another order
    other = perform(spec(shop), shop.model.replace(group="visit"), shop.frames, None, package=False).predictor
    with pytest.raises(BadInput, match="the champion cannot be judged on the same rows"):
        perform(spec(shop), shop.model, shop.frames, None, champion=other, package=False)
    same = perform(spec(shop), shop.model.replace(gates=()), shop.frames, None, package=False).predictor
    again = perform(spec(shop), shop.model.replace(transforms={}), shop.frames, None, champion=same, package=False)
    assert again.result.champion["ndcg_at_10"].n == again.result.metrics["ndcg_at_10"].n


@pytest.mark.parametrize("timed", [True, False])
def test_whole_groups_are_held_out_with_all_their_lists(shop: Project, timed: bool):
    train = fb.Train(shop.model.train.fit, split="group", holdout="20%")  # type: ignore[union-attr]
    model = shop.model.replace(train=train)
    if not timed:
        columns = {name: column for name, column in model.data.columns.items() if name != "ts"}
        model = model.replace(data=fb.Dataset("shop", source="data/lists.csv", columns=columns))
    done = perform(spec(shop), model, shop.frames, None, package=False)
    held = done.holdout.group_by("__group", "__time").len()
    assert held["len"].unique().to_list() == [ITEMS]
    assert 0.15 < held.height / LISTS < 0.25
    assert done.result.metrics["ndcg_at_10"].n > 0.9 * held.height


@pytest.mark.process
def test_the_whole_path_of_a_ranking_is_measured_list_by_list(tmp_path: Path):
    own = "import time\n\ndef predict(model, X: pl.DataFrame):\n    time.sleep(0.002 * X.height * (X.height < 100))\n    return model.predict(X)\n\ndef fit("
    text = SHOP.replace("def fit(", own).replace("fb.Train(fit,", "fb.Train(fit, predict=predict,")
    shop = Project(tmp_path / "slow", text.replace("gates=[", 'gates=[fb.metric("latency_p50") <= "10s", '), "rank", {"shop": lists()})
    result = perform(spec(shop), shop.model, shop.frames, shop.blobs).result
    (verdict,) = (one for one in result.verdicts if "latency_p50" in one.check)
    assert verdict.outcome is Outcome.PASS
    # a list of eight, of which each takes two milliseconds; what asks for all rows at once need not wait
    assert (result.measured["latency_p50"].value or 0) > 2 * ITEMS


def test_searches_and_windows_are_judged_by_the_order_of_lists(shop: Project):
    train = fb.Train(shop.model.train.fit, search={"seed_of": fb.integers(0, 5)}, window="auto", holdout="3d")  # type: ignore[union-attr]
    told: list[Any] = []
    model = shop.model.replace(train=train)
    done = perform(spec(shop, trials=3), model, shop.frames, None, package=False, progress=told.append)
    searched = [one for one in told if one.stage == "search"]
    assert {one.objective for one in searched} == {"ndcg_at_10"}
    assert all(0.8 < one.best < 1 for one in searched if one.best is not None)
    assert searched
    assert done.result.window_scores
    assert all(0.8 < value < 1 for value in done.result.window_scores.values())
