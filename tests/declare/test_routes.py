"""Routes in flyball.toml: everything that is wrong with them is said at once, and nothing that may be a secret is shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from flyball.declare.project import read_project
from flyball.declare.routes import PAGERDUTY_URL, Route, Routes, read_routes
from flyball.errors import DeclarationError


def read(text: str, own: str = "", env: str = "") -> Routes:
    return read_routes(tomllib.loads(text).get("routes"), tomllib.loads(own).get("routes") if own else None, env)


WHOLE = """
[routes]
default = "risk"
link = "https://flyball.example/"
[routes.risk]
kind = "pagerduty"
secret = "PD_KEY"
signing = "PD_SIGNING"
[routes.ops]
kind = "alertmanager"
url = "http://am:9093"
[routes.chat]
kind = "slack"
secret = "SLACK_URL"
[routes.own]
kind = "webhook"
url = "https://example.com/in"
secret = "OWN"
[routes.desk]
kind = "email"
host = "mail"
port = 25
from = "flyball@example.com"
to = ["a@example.com", "b@example.com"]
user = "fb"
secret = "MAIL"
[routes.all]
kind = "apprise"
secret = "APPRISE"
"""


def test_every_kind_is_read_as_it_is_declared() -> None:
    found = read(WHOLE)
    assert (found.default, found.link) == ("risk", "https://flyball.example")
    assert found.routes["risk"] == Route("risk", "pagerduty", PAGERDUTY_URL, "PD_KEY", "PD_SIGNING")
    assert found.routes["desk"] == Route(
        "desk", "email", secret="MAIL", host="mail", port=25, sender="flyball@example.com", to=("a@example.com", "b@example.com"), user="fb"
    )
    assert {name: route.inbound for name, route in found.routes.items() if route.inbound} == {"risk": "PD_SIGNING", "own": "OWN"}


@pytest.mark.parametrize(
    ("named", "route"), [("", "risk"), ("ops", "ops"), ("alertmanager:ops", "ops"), ("pagerduty:nobody", "risk"), ("slack:ops", "ops")]
)
def test_a_playbook_names_a_route_with_or_without_its_kind_and_what_is_none_goes_to_the_default(named: str, route: str) -> None:
    assert read(WHOLE).of(named) == route


def test_what_a_playbook_names_and_is_not_there_is_said_with_what_was_meant() -> None:
    found = read(WHOLE)
    assert found.unknown("pagerduty:riks") == 'no route "riks" is declared in flyball.toml'
    assert 'did you mean "risk"?' in found.near("pagerduty:riks")
    assert found.unknown("slack:ops") == 'the route "ops" is of kind alertmanager, not slack'
    assert (found.unknown(""), found.unknown("ops"), found.unknown("alertmanager:ops")) == ("", "", "")
    assert Routes().of("risk") == ""
    assert "[routes.risk]" in Routes().near("risk")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DeclarationError) as raised:
        read(
            """
            [routes]
            default = "riks"
            link = "flyball"
            [routes.risk]
            kind = "pagerduty"
            secret = "not a name, but the very key"
            [routes.a]
            kind = "slak"
            [routes.b]
            kind = "webhook"
            url = "https://user:hidden@example.com"
            tokn = "x"
            [routes.c]
            kind = "email"
            host = "mail"
            to = "nobody"
            from = "x@y"
            port = 99999
            starttls = "yes"
            [routes.d]
            kind = "email"
            host = "mail"
            from = "x@y"
            to = "z@y"
            user = "fb"
            secret = "S"
            starttls = false
            [routes.e]
            [routes.f]
            kind = "slack"
            url = "http://chat.example.com/hooks/key"
            [routes.g]
            kind = "alertmanager"
            url = "http://am:9093"
            secret = "TOKEN"
            [routes.h]
            kind = "pagerduty"
            url = "http://pd.example.com"
            secret = "KEY"
            """
        )
    told = {f"{problem.where} {problem.what}" for problem in raised.value.problems}
    assert told == {
        '[routes] default names "riks", which is no route',
        "[routes] link is no HTTP address",
        "[routes.risk] secret is no name of a secret",
        '[routes.a] there is no kind "slak"',
        "[routes.b] url holds a password: name it as the secret",
        '[routes.b] webhook takes no "tokn"',
        '[routes.b] webhook needs "secret"',
        "[routes.c] to is no mail address, or list of them",
        "[routes.c] port is no port",
        "[routes.c] starttls is neither true nor false",
        "[routes.d] user without starttls",
        "[routes.e] it says no kind",
        *(f"[routes.{name}] url is not encrypted" for name in "fgh"),
    }
    assert "the very key" not in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert 'did you mean "slack"?' in str(raised.value)


@pytest.mark.parametrize(
    "text", ['routes = "x"', "routes = []", "[routes]\nrisk = 3", '[routes."No Name"]\nkind = "apprise"\nsecret = "A"']
)
def test_what_is_no_table_of_routes_is_said(text: str) -> None:
    with pytest.raises(DeclarationError):
        read(text)


def test_an_environment_has_the_projects_routes_and_its_own_over_them(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text(
        '[routes]\ndefault = "risk"\n[routes.risk]\nkind = "slack"\nurl = "https://one"\n[routes.chat]\nkind = "slack"\nurl = "https://chat"\n'
        '[env.staging]\n[env.production.routes.risk]\nkind = "webhook"\nurl = "http://two"\nsecret = "S"\n[env.production.routes]\ndefault = "chat"\n'
        "[env.production]\nport = 7118\n"
    )
    assert read_project(tmp_path).routes.routes["risk"].kind == "slack"
    assert read_project(tmp_path, "staging").routes == read_project(tmp_path).routes
    production = read_project(tmp_path, "production")
    assert (production.routes.routes["risk"].kind, production.routes.default, set(production.routes.routes)) == (
        "webhook",
        "chat",
        {"risk", "chat"},
    )
    assert production.settings == {"port": 7118}, "routes are no setting"


def test_a_problem_of_an_environments_route_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "flyball.toml").write_text('[env.production.routes.risk]\nkind = "webhook"\n')
    assert read_project(tmp_path).routes == Routes()
    with pytest.raises(DeclarationError, match=r"\[env.production.routes.risk\]"):
        _ = read_project(tmp_path, "production").routes


def test_an_environment_may_have_no_default() -> None:
    found = read('[routes]\ndefault = "risk"\n[routes.risk]\nkind = "slack"\nurl = "https://x"\n', '[routes]\ndefault = ""\n', "staging")
    assert (found.of(""), found.of("risk")) == ("", "risk")
