"""What routes send: taken for their signature, once, for what they were told of, and as nothing but that somebody is on it."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from flyball.api.asking import PREFIX
from flyball.incidents.signatures import signature
from flyball.records.deliveries import AlertQueued
from flyball.records.identity import REFUSED_ACCESS, Role
from flyball.records.incidents import INCIDENTS, IncidentMoved, IncidentNoted, IncidentOpened, IncidentState

from ..incidents.test_channels import BASE, pagerduty_event  # noqa: TID252 - one message for all
from .conftest import opened
from .kit import Served, eventually, hold, serve

TOML = """
[routes]
default = "desk"
[routes.desk]
kind = "webhook"
secret = "DESK_KEY"
url = "http://127.0.0.1:9/in"
[routes.risk]
kind = "pagerduty"
secret = "PD_KEY"
signing = "PD_SIGNING"
[routes.other]
kind = "webhook"
secret = "OTHER_KEY"
url = "http://127.0.0.1:9/in"
[routes.mute]
kind = "slack"
secret = "DESK_KEY"
"""


@pytest.fixture
def told(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A project that has told two routes of an incident."""
    for name, value in {"DESK_KEY": "d3sk", "PD_SIGNING": "s1gn", "OTHER_KEY": "oth3r"}.items():
        monkeypatch.setenv(name, value)
    (root / "flyball.toml").write_text((root / "flyball.toml").read_text() + TOML)
    with opened(root) as wired, tempfile.TemporaryDirectory(prefix="fb-") as folder:
        for served in serve(wired, Path(folder)):
            served.happened(
                IncidentOpened(
                    incident="inc_1",
                    model="demand",
                    failure_mode="errors",
                    alert="",
                    what="errors",
                    cause="",
                    owner="ana",
                    actions=("page",),
                ),
                AlertQueued(route="desk", said=msgspec.structs.replace(BASE, model="demand")),
                AlertQueued(route="risk", said=msgspec.structs.replace(BASE, model="demand")),
            )
            yield served


def body(number: str = "1", **more: Any) -> bytes:
    return msgspec.json.encode({"id": number, "thread": "inc_1", "act": "acknowledge", "by": "bo", **more})


def send(
    api: Served, raw: bytes, *, route: str = "desk", secret: str = "d3sk", at: int = 0, peer: str = "10.0.0.7", **headers: str
) -> httpx.Response:
    signed = {"flyball-signature": signature(secret, raw, at or time.time_ns() // 1000)} if secret else {}
    sent = {
        "content-type": "application/json",
        "flyball-peer": peer,
        **signed,
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    answer = api.http.post(f"{PREFIX}/hooks/{route}", content=raw, headers=sent)
    hold(answer, "POST", f"/hooks/{route}")
    return answer


def notes(api: Served) -> tuple[str, ...]:
    row = api.wired.ledger.state().get(INCIDENTS, "inc_1")
    assert row is not None
    return row.notes


def actor_of_last(api: Served) -> str:
    *_, last = api.wired.ledger.read(0, 100_000)
    return last.actor


def test_a_signed_acknowledgement_is_noted_under_the_routes_name(told: Served) -> None:
    answer = send(told, body(text="on my way"))
    assert (answer.status_code, answer.json()["taken"], answer.json()["incident"]) == (200, True, "inc_1")
    assert notes(told) == ("acknowledged by route:desk: by bo; on my way",)
    assert actor_of_last(told) == "route:desk"


def test_an_acknowledgement_of_a_thread_of_several_models_is_one_of_all_their_incidents(told: Served) -> None:
    opened = IncidentOpened(
        incident="inc_2", model="other", failure_mode="errors", alert="", what="errors", cause="", owner="ana", actions=("page",)
    )
    joined = msgspec.structs.replace(
        BASE, model="demand", message="msg_2", told="joined", mark="joined inc_2", models=("demand", "other"), along=("inc_2",)
    )
    told.happened(opened, AlertQueued(route="desk", said=joined))
    raw, at = body(text="on my way"), time.time_ns() // 1000
    assert send(told, raw, at=at).json()["taken"] is True
    rows = [told.wired.ledger.state().get(INCIDENTS, incident) for incident in ("inc_1", "inc_2")]
    assert [row.notes for row in rows if row] == [("acknowledged by route:desk: by bo; on my way",)] * 2
    assert send(told, raw, at=at).status_code == 409
    # of the other route's thread it is none
    assert send(told, body("9", thread="inc_2")).status_code == 404


def test_what_is_resolved_outside_is_acknowledged_and_not_over(told: Served) -> None:
    assert send(told, body(act="resolve")).json()["taken"] is True
    row = told.wired.ledger.state().get(INCIDENTS, "inc_1")
    assert row is not None
    assert row.state == IncidentState.OPEN
    assert row.notes == ("acknowledged by route:desk: by bo; resolved outside; here it is over when that is measured",)


def test_the_same_again_is_refused_also_when_it_recorded_nothing_at_first(told: Served) -> None:
    raw, at = body(), time.time_ns() // 1000
    assert send(told, raw, at=at).json()["taken"] is True
    again = send(told, raw, at=at)
    assert (again.status_code, again.json()["code"]) == (409, "replayed")
    # another id that says nothing new records nothing, and is known all the same once the incident has opened again
    idle = body("2")
    assert send(told, idle).json()["why"] == "it was acknowledged already"
    told.happened(
        IncidentMoved(incident="inc_1", source=IncidentState.OPEN, target=IncidentState.MITIGATED, why="so"),
        IncidentMoved(incident="inc_1", source=IncidentState.MITIGATED, target=IncidentState.OPEN, why="again"),
    )
    assert send(told, idle).json()["code"] == "replayed"
    assert send(told, body("3")).json()["taken"] is True, "it is a new incident to whoever is on it"


@pytest.mark.parametrize(
    "changed",
    [
        {"secret": ""},
        {"secret": "wrong"},
        {"secret": "oth3r"},
        {"at": 1_600_000_000_000_000},
        {"route": "nothing"},
        {"route": "mute"},
        {"route": "risk"},
        {"secret": "", "flyball_signature": "t=1,v1=x"},
        {"secret": "", "authorization": "Bearer d3sk"},
    ],
    ids=str,
)
def test_without_the_routes_own_fresh_signature_nothing_is_taken_or_told(told: Served, changed: dict[str, Any]) -> None:
    answer = send(told, body(), **changed)
    assert (answer.status_code, answer.json()["detail"]) == (
        401,
        "there is no valid signature: a route is known by the signature of its secret, made within five minutes",
    )
    assert notes(told) == ()


def test_a_token_is_no_signature_and_a_signature_no_token(told: Served) -> None:
    assert told.post("/hooks/desk", {"id": "1", "thread": "inc_1", "act": "acknowledge"}).status_code == 401
    raw = body()
    headers = {"flyball-signature": signature("d3sk", raw, time.time_ns() // 1000)}
    assert told.ask("POST", "/incidents/inc_1/ack", token="", body={}, headers=headers).status_code == 401


def test_who_guesses_signatures_is_counted_and_soon_answered_no_more(told: Served) -> None:
    statuses = [send(told, body(str(number)), secret="guess", peer="10.9.9.9").status_code for number in range(15)]
    assert statuses[:10] == [401] * 10
    assert set(statuses[10:]) == {429}
    assert send(told, body("right")).status_code == 200
    told.keeper.step()
    rows = eventually(lambda: told.wired.ledger.state().scan(REFUSED_ACCESS), "nothing is on record")
    assert any("10.9.9.9" in str(row) for _, row in rows)


def test_a_route_speaks_of_what_it_was_told_of_alone(told: Served) -> None:
    answer = send(told, body(), route="other", secret="oth3r")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert send(told, body(thread="inc_9")).status_code == 404
    assert send(told, body(thread="inc_")).status_code == 404


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"id": "1"}', body(extra=1), body(act="close"), body(number="")])
def test_what_is_signed_and_cannot_be_read_is_said(told: Served, raw: bytes) -> None:
    assert send(told, raw).status_code in (400, 422)
    assert notes(told) == ()


def test_a_closed_incident_is_told_to_be_closed(told: Served) -> None:
    told.happened(IncidentMoved(incident="inc_1", source=IncidentState.OPEN, target=IncidentState.CLOSED, why="a drill"))
    answer = send(told, body())
    assert (answer.status_code, answer.json()["taken"], answer.json()["why"]) == (200, False, "the incident is closed")


def pagerduty(api: Served, raw: bytes, secret: str = "s1gn") -> httpx.Response:
    signed = "v1=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return send(api, raw, route="risk", secret="", x_pagerduty_signature=signed)


def test_pagerduty_acknowledges_by_its_own_webhook_and_sends_it_as_often_as_it_likes(told: Served) -> None:
    raw = pagerduty_event("incident.acknowledged")
    assert pagerduty(told, raw).json()["taken"] is True
    assert notes(told) == ("acknowledged by route:risk: by Tenex Engineer",)
    again = pagerduty(told, raw)
    assert (again.status_code, again.json()["taken"], again.json()["why"]) == (200, False, "it was taken before")
    assert pagerduty(told, pagerduty_event("incident.escalated")).json()["why"] == "it asks for nothing"
    assert pagerduty(told, raw, "wrong").status_code == 401
    assert pagerduty(told, b'{"event": 1}').status_code == 400


def reopened(api: Served) -> None:
    api.happened(
        IncidentMoved(incident="inc_1", source=IncidentState.OPEN, target=IncidentState.MITIGATED, why="so"),
        IncidentMoved(incident="inc_1", source=IncidentState.MITIGATED, target=IncidentState.OPEN, why="again"),
    )


@pytest.mark.parametrize("lost", [False, True], ids=["a year later", "and its id is not known any more"])
def test_an_event_of_pagerdutys_is_never_of_an_incident_that_opened_again_since(
    told: Served, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    assert pagerduty(told, pagerduty_event("incident.acknowledged")).json()["taken"] is True
    idle = pagerduty_event("incident.acknowledged").replace(b"01BFRT5HMNXJRC8BTKSSZRQOZ6", b"ANOTHER")
    assert pagerduty(told, idle).json()["why"] == "it was acknowledged already"
    later = told.wired.ports.clock.now() + 365 * 86_400_000_000
    monkeypatch.setattr(told.wired.ports.clock, "now", lambda: later)
    # that another hook comes makes it forget what it may
    assert send(told, body("2"), at=later).json()["taken"] is True
    reopened(told)
    if lost:
        told.wired.ports.memory.save({"hooks/seen": None})
    before = notes(told)
    again = pagerduty(told, idle)
    why = "it is of before the incident opened again" if lost else "it was taken before"
    assert (again.json()["taken"], again.json()["why"], notes(told)) == (False, why, before)
    now = datetime.fromtimestamp(later / 1e6, UTC).isoformat().encode()
    new = idle.replace(b"ANOTHER", b"NEW").replace(b"2023-11-14T22:13:20.123Z", now)
    assert pagerduty(told, new).json()["taken"] is True


def test_what_was_told_of_an_incident_is_listed(told: Served) -> None:
    told.happened(IncidentNoted(incident="inc_1", note="x"))
    items = told.get("/incidents/inc_1/deliveries").json()["items"]
    assert [(item["route"], item["state"], item["said"]["told"]) for item in items] == [
        ("desk", "waiting", "opened"),
        ("risk", "waiting", "opened"),
    ]
    first = told.get("/incidents/inc_1/deliveries?limit=1").json()
    assert len(first["items"]) == 1
    assert told.get(f"/incidents/inc_1/deliveries?after={first['next']}").json()["items"][0]["route"] == "risk"


def test_what_was_told_of_an_incident_in_anothers_thread_is_listed_to_who_may_see_that_one(told: Served) -> None:
    joined = IncidentOpened(
        incident="inc_2", model="other", failure_mode="errors", alert="", what="errors", cause="", owner="ana", actions=("page",)
    )
    told.happened(
        joined,
        AlertQueued(route="risk", said=msgspec.structs.replace(BASE, message="msg_9", told="joined", model="demand", along=("inc_2",))),
    )
    [item] = told.get("/incidents/inc_2/deliveries").json()["items"]
    assert (item["said"]["told"], item["said"]["incident"]) == ("joined", "inc_1")
    narrow = told.token("bo", Role.VIEWER, models=("other",))
    assert told.get("/incidents/inc_2/deliveries", token=narrow).json()["items"] == []


def test_alerts_are_muted_and_heard_again(told: Served) -> None:
    answer = told.post("/models/demand/mute", {"lasts": "2h", "reason": "the depot moves"})
    assert (answer.status_code, answer.json()["monitor"]) == (200, "")
    assert answer.json()["until"] is not None
    monitors = told.get("/monitors/demand").json()
    assert [(row["monitor"], row["reason"], row["actor"]) for row in monitors["mutes"]] == [("", "the depot moves", "user:ada")]
    assert told.ask("DELETE", "/models/demand/mute", body={}).json()["until"] is None
    assert told.get("/monitors/demand").json()["mutes"] == []
    assert told.ask("DELETE", "/models/demand/mute", body={}).status_code == 409
    for wrong in (
        {"lasts": "2", "reason": "x"},
        {"lasts": "31d", "reason": "x"},
        {"lasts": "0s", "reason": "x"},
        {"lasts": "2h", "reason": " "},
    ):
        assert told.post("/models/demand/mute", wrong).status_code == 422, wrong
    missing = told.post("/models/demand/mute", {"lasts": "2h", "reason": "x", "monitor": "labels arive"})
    assert (missing.status_code, 'did you mean "labels arrive"?' in missing.json()["fix"]) == (404, True)
