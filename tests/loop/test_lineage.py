"""Lineage of a project: from a source to predictions and back, also through declarations that are in effect no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import flyball as fb
from flyball.errors import BadInput, NotFound
from flyball.ledger.lineage import Kind, Node
from flyball.loop.lineage import training_set
from flyball.loop.tracing import overview, trace
from flyball.records.data import DataRefused
from flyball.records.declarations import DeclarationIdle

from .lineage_kit import CARD, PAYMENTS, World, fraud

DATA = {"payments": "1" * 64}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def served(world: World) -> World:
    """One model in production."""
    world.declare(fraud())
    world.commit("payments", "1.0.0", DATA["payments"])
    world.version("fraud", "1.0.0", DATA)
    world.release("fraud", "1.0.0")
    world.answered(1, fraud_1_0_0=40)
    world.answered(2, fraud_1_0_0=2)
    return world


def test_the_whole_way_from_a_source_to_predictions(served: World) -> None:
    below = served.names("data/payments/*.parquet", "down")
    [made] = (name for name in below if name.startswith("training-set:"))
    [released] = (name for name in below if name.startswith("rollout:"))
    for name in ("dataset:payments", "dataset-version:payments@1.0.0", "column:payments.amount", "feature:card.spent", "view:card"):
        assert name in below
    for name in ("model:fraud", made, "run:run_0001", "version:fraud@1.0.0", released, "predictions:fraud@1.0.0/predictions"):
        assert name in below
    assert served.names("predictions:fraud@1.0.0/predictions", "up") >= {"source:data/payments/*.parquet", "dataset-version:payments@1.0.0"}


def test_what_is_nothing_yet_in_a_project_that_declares_is_not_told_that_nothing_is_declared(world: World) -> None:
    with pytest.raises(NotFound) as empty:
        world.names("fraud@1.0.0", "up")
    assert empty.value.why == "nothing is declared"
    world.declare(fraud())
    with pytest.raises(NotFound) as early:
        world.names("fraud@1.0.0", "up")
    assert early.value.why == "there is no data set version and no version yet"
    with pytest.raises(NotFound) as run:
        world.names("run:none", "up")
    assert run.value.why == "there is no run yet"


def test_a_change_of_a_column_reaches_what_reads_it_and_nothing_else(served: World) -> None:
    served.declare(
        fb.Model(
            "churn", task="binary", data=PAYMENTS, label="declined", inputs=["country"], owner="crm", features=[], framing=fb.Framing("")
        )
    )
    assert {name for name in served.names("payments.amount", "down") if name.split(":")[0] not in ("training-set", "run", "rollout")} == {
        "feature:card.spent",
        "view:card",
        "transform:fraud.usual",
        "model:fraud",
        "version:fraud@1.0.0",
        "predictions:fraud@1.0.0/predictions",
    }
    _, found = trace(served.wired.ledger.state(), served.wired.ports.library, "payments.amount", "down")
    assert found.production == ("fraud@1.0.0",)
    assert found.owners == ("risk",)
    assert "model:churn" in served.names("payments.country", "down")
    assert served.names("payments.spare", "down") == set()


def test_what_the_champion_of_a_former_declaration_reads_is_not_unused(world: World) -> None:
    world.declare(fraud(inputs=["amount", "spare"]))
    world.commit("payments", "1.0.0", DATA["payments"])
    world.version("fraud", "1.0.0", DATA)
    world.release("fraud", "1.0.0")
    world.declare(fraud(features=[], transforms={}))
    world.tell(DeclarationIdle(names=("view:card", "view:other")))
    state, library = world.wired.ledger.state(), world.wired.ports.library
    told = overview(state, library)
    assert ("payments.spare" in told.unused_columns, told.unused_views) == (False, ("other",))
    world.version("fraud", "1.1.0", DATA)
    world.release("fraud", "1.1.0")
    told = overview(world.wired.ledger.state(), library)
    assert ("payments.spare" in told.unused_columns, told.unused_views) == (True, ("card", "other"))


def test_predictions_are_counted_rows_and_production_is_what_answers(served: World) -> None:
    made = served.graph()
    answers = made.fact(Node(Kind.PREDICTIONS, "fraud@1.0.0/predictions"))
    assert (answers.rows, answers.production, answers.traffic) == (42, True, 1.0)
    served.version("fraud", "1.0.1", DATA)
    made = served.graph()
    assert made.fact(Node(Kind.VERSION, "fraud@1.0.0")).state == "eligible, champion"
    assert not made.fact(Node(Kind.VERSION, "fraud@1.0.1")).production
    assert Node(Kind.PREDICTIONS, "fraud@1.0.1/predictions") not in made.graph


def test_a_training_set_is_what_a_run_read_by_content() -> None:
    first = training_set({"a": "1", "b": "2"}, "sha256:x", 5)
    assert first == training_set({"b": "2", "a": "1"}, "sha256:x", 5)
    assert len({first, training_set({"a": "1"}, "sha256:x", 5), training_set({"a": "1", "b": "2"}, "sha256:y", 5)}) == 3
    assert first != training_set({"a": "1", "b": "2"}, "sha256:x", 6)


def test_two_runs_of_the_same_rows_have_one_training_set(world: World) -> None:
    world.declare(fraud())
    world.commit("payments", "1.0.0", DATA["payments"])
    for as_of in (5, 5, 6):
        world.fail("fraud", DATA, as_of=as_of)
    below = world.names("fraud", "down")
    assert len([name for name in below if name.startswith("training-set:")]) == 2
    assert len([name for name in below if name.startswith("run:")]) == 3


def test_a_version_is_traced_through_the_declaration_that_made_it_and_not_the_one_in_effect(served: World) -> None:
    # the champion was made with the sum of amounts; what is declared now reads countries
    other = fb.FeatureView("card", PAYMENTS, entity="card_id", ttl="30d", features={"countries": fb.window("1d").distinct("country")})
    served.declare(fraud(features=[other], inputs=["country"], transforms={}))
    assert "version:fraud@1.0.0" in served.names("payments.amount", "down")
    assert "version:fraud@1.0.0" not in served.names("payments.country", "down")
    assert "model:fraud" in served.names("payments.country", "down")
    above = served.names("fraud@1.0.0", "up")
    assert "column:payments.amount" in above
    assert "column:payments.country" not in above
    assert any(name.startswith("view:card#") for name in above), "the view as it was"
    assert "column:payments.country" in served.names("fraud", "up")
    assert "column:payments.amount" not in served.names("fraud", "up")
    assert "version:fraud@1.0.0" in served.names("fraud", "down"), "whatever it was made by, it is a version of this model"


def test_a_column_that_is_declared_no_more_is_found_while_a_version_rests_on_it(served: World) -> None:
    slim = fb.Dataset("payments", source="data/payments/*.parquet", time="at", columns={"country": str, "fraud": bool})
    served.declare(fraud(data=slim, features=[], inputs=["country"], transforms={}, slices=[]))
    assert "version:fraud@1.0.0" in served.names("payments.amount", "down")


def test_two_views_of_one_name_that_are_not_defined_alike_are_told_apart(served: World) -> None:
    longer = fb.FeatureView("card", PAYMENTS, entity="card_id", ttl="60d", features={"spent": fb.window("2h").sum("amount")})
    served.declare(fb.Model("churn", task="binary", data=PAYMENTS, label="declined", inputs=["amount"], features=[longer]))
    _, found = trace(served.wired.ledger.state(), served.wired.ports.library, "card", "down")
    assert len(found.start) == 2
    assert all(start.startswith("view:card#") for start in found.start)
    below = {edge.source: edge.target for edge in found.down if edge.source in found.start and edge.target.startswith("model:")}
    assert set(below.values()) == {"model:fraud", "model:churn"}


def test_a_view_that_two_models_share_is_one(served: World) -> None:
    served.declare(fb.Model("churn", task="binary", data=PAYMENTS, label="declined", inputs=["amount"], features=[CARD]))
    assert served.names("card", "down") >= {"model:fraud", "model:churn"}


def test_a_run_that_judged_a_version_again_is_told_apart_from_the_one_that_made_it(served: World) -> None:
    from flyball.records.training import RunSucceeded

    run = served.queue("fraud", DATA, trigger="evidence")
    served.tell(RunSucceeded(run=run, result="b" * 64, version="1.0.0"))
    _, found = trace(served.wired.ledger.state(), served.wired.ports.library, "fraud@1.0.0", "up")
    hows = {edge.source: edge.how for edge in found.up if edge.target == "version:fraud@1.0.0"}
    assert hows == {"run:run_0001": "made", f"run:{run}": "judged on"}


def test_a_record_from_before_runs_told_what_they_read_is_read_from_what_was_asked(world: World) -> None:
    world.declare(fraud())
    world.commit("payments", "1.0.0", DATA["payments"])
    world.version("fraud", "1.0.0", DATA, told=False)
    assert "dataset-version:payments@1.0.0" in world.names("fraud@1.0.0", "up")
    assert "column:payments.amount" in world.names("fraud@1.0.0", "up")


def test_a_data_set_version_that_was_read_from_elsewhere_says_so(served: World) -> None:
    served.commit("payments", "2.0.0", "2" * 64, source="old/payments.csv")
    served.commit("payments", "2.1.0", "3" * 64, source="data/payments/*.parquet")
    assert "source:old/payments.csv" in served.names("payments@2.0.0", "up")
    assert "source:old/payments.csv" not in served.names("payments@2.1.0", "up")
    assert served.names("old/payments.csv", "down") == {"dataset-version:payments@2.0.0"}


def test_a_name_of_two_kinds_is_asked_for_again_with_both_ways_to_say_it(world: World) -> None:
    data = fb.Dataset("demand", source="d.csv", columns={"a": float, "y": float})
    world.declare(fb.Model("demand", task="regression", data=data, label="y"))
    with pytest.raises(BadInput, match="dataset:demand or model:demand"):
        world.names("demand", "down")
    assert "model:demand" in world.names("dataset:demand", "down")
    assert "dataset:demand" in world.names("model:demand", "up")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("payment.amount", "payments.amount"),
        ("payments.amuont", "payments.amount"),
        ("fruad", "fraud"),
        ("fraud@1.0.1", "fraud@1.0.0"),
        ("data/payment/*.parquet", "data/payments/\\*.parquet"),
        ("cards", "card"),
        ("card.spend", "card.spent"),
        ("column:payments.amont", "payments.amount"),
    ],
)
def test_a_slip_of_the_pen_is_told_the_nearest_name(served: World, text: str, meant: str) -> None:
    with pytest.raises(NotFound) as raised:
        served.names(text, "down")
    assert f'did you mean "{meant}"'.replace("\\", "") in raised.value.fix


def test_nothing_is_called_anything_where_nothing_is_declared(world: World) -> None:
    with pytest.raises(NotFound, match="nothing is declared"):
        world.names("fraud", "up")


def test_the_champion_the_end_of_a_run_and_a_rollout_are_names_too(served: World) -> None:
    _, found = trace(served.wired.ledger.state(), served.wired.ports.library, "fraud@champion", "up")
    assert found.start == ("version:fraud@1.0.0",)
    assert "version:fraud@1.0.0" in served.names("un_0001", "down")
    with pytest.raises(NotFound):
        served.names("fraud@challenger", "up")


def test_who_may_see_some_models_is_told_of_nothing_else(served: World) -> None:
    shops = fb.Dataset("shops", source="shops.csv", columns={"size": float, "open": bool}, owner="shops")
    served.declare(fb.Model("churn", task="binary", data=shops, label="open", owner="crm"))
    served.declare(fb.Model("late", task="binary", data=PAYMENTS, label="declined", inputs=["amount"], owner="ops"))
    served.commit("shops", "1.0.0", "5" * 64)

    def churn(name: str) -> bool:
        return name == "churn"

    assert served.names("shops", "down", covers=churn) >= {"model:churn", "dataset-version:shops@1.0.0"}
    for hidden in ("fraud", "payments", "payments.amount", "card", "fraud@1.0.0", "run_0001", "data/payments/*.parquet", "payments@1.0.0"):
        with pytest.raises(NotFound) as raised:
            served.names(hidden, "both", covers=churn)
        assert "payments" not in raised.value.fix
        assert "fraud" not in raised.value.fix

    def late(name: str) -> bool:
        return name == "late"

    assert served.names("payments.amount", "both", covers=late) == {
        "dataset:payments",
        "source:data/payments/*.parquet",
        "model:late",
    }, "the data set is theirs as well, and what others make of it is not"


def test_an_overview_lists_what_is_unused_and_what_is_nobodys(served: World) -> None:
    served.commit("leftover", "1.0.0", "6" * 64)
    bare = fb.Dataset("bare", source="b.csv", columns={"a": float, "y": bool, "idle": fb.column(float, known_after="1d")})
    served.declare(fb.Model("nobodys", task="binary", data=bare, label="y"))
    found = overview(served.wired.ledger.state(), served.wired.ports.library)
    assert found.unused_columns == ("bare.idle", "payments.country", "payments.spare")
    assert found.without_model == ("leftover",)
    assert found.ownerless == ("dataset:bare", "model:nobodys", "dataset:leftover")
    assert (found.counts["model"], found.counts["version"], found.counts["view"]) == (2, 1, 1)


def test_what_no_model_uses_is_told_to_those_who_see_all_models(served: World) -> None:
    served.tell(DeclarationIdle(names=("dataset:payments", "dataset:places", "view:heights")))
    state, library = served.wired.ledger.state(), served.wired.ports.library
    found = overview(state, library)
    assert (found.unused_views, found.without_model) == (("heights",), ("places",)), "payments has come to be used since"
    some = overview(state, library, lambda name: name == "fraud")
    assert (some.unused_views, some.without_model) == ((), ())


def test_a_data_set_that_nobody_owns_is_its_models(served: World) -> None:
    made = served.graph()
    assert made.fact(Node(Kind.DATASET, "payments")).owner == "payments"
    assert made.fact(Node(Kind.VIEW, "card")).owner == "risk"


def test_a_source_that_is_refused_is_told_with_the_data_set(served: World) -> None:
    served.tell(DataRefused(name="payments", source_mark="x", violations=("amount is negative",)))
    assert served.graph().fact(Node(Kind.DATASET, "payments")).state == "refused: amount is negative"


def test_a_model_whose_declaration_is_lost_keeps_nobody_from_seeing_the_others(served: World) -> None:
    served.declare(fb.Model("late", task="binary", data=PAYMENTS, label="declined", inputs=["amount"]))
    from flyball.records.declarations import DECLARATIONS

    row = served.wired.ledger.state().get(DECLARATIONS, "late")
    assert row is not None
    served.wired.blobs.path(row.body).unlink()
    _, found = trace(served.wired.ledger.state(), served.wired.ports.library, "payments.amount", "down")
    assert "model:fraud" in {node.id for node in found.nodes}
    assert list(found.unread) == ["late"]
    with pytest.raises(NotFound, match="the declarations of 1 cannot be read, first late: "):
        served.names("payments.amuont", "down")


def test_transforms_and_slices_of_one_name_are_told_apart(world: World) -> None:
    same = pl.col("amount") > 5
    world.declare(fraud(transforms={"large": same}, slices={"large": same}))
    with pytest.raises(BadInput, match=r"transform:fraud\.large or slice:fraud\.large"):
        world.names("fraud.large", "up")
    assert "column:payments.amount" in world.names("slice:fraud.large", "up")
