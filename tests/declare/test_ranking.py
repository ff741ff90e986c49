"""What a ranking has to say of itself: whose lists, of what, and how relevant; and which sentences nothing could measure."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.declare.live import ranked_live, sent, untested
from flyball.declare.problems import problems, unbuilt, warnings

COLUMNS = {
    "search": str,
    "sku": str,
    "budget": float,
    "price": float,
    "item": float,
    "at": fb.column("time"),
    "clicked": fb.column(bool, known_after="1h"),
    "worth": fb.column(int, between=(0, 3), known_after="1h"),
    "net": fb.column(float, between=(-5, 5), known_after="1h"),
}


def fit(X: pl.DataFrame, y: pl.Series, group: pl.Series) -> object:
    return X, y, group


def ranking(**changes: Any) -> fb.Model:
    shop = fb.Dataset("shop", source="data/lists.csv", time="asked", columns=COLUMNS, id=changes.pop("id", None))
    given: dict[str, Any] = {
        "task": "ranking",
        "data": shop,
        "label": "worth",
        "group": "search",
        "item": "sku",
        "inputs": ["budget", "price"],
        "owner": "shop",
        "train": fb.Train(fit),
        "framing": fb.Framing("sell", risk="low"),
        "gates": [fb.metric("ndcg_at_10") >= fb.champion - 0.01, fb.metric("recall_at_5").lower >= 0.2],
        "rollout": fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 1.25], evidence="gate").shadow("1h").canary("10%", "1h"),
    }
    return fb.Model("m", **(given | changes))


def test_a_whole_ranking_has_no_problem_and_lacks_nothing() -> None:
    model = ranking()
    assert problems(model) == []
    assert unbuilt(model) == []
    assert sent(model) == ("budget", "price", "sku")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"group": "", "train": None}, "a ranking model without group"),
        ({"item": ""}, "a ranking model without item"),
        ({"item": "sk"}, 'item "sk" is not a column'),
        ({"item": "price"}, 'item "price" of type float cannot name an item'),
        ({"item": "at"}, 'item "at" of type time cannot name an item'),
        ({"item": "place", "id": "place"}, 'item "place" is not among columns='),
        ({"item": "search"}, 'item "search" is something else already'),
        ({"inputs": ["price", "item"]}, 'input "item" is no item\'s name'),
        ({"label": "clicked"}, 'label "clicked" of type bool cannot be the label of a ranking model'),
        ({"label": "net"}, 'label "net" may be below 0'),
        ({"fallback": "none"}, "fallback 'none' is not a number"),
        ({"gates": [fb.metric("accuracy") >= 0.5]}, "accuracy says nothing of a ranking model"),
        ({"gates": [fb.metric("recall_at_5%") >= 0.5]}, "recall_at_5% says nothing of a ranking model"),
        ({"train": fb.Train(fit, objective="mae")}, 'objective "mae" is not a metric of a ranking model'),
        ({"retrain": fb.Retrain(when=[fb.metric("ndcg_at_10") < fb.at_release])}, "a bare at_release says nothing of lists"),
        (
            {"rollout": fb.Rollout(guards=[fb.metric("recall_at_5") >= fb.champion - 0.05]).canary("10%", "1h")},
            "recall_at_5 does not compare versions live",
        ),
    ],
)
def test_a_broken_rule_is_named(changes: dict[str, Any], expected: str) -> None:
    found = [item.what for item in problems(ranking(**changes))]
    assert any(expected in what for what in found), found


def test_a_label_of_another_set_is_held_to_the_same() -> None:
    sales = fb.Dataset("sales", source="data/sales.csv", time="at", columns={"sku": str, "worth": str})
    found = [item.what for item in problems(ranking(label=fb.Label("worth", source=sales, on="sku", within="1d")))]
    assert 'label "worth" of type str cannot be the label of a ranking model' in found


def test_its_metrics_are_monitors_and_triggers_with_a_margin_and_are_counted_live() -> None:
    model = ranking(
        monitors=[fb.metric("ndcg_at_5").over("7d") >= fb.at_release - 0.05],
        retrain=fb.Retrain(when=[fb.metric("recall_at_3") < fb.at_release - 0.05]),
        objectives=[fb.Objective(fb.metric("ndcg_at_7") >= 0.5, target="95%", window="30d")],
    )
    assert problems(model) == []
    assert [one.what for one in warnings(model) if "_at_" in one.what] == []
    assert ranked_live(model) == ("ndcg_at_10", "recall_at_10", "recall_at_5", "ndcg_at_5", "recall_at_3", "ndcg_at_7")


def test_a_release_that_waits_for_live_quality_is_told_that_there_is_none() -> None:
    model = ranking(rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 1.25]).canary("10%", "1h"))
    told = [item for item in warnings(model) if item.what == "rollout: no guard on quality that live rows can test"]
    assert [item.fix for item in told] == ['evidence="gate"']
    assert untested(fb.metric("ndcg_at_10") >= fb.champion, "ranking") == (
        "live, two versions of a ranking model are compared by error_rate and latency_p99"
    )
