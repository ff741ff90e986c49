"""Frames and functions of a loop file are read by a child that has its snapshot; whatever the code does comes back in words."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from flyball.data import source
from flyball.data.sources.access import Killed
from flyball.declare import codec
from flyball.declare.data import Dataset
from flyball.declare.reads import looked_at
from flyball.errors import BadInput
from flyball.loop.compiling import compile_project
from flyball.loop.reading import Reader, compiled

LOOP = """
import os, pathlib, signal, sys, time
import flyball as fb
import polars as pl
from helpers import rows

pandas_like = pl.DataFrame({"n": [3.0, 4.0], "ts": ["2026-01-01", "2026-01-02"]}).with_columns(pl.col("ts").str.to_datetime(time_unit="us"))

def read():
%s

data = fb.Dataset("d", source=read, time="ts", columns={"n": float})
framed = fb.Dataset("f", source=pandas_like, time="ts", columns={"n": float})
view = fb.FeatureView("v", framed, entity=None, features={"mean": fb.window("1d").mean("n")})

def fit(X, y):
    return None

m = fb.Model("m", task="regression", data=data, label="n", features=[view], train=fb.Train(fit), owner="o", framing=fb.Framing("test"))
"""
HELPERS = """
import polars as pl

def rows(*values):
    made = pl.DataFrame({"n": [float(value) for value in values], "ts": ["2026-01-01"] * len(values), "other": [object()] * len(values)})
    return made.with_columns(pl.col("ts").str.to_datetime(time_unit="us"))
"""


class Project:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "flyball.toml").touch()
        (root / "helpers.py").write_text(HELPERS)

    def declare(self, body: str, name: str = "d", timeout_s: float = 60.0) -> tuple[Dataset, source.Access]:
        (self.root / "loop.py").write_text(LOOP % "\n".join(f"    {line}" for line in body.splitlines()))
        (found,) = compile_project(self.root).models
        dataset = looked_at(codec.decode(found.body))[name]
        return dataset, Reader(self.root, timeout_s=timeout_s).access(compiled(found))

    def told(self, body: str, **more: float) -> str:
        with pytest.raises(BadInput) as caught:
            source.read(*self.declare(body, **more))
        return str(caught.value)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_function_is_read_with_what_it_imports(project: Project) -> None:
    assert source.read(*project.declare("return rows(1, 2)"))["n"].to_list() == [1.0, 2.0]


def test_the_code_is_that_of_the_snapshot_and_not_of_the_working_tree(project: Project) -> None:
    dataset, access = project.declare("return rows(1)")
    (project.root / "helpers.py").write_text("raise RuntimeError")
    (project.root / "loop.py").write_text("raise RuntimeError")
    assert source.read(dataset, access)["n"].to_list() == [1.0]


def test_a_generator_is_read_a_part_at_a_time(project: Project) -> None:
    dataset, access = project.declare("for part in range(3):\n    yield rows(part)")
    assert source.read(dataset, access)["n"].to_list() == [0.0, 1.0, 2.0]


def test_a_path_is_taken_from_the_project_and_what_is_printed_goes_nowhere(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    (project.root / "n.txt").write_text("7")
    body = 'print("hello")\nprint("hello", file=sys.stderr)\nreturn rows(pathlib.Path("n.txt").read_text())'
    assert source.read(*project.declare(body))["n"].to_list() == [7.0]
    assert capfd.readouterr() == ("", "")


def test_a_frame_is_read_as_it_was_declared(project: Project) -> None:
    assert source.read(*project.declare("return rows(1)", "f"))["n"].to_list() == [3.0, 4.0]


def test_a_frame_that_has_become_another_is_refused(project: Project) -> None:
    (project.root / "helpers.py").write_text(HELPERS)
    (project.root / "n.txt").write_text("3.0")
    text = (project.root / "loop.py").write_text
    text((LOOP % "    return rows(1)").replace('"n": [3.0, 4.0]', '"n": [float(pathlib.Path("n.txt").read_text()), 4.0]'))
    (found,) = compile_project(project.root).models
    dataset, access = looked_at(codec.decode(found.body))["f"], Reader(project.root).access(compiled(found))
    assert source.read(dataset, access).height == 2
    (project.root / "n.txt").write_text("5.0")
    with pytest.raises(BadInput, match="its frame is another than the one declared"):
        source.read(dataset, access)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "return 1 / 0",
            'data set "d": its source raised ZeroDivisionError: division by zero\n    why  read is the project\'s own code, at loop.py:10',
        ),
        ("return rows('x')", "at helpers.py:5"),
        ("yield rows(1)\nraise OSError('the service is gone')", "OSError: the service is gone"),
        ("return 7", "its source gives int"),
        ("return rows(1).drop('n')", 'column "n" is missing'),
        ("return rows(1).rename({'n': 'm'}).rename({'other': 'n'})", "column n cannot be read"),
        ("return rows(1).with_columns(n=pl.lit('a'))", 'column "n" is not a finite float'),
        ("return rows(1, float('inf'))", "row 2: inf"),
        ("return rows(1).clear()", "has no rows"),
        ("return pl.DataFrame()", 'column "n" is missing'),
        ("os._exit(3)", "ended with exit code 3"),
        ("sys.exit(0)", "its source raised SystemExit"),
        ("raise KeyboardInterrupt", "its source raised KeyboardInterrupt"),
    ],
)
def test_what_the_code_does_wrong_is_told(project: Project, body: str, says: str) -> None:
    assert says in project.told(body)


def test_code_that_waits_for_ever_is_ended_with_all_it_started(project: Project) -> None:
    body = (
        'import subprocess\nfound = subprocess.Popen(["sleep", "1000"])\npathlib.Path("pid").write_text(str(found.pid))\ntime.sleep(1000)'
    )
    assert "its source gave no rows within 3 s" in project.told(body, timeout_s=3.0)
    assert ended(int((project.root / "pid").read_text()))


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def ended(pid: int, within_s: float = 10.0) -> bool:
    """Whether a process that was killed is gone: on a busy machine a moment after the signal was sent."""
    until = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return not alive(pid)


def test_a_child_that_is_killed_is_tried_again(project: Project) -> None:
    once = (
        'if not pathlib.Path("once").exists():\n    pathlib.Path("once").touch()\n    os.kill(os.getpid(), signal.SIGKILL)\nreturn rows(1)'
    )
    dataset, access = project.declare(once)
    with pytest.raises(Killed, match="ended by SIGKILL"):
        source.read(dataset, access)
    assert source.read(dataset, access)["n"].to_list() == [1.0]


def test_a_token_of_the_project_is_not_told_to_the_code(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYBALL_TOKEN", "secret")
    assert source.read(*project.declare('return rows(len(os.environ.get("FLYBALL_TOKEN", "")))'))["n"].to_list() == [0.0]


def test_nothing_of_a_read_is_left_behind(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("tmp")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    source.read(*project.declare("return rows(1)"))
    project.told("return 1 / 0")
    assert list(folder.iterdir()) == []
