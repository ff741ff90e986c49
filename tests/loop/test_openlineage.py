"""Lineage as OpenLineage events: each obeys the schema that it names, and says what the graph says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.errors import NotFound
from flyball.loop.openlineage import Exporter, lines
from flyball.loop.tracing import trace
from flyball.records import openlineage as ol

from .lineage_kit import PAYMENTS, World, fraud
from .openlineage_rules import FACETS, problems

DATA = {"payments": "1" * 64}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A life: two models, a data set that changed, runs that failed, are under way and gave versions, releases that ended in each way."""
    world = World(tmp_path_factory.mktemp("ol") / "shop")
    back = fb.Dataset(
        "chargebacks",
        source=fb.sql("select * from disputes", url="postgresql://ana:hush@db:5432/shop"),
        time="on",
        columns={"payment_id": str, "bad": bool},
        about="what customers took back",
    )
    world.declare(fraud())
    late = fb.Label("bad", source=back, on="payment_id", within="30d")
    world.declare(fb.Model("late", task="binary", data=PAYMENTS, label=late, inputs=["amount"], transforms=spread, group="card_id"))
    world.commit("payments", "1.0.0", DATA["payments"], source="data/payments/*.parquet")
    world.commit("chargebacks", "1.0.0", "7" * 64)
    world.version("fraud", "1.0.0", DATA)
    world.release("fraud", "1.0.0")
    world.answered(1, fraud_1_0_0=40)
    world.commit("payments", "1.0.1", "2" * 64, source="data/payments/*.parquet", parents=(DATA["payments"],))
    world.declare(fraud(inputs=["amount", "country"]))
    world.version("fraud", "1.1.0", {"payments": "2" * 64})
    world.fail("late", DATA)
    world.queue("late", DATA)
    yield world
    world.close()


def spread(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit(1).alias("one"))


def told(world: World, thing: str = "", **more: Any) -> list[dict[str, Any]]:
    wired = world.wired
    return [json.loads(line) for line in lines(wired.ledger.state(), wired.ports.library, wired.blobs, wired.root, thing, **more)]


@pytest.fixture(scope="module")
def events(world: World) -> list[dict[str, Any]]:
    return told(world)


def of_job(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event.get("job", {}).get("name") == name]


def test_every_event_and_facet_obeys_the_published_schema(events: list[dict[str, Any]]) -> None:
    assert len(events) > 12
    assert [problem for event in events for problem in problems(event)] == []
    assert {event["schemaURL"].rpartition("/")[2] for event in events} == {"RunEvent", "JobEvent", "DatasetEvent"}


def test_every_facet_that_can_be_told_is_told_here_and_has_a_published_schema(events: list[dict[str, Any]]) -> None:
    known = {f"{ol.SPEC}/{kind.schema}" for kind in below(ol.Facet)}
    assert known <= FACETS.keys()
    assert known == {url for event in events for url in urls(event)}


def below(kind: type[ol.Facet]) -> Iterator[type[ol.Facet]]:
    for each in kind.__subclasses__():
        yield each
        yield from below(each)


def urls(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "_schemaURL" in value:
            yield value["_schemaURL"]
        for each in value.values():
            yield from urls(each)
    elif isinstance(value, list):
        for each in value:
            yield from urls(each)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.pop("eventTime"),
        lambda event: event.update(eventTime="yesterday"),
        lambda event: event.update(more=1),
        lambda event: event["run"].update(runId="run_1"),
        lambda event: event.update(eventType="DONE"),
        lambda event: event["outputs"][0]["facets"]["schema"].pop("_producer"),
        lambda event: event["outputs"][0]["facets"]["schema"]["fields"][0].pop("name"),
        lambda event: event["outputs"][0]["facets"]["schema"]["fields"][0].update(type=7),
        lambda event: event["outputs"][0]["facets"]["version"].update(datasetVersion=None),
        lambda event: event["outputs"][0]["facets"].update(schemas=event["outputs"][0]["facets"]["schema"]),
        lambda event: event["outputs"][0]["facets"].update(jobType=event["job"]["facets"]["jobType"]),
        lambda event: event["outputs"][0]["facets"]["columnLineage"]["fields"]["amount"]["inputFields"][0].pop("field"),
        lambda event: event["outputs"][0]["facets"]["lifecycleStateChange"].update(lifecycleStateChange="GREW"),
        lambda event: event["outputs"][0]["facets"]["dataQualityMetrics"]["columnMetrics"]["amount"].update(nullCount="1"),
        lambda event: event.update(producer="not a uri"),
    ],
)
def test_the_rules_find_what_the_schemas_forbid(events: list[dict[str, Any]], spoil: Any) -> None:
    event = copy.deepcopy(of_job(events, "read.payments")[1])
    assert problems(event) == []
    spoil(event)
    assert problems(event)


def test_a_run_has_one_start_and_one_end_at_most_and_the_same_id_in_every_export(world: World, events: list[dict[str, Any]]) -> None:
    runs: dict[str, list[str]] = {}
    for event in events:
        if "run" in event:
            runs.setdefault(event["run"]["runId"], []).append(event["eventType"])
    assert all(kinds[0] == "START" and kinds.count("START") == 1 for kinds in runs.values())
    assert all(len(set(kinds) & {"COMPLETE", "FAIL", "ABORT"}) <= 1 for kinds in runs.values())
    assert sorted(tuple(kinds) for kinds in runs.values()) == [
        ("START",),
        ("START", "COMPLETE"),
        ("START", "COMPLETE"),
        ("START", "COMPLETE"),
        ("START", "COMPLETE"),
        ("START", "COMPLETE"),
        ("START", "COMPLETE"),
        ("START", "FAIL"),
    ]
    assert told(world) == events


def test_a_commit_tells_schema_version_quality_source_owner_lineage_and_what_it_did(events: list[dict[str, Any]], world: World) -> None:
    first, second = (event for event in of_job(events, "read.payments") if event["eventType"] == "COMPLETE")
    facets = first["outputs"][0]["facets"]
    assert facets["version"]["datasetVersion"] == "1.0.0"
    assert facets["ownership"]["owners"] == [{"name": "team:payments", "type": "OWNER"}]
    assert facets["dataSource"]["name"] == "data/payments/*.parquet"
    assert [(field["name"], field["type"], field.get("description")) for field in facets["schema"]["fields"]] == [
        ("card_id", "String", None),
        ("amount", "Float64", "in EUR"),
    ]
    assert facets["dataQualityMetrics"]["rowCount"] == 100
    assert facets["dataQualityMetrics"]["columnMetrics"]["amount"] == {"nullCount": 1, "distinctCount": 90, "min": 0.0, "max": 9.5}
    [origin] = facets["columnLineage"]["fields"]["amount"]["inputFields"]
    assert (origin["namespace"], origin["name"]) == ("file", (world.wired.root / "data/payments/*.parquet").as_posix())
    assert [event["outputs"][0]["facets"]["lifecycleStateChange"]["lifecycleStateChange"] for event in (first, second)] == [
        "CREATE",
        "OVERWRITE",
    ]
    assert first["inputs"][0]["namespace"] == "file"


def test_a_view_tells_which_columns_each_feature_rests_on_and_how(events: list[dict[str, Any]]) -> None:
    [view] = (event["dataset"] for event in events if event.get("dataset", {}).get("name") == "views/card")
    fields = view["facets"]["columnLineage"]["fields"]
    kinds = {
        (name, each["field"]): (each["transformations"][0]["type"], each["transformations"][0]["subtype"])
        for name, inputs in fields.items()
        for each in inputs["inputFields"]
    }
    assert kinds == {
        ("spent", "amount"): ("DIRECT", "AGGREGATION"),
        ("declined", "declined"): ("INDIRECT", "FILTER"),
        ("declined", "at"): ("DIRECT", "AGGREGATION"),
    }
    assert {(each["field"], each["transformations"][0]["subtype"]) for each in view["facets"]["columnLineage"]["dataset"]} == {
        ("card_id", "JOIN"),
        ("at", "WINDOW"),
    }
    assert [(field["name"], field["type"]) for field in view["facets"]["schema"]["fields"]] == [("spent", "float"), ("declined", "int")]


def test_a_trained_version_rests_on_the_columns_of_the_declaration_that_made_it(events: list[dict[str, Any]]) -> None:
    ends = [event for event in of_job(events, "train.fraud") if event.get("eventType") == "COMPLETE"]
    rest = [
        {each["field"] for each in event["outputs"][0]["facets"]["columnLineage"]["fields"]["prediction"]["inputFields"]} for event in ends
    ]
    assert [event["outputs"][0]["facets"]["version"]["datasetVersion"] for event in ends] == ["1.0.0", "1.1.0"]
    assert rest == [{"amount", "spent", "declined"}, {"amount", "country", "spent", "declined"}]
    read = [[(each["name"], each.get("facets", {}).get("version", {}).get("datasetVersion")) for each in event["inputs"]] for event in ends]
    assert read == [[("data/payments", "1.0.0"), ("views/card", None)], [("data/payments", "1.0.1"), ("views/card", None)]]
    assert ends[0]["inputs"][0]["inputFacets"]["dataQualityMetrics"]["rowCount"] == 100
    whole = ends[0]["outputs"][0]["facets"]["columnLineage"]["dataset"]
    assert {(each["field"], each["transformations"][0]["description"]) for each in whole} >= {("fraud", "label"), ("age_band", "slice")}


def test_a_model_rests_on_what_its_transforms_and_slices_read_themselves(tmp_path: Path) -> None:
    world = World(tmp_path / "shop")
    world.declare(
        fraud(
            transforms={"usual": pl.col("spent") * 2, "twice": pl.col("usual") + pl.col("amount")},
            slices={"abroad": pl.col("country") != "DE"},
        )
    )
    [event] = (event for event in told(world, "fraud") if event.get("job", {}).get("name") == "train.fraud")
    lineage = event["outputs"][0]["facets"]["columnLineage"]
    assert ("data/payments", "country", "slice") in {
        (each["name"], each["field"], each["transformations"][0]["description"]) for each in lineage["dataset"]
    }
    computed = {
        each["field"] for each in lineage["fields"]["prediction"]["inputFields"] if each["transformations"][0]["description"] == "computed"
    }
    assert computed == {"spent", "amount"}, "and not what a view's features were made of"
    world.close()


def test_what_two_runs_read_and_a_model_rests_on_is_looked_up_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    made, _ = trace(world.wired.ledger.state(), world.wired.ports.library, "fraud")
    exporter = Exporter(made, world.wired.ledger.state(), world.wired.blobs, world.wired.root, "flyball://shop")
    for name in ("_gives", "_input"):
        before = getattr(Exporter, name)
        monkeypatch.setattr(Exporter, name, lambda *given, before=before, name=name: asked.append(f"{name} {given[1:]}") or before(*given))
    list(exporter.events())
    assert asked
    assert len(asked) == len(set(asked))


def test_a_run_that_failed_says_why(events: list[dict[str, Any]]) -> None:
    [failed] = (event for event in of_job(events, "train.late") if event.get("eventType") == "FAIL")
    assert failed["run"]["facets"]["errorMessage"]["message"] == "it broke"
    assert "outputs" not in failed


def test_a_release_turns_a_version_into_predictions_that_are_counted(events: list[dict[str, Any]]) -> None:
    begun, ended = of_job(events, "release.fraud")
    assert (begun["eventType"], ended["eventType"]) == ("START", "COMPLETE")
    assert ended["inputs"][0]["name"] == "models/fraud"
    assert ended["outputs"][0]["name"] == "predictions/fraud"
    assert ended["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 40


def test_a_query_is_told_and_no_password_is(events: list[dict[str, Any]]) -> None:
    assert "hush" not in json.dumps(events)
    [_, ended] = of_job(events, "read.chargebacks")
    assert ended["job"]["facets"]["sql"]["query"] == "select * from disputes"
    assert ended["inputs"][0]["namespace"] == "postgres://db:5432"


def test_an_export_of_one_thing_is_of_what_is_told_of_it(world: World) -> None:
    down = told(world, "fraud@1.0.0", direction="down")
    assert {event["job"]["name"] for event in down} == {"release.fraud"}
    up = told(world, "fraud@1.0.0", direction="up")
    assert {event["job"]["name"] for event in up if "job" in event} == {"read.payments", "train.fraud"}
    assert all("1.0.1" not in json.dumps(event) for event in up)
    with pytest.raises(NotFound):
        told(world, "fruad")
    # what is told of it has an event of its own, where those that tell it otherwise are not told
    named = {event["dataset"]["name"] for event in told(world, "card", direction="up") if "dataset" in event}
    assert named == {"views/card", "data/payments"}
    [given] = told(world, "fraud@1.0.0/predictions", direction="down")
    assert given["dataset"]["name"] == "predictions/fraud"


def test_who_may_see_some_models_exports_these(world: World) -> None:
    mine = told(world, covers=lambda name: name == "late")
    assert "fraud@" not in json.dumps(mine)
    assert not of_job(mine, "train.fraud")
    assert of_job(mine, "train.late")
