"""The ranking example, whose answer is known: trained near the best that is possible, served as lists in the order that was planted, released again."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from flyball.cli.main import run
from flyball.loop.checking import check_project
from flyball.loop.integration import answers, requests
from flyball.loop.live_probe import LiveProbe
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS
from flyball.records.rollouts import RolloutState
from flyball.records.versions import VERSIONS

from ..journeys.kit import Project, Up, champion_is, eventually, path_of  # noqa: TID252 - the processes are started the same way

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "ranking"
MODEL = "shop-search"
LIST = {
    "row": {"budget": 100, "device": "phone"},
    "items": [
        {"item": "far too dear", "price": 195, "rating": 1.2},
        {"item": "the one", "price": 100, "rating": 4.9},
        {"item": "good and dear", "price": 150, "rating": 4.8},
        {"item": "poor and fitting", "price": 100, "rating": 2.0},
    ],
}
ORDER = ["the one", "good and dear", "poor and fitting", "far too dear"]
"""By what was planted: 0.9 a point of rating, less 0.03 for each unit between price and budget."""

pytestmark = pytest.mark.process


def flyball(*arguments: object) -> Any:
    """A verb's one JSON document."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in (*arguments, "--json")])
    assert code == 0, (arguments, out.getvalue(), err.getvalue())
    return json.loads(out.getvalue())


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_data", EXAMPLE / "make_data.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def known(maker: ModuleType) -> dict[str, float]:
    """How well the hold-out can be ranked by the planted worth, by popularity, and by nothing."""
    return dict(maker.known(*maker.lists()))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, maker: ModuleType) -> Project:
    root = tmp_path_factory.mktemp("ranking") / "p"
    root.mkdir()
    project = Project(root)
    (root / "data" / "loans.csv").unlink()
    text = (EXAMPLE / "loop.py").read_text()
    steps = '.shadow("1h")\n    .canary("25%", "6h")'
    assert steps in text
    # the same steps, in seconds
    project.write("loop.py", text.replace(steps, '.shadow("1s")\n    .canary("25%", "1s")'))
    maker.lists()[0].write_csv(root / "data" / "lists.csv")
    return project


@pytest.fixture(scope="module")
def made(project: Project) -> dict[str, Any]:
    """What training came to."""
    flyball("apply", "--project", project.root)
    return dict(flyball("train", MODEL, "--project", project.root))


@pytest.fixture(scope="module")
def up(project: Project, made: dict[str, Any]) -> Iterator[Up]:
    flyball("release", f"{MODEL}@{made['version']}", "--project", project.root, "--reason", "the first")
    running = Up(project, gateways=1).ready()
    yield running
    running.stop()


def ask(up: Up, **more: Any) -> dict[str, Any]:
    response = up.http.post(f"/models/{MODEL}/predict", json={**LIST, **more})
    assert response.status_code == 200, response.text
    return dict(response.json())


def test_the_example_has_no_problem_and_declares_nothing_that_nothing_does_yet(tmp_path: Path, maker: ModuleType) -> None:
    root = shutil.copytree(EXAMPLE, tmp_path / "ranking", ignore=shutil.ignore_patterns("data", ".flyball", "__pycache__"))
    (root / "data").mkdir()
    maker.lists()[0].write_csv(root / "data" / "lists.csv")
    checked = check_project(root, data=True)
    assert [str(problem) for problem in checked.problems] == []
    assert [warning.what for warning in checked.warnings] == []
    [model] = checked.models
    assert model.request == {"budget": "float", "device": "str", "price": "float", "rating": "float", "sku": "str"}


def test_the_ranker_comes_near_the_best_possible_order_and_popularity_does_not(
    project: Project, made: dict[str, Any], known: dict[str, float]
) -> None:
    assert (made["version"], made["state"]) == ("1.0.0", "eligible")
    assert [verdict["verdict"] for verdict in made["verdicts"]] == ["pass"] * 3
    shown = flyball("models", "show", MODEL, "--project", project.root)
    ours, popular = shown["metrics"]["ndcg_at_10"], shown["baseline"]["ndcg_at_10"]
    assert known["no order"] < known["popularity"] - 0.1 < known["planted"] - 0.15
    assert known["planted"] - 0.015 < ours["value"] <= known["planted"]
    assert popular["value"] == pytest.approx(known["popularity"], abs=0.005)
    assert ours["low"] > popular["high"]


def test_a_list_is_answered_in_the_planted_order_and_logged_as_one_request(project: Project, up: Up) -> None:
    eventually(lambda: up.http.post(f"/models/{MODEL}/predict", json=LIST).status_code == 200, "no version answers", 180.0)
    answer = ask(up, id="list-1")
    assert (answer["model"], answer["version"]) == (MODEL, "1.0.0")
    [ranked] = answer["predictions"]
    assert ranked["id"] == "list-1"
    assert [one["item"] for one in ranked["items"]] == ORDER
    scores = [one["score"] for one in ranked["items"]]
    assert scores == sorted(scores, reverse=True)
    [record] = [record for record in project.log() if record.request_id == "list-1" and record.kind == "answer"]
    assert record.rows == 4
    assert record.row_ids() == [f"list-1/{one['item']}" for one in LIST["items"]]
    assert record.input is not None
    # in the order of the signature: budget, device, price, rating, sku
    assert record.input[1] == [100.0, "phone", 100.0, 4.9, "the one"]
    ask(up, id="list-2", items=LIST["items"][:1])
    assert next(one for one in project.log() if one.request_id == "list-2").row_ids() == ["list-2/far too dear"]
    own = ask(up)["predictions"][0]["id"]
    assert own.startswith("p_")
    labels = [{"id": own, "item": "the one", "value": 3}, {"id": own, "item": "far too dear", "value": 0}, {"id": own, "value": 0}]
    taken = up.http.post(f"/models/{MODEL}/labels", json={"labels": labels}).json()
    assert (taken["accepted"], [one["index"] for one in taken["refused"]]) == (2, [2])
    bad = up.http.post(f"/models/{MODEL}/predict", json={**LIST, "items": [*LIST["items"], {"item": "x", "price": "1", "rating": 9}]})
    assert {one["where"] for one in bad.json()["problems"]} == {"/items/4/price", "/items/4/rating"}


def test_a_list_as_long_as_a_request_may_be_is_answered_whole(project: Project, up: Up) -> None:
    items = [{"item": f"i{one}", "price": one / 50, "rating": 1 + one % 41 / 10} for one in range(10_000)]
    [ranked] = ask(up, id="long", items=items)["predictions"]
    assert {one["item"] for one in ranked["items"]} == {one["item"] for one in items}
    assert next(record for record in project.log() if record.request_id == "long").rows == 10_000
    assert up.http.post(f"/models/{MODEL}/predict", json={**LIST, "items": [*items, items[0]]}).status_code == 413


def test_the_schema_says_how_to_ask_and_the_command_line_shows_the_order(project: Project, up: Up, tmp_path: Path) -> None:
    schema = up.http.get(f"/models/{MODEL}/schema").json()
    assert schema["item"] == "sku"
    assert {field["name"] for field in schema["fields"] if field["of"] == "item"} == {"price", "rating", "sku"}
    assert len(up.http.post(f"/models/{MODEL}/predict", json=schema["example"]).json()["predictions"][0]["items"]) == 1
    (tmp_path / "list.json").write_text(json.dumps(LIST))
    told = flyball("predict", MODEL, tmp_path / "list.json", "--project", project.root)
    assert [one["item"] for one in told["predictions"][0]["items"]] == ORDER
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert run(["predict", MODEL, str(tmp_path / "list.json"), "--project", str(project.root)]) == 0
    assert [shown.getvalue().index(item) for item in ORDER] == sorted(shown.getvalue().index(item) for item in ORDER)


def test_its_newest_list_is_tried_as_a_shopper_asks_before_another_environment_takes_it(project: Project, up: Up) -> None:
    with project.opened() as wired:
        state, probe = wired.ledger.state(), LiveProbe(project.layout, wired.blobs, lambda: "")
        declared, row, data = state.get(DECLARATIONS, MODEL), state.get(VERSIONS, f"{MODEL}/1.0.0"), state.get(DATASETS, "shop-lists")
        assert declared is not None
        assert row is not None
        assert data is not None
        assert data.head is not None
        model, signature = wired.ports.library.model(declared.body), wired.ports.library.signature(row.artifact)
        rows = probe.newest(model, [*(field.name for field in signature.fields), model.group], data.head.content, 20)
        asked = requests(rows, model, signature)
        newest = pl.read_csv(project.root / "data" / "lists.csv").sort("asked", maintain_order=True)[-1, "search"]
        assert rows[-1]["search"] == newest
        assert len(asked) == 1
        assert asked[0].keys() == {"budget", "device", "items"}
        assert len(asked[0]["items"]) == sum(row["search"] == newest for row in rows) > 1
        assert asked[0]["items"][0].keys() == {"item", "price", "rating"}
        found = answers(probe, MODEL, "1.0.0", asked, signature, "")
        assert [(check.name, check.passed) for check in found] == [
            ("requests are answered", True),
            ("answers are of the signature", True),
            ("alone as together", True),
        ]
        [ranked] = probe.ask(MODEL, "1.0.0", asked)
        assert {item["item"] for item in ranked["items"]} == {item["item"] for item in asked[0]["items"]}


def test_a_second_version_scores_lists_in_shadow_then_takes_some_and_is_promoted_on_its_gate(project: Project, up: Up) -> None:
    again = flyball("train", MODEL, "--set", "num_leaves=7", "--project", project.root)
    assert (again["version"], again["state"]) == ("1.1.0", "eligible")
    compared = next(verdict for verdict in again["verdicts"] if "champion" in verdict["gate"])
    assert compared["reference"]["value"] is not None
    flyball("release", f"{MODEL}@1.1.0", "--project", project.root, "--reason", "fewer leaves")

    def promoted() -> bool:
        for shopper in range(20):
            ask(up, key=f"shopper-{shopper}")
        return project.champion(MODEL) == "1.1.0"

    eventually(promoted, lambda: f"1.1.0 is not the champion\n{project.story()}", 120.0)
    champion_is(project, "1.1.0", MODEL)
    path = path_of(project, "1.1.0", MODEL)
    assert [state for state in path if state in (RolloutState.SHADOW, RolloutState.CANARY)] == [RolloutState.SHADOW, RolloutState.CANARY]
    log = project.log()
    shadows = [record for record in log if record.kind == "shadow" and record.version == f"{MODEL}@1.1.0" and record.status == "ok"]
    assert shadows
    answers = {record.request_id: record for record in log if record.kind == "answer"}
    assert all(record.row_ids() == answers[record.request_id].row_ids() for record in shadows)
    taken = [record for record in log if record.kind == "answer" and record.role == "challenger"]
    assert taken
    assert {len(record.output or ()) for record in taken} == {4}
    # one shopper met one version at a time
    eventually(lambda: ask(up)["version"] == "1.1.0", "the former champion still answers")
    assert [one["item"] for one in ask(up)["predictions"][0]["items"]] == ORDER
    project.verified()


def test_the_rows_of_the_file_are_lists(maker: ModuleType) -> None:
    frame, planted = maker.lists()
    assert frame.equals(maker.lists()[0])
    assert len(planted) == frame.height
    assert frame.group_by("search", "asked").agg(pl.len(), pl.col("sku").n_unique().alias("skus"))["skus"].unique().to_list() == [10]


def test_a_ranking_is_not_rehearsed_and_that_is_said(project: Project) -> None:
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        assert run(["backtest", str(project.root / "loop.py"), "--data", str(project.root / "data" / "lists.csv")]) == 1
    assert f'model "{MODEL}" cannot be rehearsed' in told.getvalue()
    assert "no live quality is measured" in told.getvalue()
