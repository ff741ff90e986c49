"""What `flyball up` shows of the loop: each line by flyball, and no trouble more than once in ten minutes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from flyball.api import voice
from flyball.api.voice import Voice
from flyball.loop.ports import Ledger
from flyball.records.base import Recorded
from flyball.records.training import RunFailed


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


def of(events: list[Recorded], told: Path) -> Voice:
    state = SimpleNamespace(get=lambda _table, _key: None)
    ledger = SimpleNamespace(
        size=lambda: 0, state=lambda: state, read=lambda after, limit: [event for event in events if event.seq > after][:limit]
    )
    return Voice(cast("Ledger", ledger), told)


def test_a_users_text_moves_no_cursor_and_begins_no_line(told: Path) -> None:
    failed = RunFailed(run="run_1", why="\x1b]0;owned\x07\x1b[2J bad")
    speaker = of([Recorded(1, 1, "loop", "c", failed)], told)
    speaker.events()
    speaker.say("one\n12:00:00  champion    forged")
    text = told.read_text()
    assert not {"\x1b", "\x07"} & set(text)
    assert "\\x1b]0;owned" in text
    assert [line[:8].strip() != "" for line in text.splitlines()] == [True, True, False]


def test_an_event_is_told_once(told: Path) -> None:
    speaker = of([Recorded(1, 1, "loop", "c", RunFailed(run="run_1", why="bad"))], told)
    speaker.events()
    speaker.events()
    assert told.read_text().count("run_1") == 1


def test_what_lasts_is_told_once_in_ten_minutes_however_often_it_shows(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(voice.time, "monotonic", lambda: clock[0])
    speaker = of([], told)
    for _ in range(1_199):
        speaker.trouble("a segment is damaged")
        speaker.trouble("another")
        clock[0] += 0.5
    assert told.read_text().count("damaged") == 1
    clock[0] += 1
    assert speaker.trouble("a segment is damaged")
    assert told.read_text().count("damaged") == 2
