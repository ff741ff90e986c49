"""Messages in the forms of those who take them, field by field as their documentation has it."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.declare.routes import Route
from flyball.incidents import inbound
from flyball.incidents.channels import alertmanager, pagerduty, slack, webhook
from flyball.incidents.channels.mail import mail
from flyball.incidents.signatures import holds, holds_pagerduty, signature
from flyball.records.deliveries import Message

T = 1_700_000_000_000_000
MINUTE = Span.parse("1m")
BASE = Message(
    message="msg_1",
    thread="inc_1",
    told="opened",
    act="trigger",
    severity="critical",
    urgent=True,
    title="m: errors",
    text="Errors in m since then. Next: flyball rollback m",
    model="m",
    owner="ana",
    since=T,
    command="flyball incidents show inc_1",
    incident="inc_1",
    alert="m/error_rate ≤ 1%/",
    failure_mode="errors",
    link="https://fb.example/api/v1/incidents/inc_1",
)


def changed(**more) -> Message:
    return msgspec.structs.replace(BASE, **more)


OVER = changed(told="mitigated", act="resolve", severity="info", message="msg_2")


def test_pagerduty_takes_a_trigger_with_the_incident_as_its_key() -> None:
    asked = pagerduty.request(BASE, Route("risk", "pagerduty", url="https://events.pagerduty.com/v2/enqueue"), "k3y", T)
    assert (asked.method, asked.url) == ("POST", "https://events.pagerduty.com/v2/enqueue")
    assert asked.headers["content-type"] == "application/json"
    assert msgspec.json.decode(asked.body) == {
        "routing_key": "k3y",
        "event_action": "trigger",
        "dedup_key": "inc_1",
        "client": "flyball",
        "client_url": "https://fb.example/api/v1/incidents/inc_1",
        "links": [{"href": "https://fb.example/api/v1/incidents/inc_1", "text": "flyball incidents show inc_1"}],
        "payload": {
            "summary": "m: errors",
            "source": "m",
            "severity": "critical",
            "timestamp": "2023-11-14T22:13:20Z",
            "component": "m",
            "group": "ana",
            "class": "errors",
            "custom_details": {
                "what": BASE.text,
                "owner": "ana",
                "incident": "inc_1",
                "alert": BASE.alert,
                "command": BASE.command,
                "message": "msg_1",
            },
        },
    }


@pytest.mark.parametrize(("told", "act"), [("acknowledged", "acknowledge"), ("mitigated", "resolve")])
def test_pagerduty_is_told_that_somebody_is_on_it_and_that_it_is_over(told: str, act: str) -> None:
    asked = pagerduty.request(changed(told=told, act=act), Route("risk", "pagerduty", url="http://x"), "k3y", T)
    assert msgspec.json.decode(asked.body) == {"routing_key": "k3y", "event_action": act, "dedup_key": "inc_1"}


def test_alertmanager_takes_an_alert_that_lasts_and_is_told_again_before_it_would_end() -> None:
    route = Route("ops", "alertmanager", url="http://am:9093/")
    asked = alertmanager.request(BASE, route, "", T)
    assert (asked.method, asked.url) == ("POST", "http://am:9093/api/v2/alerts")
    assert "authorization" not in asked.headers
    assert msgspec.json.decode(asked.body) == [
        {
            "labels": {"alertname": "FlyballIncident", "model": "m", "failure_mode": "errors", "thread": "inc_1", "severity": "critical"},
            "annotations": {"summary": "m: errors", "description": BASE.text, "owner": "ana", "command": BASE.command},
            "startsAt": "2023-11-14T22:13:20Z",
            "endsAt": "2023-11-14T22:28:20Z",
            "generatorURL": BASE.link,
        }
    ]
    assert alertmanager.EVERY < Span.parse("5m") < alertmanager.HOLDS
    assert alertmanager.request(BASE, route, "s3cret", T).headers["authorization"] == "Bearer s3cret"


def test_alertmanager_ends_the_same_alert_by_the_same_labels() -> None:
    route = Route("ops", "alertmanager", url="http://am:9093/api/v2/alerts")
    [begun] = msgspec.json.decode(alertmanager.request(BASE, route, "", T).body)
    ended = msgspec.json.decode(alertmanager.request(OVER, route, "", T + MINUTE).body)
    assert begun["labels"] in [one["labels"] for one in ended]
    assert {one["endsAt"] for one in ended} == {"2023-11-14T22:14:20Z"}
    # one that became urgent has other labels: that it was a ticket ends
    urgent, was = msgspec.json.decode(alertmanager.request(changed(told="raised"), route, "", T).body)
    assert (urgent["labels"]["severity"], was["labels"]["severity"]) == ("critical", "warning")
    assert was["endsAt"] == "2023-11-14T22:13:20Z"


def test_slack_takes_a_text_in_which_nobody_is_mentioned_and_nothing_is_marked_by_chance() -> None:
    message = changed(text="<!channel> *bold* `code` a & b", link="")
    asked = slack.request(message, Route("chat", "slack"), "https://hooks.slack.com/services/T/B/x", T)
    assert asked.url == "https://hooks.slack.com/services/T/B/x"
    text = msgspec.json.decode(asked.body)["text"]
    assert text.startswith(":red_circle: *m: errors*\n&lt;!channel&gt; ∗bold∗ ˋcodeˋ a &amp; b\n")
    assert text.endswith("owner ana · `flyball incidents show inc_1` · inc_1")
    assert msgspec.json.decode(slack.request(OVER, Route("chat", "slack", url="http://x"), "", T).body)["text"].startswith(
        ":large_green_circle:"
    )


@pytest.mark.parametrize(
    "text",
    [
        "@channel",
        "@all",
        "a@HERE",
        "~town-square",
        "[x](http://e.example)",
        "![](e.png)",
        "[x]: e.example",
        "https://e.example",
        "WWW.e.example",
    ],
)
def test_a_chat_that_reads_markdown_sees_no_mention_link_or_picture_in_what_a_caller_wrote(text: str) -> None:
    told = slack.escaped(text)
    assert told.replace("\N{ZERO WIDTH SPACE}", "") == text, "it looks the same"
    assert not re.search(r"[@~]\w|\][(\[:]|://|www\.", told, re.IGNORECASE)


def test_a_webhook_gets_the_message_signed_over_its_moment_and_its_very_bytes() -> None:
    asked = webhook.request(BASE, Route("own", "webhook", url="http://x/in"), "s3cret", T)
    wanted = hmac.new(b"s3cret", b"1700000000." + asked.body, hashlib.sha256).hexdigest()
    assert asked.headers["flyball-signature"] == f"t=1700000000,v1={wanted}"
    assert asked.headers["flyball-delivery"] == "msg_1"
    document = msgspec.json.decode(asked.body)
    assert (document["id"], document["thread"], document["act"], document["since"]) == ("msg_1", "inc_1", "trigger", "2023-11-14T22:13:20Z")
    assert document["version"] == 1


def test_an_e_mail_is_plain_text_in_the_thread_of_its_incident_and_no_text_makes_a_header() -> None:
    route = Route("desk", "email", host="mail", sender="flyball@example.com", to=("a@example.com", "b@example.com"))
    title = "m: größer\r\nBcc: eve@example.com"
    first, second = (message_from_bytes(mail(one, route).as_bytes(), policy=default) for one in (changed(title=title), OVER))
    assert first["to"] == "a@example.com, b@example.com"
    assert first["subject"] == "[critical] m: größer Bcc: eve@example.com"
    assert first["bcc"] is None
    assert first["importance"] == "high"
    assert first["references"] == second["references"]
    assert first["message-id"] == "<msg_1@flyball.invalid>"
    assert first.get_content_type() == "text/plain"
    assert BASE.text in first.get_content().replace("\r\n", "\n")


def test_the_code_of_the_page_that_verifies_a_webhook_does() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "alerts.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    asked = webhook.request(BASE, Route("own", "webhook", url="http://x/in"), "s3cret", time.time_ns() // 1000)
    assert names["is_from_flyball"](b"s3cret", asked.headers["flyball-signature"], asked.body)
    assert not names["is_from_flyball"](b"other", asked.headers["flyball-signature"], asked.body)
    old = webhook.request(BASE, Route("own", "webhook", url="http://x/in"), "s3cret", T)
    assert not names["is_from_flyball"](b"s3cret", old.headers["flyball-signature"], old.body)


@given(st.binary(max_size=200), st.integers(-600, 600))
def test_a_signature_holds_for_its_own_bytes_and_five_minutes(body: bytes, seconds: int) -> None:
    made = signature("s3cret", body, T)
    assert holds("s3cret", made, body, T + seconds * 1_000_000) == (abs(seconds) <= 300)
    assert not holds("other", made, body, T)
    assert not holds("s3cret", made, body + b"x", T)
    assert not holds("", signature("", body, T), body, T)


@pytest.mark.parametrize("header", ["", "t=1700000000", "v1=00", "t=1,t=1700000000,v1=00", "t=x,v1=y", "t=¹,v1=z", "t=-1,v1=a", "é"])
def test_a_header_of_another_form_is_no_signature(header: str) -> None:
    assert not holds("s3cret", header, b"{}", T)


def test_of_two_signatures_one_is_enough_while_a_secret_is_changed() -> None:
    old, new = (hmac.new(secret, b"{}", hashlib.sha256).hexdigest() for secret in (b"old", b"new"))
    assert holds_pagerduty("new", f"v1={old},v1={new}", b"{}")
    assert not holds_pagerduty("none", f"v1={old},v1={new}", b"{}")
    assert not holds_pagerduty("new", f"v0={new}", b"{}")
    assert not holds_pagerduty("", f"v1={hmac.new(b'', b'{}', hashlib.sha256).hexdigest()}", b"{}")


def pagerduty_event(kind: str, **data: object) -> bytes:
    agent = {"html_url": "https://acme.pagerduty.com/users/PLH1HKV", "id": "PLH1HKV", "summary": "Tenex Engineer", "type": "user_reference"}
    event = {
        "id": "01BFRT5HMNXJRC8BTKSSZRQOZ6",
        "event_type": kind,
        "resource_type": "incident",
        "occurred_at": "2023-11-14T22:13:20.123Z",
        "agent": agent,
        "client": None,
        "data": {"id": "PGR0VU2", "type": "incident", "number": 2, "incident_key": "inc_1", "title": "m: errors", **data},
    }
    return msgspec.json.encode({"event": event})


def test_pagerdutys_webhooks_are_read_as_they_are() -> None:
    heard = inbound.of_pagerduty(pagerduty_event("incident.acknowledged", status="acknowledged"))
    assert heard == inbound.Heard(
        id="01BFRT5HMNXJRC8BTKSSZRQOZ6", thread="inc_1", act="acknowledge", by="Tenex Engineer", at=1_700_000_000_123_000
    )
    assert inbound.words(heard) == "by Tenex Engineer"
    over = inbound.of_pagerduty(pagerduty_event("incident.resolved", status="resolved"))
    assert over is not None
    assert inbound.words(over) == "by Tenex Engineer; resolved outside; here it is over when that is measured"
    assert inbound.of_pagerduty(pagerduty_event("incident.triggered")) is None
    assert inbound.of_pagerduty(b'{"event": {"event_type": "pagey.ping", "id": "1", "data": {"message": "Hello", "type": "ping"}}}') is None


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"{}", b"nope", b'{"event": []}', b'{"event": {"event_type": 3}}', pagerduty_event("incident.resolved", incident_key=None)],
)
def test_what_is_no_webhook_of_pagerdutys_is_said(raw: bytes) -> None:
    with pytest.raises(ValueError):
        inbound.of_pagerduty(raw)
