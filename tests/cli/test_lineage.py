"""`flyball lineage`: a tree for people, a document for programs, and what is idle in the project."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from flyball.cli.lineage import _label
from flyball.cli.output import Output
from flyball.records.lineage import LineageNode

from ..loop.lineage_kit import World, fraud  # noqa: TID252 - one way to tell a history
from ..loop.openlineage_rules import problems  # noqa: TID252 - one way to hold events to the published schemas


@pytest.fixture(scope="module")
def down(flyball, trained_project: Path) -> str:
    ended = flyball("lineage", "town.temperature", "--down", "--project", trained_project)
    assert ended.code == 0, ended.err
    return ended.out


def test_what_a_column_affects_is_a_tree_down_to_the_version_with_its_owner(down: str) -> None:
    head, way, model, training, run, version, affected = down.splitlines()
    assert (head, way) == ("column town.temperature  float", "from it were made")
    assert model == "└─ model demand  buy the right amount of power  (you)  [input]"
    assert training.startswith("   └─ training set set_")
    assert run.startswith("      └─ run run_")
    assert version.startswith("         └─ version demand@1.0.0  eligible")
    assert affected == "affected  1 model, 1 version; none in production; owners: you"


@pytest.mark.parametrize(("traffic", "told"), [(1.0, "100%"), (0.05, "5%"), (0.0025, "0.25%"), (0.9995, "99.95%")])
def test_a_share_of_traffic_is_told_as_it_is_and_a_small_one_is_not_none(traffic: float, told: str) -> None:
    node = LineageNode(id="version:m@1.0.0", kind="version", name="m@1.0.0", production=True, traffic=traffic)
    assert _label(Output(as_json=False, quiet=False), node, 0) == f"version m@1.0.0  in production {told}"


def test_both_ways_are_told_unless_one_is_asked_for(flyball, trained_project: Path) -> None:
    def told(*ways: str) -> str:
        return re.sub(r"\d+ [smhd] ago", "then", flyball("lineage", "recent", *ways, "--project", trained_project).out)

    both, up = told(), told("--up")
    assert "made of" in both.splitlines()
    assert "from it were made" in both.splitlines()
    assert both.startswith(up)
    assert told("--up", "--down") == both
    assert "│  └─ column town.demand  [aggregated]  (above)" in up, "what was drawn is named again, and not drawn again"


def test_a_chain_of_any_length_is_drawn_as_far_as_can_be_read_and_named_from_there_on(flyball, tmp_path: Path) -> None:
    chain = {"t0": pl.col("amount") + 1} | {f"t{place}": pl.col(f"t{place - 1}") + 1 for place in range(1, 1_100)}
    world = World(tmp_path / "shop")
    world.declare(fraud(transforms=chain))
    world.close()
    ended = flyball("lineage", "payments.amount", "--down", "--project", tmp_path / "shop")
    assert ended.code == 0, ended.err
    deepest = max(ended.out.splitlines(), key=lambda line: len(line) - len(line.lstrip("│ ")))
    assert "and so on: flyball lineage transform:fraud.t" in deepest
    assert len(flyball("lineage", "payments.amount", "--json", "--project", tmp_path / "shop").document["nodes"]) > 1_100


def test_the_document_has_every_node_and_edge(flyball, trained_project: Path) -> None:
    told = flyball("lineage", "demand@1.0.0", "--json", "--project", trained_project).document
    assert told["start"] == ["version:demand@1.0.0"]
    ids = {node["id"] for node in told["nodes"]}
    assert {edge[end] for edge in told["up"] for end in ("source", "target")} <= ids
    assert told["down"] == []
    [version] = (node for node in told["nodes"] if node["id"] == "dataset-version:town@1.0.0")
    assert (version["rows"], version["state"], version["owner"]) == (8760, "newest", "you")
    assert version["at"].endswith("Z")


def test_without_a_name_it_says_what_there_is_and_what_is_amiss(flyball, trained: Path) -> None:
    told = flyball("lineage", "--project", trained)
    assert told.out.splitlines() == [
        "1 source, 1 data set, 1 data set version, 5 columns, 3 features, 1 view, 1 transform, 1 model, 1 training set, 1 run, 1 version"
    ]
    file = trained / "loop.py"
    file.write_text(file.read_text().replace('owner="you",', "").replace("inputs=", "inputs=").replace("label=", 'inputs=["hour"], label='))
    assert flyball("apply", "--project", trained).code == 0
    told = flyball("lineage", "--project", trained)
    assert "unused columns        town.temperature, town.weekday" in told.out
    assert "nobody's              data set town, view recent, model demand" in told.out
    document = flyball("lineage", "--json", "--project", trained).document
    assert document["ownerless"] == ["dataset:town", "view:recent", "model:demand"]


def test_a_view_and_a_data_set_that_no_model_uses_are_listed_until_one_does(flyball, new: Path) -> None:
    file, text = new / "loop.py", (new / "loop.py").read_text()
    (new / "shared.py").write_text(
        'import flyball as fb\n\nplaces = fb.Dataset("places", source="data/places.csv", columns={"place": str, "height": float})\n'
        'heights = [fb.FeatureView("heights", places, entity="place", features={"height": "height"})]\n'
    )
    file.write_text(
        f"{text}\nfrom shared import heights\nold = fb.FeatureView('old', town, features={{'x': fb.window('1h').last('demand')}})\n"
    )
    assert flyball("apply", "--project", new).code == 0
    told = flyball("lineage", "--project", new).out
    assert "unused views          heights, old" in told
    assert "data without a model  places" in told
    kinds = [event["kind"] for event in flyball("apply", "--project", new, "--dry-run", "--json").document["events"]]
    assert kinds == [], "it is told once"
    file.write_text(
        file.read_text()
        .replace("features=[recent]", "features=[recent, old]")
        .replace("old = fb", "_ = fb")
        .replace("\n\n\ndef fit", "\nold = fb.FeatureView('old', town, features={'x': fb.window('1h').last('demand')})\n\n\ndef fit", 1)
    )
    assert flyball("apply", "--project", new).code == 0
    assert "unused views          heights\n" in flyball("lineage", "--project", new).out
    file.write_text("raise RuntimeError('broken')")
    assert flyball("apply", "--project", new).code == 1
    assert "unused views          heights\n" in flyball("lineage", "--project", new).out, "where a file is broken nobody can tell"


def test_a_project_in_which_nothing_is_declared_says_how_to(flyball, new: Path) -> None:
    assert "nothing is declared yet" in flyball("lineage", "--project", new).out
    ended = flyball("lineage", "demand", "--project", new)
    assert (ended.code, "flyball apply" in ended.err) == (1, True)


def test_openlineage_events_are_a_line_each_on_stdout_or_in_a_file_that_is_replaced_whole(
    flyball, trained_project: Path, tmp_path: Path
) -> None:
    printed = flyball("lineage", "--openlineage", "--project", trained_project)
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert [problem for event in events for problem in problems(event)] == []
    assert {event["job"]["name"] for event in events if "job" in event} == {"read.town", "train.demand"}
    file = tmp_path / "events.jsonl"
    file.write_text("of yesterday")
    ended = flyball("lineage", "--openlineage", "--out", file, "--project", trained_project)
    assert ended.out.startswith(f"wrote  {file}   {len(events)} events")
    assert file.read_text() == printed.out
    assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]
    one = flyball("lineage", "town@1.0.0", "--up", "--openlineage", "--project", trained_project).out
    assert [json.loads(line)["job"]["name"] for line in one.splitlines()] == ["read.town", "read.town"]


def test_a_file_that_cannot_be_written_stays_as_it_was(flyball, trained_project: Path, tmp_path: Path) -> None:
    ended = flyball("lineage", "--openlineage", "--out", tmp_path / "nowhere" / "events.jsonl", "--project", trained_project)
    assert (ended.code, "events.jsonl" in ended.err) == (1, True)
    for options in (("--openlineage", "--json"), ("--out", tmp_path / "x")):
        assert flyball("lineage", "demand", *options, "--project", trained_project).code == 2


def test_bad_usage_and_unknown_names_are_told_with_what_to_do(flyball, trained_project: Path) -> None:
    ended = flyball("lineage", "--down", "--project", trained_project)
    assert (ended.code, "flyball lineage X --down" in ended.err) == (2, True)
    ended = flyball("lineage", "town.tempreature", "--json", "--project", trained_project)
    assert (ended.code, ended.document["code"]) == (1, "not-found")
    assert 'did you mean "town.temperature"?' in ended.document["fix"]
