"""The API tells lineage as the command line does, and nobody of what their token is not for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from flyball.errors import Corrupt
from flyball.loop import graphs, openlineage
from flyball.loop.openlineage import lines
from flyball.records.identity import Role

from .kit import Served


def test_a_thing_is_told_with_what_it_was_made_of_and_what_was_made_of_it(api: Served) -> None:
    told = api.get("/lineage/town.temperature").json()
    ids = {node["id"] for node in told["nodes"]}
    assert {"source:data/demand.csv", "model:demand", "version:demand@1.0.0"} <= ids
    assert told["up"]
    down = api.get("/lineage/town.temperature?direction=down").json()
    assert down["up"] == []
    assert down["down"] == told["down"]
    [version] = (node for node in told["nodes"] if node["id"] == "version:demand@1.0.0")
    assert version["at"].endswith("Z")


def test_what_was_made_for_one_question_answers_the_next(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    told, whole = api.get("/lineage/town.temperature").json(), api.get("/lineage").json()

    def again(*_given: object) -> None:
        raise AssertionError

    monkeypatch.setattr(graphs, "project", again)
    assert api.get("/lineage/town.temperature").json() == told
    assert api.get("/lineage").json() == whole
    assert api.get("/lineage/demand@1.0.0?direction=up").status_code == 200


def test_a_source_is_named_by_its_path_slashes_and_all(api: Served) -> None:
    for path in ("data/demand.csv", "data%2Fdemand.csv"):
        response = api.http.get(f"/api/v1/lineage/{path}", headers={"Authorization": f"Bearer {api.admin}"})
        assert response.json()["start"] == ["source:data/demand.csv"]
    assert api.get("/lineage/demand@1.0.0").json()["start"] == ["version:demand@1.0.0"]
    assert api.get("/lineage/demand%401.0.0").json()["start"] == ["version:demand@1.0.0"]


def test_openlineage_events_are_told_as_the_command_line_tells_them(api: Served) -> None:
    wired = api.wired
    whole = api.get("/openlineage")
    assert whole.headers["content-type"].startswith("text/plain")
    assert whole.text.splitlines() == list(lines(wired.ledger.state(), wired.ports.library, wired.blobs, wired.root))
    names = {json.loads(line).get("job", {}).get("name") for line in whole.text.splitlines()}
    assert {"train.demand", "read.town"} <= names
    up = [json.loads(line) for line in api.get("/openlineage?of=demand@1.0.0&direction=up").text.splitlines()]
    assert up
    assert len(up) < len(names) or all("release." not in event.get("job", {}).get("name", "") for event in up)
    assert api.get("/openlineage?of=nothing").status_code == 404
    assert api.get("/openlineage?direction=sideways").status_code == 422
    assert api.get("/openlineage", token=api.token("eve", Role.VIEWER, models=["credit-*"])).text == ""


def test_many_events_are_sent_while_they_are_told_and_what_breaks_at_once_is_a_problem(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def many(*_given: object) -> Iterator[str]:
        for place in range(5_000):
            made.append(place)
            yield "x" * 1_000

    monkeypatch.setattr(openlineage, "lines", many)
    with api.http.stream("GET", "/api/v1/openlineage", headers={"Authorization": f"Bearer {api.admin}"}) as answer:
        parts = answer.iter_bytes(1_001)
        assert next(parts) == b"x" * 1_000 + b"\n"
        assert len(made) < 5_000, "the whole was not waited for"
        assert sum(1 for _ in parts) == 4_999

    def broken(*_given: object) -> Iterator[str]:
        raise Corrupt("blob 7 is damaged")
        yield ""

    monkeypatch.setattr(openlineage, "lines", broken)
    assert api.get("/openlineage").json()["detail"] == "blob 7 is damaged"


def test_the_whole_is_told_without_a_name(api: Served) -> None:
    told = api.get("/lineage").json()
    assert told["counts"]["model"] == 1
    assert told["ownerless"] == []


def test_what_is_nothing_is_404_with_the_nearest_name_and_what_means_nothing_is_refused(api: Served) -> None:
    answer = api.get("/lineage/town.temprature")
    assert (answer.status_code, 'did you mean "town.temperature"' in answer.json()["fix"]) == (404, True)
    assert api.get("/lineage/demand?direction=sideways").status_code == 422
    assert api.get("/lineage/demand?limit=3").status_code == 422


def test_a_token_for_other_models_is_told_of_nothing(api: Served) -> None:
    other = api.token("eve", Role.VIEWER, models=["credit-*"])
    for name in ("demand", "demand@1.0.0", "town", "town.temperature", "recent", "data%2Fdemand.csv"):
        answer = api.get(f"/lineage/{name}", token=other)
        assert answer.status_code == 404
        assert "town" not in answer.text.replace(name, "")
    assert api.get("/lineage", token=other).json()["counts"] == {}
    mine = api.token("ana", Role.VIEWER, models=["dem*"])
    assert api.get("/lineage/town.temperature", token=mine).json()["start"] == ["column:town.temperature"]
    assert api.get("/lineage/demand", token="").status_code == 401
