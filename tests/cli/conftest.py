"""The command line in this process, and one project that was trained once for the whole session."""

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flyball.cli.main import run
from flyball.records.base import Record
from flyball.records.versions import ChampionChanged, VersionDeployed
from flyball.wiring import open_project


class Ended(NamedTuple):
    """What a verb came to."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert len(self.out.splitlines()) == 1, self.out
        return json.loads(self.out)


def call(*arguments: object) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def flyball() -> Callable[..., Ended]:
    return call


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `init` writes it; nothing has run in it."""
    folder = tmp_path_factory.mktemp("cli") / "new"
    ended = call("init", folder)
    assert ended.code == 0, ended.err
    return folder


@pytest.fixture(scope="session")
def trained_project(new_project: Path) -> Path:
    """The same after `train demand`: one version, eligible. Tests that change it take `trained`."""
    folder = new_project.parent / "trained"
    shutil.copytree(new_project, folder)
    ended = call("train", "demand", "--trials", 0, "--project", folder, "--json")
    assert ended.code == 0, ended.out
    assert ended.document["state"] == "eligible"
    return folder


@pytest.fixture
def new(new_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(new_project, tmp_path / "new"))


@pytest.fixture
def trained(trained_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_project, tmp_path / "trained"))


class _Say(Record, frozen=True):
    """A command that records what the test wants to have happened."""

    id: str
    actor: str = "loop"


@pytest.fixture(scope="session")
def serves() -> Callable[..., None]:
    """Makes a version the champion, as the end of its rollout does."""

    def told(project: Path, version: str = "1.0.0", env: str = "") -> None:
        events = (
            VersionDeployed(model="demand", version=version),
            ChampionChanged(model="demand", version=version, former="", rollback=False, reason="first"),
        )
        with contextlib.closing(open_project(project, env)) as wired:
            wired.ledger.execute(_Say(id=f"say-{version}"), lambda *_: events)

    return told


@pytest.fixture(scope="session")
def narrow_project(new_project: Path, serves: Callable[..., None]) -> Path:
    """A project whose callers do not send the weekday: 1.0.0 answers. Tests that change it take `narrow`."""
    folder = new_project.parent / "narrow"
    shutil.copytree(new_project, folder)
    loop = folder / "loop.py"
    loop.write_text(loop.read_text().replace('    label="demand",\n', '    label="demand",\n    inputs=["hour", "temperature"],\n'))
    ended = call("train", "demand", "--trials", 0, "--project", folder)
    assert ended.code == 0, ended.err
    serves(folder)
    return folder


@pytest.fixture
def narrow(narrow_project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(narrow_project, tmp_path / "narrow"))


@pytest.fixture(scope="session")
def sliced() -> Callable[[Path], None]:
    """Declares a slice by a column that the callers of `narrow` do not send."""

    def declared(project: Path) -> None:
        loop = project / "loop.py"
        loop.write_text(loop.read_text().replace("    autonomy=", '    slices=["weekday"],\n    autonomy='))

    return declared
