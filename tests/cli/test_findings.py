"""What a contract only warns of stands wherever a data set is shown."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from flyball.cli.main import run
from flyball.data.against import Against
from flyball.data.refresh import refresh
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.governance.authority import LOOP
from flyball.loop.tick import commit
from flyball.records.data import DataCommitted, DataRefused
from flyball.wiring import open_project


@pytest.fixture
def warned(tmp_path: Path) -> Path:
    """A project whose data set was committed with a warning."""
    (tmp_path / "flyball.toml").touch()
    (tmp_path / "d.csv").write_text("x,y\n1,1\n99,1\n")
    data = Dataset("d", source="d.csv", columns={"x": Column(int, between=(0, 9), on_breach="warn"), "y": int})
    with closing(open_project(tmp_path)) as wired:
        found = refresh(data, tmp_path, wired.blobs, None, against=Against())
        assert isinstance(found, DataCommitted)
        commit(wired.acting(LOOP), found)
    return tmp_path


TEXT = "x: 1 of 2 values are not between 0 and 9 (row 2: 99)"


def test_a_warning_is_shown_beside_the_version_that_is_in_use_all_the_same(warned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list", "--project", str(warned)]) == 0
    assert "warns: x: 1 of 2 values" in " ".join(capsys.readouterr().out.split())
    assert run(["data", "show", "d", "--project", str(warned)]) == 0
    assert f"warning  {TEXT}" in capsys.readouterr().out
    assert run(["data", "show", "d", "--json", "--project", str(warned)]) == 0
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["rule"], finding["severity"], finding["count"], finding["of"]) == ("between", "warn", 1, 2)
    assert finding["examples"] == [{"row": 2, "value": "99"}]


def test_what_an_event_does_not_list_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flyball.toml").touch()
    names = [f"x{place:02}" for place in range(30)]
    (tmp_path / "d.csv").write_text(f"{','.join(names)}\n{','.join(['99'] * 30)}\n")
    with closing(open_project(tmp_path)) as wired:
        acting = wired.acting(LOOP)
        for breach, kind, told in (
            ("block", DataRefused, "refused: x00: 1 of 1 values are not between 0 and 9 (row 1: 99) (and 29 more)"),
            ("warn", DataCommitted, "warns: x00: 1 of 1 values are not between 0 and 9 (row 1: 99) (and 29 more)"),
        ):
            columns = {name: Column(int, between=(0, 9), on_breach=breach) for name in names}
            found = refresh(Dataset("d", source="d.csv", columns=columns), tmp_path, wired.blobs, None, against=Against())
            assert isinstance(found, kind)
            commit(acting, found)
            assert run(["data", "list", "--project", str(tmp_path)]) == 0
            assert told in " ".join(capsys.readouterr().out.split())
            assert run(["data", "show", "d", "--project", str(tmp_path)]) == 0
            shown = capsys.readouterr().out
            assert "  and 10 more findings   → flyball check --data\n" in shown
            assert ("  30 violations: x00: " in shown) == (breach == "block")
