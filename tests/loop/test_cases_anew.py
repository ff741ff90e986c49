"""Which rows a version is judged anew on: those of its own run, and the cases of suites as they are declared now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec

import flyball as fb
from flyball.loop.ports import Ports
from flyball.loop.training import judging_anew, unread
from flyball.records.data import DATASETS, DatasetRow, DatasetVersion
from flyball.records.training import RunSpec
from flyball.records.versions import VERSIONS

from .test_due import DAY, World, model


def declared(source: str) -> fb.Model:
    cases = fb.Dataset("cases", source=source, time="ts", columns={"x": float, "y": int})
    return model().replace(suites=[fb.suite("hard", cases, metric="accuracy", at_least=0.9)])


def asked_of(world: World, now: fb.Model) -> dict[str, str]:
    """The contents that judging 1.0.0 anew by the declaration of `now` reads."""
    spec = RunSpec(
        model="m", declaration="d", code="c", file="loop.py", version_digest="v", policy_digest="p", as_of=9 * DAY,
        datasets={"rows": "rows then", "cases": "cases then"},
    )  # fmt: skip
    world.library.spec = lambda _: spec
    version = world.state.get(VERSIONS, "m/1.0.0")
    assert version is not None
    found = judging_anew(cast("Ports", SimpleNamespace(library=world.library)), world.state, now, version, 20 * DAY)
    assert found is not None
    return found.datasets


def read(world: World, **head: Any) -> None:
    version = DatasetVersion(
        name="cases", version="2.0.0", content="cases now", schema={}, rows=9, stats=(), parents=(), first=0, last=0, as_of=0,
        source_mark="", **head,
    )  # fmt: skip
    world.state.put(DATASETS, "cases", DatasetRow(head=version))


def test_cases_are_those_of_now_and_rows_those_of_the_version_s_run() -> None:
    world = World()
    read(world, source="cases.csv")
    assert asked_of(world, declared("cases.csv")) == {"rows": "rows then", "cases": "cases now"}


def test_cases_declared_from_elsewhere_are_not_asked_as_they_were_elsewhere() -> None:
    world = World()
    read(world, source="cases.csv")
    assert asked_of(world, declared("others.csv")) == {"rows": "rows then"}, "it has not been read from there yet"
    assert asked_of(World(), declared("cases.csv")) == {"rows": "rows then"}, "it is gone"


def test_cases_whose_source_is_missing_now_are_not_asked_as_they_were_read_before() -> None:
    world = World()
    read(world, source="cases.csv")
    row = world.state.get(DATASETS, "cases")
    assert row is not None
    gone = 'data set "cases": cases.csv does not exist'
    world.state.put(DATASETS, "cases", msgspec.structs.replace(row, refused_mark="m", violations=(f"{gone}\n    fix  put it there",)))
    assert asked_of(world, declared("cases.csv")) == {"rows": "rows then"}
    assert unread(world.state, declared("cases.csv")) == {"cases": gone}


def test_a_suite_over_the_model_s_own_rows_is_asked_those_of_its_run() -> None:
    suite = fb.suite("own", model().data, metric="accuracy", at_least=0.9)
    assert asked_of(World(), model().replace(suites=[suite]))["rows"] == "rows then"
