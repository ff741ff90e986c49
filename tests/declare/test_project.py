"""A project is a folder with flyball.toml; its loop files are loop.py and loops/**.py."""

import os
from pathlib import Path

import pytest

from flyball.declare.project import find_project, fingerprint, loop_files, read_project
from flyball.errors import DeclarationError, NotFound


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "flyball.toml").write_text("[settings]\nport = 1\n")
    for name in (
        "loop.py",
        "loops/price.py",
        "loops/deep/more.py",
        "loops/__init__.py",
        "loops/__pycache__/x.py",
        "tools.py",
        ".venv/lib/x.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def test_a_project_is_found_from_any_folder_in_it(project: Path) -> None:
    assert find_project(project / "loops" / "deep") == project


def test_outside_a_project_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as raised:
        find_project(tmp_path)
    assert "flyball init" in raised.value.fix


def test_loop_files_are_listed_without_package_markers_and_caches(project: Path) -> None:
    assert read_project(project).loop_files == ("loop.py", "loops/deep/more.py", "loops/price.py")
    assert read_project(project).settings == {"settings": {"port": 1}}


def test_a_broken_settings_file_is_named(project: Path) -> None:
    (project / "flyball.toml").write_text("port = ")
    with pytest.raises(DeclarationError, match=r"flyball\.toml"):
        read_project(project)


def test_a_folder_without_the_mark_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_project(tmp_path)
    assert loop_files(tmp_path) == ()


def test_the_fingerprint_moves_with_any_project_file_and_with_nothing_else(project: Path) -> None:
    before = fingerprint(project)
    (project / "notes.txt").write_text("x")
    (project / ".venv" / "lib" / "x.py").write_text("changed")
    assert fingerprint(project) == before
    (project / "tools.py").write_text("x = 1")
    changed = fingerprint(project)
    assert changed != before
    os.utime(project / "tools.py", ns=(1, 1))
    assert fingerprint(project) != changed
    (project / "tools.py").unlink()
    assert fingerprint(project) not in {before, changed}
