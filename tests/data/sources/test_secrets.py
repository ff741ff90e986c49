"""Secrets are found by name where they are used, and never shown."""

from __future__ import annotations

import pytest

from flyball.data.sources.secrets import Secrets, read_secrets
from flyball.errors import BadInput, DeclarationError


def test_the_environment_comes_before_the_folder(tmp_path):
    (tmp_path / "TOKEN").write_text("from a file\n")
    assert Secrets({"TOKEN": "from outside"}, tmp_path).get("TOKEN") == "from outside"
    assert Secrets({}, tmp_path).get("TOKEN") == "from a file"


def test_a_folder_is_named_in_the_projects_file(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "URL").write_text("sqlite:///x.db")
    assert read_secrets(tmp_path, {"folder": "secrets"}, {}).get("URL") == "sqlite:///x.db"
    assert read_secrets(tmp_path, {"folder": str(tmp_path / "secrets")}, {}).get("URL") == "sqlite:///x.db"


def test_a_missing_one_is_named_with_where_it_was_looked_for(tmp_path):
    with pytest.raises(BadInput) as caught:
        Secrets({"OTHER": "hunter2"}, tmp_path).get("TOKEN")
    said = str(caught.value)
    assert 'there is no secret "TOKEN"' in said
    assert str(tmp_path) in said
    assert "hunter2" not in said


@pytest.mark.parametrize("name", ["", "../keys/local.token", "a/b", "a b", "\x00"])
def test_a_name_leads_nowhere_else(tmp_path, name):
    with pytest.raises(BadInput, match="no name of a secret"):
        Secrets({}, tmp_path).get(name)


def test_a_file_that_is_no_text_is_told_without_it(tmp_path):
    (tmp_path / "TOKEN").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="it is not text"):
        Secrets({}, tmp_path).get("TOKEN")


@pytest.mark.parametrize("table", [{"vault": "x"}, {"folder": 3}, {"folder": " "}])
def test_what_the_projects_file_cannot_say_is_refused(tmp_path, table):
    with pytest.raises(DeclarationError, match="secrets"):
        read_secrets(tmp_path, table, {})


@pytest.mark.parametrize("table", [[], {"vault": "x"}, {"folder": 3}])
def test_the_table_of_an_environment_is_named_as_it_is_written(tmp_path, table):
    with pytest.raises(DeclarationError) as refused:
        read_secrets(tmp_path, table, {}, "[env.production.secrets]")
    assert "env.production.secrets" in refused.value.what
    with pytest.raises(BadInput) as missing:
        read_secrets(tmp_path, {"folder": "there"}, {}, "[env.production.secrets]").get("TOKEN")
    assert "[env.production.secrets] folder in flyball.toml" in missing.value.fix
