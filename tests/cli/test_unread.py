"""A declaration that cannot be read is named, and keeps nobody from the other models."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from flyball.loop.authority import Drive
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS, DeclarationApplied
from flyball.wiring import open_project

GONE = b"a declaration"
OF_ANOTHER_FORMAT = b'{"format": 99, "model": {}}'
WHY = {GONE: "is not in this machine's store", OF_ANOTHER_FORMAT: "the declaration has format 99"}


@pytest.fixture(params=[GONE, OF_ANOTHER_FORMAT], ids=["gone", "of another format"])
def text(request: pytest.FixtureRequest) -> bytes:
    return bytes(request.param)


@pytest.fixture
def two(flyball, new: Path, text: bytes) -> Path:
    """A project whose first model "a" cannot be read, beside "demand"; nothing was read or trained."""
    assert flyball("apply", "--project", new).code == 0
    wired = open_project(new)
    row = wired.ledger.state().get(DECLARATIONS, "demand")
    body = wired.blobs.put(text)
    applied = DeclarationApplied(
        model="a", file="loop.py", version_digest="v", policy_digest="p", body=body, code=row.code, gates_digest="", author=""
    )
    wired.ledger.execute(Drive(id="c", actor="loop"), lambda *_: (applied,))
    if text == GONE:
        wired.blobs.remove(body)
    wired.close()
    return new


def datasets(project: Path) -> list[str]:
    wired = open_project(project)
    try:
        return [name for name, _ in wired.ledger.state().scan(DATASETS)]
    finally:
        wired.close()


def test_status_shows_the_others_and_says_why(flyball, two: Path, text: bytes) -> None:
    ended = flyball("status", "--project", two, "--json")
    assert ended.code == 0, ended.out
    told = {each["name"]: each["doing"] for each in ended.document["models"]}
    assert told["demand"] == ""
    assert told["a"].startswith("cannot be read: ")
    assert WHY[text] in told["a"]


def test_status_shows_the_others_where_a_row_of_one_was_changed(flyball, new: Path) -> None:
    assert flyball("apply", "--project", new).code == 0
    assert flyball("train", "demand", "--project", new).code == 0
    with sqlite3.connect(new / ".flyball" / "ledger.db") as connection:
        assert connection.execute("UPDATE p_run SET body = ?", (b"{}",)).rowcount
    connection.close()
    ended = flyball("status", "--project", new, "--json")
    assert ended.code == 0, ended.out
    assert "audit rebuild" in ended.document["models"][0]["doing"]
    shown = flyball("status", "--project", new).out
    assert shown.count("audit rebuild") == 1, "what is wrong is said once"


def test_a_tick_reads_the_data_of_the_others_gives_them_their_turn_and_then_says_why(
    flyball, two: Path, text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYBALL_CHECKPOINT_EVENTS", "1")
    ended = flyball("tick", "--project", two)
    assert (ended.code, WHY[text] in ended.err) == (1, True), ended.err
    assert datasets(two) == ["town"]
    assert flyball("audit", "prove", 1, "--project", two).code == 0, "what was decided for the others is signed"


def test_who_may_not_drive_gets_no_source_read(flyball, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    assert flyball("apply", "--project", new).code == 0
    secret = flyball("token", "create", "ben", "--role", "viewer", "--project", new, "--json").document["secret"]
    monkeypatch.setenv("FLYBALL_TOKEN", secret)
    read: list[Any] = []
    monkeypatch.setattr("flyball.cli.tick.look", lambda *model: read.append(model))
    ended = flyball("tick", "--project", new, "--json")
    assert (ended.code, json.loads(ended.out)["code"], read) == (1, "refused", [])
