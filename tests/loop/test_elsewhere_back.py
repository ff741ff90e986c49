"""Which version of a model that is served elsewhere is taken for the one that answers, and what a version that is back is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flyball.loop import elsewhere, learning
from flyball.loop import memory as memories
from flyball.records.elsewhere import ReferenceMade, VersionSeen

from .elsewhere_kit import Watched, made


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    project = Watched(tmp_path / "p")
    yield project
    project.close()


def taken(watched: Watched) -> tuple[str, str]:
    """The version that is taken for the one that answers, and the one that has the reference."""
    assert watched.row is not None
    return watched.row.version, watched.row.watched


def seen(watched: Watched) -> list[str]:
    return [event.version for event in watched.events(VersionSeen)]


def failed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same requests, none of which was answered."""
    return [{name: one[name] for name in ("id", "row", "time", "version")} | {"error": "boom"} for one in rows]


def come(watched: Watched, rows: list[dict[str, Any]]) -> None:
    watched.send(rows)
    watched.label(rows)
    watched.tick()


def test_a_release_whose_every_request_fails_is_left_once_the_former_version_answers_again(watched: Watched) -> None:
    watched.normal()
    normal = watched.row
    assert normal is not None
    watched.send(failed(made(9, 100, version="8")[:20]))
    watched.tick()
    assert taken(watched) == ("8", "7")
    before = watched.monitor.labels
    come(watched, made(9.3, 200)[:80])
    assert taken(watched) == ("8", "7"), "eighty are too few"
    come(watched, made(9.8, 200)[:80])
    assert taken(watched) == ("7", "7")
    assert watched.monitor.labels > before, "what its monitors have gathered goes on"
    assert watched.row is not None
    assert watched.row.watched_since == normal.watched_since == watched.monitor.released_at
    assert seen(watched) == ["7", "8", "7"]


def test_a_version_that_fails_in_the_first_week_does_not_keep_the_one_that_answers_from_being_learnt(watched: Watched) -> None:
    for day in range(3):
        watched.send(made(day, 400))
    watched.tick()
    watched.send(failed(made(3, 100, version="8")[:5]))
    watched.tick()
    assert taken(watched) == ("8", "")
    for day in range(4, 9):
        come(watched, made(day, 400))
    watched.tick()
    assert taken(watched) == ("7", "7")


def test_a_stray_prediction_of_a_former_version_a_day_costs_the_detectors_nothing(watched: Watched) -> None:
    for day in range(-9, -1):
        come(watched, made(day, 300))
    for day in range(-1, 7):
        come(watched, made(day, 300, version="8"))
    watched.tick()
    assert taken(watched) == ("8", "8")
    before = watched.monitor.labels
    for day in (7, 8, 9):
        come(watched, made(day, 300, version="8")[:50])
        come(watched, made(day + 0.5, 300)[:1])
    assert taken(watched) == ("8", "8")
    assert watched.monitor.labels == before + 150
    assert seen(watched) == ["7", "8"]


def both_learnt(watched: Watched) -> None:
    """First 7 answers, then 8; each has its reference."""
    for day in range(-9, 0):
        come(watched, made(day, 300))
    for day in range(9):
        come(watched, made(day, 300, version="8"))
    watched.tick()
    assert taken(watched) == ("8", "8")
    assert [event.version for event in watched.events(ReferenceMade)][-1] == "8"


def test_a_version_that_is_back_has_its_reference_at_once_and_the_rows_since_then_in_its_windows(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_learnt(watched)
    references = watched.events(ReferenceMade)
    own = [event for event in references if event.version == "7"][-1]
    read: list[int] = []
    answers = learning._answers

    def spied(*args: Any) -> pl.DataFrame:
        found = answers(*args)
        read.append(found.height)
        return found

    monkeypatch.setattr(learning, "_answers", spied)
    rows = made(9.2, 1_000)
    come(watched, rows[:300])
    row = watched.row
    assert row is not None
    assert taken(watched) == ("7", "7"), "in the pass in which it is found"
    assert (row.reference, row.labels, row.loss_bound, row.until) == (own.reference, own.labels, own.loss_bound, own.until)
    assert row.watched_since == row.since > own.until
    for part in (rows[300:600], rows[600:700]):
        come(watched, part)
    assert watched.events(ReferenceMade) == references, "nothing is learnt again"
    assert read == [300], "read from the log is what the loop had read of it since it is back"
    kept = watched.monitor
    assert (kept.version, kept.m0, kept.behind) == ("7", own.loss_bound, None)
    assert sum(window.n for window in kept.slow.windows) == 700


@pytest.mark.parametrize("notes", [1, 2, None])
def test_a_version_that_is_back_is_recorded_once_wherever_the_loop_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: int | None
) -> None:
    """Killed after so many notes, or after all of them, before what was counted is kept."""
    found = []
    for name in ("whole", "killed"):
        watched = Watched(tmp_path / name)
        both_learnt(watched)
        # a slip in a name, and 7 answers again: in one batch
        watched.send([*made(9.2, 1_000)[:300], *made(9.21, 10, version="9")[:1]])
        if name == "killed":
            left = [notes]
            with monkeypatch.context() as broken:
                broken.setattr(elsewhere, "_note", partial(dies, elsewhere._note, left))
                broken.setattr(memories, "save", dies_at_once)
                with pytest.raises(KeyboardInterrupt):
                    watched.loop_alone()
            assert left == [None if notes is None else 0]
            watched.again()
        for _ in range(3):
            watched.tick()
        kept = watched.monitor
        rows = {each.version: each.rows for each in kept.seen}
        found.append((seen(watched), taken(watched), rows, [window.n for window in kept.slow.windows]))
        watched.close()
    assert found[0] == found[1]
    assert found[0][0] == ["7", "8", "9", "7"]


def dies(note: Callable[..., None], left: list[int | None], *given: Any) -> None:
    note(*given)
    if left[0] is not None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt


def dies_at_once(*_given: Any) -> None:
    raise KeyboardInterrupt


def references(root: Path, days: Sequence[int], labelled: Sequence[int]) -> ReferenceMade:
    watched = Watched(root)
    try:
        for day in days:
            rows = made(day, 400)
            watched.send(rows)
            if day in labelled:
                watched.label(rows)
        for _ in range(3):
            watched.tick()
        reference: ReferenceMade = watched.events(ReferenceMade)[-1]
        return reference
    finally:
        watched.close()


@pytest.mark.parametrize(("days", "labelled"), [(range(9), range(9)), ((4, 0, 8, 2, 1, 3, 9, 6, 5, 7), (8, 9)), (range(10), (8,))])
def test_learning_holds_what_it_can_use_and_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: Sequence[int], labelled: Sequence[int]
) -> None:
    whole = references(tmp_path / "whole", days, labelled)
    held: list[int] = []
    of_use = learning._of_use

    def spied(*args: Any) -> pl.DataFrame:
        found = of_use(*args)
        held.append(found.height)
        return found

    monkeypatch.setattr(learning, "AT_ONCE", 100)
    monkeypatch.setattr(learning, "_of_use", spied)
    in_parts = references(tmp_path / "parts", days, labelled)
    assert in_parts == whole
    assert (whole.predictions >= 2_800, whole.labels >= 500) == (True, len(labelled) > 1)
    assert len(held) > 20
    assert held[-1] <= whole.predictions + 500 < 400 * len(days)
