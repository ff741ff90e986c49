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
    assert read_project(project).settings == {"port": 1}


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


ENVIRONMENTS = """
[settings]
port = 1
database_url = "sqlite:///own.db"
[secrets]
folder = "/run/own"
[env.staging]
database_url = "sqlite:///staging.db"
secrets = { folder = "/run/staging" }
[env.production]
database_url = "sqlite:///production.db"
port = 2
"""


def test_an_environment_has_the_settings_of_the_project_and_its_own_over_them(project: Path) -> None:
    (project / "flyball.toml").write_text(ENVIRONMENTS)
    own, staging, production = (read_project(project, name) for name in ("", "staging", "production"))
    assert [each.settings["port"] for each in (own, staging, production)] == [1, 1, 2]
    assert staging.settings["database_url"] == "sqlite:///staging.db"
    assert [each.secrets["folder"] for each in (own, staging, production)] == ["/run/own", "/run/staging", "/run/own"]


def test_environments_are_in_the_order_in_which_versions_go_through_them(project: Path) -> None:
    (project / "flyball.toml").write_text(ENVIRONMENTS)
    own, staging, production = (read_project(project, name) for name in ("", "staging", "production"))
    assert own.environments == ("staging", "production")
    assert [each.before for each in (own, staging, production)] == ["", "", "staging"]
    assert [each.is_followed for each in (own, staging, production)] == [False, True, False]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("stagng", "staging"), ("Staging", "staging"), ("prodction", "production"), ("prod", "production"), ("PROD", "production")],
)
def test_an_environment_that_is_not_there_is_refused_with_a_near_one(project: Path, given: str, meant: str) -> None:
    (project / "flyball.toml").write_text(ENVIRONMENTS)
    with pytest.raises(NotFound, match=f'no environment "{given}"') as raised:
        read_project(project, given)
    assert raised.value.fix == f'environments: did you mean "{meant}"? staging, production'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("env = 3", "no list of environments"),
        ("[env]\nport = 3", "no list of environments"),
        ('[env."../../etc"]', "cannot name a project environment"),
    ],
)
def test_what_no_environment_can_be_is_said(project: Path, text: str, what: str) -> None:
    (project / "flyball.toml").write_text(text)
    with pytest.raises(DeclarationError, match=what):
        read_project(project)
