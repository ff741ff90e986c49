"""A source that goes bad under a running `up`: it is refused by name, the champion stays, and the next good file heals it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flyball.records.data import DATASETS, DataRefused

from ..journeys.kit import Project, Traffic, Up, champion_is, eventually  # noqa: TID252 - one way to start a whole project

pytestmark = pytest.mark.process


def bad_files(good: str) -> dict[str, tuple[str, str]]:
    """What is wrong → the file, and what must be said of it."""
    lines = good.splitlines()
    header, first, *rest = lines
    return {
        "empty": ("", "empty"),
        "header alone": (header + "\n", "no rows"),
        "cut off within a line": (good[: len(good) // 2].rpartition(",")[0], "3 cells, the header 4"),
        "text where a number belongs": ("\n".join([header, "abc," + first.partition(",")[2], *rest]) + "\n", "amount"),
        "out of bounds": ("\n".join([header, "5000.0," + first.partition(",")[2], *rest]) + "\n", "amount"),
        "a column twice": ("\n".join(line + "," + line.split(",")[0] for line in [header, first, *rest]) + "\n", "amount"),
        "a column gone": ("\n".join(line.partition(",")[2] for line in [header, first, *rest]) + "\n", "amount"),
        "no text at all": ("\x00\x01\x02" * 500, "missing"),
    }


def test_bad_data_is_refused_by_name_while_the_champion_answers_and_a_good_file_heals_it(
    project: Project, start: Callable[..., Up]
) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    source = project.root / "data" / "loans.csv"
    good = source.read_text()
    head = project.row(DATASETS, "credit-loans")
    assert head is not None
    with Traffic(up.url, pause_s=0.05) as traffic:
        for count, (what, (content, says)) in enumerate(bad_files(good).items(), 1):
            project.write("data/loans.csv", content)
            eventually(lambda count=count: len(project.events(DataRefused)) == count, lambda what=what: f"{what}\n{project.story()}", 30)
            refused = project.events(DataRefused)[-1]
            told = "\n".join(refused.violations)
            assert refused.name == "credit-loans"
            assert told, what
            assert says in told, (what, told)
            row = project.row(DATASETS, "credit-loans")
            assert row is not None
            assert row.head == head.head, what
        source.unlink()
        eventually(lambda: len(project.events(DataRefused)) == count + 1, project.story, 30)
        assert "loans.csv" in "\n".join(project.events(DataRefused)[-1].violations)
        project.data(rows=700, seed=1)

        def healed() -> bool:
            row = project.row(DATASETS, "credit-loans")
            return row is not None and row.head is not None and row.head.rows == 700 and not row.refused_mark

        eventually(healed, project.story)
    assert set(traffic.statuses) == {200}
    assert project.champion() == "1.0.0"
    assert up.stop() == (0, "")
    project.verified()
