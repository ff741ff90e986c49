"""What `check`, `status` and `incidents` say of routes, of what does not get through, and of what is muted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from flyball.cli import common
from flyball.clock import Span
from flyball.records.base import Event, Record
from flyball.records.deliveries import AlertDelivered, AlertQueued, AlertUndelivered
from flyball.records.incidents import IncidentOpened
from flyball.wiring import open_project

from ..incidents.test_channels import BASE, changed  # noqa: TID252 - one message for all

ROUTE = '[routes]\ndefault = "desk"\n[routes.desk]\nkind = "webhook"\nurl = "http://127.0.0.1:9/in"\nsecret = "DESK_KEY"\n'


class Say(Record, frozen=True):
    id: str
    actor: str = "loop"


def happened(root: Path, *events: Event) -> None:
    wired = open_project(root, claim=True)
    try:
        wired.ledger.execute(Say(id=wired.ports.clock.new_id("cmd")), lambda *_: events)
    finally:
        wired.close()


def routed(root: Path, text: str = ROUTE) -> None:
    toml = root / "flyball.toml"
    toml.write_text(toml.read_text() + text)


def named(root: Path, route: str) -> None:
    loop = root / "loop.py"
    loop.write_text(loop.read_text().replace('task="', f'playbook=fb.Playbook(route="{route}"),\n    task="', 1))
    assert route in loop.read_text()


OPENED = IncidentOpened(
    incident="inc_1", model="demand", failure_mode="errors", alert="", what="errors", cause="40% fail", owner="ana", actions=("page",)
)


def test_a_project_without_a_route_is_told_once_that_nobody_is_told(flyball, new: Path) -> None:
    ended = flyball("check", new)
    assert (ended.code, ended.out.count("nobody is told of incidents")) == (0, 1)
    assert flyball("check", new, "--json").document["notes"] != []
    flyball("apply", "--project", new)
    assert flyball("status", "--project", new).out.count("nobody is told of incidents") == 1
    routed(new)
    assert "nobody is told" not in flyball("check", new).out
    assert "nobody is told" not in flyball("status", "--project", new).out
    assert flyball("status", "--project", new, "--json").document["routes"] == ["desk"]


def test_a_route_that_the_flyball_that_is_up_has_not_read_is_told_with_what_to_do(flyball, new: Path, monkeypatch) -> None:
    flyball("apply", "--project", new)
    wired = open_project(new, claim=True)
    wired.delivering(stays=True).step(wired.ports, wired.ports.clock.now())
    wired.close()
    monkeypatch.setattr(common, "is_up", lambda _wired: True)
    assert "start flyball anew" not in flyball("status", "--project", new).out
    routed(new)
    said = " ".join(flyball("status", "--project", new).out.split())
    assert "default and link (changed), desk (added) in flyball.toml since flyball was started" in said
    assert "→ start flyball anew" in said
    assert flyball("status", "--project", new, "--json").document["routes_unread"] == ["default and link (changed)", "desk (added)"]
    monkeypatch.setattr(common, "is_up", lambda _wired: False)
    assert "start flyball anew" not in flyball("status", "--project", new).out


def test_a_route_that_is_named_and_not_declared_is_warned_of_and_so_is_a_secret_that_is_not_set(flyball, new: Path, monkeypatch) -> None:
    routed(new)
    named(new, "webhook:desc")
    ended = flyball("check", new)
    assert ended.code == 0
    assert 'playbook route="webhook:desc": no route "desc" is declared in flyball.toml' in ended.out
    assert 'did you mean "desk"?' in ended.out
    assert 'the route "desk" needs the secret DESK_KEY, which is not set here' in ended.out
    loop = new / "loop.py"
    loop.write_text(loop.read_text().replace("webhook:desc", "webhook:desk"))
    monkeypatch.setenv("DESK_KEY", "d3sk")
    ended = flyball("check", new)
    assert (ended.code, "DESK_KEY" in ended.out) == (0, False)
    assert "d3sk" not in ended.out


def test_everything_that_is_wrong_with_routes_stops_every_verb_with_all_of_it(flyball, new: Path) -> None:
    routed(new, '[routes.a]\nkind = "slak"\n[routes.b]\nkind = "webhook"\n')
    for verb in (("check", new), ("status", "--project", new)):
        ended = flyball(*verb)
        assert ended.code == 1
        assert 'there is no kind "slak"' in ended.err
        assert ended.err.count("webhook needs") == 2


def test_status_says_what_waits_for_which_route_and_why(flyball, new: Path) -> None:
    routed(new)
    flyball("apply", "--project", new)
    happened(new, OPENED, AlertQueued(route="desk", said=changed(model="demand")))
    assert "route     desk: a message waits since" in flyball("status", "--project", new).out
    happened(new, AlertUndelivered(incident="inc_1", message=BASE.message, route="desk", why="it answered 401", refused=True))
    ended = flyball("status", "--project", new)
    assert "failing for" in ended.out
    assert "it answered 401" in ended.out
    [told] = flyball("status", "--project", new, "--json").document["undelivered"]
    assert (told["route"], told["waiting"], told["incidents"], told["why"]) == ("desk", 1, ["inc_1"], "it answered 401")
    assert "  told      opened to desk: failing for" in flyball("incidents", "show", "inc_1", "--project", new).out
    happened(new, AlertDelivered(incident="inc_1", message=BASE.message, route="desk", attempts=3, ms=9))
    shown = flyball("incidents", "show", "inc_1", "--project", new)
    assert "told      opened to desk: delivered" in shown.out
    assert "at try 3" in shown.out
    [told] = flyball("incidents", "show", "inc_1", "--project", new, "--json").document["deliveries"]
    assert (told["state"], told["attempts"]) == ("delivered", 3)
    assert flyball("status", "--project", new, "--json").document["undelivered"] == []


def test_what_waits_for_a_route_that_is_declared_no_more_says_so(flyball, new: Path) -> None:
    flyball("apply", "--project", new)
    happened(new, OPENED, AlertQueued(route="gone", said=changed(model="demand")))
    assert "→ declare it again in flyball.toml" in flyball("status", "--project", new).out


def test_alerts_are_muted_and_heard_again(flyball, new: Path) -> None:
    flyball("apply", "--project", new)
    assert flyball("incidents", "mute", "demand", "--for", "2h", "--project", new).code == 2, "without a reason"
    assert flyball("incidents", "mute", "demand", "--for", "2", "--reason", "x", "--project", new).code == 2
    assert flyball("incidents", "mute", "demand", "--for", "31d", "--reason", "x", "--project", new).code == 2
    missing = flyball("incidents", "mute", "demand", "--for", "2h", "--monitor", "labels arive", "--reason", "x", "--project", new)
    assert (missing.code, 'did you mean "labels arrive"?' in missing.err) == (1, True)
    dry = flyball("incidents", "mute", "demand", "--for", "2h", "--reason", "x", "--dry-run", "--project", new)
    assert "would record  alert.muted" in dry.out
    assert flyball("status", "--project", new, "--json").document["muted"] == []
    muted = flyball(
        "incidents", "mute", "demand", "--for", "2h", "--monitor", "labels arrive", "--reason", "the depot moves", "--project", new
    )
    assert (muted.code, 'demand: "labels arrive" is muted until' in muted.out) == (0, True)
    status = flyball("status", "--project", new)
    assert 'muted     demand: "labels arrive" for 2 h more' in status.out, "seconds later it is two hours still"
    assert "the depot moves" in status.out
    assert flyball("incidents", "unmute", "demand", "--project", new).code == 1, "all of it was not muted"
    (step,) = [line.partition("sooner: ")[2] for line in muted.out.splitlines() if "sooner: " in line]
    assert f"→ {step}" in status.out
    ended = flyball(*shlex.split(step)[1:], "--project", new)
    assert (ended.code, 'demand: "labels arrive" is heard again' in ended.out) == (0, True)
    assert flyball("status", "--project", new, "--json").document["muted"] == []


@pytest.mark.parametrize("length", ["2h", "30d"])
def test_a_mute_lasts_as_long_as_was_said(flyball, new: Path, length: str) -> None:
    flyball("apply", "--project", new)
    ended = flyball("incidents", "mute", "demand", "--for", length, "--reason", "x", "--project", new, "--json")
    [row] = flyball("status", "--project", new, "--json").document["muted"]
    assert row["until"] == ended.document["until"]
    assert Span.parse(length) > 0
