"""Two environments never have one record, however their addresses are written, and `check` says what they cannot share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyball.errors import DeclarationError
from flyball.loop.checking import CheckReport, to_json, to_lines
from flyball.loop.checkreport import to_markdown
from flyball.loop.sharing import keep_apart, shared_ports
from flyball.serving.history import store_of
from flyball.settings import read_settings
from flyball.store.sql import place
from flyball.wiring import open_project

PG = "postgresql://flyball:secret"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "p" / "data").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "p")
    return tmp_path / "p"


def declared(root: Path, text: str) -> Path:
    (root / "flyball.toml").write_text(text)
    return root


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///data/a.db", "sqlite:///data/a.db"),
        ("sqlite:///data/a.db", "sqlite:///data/../data/a.db"),
        ("sqlite:///data/a.db", "sqlite:////{root}/data/a.db"),
        ("sqlite:///data/a.db", "sqlite:///../link/data/a.db"),
        ("sqlite:///.flyball/env/staging/ledger.db", ""),
        (f"{PG}@localhost/flyball", f"{PG}@127.0.0.1:5432/flyball"),
        (f"{PG}@DB.internal/flyball", "postgres://flyball:other@db.internal:5432/flyball"),
        (f"{PG}@db.internal/flyball", "postgresql+psycopg://flyball@db.internal/flyball"),
    ],
)
@pytest.mark.parametrize("variable", [False, True])
def test_two_spellings_of_one_record_are_one(root: Path, one: str, other: str, variable: bool) -> None:
    one, other = (each.format(root=str(root).lstrip("/")) for each in (one, other))
    here = "" if variable else f'database_url = "{one}"'
    declared(root, f'[env.staging]\n{f"""database_url = "{other}" """ if other else ""}\n[env.production]\n{here}\n')
    settings = read_settings({}, {"FLYBALL_DATABASE_URL": one}) if variable else read_settings({"database_url": one}, {})
    with pytest.raises(DeclarationError, match=r"\[env.production\] and \[env.staging\] have the same database_url") as refused:
        keep_apart(root, "production", settings)
    assert "secret" not in str(refused.value)
    assert 'under [env.production]: database_url = "…"; where FLYBALL_DATABASE_URL names it, another one there' in refused.value.fix


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sqlite:///data/a.db", "sqlite:///data/b.db"),
        (f"{PG}@localhost/flyball", f"{PG}@localhost/production"),
        (f"{PG}@localhost/flyball", f"{PG}@localhost:5433/flyball"),
        (f"{PG}@localhost/flyball", "postgresql://production@localhost/flyball"),
        (f"{PG}@localhost/flyball?options=-csearch_path%3Da", f"{PG}@localhost/flyball?options=-csearch_path%3Db"),
    ],
)
def test_two_records_are_two(root: Path, one: str, other: str) -> None:
    assert place(one, base=root) != place(other, base=root)
    declared(root, f'[env.staging]\ndatabase_url = "{other}"\n[env.production]\ndatabase_url = "{one}"\n')
    keep_apart(root, "production", read_settings({"database_url": one}, {}))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            '[settings]\ndatabase_url = "sqlite:///a.db"\n[env.staging]',
            "staging.* and the project's own environment have the same database_url",
        ),
        (
            '[env.a]\nonline_url = "redis://x"\n[env.staging]\nonline_url = "redis://x"',
            r"\[env.staging\] and \[env.a\] have the same online_url",
        ),
        ('[env.a]\nonline_url = "sqlite:///x.db"\n[env.staging]\nonline_url = "sqlite:///./x.db"', "have the same online_url"),
    ],
)
def test_what_is_shared_is_refused_where_the_project_is_opened(root: Path, text: str, what: str) -> None:
    declared(root, text)
    with pytest.raises(DeclarationError, match=what):
        open_project(root, "staging")
    assert not (root / ".flyball").exists()


def test_a_variable_that_names_the_record_of_another_environment_is_refused_there_and_nowhere_else(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(root, "[env.staging]\n[env.production]\n")
    open_project(root, "staging").close()
    monkeypatch.setenv("FLYBALL_DATABASE_URL", f"sqlite:///{os.path.relpath(root / '.flyball/env/staging/ledger.db', root)}")
    for env in ("production", ""):
        with pytest.raises(DeclarationError, match="have the same database_url"):
            open_project(root, env)
    open_project(root, "staging").close()


def test_what_another_environment_has_wrong_is_its_own_to_tell(root: Path) -> None:
    declared(root, '[env.staging]\nport = "x"\n[env.production]\n')
    open_project(root, "production").close()
    with pytest.raises(DeclarationError) as told:
        open_project(root, "staging")
    assert "the setting port is" in str(told.value)


def test_check_says_which_environments_are_to_listen_on_one_port(root: Path) -> None:
    declared(root, "[env.laboratory]\n[env.staging]\nport = 7217\n[env.production]\nport = 7217\n")
    found = tuple(shared_ports(root))
    assert [each.what for each in found] == ["[env.staging] and [env.production] have the same port: 7217"]
    assert found[0].fix == "write another one under [env.production]: port = 7218"
    report = CheckReport((), (), (), found)
    assert (report.problems, report.warnings) == ((), found)
    assert "have the same port" in "\n".join(to_lines(report))
    assert "have the same port" in to_markdown(report)
    assert to_json(report)["warnings"][0]["what"] == found[0].what
    for text in (
        "[env.staging]\n[env.production]\n",
        '[env.staging]\nport = 7217\nhost = "10.0.0.1"\n[env.production]\nport = 7217\nhost = "10.0.0.2"\n',
        "[env.staging]\nport = 7217\n[env.production]\nport = 7317\n",
    ):
        assert tuple(shared_ports(declared(root, text))) == ()
    assert len(tuple(shared_ports(declared(root, "[settings]\nport = 7000\n[env.staging]\n[env.production]\n")))) == 1


@pytest.mark.parametrize("env", ["", "staging"])
def test_a_path_of_the_online_store_is_within_the_project_in_each_environment(root: Path, env: str) -> None:
    declared(root, '[settings]\nonline_url = "sqlite:///own.db"\n[env.staging]\nonline_url = "sqlite:///values/staging.db"\n')
    wired = open_project(root, env, claim=True)
    wanted = root / ("values/staging.db" if env else "own.db")
    assert wired.online().name == store_of(wired.layout).name == str(wanted)
    wired.close()
