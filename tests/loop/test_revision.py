"""The Git commit of a run's code: found by what the code is, whatever lies in the working tree by then."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flyball.loop.revision import commit_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="Git is not installed here, and its commits are what is looked up")

LOOP = "model = 1\n"
CODE = {"loop.py": LOOP, "lib/house.py": "HOUSE = 'é'\n"}


def git(root: Path, *arguments: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
        "HOME": str(root),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    who = ("-c", "user.name=ana", "-c", "user.email=ana@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, env=own, text=True).stdout.strip()


def write(root: Path, code: dict[str, str]) -> None:
    for name, text in code.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in a folder of a repository, as it is in most."""
    git(tmp_path, "init", "--quiet")
    root = tmp_path / "models" / "price"
    write(root, CODE)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return root


def test_code_that_is_committed_is_that_commit(project):
    assert commit_of(project, CODE) == git(project, "rev-parse", "HEAD")


def test_what_lies_in_the_folder_says_nothing_of_the_code(project):
    write(project, {"loop.py": "model = 2\n"})
    assert commit_of(project, CODE) == git(project, "rev-parse", "HEAD")


@pytest.mark.parametrize("code", [{**CODE, "loop.py": "model = 2\n"}, {**CODE, "lib/new.py": ""}])
def test_code_that_is_not_in_the_newest_commit_says_so(project, code):
    write(project, code)
    assert commit_of(project, code) == git(project, "rev-parse", "HEAD") + "-dirty"
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "second")
    # declared before it was committed, it is found all the same
    assert commit_of(project, code) == git(project, "rev-parse", "HEAD")


def test_files_of_windows_are_the_same_files(project):
    write(project, {"loop.py": "model = 3\r\nmore = 4\r\n"})
    git(project, "-c", "core.autocrlf=false", "add", ".")
    git(project, "commit", "--quiet", "-m", "second")
    # read as text, as a snapshot is
    code = {**CODE, "loop.py": (project / "loop.py").read_text()}
    assert commit_of(project, code) == git(project, "rev-parse", "HEAD")


def test_hashes_of_another_length_are_understood(tmp_path):
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    write(tmp_path, CODE)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    found = commit_of(tmp_path, CODE)
    assert len(found) == 64
    assert found == git(tmp_path, "rev-parse", "HEAD")


def test_nothing_is_said_without_a_repository_a_commit_or_git(tmp_path, monkeypatch):
    assert commit_of(tmp_path, CODE) == ""
    git(tmp_path, "init", "--quiet")
    write(tmp_path, CODE)
    assert commit_of(tmp_path, CODE) == ""
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    assert commit_of(tmp_path, CODE)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert commit_of(tmp_path, CODE) == ""


def test_a_repository_that_the_environment_names_is_not_the_projects(project, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert commit_of(project, CODE) == git(project, "rev-parse", "HEAD")
