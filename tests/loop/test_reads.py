"""What a declaration reads: every column that has a part in a model, and what it is to it."""

from __future__ import annotations

import polars as pl
import pytest

import flyball as fb
from flyball.declare import codec
from flyball.ledger.lineage import Edge, How, Kind, Node
from flyball.loop import reads

from .lineage_kit import CARD, PAYMENTS, fraud


def edges(model: fb.Model) -> set[tuple[str, str, How]]:
    """Of the declaration as the record has it, which runs nothing of it."""
    decoded = codec.decode(codec.encode(model))
    return {(str(edge.source), str(edge.target), edge.how) for edge in reads.edges(decoded, model.name, lambda view: view.name)}


def read_by(model: fb.Model, target: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for source, to, how in edges(model):
        if to == target:
            found.setdefault(source, set()).add(how.value)
    return found


def test_a_window_reads_its_column_and_what_its_where_reads() -> None:
    view = fb.FeatureView(
        "card",
        PAYMENTS,
        entity="card_id",
        features={
            "spent": fb.window("1h").sum("amount"),
            "named": fb.window("1h").max("amount", where="declined"),
            "told": fb.window("1h").count(where=(pl.col("country") == "DE") & pl.col("declined")),
        },
    )
    model = fraud(features=[view], transforms={})
    assert read_by(model, "feature:card.spent") == {"column:payments.amount": {"aggregated"}}
    assert read_by(model, "feature:card.named") == {"column:payments.amount": {"aggregated"}, "column:payments.declined": {"where"}}
    assert read_by(model, "feature:card.told") == {
        "column:payments.country": {"where"},
        "column:payments.declined": {"where"},
        "column:payments.at": {"aggregated"},
    }
    assert read_by(model, "view:card") == {
        "feature:card.spent": {"feature"},
        "feature:card.named": {"feature"},
        "feature:card.told": {"feature"},
        "column:payments.card_id": {"key"},
        "column:payments.at": {"time"},
    }


def test_a_feature_of_the_newest_row_reads_its_column_or_the_roots_of_its_expression() -> None:
    view = fb.FeatureView(
        "card", PAYMENTS, entity="card_id", features={"newest": "country", "ratio": pl.col("amount") / (pl.col("amount").abs() + 1)}
    )
    model = fraud(features=[view], transforms={})
    assert read_by(model, "feature:card.newest") == {"column:payments.country": {"value"}}
    assert read_by(model, "feature:card.ratio") == {"column:payments.amount": {"computed"}}


def test_a_transform_reads_columns_features_and_the_transforms_before_it() -> None:
    model = fraud(transforms={"a": pl.col("spent") + pl.col("amount"), "b": pl.col("a") * 2})
    assert read_by(model, "transform:fraud.a") == {"feature:card.spent": {"computed"}, "column:payments.amount": {"computed"}}
    assert read_by(model, "transform:fraud.b") == {"transform:fraud.a": {"computed"}}
    assert read_by(model, "model:fraud").keys() >= {"transform:fraud.a", "transform:fraud.b"}


def spread(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit(1).alias("one"))


def test_a_function_may_read_all_that_it_is_given_and_nothing_else() -> None:
    assert read_by(fraud(transforms=spread), "transform:fraud.spread") == {
        "column:payments.amount": {"computed"},
        "feature:card.spent": {"computed"},
        "feature:card.declined": {"computed"},
    }


def test_a_model_says_what_each_of_its_columns_is_to_it() -> None:
    model = fraud(
        weight="spare",
        group="country",
        slices={"large": (pl.col("amount") > 100) & (pl.col("spent") > 1)},
        review=pl.col("score") * pl.col("amount") > 5,
        rollout=fb.Rollout(sticky="card_id").shadow("1h"),
    )
    assert read_by(model, "model:fraud") == {
        "column:payments.amount": {"input", "review"},
        "column:payments.at": {"time"},
        "column:payments.card_id": {"key"},
        "column:payments.country": {"group"},
        "column:payments.fraud": {"label"},
        "column:payments.spare": {"weight"},
        "slice:fraud.large": {"slice"},
        "transform:fraud.usual": {"transform"},
        "view:card": {"view"},
    }
    assert read_by(model, "slice:fraud.large") == {"column:payments.amount": {"computed"}, "feature:card.spent": {"computed"}}


def test_a_label_an_outcome_and_a_suite_of_other_data_sets_are_read_from_there() -> None:
    back = fb.Dataset(
        "chargebacks", source=fb.sql("select * from disputes", url=fb.secret("URL")), time="on", columns={"payment_id": str, "bad": bool}
    )
    hard = fb.Dataset("hard-cases", source="hard.csv", columns={"amount": float, "card_id": str, "bad": bool, "note": str})
    tonight = fb.Dataset("tonight", source="tonight.csv", columns={"amount": float, "payment": str, "note": str})
    model = fraud(
        label=fb.Label("bad", source=back, on="payment_id", within="30d"),
        outcomes=fb.Outcome("lost", source=back, on="payment_id", column="bad", within="60d"),
        suites=[fb.suite("hard", hard, metric="accuracy", at_least=0.9)],
        batch=fb.Batch(source=tonight, to="out.parquet", every="1d", key="payment"),
    )
    found = read_by(model, "model:fraud")
    assert found["column:chargebacks.bad"] == {"label", "outcome"}
    assert found["column:chargebacks.payment_id"] == {"key"}
    assert found["column:payments.payment_id"] == {"key"}
    assert found["dataset:hard-cases"] == {"suite"}
    asked = {name: how for name, how in found.items() if "suite" in how or "batch" in how}
    assert {name.partition(":")[2] for name in asked} == {
        *("hard-cases", "hard-cases.amount", "hard-cases.card_id", "hard-cases.bad"),
        *("tonight", "tonight.amount", "tonight.payment"),
    }, "what a change of such a column affects is told, and what nobody asks for is not"
    assert "column:payments.fraud" not in found


def test_a_model_reads_the_column_between_whose_groups_a_gate_looks_for_a_gap() -> None:
    both = (fb.metric("accuracy").gap("spare") <= 0.1) | (fb.metric("accuracy") >= 0.9)
    model = fraud(
        slices=[], gates=[fb.metric("accuracy").gap("age_band") <= 0.1, both], monitors=[fb.metric("accuracy").gap("country") <= 0.1]
    )
    found = read_by(model, "model:fraud")
    assert {name for name, how in found.items() if "gap" in how} == {f"column:payments.{name}" for name in ("age_band", "spare", "country")}


def test_what_values_are_checked_against_is_an_edge_that_carries_no_data() -> None:
    merchants = fb.Dataset("merchants", source="m.csv", id="merchant", columns={"merchant": str})
    data = fb.Dataset("p", source="p.csv", columns={"a": float, "shop": str, "y": bool}, references={"shop": merchants})
    model = fb.Model("m", task="binary", data=data, label="y")
    assert ("column:merchants.merchant", "column:p.shop", How.CHECKED) in edges(model)
    assert {each.name for each in reads.datasets(model)} == {"p", "merchants"}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/a.csv", "data/a.csv"),
        ("s3://bucket/a.parquet", "s3://bucket/a.parquet"),
        ("postgresql://ana:secret@db:5432/shop", "postgresql://db:5432/shop"),
        (pl.DataFrame({"a": [1.0], "y": [True]}), "frame:"),
    ],
)
def test_a_source_is_called_as_it_is_declared_without_who_is_let_in_by_it(source: object, name: str) -> None:
    data = fb.Dataset("d", source=source, columns={"a": float, "y": bool})
    decoded = codec.decode(codec.encode(fb.Model("m", task="binary", data=data, label="y")))
    assert reads.source(decoded.data).name.startswith(name)


def test_a_query_is_called_by_its_place_and_two_queries_there_are_two_sources() -> None:
    def named(query: str, url: object) -> reads.Source:
        return reads.source(fb.Dataset("d", source=fb.sql(query, url=url), columns={"a": float}))  # type: ignore[arg-type]

    first, second = named("select 1", fb.secret("URL")), named("select 2", fb.secret("URL"))
    assert first.name.startswith("secret:URL#")
    assert first.name != second.name
    assert first.detail == "select 1"
    assert "hush" not in named("select 1", "postgresql://ana:hush@db/shop").name


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ana:pw/hush@db/shop", "postgresql://db/shop"),
        ("postgresql://ana:pw@hush@db/shop", "postgresql://db/shop"),
        ("postgresql://db/shop?user=ana&password=hush@1", "postgresql://db/shop?user=…&password=…"),
        ("https://example.com/a.csv?token=hush", "https://example.com/a.csv?token=…"),
        ("https://ana:hush@example.com:8080/a@b.csv", "https://example.com:8080/a@b.csv"),
        ("s3://bucket/day=1/part-?.parquet", "s3://bucket/day=1/part-?.parquet"),
    ],
)
def test_no_secret_of_an_address_is_told_wherever_in_it_it_stands(url: str, told: str) -> None:
    assert reads.opened(url) == told


def test_views_that_are_defined_alike_are_one_whoever_looks_them_up() -> None:
    assert reads.definition(CARD) == reads.definition(CARD.on("country"))
    longer = fb.FeatureView("card", PAYMENTS, entity="card_id", ttl="60d", features=dict(CARD.features))
    assert reads.definition(CARD) != reads.definition(longer)
    later = fb.Dataset("payments", source="x.csv", time="seen", columns={name: PAYMENTS.columns[name] for name in PAYMENTS.columns})
    same = fb.FeatureView("card", later, entity="card_id", ttl="30d", features=dict(CARD.features))
    assert reads.definition(CARD) != reads.definition(same), "of other times"


def test_who_reads_a_data_set_is_told_by_name_whatever_it_is_to_them() -> None:
    back = fb.Dataset("chargebacks", source="back.csv", time="on", columns={"payment_id": str, "bad": bool})
    late = fb.Model(
        "late", task="binary", data=PAYMENTS, label=fb.Label("bad", source=back, on="payment_id", within="30d"), inputs=["amount"]
    )
    assert reads.readers([fraud(), late], "payments") == (("data/payments/*.parquet",), ("card",), ("fraud", "late"))
    assert reads.readers([fraud(), late], "chargebacks") == (("back.csv",), (), ("late",))
    assert reads.readers([fraud(), late], "nothing") == ((), (), ())


def test_every_edge_leads_in_the_direction_of_the_data() -> None:
    order = list(Kind)
    for edge in reads.edges(fraud(), "fraud", lambda view: view.name):
        assert isinstance(edge, Edge)
        assert isinstance(edge.source, Node)
        assert order.index(edge.source.kind) <= order.index(edge.target.kind)
