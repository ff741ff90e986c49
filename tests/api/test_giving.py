"""What the API does: the commands of the command line, in the caller's name, each answered with its event."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec import msgpack

from flyball.api import idempotency
from flyball.loop import lookup
from flyball.records.base import Event
from flyball.records.identity import TOKENS, Role, TokenCreated
from flyball.records.incidents import IncidentOpened
from flyball.records.rollouts import RolloutPlanned
from flyball.records.training import RunCancelled, RunQueued
from flyball.records.versions import ChampionChanged
from flyball.serving import wal

from .kit import Served


def event(api: Served, seq: int) -> Event:
    return next(iter(api.wired.ledger.read(seq - 1, 1))).event


def actor(api: Served, seq: int) -> str:
    return next(iter(api.wired.ledger.read(seq - 1, 1))).actor


def champions(api: Served) -> None:
    """Let 1.0.0 be the champion that took over from 0.9.0."""
    changed = [
        ChampionChanged(model="demand", version="1.0.0", former=former, rollback=False, reason="it was tested") for former in ("", "1.0.0")
    ]
    api.happened(*changed)


def opened(api: Served, incident: str = "inc_1") -> None:
    api.happened(
        IncidentOpened(
            incident=incident, model="demand", failure_mode="errors", alert="", what="errors", cause="", owner="you", actions=("rollback",)
        )
    )


def test_a_run_is_queued_followed_and_cancelled(api: Served) -> None:
    ana = api.caller(Role.SCIENTIST, person="ana")
    asked = api.post("/runs", {"model": "demand", "trials": 0, "parameters": {"max_depth": 3}}, token=ana)
    assert asked.status_code == 202
    run = asked.json()["run"]
    queued = event(api, asked.json()["event"])
    assert isinstance(queued, RunQueued)
    assert (queued.run, queued.reason, actor(api, asked.json()["event"])) == (run, "asked for by user:ana", "user:ana")
    assert asked.headers["location"] == f"/api/v1/runs/{run}"
    assert api.get(f"/runs/{run}").json()["state"] == "queued"
    assert api.get(f"/runs/{run}/logs").text == ""
    again = api.post("/runs", {"model": "demand"}, token=ana)
    assert (again.status_code, again.json()["code"], again.headers["retry-after"]) == (409, "busy", "10")
    cancelled = api.ask("DELETE", f"/runs/{run}", body={"reason": "a mistake"}, token=ana)
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    ended = event(api, cancelled.json()["event"])
    assert isinstance(ended, RunCancelled)
    assert ended.reason == "a mistake"
    assert api.ask("DELETE", f"/runs/{run}", token=ana).status_code == 409


def test_a_run_is_asked_for_again_as_it_was_and_alone(api: Served) -> None:
    ana = api.caller(Role.SCIENTIST, person="ana")
    made = api.get("/runs?model=demand").json()["items"][-1]["run"]
    before = api.wired.ports.library.spec(lookup.run(api.wired.ledger.state(), made).spec)
    refused = api.post("/runs", {"model": "demand", "reproduce": made, "trials": 3}, token=ana)
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-input")
    asked = api.post("/runs", {"model": "demand", "reproduce": made}, token=ana)
    assert asked.status_code == 202, asked.text
    row = lookup.run(api.wired.ledger.state(), asked.json()["run"])
    assert (row.trigger, row.release, row.reason) == ("reproduction", False, f"{made} is made again for user:ana")
    spec = api.wired.ports.library.spec(row.spec)
    assert (spec.reproduces, spec.champion) == (made, "")
    assert (spec.code, spec.datasets, spec.as_of, spec.seed) == (before.code, before.datasets, before.as_of, before.seed)
    assert api.post("/runs", {"model": "demand", "reproduce": "run_none"}, token=ana).status_code == 404


def test_a_hyperparameter_that_was_misspelt_is_not_trained_with(api: Served) -> None:
    answer = api.post("/runs", {"model": "demand", "parameters": {"max_dept": 3}})
    assert (answer.status_code, answer.json()["fix"]) == (422, 'did you mean "max_depth"?')


def test_a_release_is_steered_to_its_end(api: Served) -> None:
    bo = api.caller(Role.OPERATOR)
    released = api.post("/rollouts", {"model": "demand", "version": "1.0.0", "reason": "it is better"}, token=bo)
    assert released.status_code == 202
    rollout = released.json()["rollout"]
    assert released.headers["location"] == f"/api/v1/rollouts/{rollout}"
    planned = [one.event for one in api.wired.ledger.read(0, 1000) if isinstance(one.event, RolloutPlanned)]
    assert [(one.rollout, one.reason) for one in planned] == [(rollout, "it is better")]
    shown = api.get(f"/rollouts/{rollout}").json()
    assert (shown["rollout"]["version"], shown["counts"]["baked"]) == ("1.0.0", "0s")
    assert api.post(f"/rollouts/{rollout}/resume", token=bo).status_code == 409
    assert api.post("/rollouts", {"model": "demand", "version": "1.0.0"}, token=bo).status_code == 409
    aborted = api.post(f"/rollouts/{rollout}/abort", {"reason": "no"}, token=bo)
    assert (aborted.status_code, aborted.json()["from"]) == (200, shown["rollout"]["state"])
    assert api.get("/rollouts?model=demand").json()["items"][0]["rollout"] == rollout
    assert api.get("/models/demand").json()["former"] == ""


def test_a_release_outside_the_change_window_needs_a_reason_and_is_recorded_as_such(api: Served) -> None:
    bo, wanted = api.caller(Role.OPERATOR), {"model": "demand", "version": "1.0.0", "outside_window": True}
    refused = api.post("/rollouts", wanted, token=bo)
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "a release outside the change window needs a reason: it is recorded under your name",
    )
    released = api.post("/rollouts", wanted | {"reason": "callers get errors"}, token=bo).json()
    assert api.get(f"/rollouts/{released['rollout']}").json()["rollout"]["outside_window"] is True


def test_a_version_that_is_not_there_is_not_released(api: Served) -> None:
    answer = api.post("/rollouts", {"model": "demand", "version": "1.0.1"})
    assert (answer.status_code, answer.json()["fix"]) == (404, 'versions: did you mean "1.0.0"?')
    assert api.post("/rollouts", {"model": "demand", "version": ""}).status_code == 422
    assert api.post("/rollouts", {"model": "demnd", "version": "1.0.0"}).json()["fix"] == 'models: did you mean "demand"?'


def test_a_complaint_is_opened_ended_and_reviewed_by_the_form_and_told_with_its_timeline(api: Served) -> None:
    unknown = api.post("/incidents", {"model": "demand", "what": "the harbour is wrong", "request": "abc"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not-found"), "no answer of that id is in the log"
    writer = wal.Writer(api.wired.layout.log, "g0", reserve_bytes=0)
    assert writer.append([wal.frame("refused", "abc", version="demand", rows=1, marks={"why": "missing hour"})])
    writer.close()
    made = api.post("/incidents", {"model": "demand", "what": "the harbour is wrong", "request": "abc"})
    assert made.status_code == 201, made.json()
    incident = made.json()["incident"]
    assert (made.json()["about"]["status"], made.json()["about"]["why"]) == ("refused", "missing hour")
    assert made.headers["location"] == f"/api/v1/incidents/{incident}"
    assert api.post("/incidents", {"model": "demand", "what": " "}).status_code == 422
    assert api.post("/incidents", {"model": "nothing", "what": "x"}).status_code == 404
    assert api.post(f"/incidents/{incident}/review", {"text": "x"}).status_code == 409, "it is not over"
    assert api.post(f"/incidents/{incident}/mitigated", {"reason": "the clock is right again"}).json()["state"] == "mitigated"
    form = {"what": "a clock was wrong", "why": "nobody looked", "actions": [{"what": "a contract", "owner": "ada", "due": "14d"}]}
    assert (
        api.post(f"/incidents/{incident}/review", form | {"actions": [{"what": "a contract", "owner": "", "due": "14d"}]}).status_code
        == 422
    )
    assert api.post(f"/incidents/{incident}/review", form).json()["state"] == "reviewed"
    told = api.get(f"/incidents/{incident}").json()
    assert told["about"] == made.json()["about"]
    assert (told["request"], told["review"]["what"], told["review"]["actions"][0]["owner"]) == ("abc", "a clock was wrong", "ada")
    texts = [moment["text"] for moment in told["timeline"]["moments"]]
    assert any("complaint: the harbour is wrong" in text for text in texts)
    assert any(text == f"reviewed    {incident}: a clock was wrong" for text in texts)
    refused = api.post(f"/incidents/{incident}/fallback")
    assert (refused.status_code, f"{incident} is reviewed" in refused.json()["detail"]) == (409, True)


def test_an_incident_is_acknowledged_and_closed_with_a_reason(api: Served) -> None:
    opened(api)
    assert api.get("/incidents?state=open&model=demand").json()["items"][0]["incident"] == "inc_1"
    assert api.get("/incidents?model=other").json()["items"] == []
    assert api.get("/incidents?state=opne").status_code == 422
    assert api.get("/monitors/demand").json()["incidents"] == ["inc_1"]
    acknowledged = api.post("/incidents/inc_1/ack", {"reason": "looking"})
    assert acknowledged.status_code == 200
    assert "acknowledged by user:ada: looking" in api.get("/incidents/inc_1").json()["notes"]
    assert api.post("/incidents/inc_1/resolve", {}).status_code == 422
    assert api.post("/incidents/inc_1/review", {"text": " "}).status_code == 422
    closed = api.post("/incidents/inc_1/resolve", {"reason": "a test"})
    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    assert api.post("/incidents/inc_1/resolve", {"reason": "again"}).status_code == 409
    assert api.post("/incidents/inc_2/ack").json()["fix"] == 'incidents: did you mean "inc_1"?'


def test_an_incident_of_errors_says_what_was_raised_and_not_what_was_said(api: Served) -> None:
    writer = wal.Writer(api.wired.layout.log, "g7", reserve_bytes=0)
    row, why = msgpack.encode([[8, 1, 19.5]]), 'model "demand" failed to predict 1 rows: KeyError: secret'
    frame = wal.frame(
        "answer", "bad", picked_ns=time.monotonic_ns(), version="demand@1.0.0", status="error", rows=1, packed_input=row, marks={"why": why}
    )
    assert writer.append([writer.declare("demand@1.0.0", ["hour", "weekday", "temperature"]), frame])
    writer.close()
    opened(api)
    answer = api.get("/incidents/inc_1")
    found = answer.json()["raised"]
    assert found["classes"] == [{"what": "KeyError", "requests": 1}]
    assert (found["requests"], found["more"], found["cut"]) == (1, 0, False)
    assert "secret" not in answer.text


def test_a_rollback_needs_somebody_to_go_back_to(api: Served) -> None:
    answer = api.post("/models/demand/rollback", {"reason": "worse"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


def test_what_the_loop_files_declare_is_applied(api: Served, root: Path) -> None:
    before = api.post("/declarations")
    assert before.status_code == 200
    assert [(one["model"], one["changed"], before.json()["event"]) for one in before.json()["models"]] == [("demand", [], 0)]
    loop = root / "loop.py"
    loop.write_text(loop.read_text().replace('owner="you"', 'owner="they"'))
    changed = api.post("/declarations").json()
    assert changed["models"][0]["changed"] == ["policy", "code"]
    assert changed["event"] > 0
    assert api.get("/models/demand").json()["owner"] == "they"
    (root / "loop.py").write_text("x = (")
    broken = api.post("/declarations").json()
    assert (broken["models"], broken["broken"][0]["file"], broken["gone"]) == ([], "loop.py", [])


def test_a_verdict_needs_an_approver_a_reason_and_a_gate_that_waits_for_one(api: Served) -> None:
    path = "/models/demand/versions/1.0.0/verdicts"
    amy = api.caller(Role.APPROVER, person="amy")
    assert api.post(path, {"verdict": "approve", "reason": "fine"}).status_code == 403, "an admin is no approver"
    assert api.post(path, {"verdict": "approve", "reason": ""}, token=amy).status_code == 422
    assert api.post(path, {"verdict": "maybe", "reason": "fine"}, token=amy).status_code == 422
    assert api.post(path, {"verdict": "approve", "reason": "fine"}, token=amy).status_code == 409
    rejected = api.post(path, {"verdict": "reject", "reason": "it was trained on the wrong year"}, token=amy)
    assert (rejected.status_code, rejected.json()["state"]) == (200, "rejected")
    verdicts = api.get(path).json()
    assert verdicts["state"] == "rejected"
    assert any("wrong year" in one["why"] for one in verdicts["verdicts"])


def test_a_waiver_names_a_gate_that_did_not_pass_and_is_not_an_authors(api: Served) -> None:
    path = "/models/demand/versions/1.0.0/verdicts"
    amy, sam = api.caller(Role.APPROVER, person="amy"), api.caller(Role.SCIENTIST, person="sam")
    waive = {"verdict": "waive", "reason": "a dear week", "gate": "mae <= baseline", "until": "7d"}
    assert api.post(path, waive, token=sam).status_code == 403, "a scientist waives nothing"
    assert api.post(path, waive | {"gate": ""}, token=amy).status_code == 422
    assert api.post(path, waive | {"until": "soon"}, token=amy).status_code == 422
    assert api.post(path, {"verdict": "approve", "reason": "fine", "until": "7d"}, token=amy).status_code == 422, "a yes has no end"
    assert api.post(path, waive | {"gate": "no gate of it"}, token=amy).status_code == 404
    [gate, *_] = [one["check"] for one in api.get(path).json()["verdicts"] if one["outcome"] == "pass"]
    passes = api.post(path, waive | {"gate": gate}, token=amy)
    assert (passes.status_code, "nothing to waive" in passes.json()["detail"]) == (409, True), passes.text


def test_a_version_is_advised_against_quarantined_let_out_and_noted(api: Served) -> None:
    path = "/models/demand/versions/1.0.0"
    assert api.post(f"{path}/quarantine", {}).status_code == 422, "a reason is asked for"
    judged = api.post(f"{path}/judging", {"reason": "to be sure"})
    assert (judged.status_code, "have judged demand@1.0.0" in judged.json()["detail"]) == (409, True)
    advised = api.post(f"{path}/deprecation", {"reason": "its window is too long"}).json()
    assert (advised["state"], advised["deprecated"]) == ("eligible", "its window is too long")
    assert api.get(path).json()["deprecated"] == "its window is too long"
    assert api.ask("DELETE", f"{path}/deprecation", body={"reason": "fine"}).json()["deprecated"] == ""
    assert api.ask("DELETE", path, body={"reason": "x"}).status_code == 403, "it may be released"
    assert api.post(f"{path}/quarantine", {"reason": "wrong labels"}).json()["state"] == "quarantined"
    refused = api.post("/rollouts", {"model": "demand", "version": "1.0.0"})
    assert (refused.status_code, "quarantine" in refused.json()["detail"]) == (403, True)
    assert api.ask("DELETE", f"{path}/quarantine", body={"reason": "they were right"}).json()["state"] == "eligible"
    noted = api.ask("PATCH", path, body={"notes": ["low on holidays", "high in snow"], "tags": {"region": "eu", "old": ""}}).json()
    assert [each["text"] for each in noted["known"]] == ["low on holidays", "high in snow"]
    changed = api.ask("PATCH", path, body={"notes": ["high in snow"], "tags": {"old": None}}).json()
    assert ([each["text"] for each in changed["known"]], changed["tags"]) == (["high in snow"], {"region": "eu"})
    assert api.ask("PATCH", path, body={"tags": {"a b": ""}}).status_code == 422
    assert api.ask("PATCH", path, body={"state": "eligible"}).status_code in (400, 422), "a state is no note"
    assert [each["text"] for each in api.get(path).json()["known"]] == ["high in snow"]


def test_a_token_is_made_told_once_used_and_taken_back(api: Served) -> None:
    made = api.post("/tokens", {"person": "kim", "jobs": ["mlops-engineer"], "models": ["demand"], "expires_in": "90d"})
    assert made.status_code == 201
    token, secret = made.json()["token"], made.json()["secret"]
    assert made.headers["location"] == f"/api/v1/tokens/{token}"
    created = event(api, made.json()["event"])
    assert isinstance(created, TokenCreated)
    assert secret not in str(created)
    assert api.get("/models/demand", token=secret).status_code == 200
    listed = api.get("/tokens").json()["items"][0]
    assert (listed["token"], listed["person"], listed["roles"], "hash" in listed) == (token, "kim", ["scientist", "operator"], False)
    assert api.ask("DELETE", f"/tokens/{token}").status_code == 422, "without a reason"
    assert api.ask("DELETE", f"/tokens/{token}", body={"reason": "left"}).status_code == 200
    for wrong in ({"person": "kim"}, {"person": "kim", "roles": ["boss"]}, {"person": "a b", "roles": ["viewer"]}):
        assert api.post("/tokens", wrong).status_code == 422
    for span, says in (("soon", "is not a time span"), ("9" * 400 + "d", "at most 104249d"), ("104000d", "from now: until the year 2255")):
        refused = api.post("/tokens", {"person": "kim", "roles": ["viewer"], "expires_in": span})
        assert (refused.status_code, says in refused.json()["detail"]) == (422, True), refused.text


def test_a_command_that_came_before_is_the_same_command(api: Served) -> None:
    body, headers = {"model": "demand", "trials": 0}, {"Idempotency-Key": "train-monday"}
    first = api.post("/runs", body, headers=headers)
    again = api.post("/runs", body, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"]) == (202, first.json(), first.headers["location"])
    other = api.post("/runs", {"model": "demand", "trials": 1}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    elsewhere = api.ask("DELETE", f"/runs/{first.json()['run']}", headers=headers)
    assert elsewhere.status_code == 422, "a key names a request, not a body alone"
    stranger = api.post("/runs", body, headers=headers, token=api.caller(Role.SCIENTIST, person="zoe"))
    assert (stranger.status_code, stranger.json()["code"]) == (409, "busy"), "keys of two callers do not meet"
    assert api.post("/runs", body, headers={"Idempotency-Key": ""}).status_code == 422


def test_a_key_whose_first_answer_is_forgotten_is_not_taken_for_the_first_request(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [api.post("/tokens", {"person": person, "roles": ["viewer"]}).json()["token"] for person in ("kim", "lea")]
    monkeypatch.setattr(idempotency, "KEPT_FOR", 0)
    headers, body = {"Idempotency-Key": "leaves"}, {"reason": "left"}
    first, other = (api.ask("DELETE", f"/tokens/{token}", body=body, headers=headers) for token in ids)
    assert first.status_code == 200
    assert (other.status_code, other.json()["code"]) == (422, "key-reused"), "nobody is told that it was done"
    rows = dict(api.wired.ledger.state().scan(TOKENS))
    assert rows[ids[0]].revoked_at
    assert not rows[ids[1]].revoked_at
    again = api.ask("DELETE", f"/tokens/{ids[0]}", body=body, headers=headers)
    assert (again.status_code, again.json()["event"]) == (200, first.json()["event"]), "the same request is the same command"


def test_what_was_refused_is_decided_again_with_the_same_key(api: Served) -> None:
    headers = {"Idempotency-Key": "release-1"}
    assert api.post("/rollouts", {"model": "demand", "version": "3.0.0"}, headers=headers).status_code == 404
    assert api.post("/rollouts", {"model": "demand", "version": "1.0.0"}, headers=headers).status_code == 202
    assert api.post("/rollouts", {"model": "demand", "version": "1.0.0"}, headers=headers).status_code == 202


def test_a_secret_is_not_told_again(api: Served) -> None:
    body, headers = {"person": "kim", "roles": ["viewer"]}, {"Idempotency-Key": "for-kim"}
    made, again = api.post("/tokens", body, headers=headers).json(), api.post("/tokens", body, headers=headers).json()
    assert made["secret"]
    assert again == made | {"secret": None}
    secret = made["secret"].encode()
    assert [path for path in api.wired.layout.root.glob("ledger.db*") if secret in path.read_bytes()] == []


UNREADABLE: list[tuple[bytes, dict[str, str], int, str]] = [
    (b"{", {}, 400, "unparsable"),
    (b"\xff\xfe", {}, 400, "unparsable"),
    (b'{"reason": "\\ud800"}', {}, 400, "unparsable"),
    (b"[" * 100_000, {}, 422, "bad-input"),
    (b"[]", {}, 422, "bad-input"),
    (b'{"reason": 1}', {}, 422, "bad-input"),
    (b'{"reason": "x", "reson": "y"}', {}, 422, "bad-input"),
    (json.dumps({"reason": "x" * 2_001}).encode(), {}, 422, "bad-input"),
    (b'{"reason": "x"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, "not-plain"),
    (gzip.compress(b'{"reason": "x"}', mtime=0), {"Content-Encoding": "gzip"}, 415, "not-plain"),
    (b" " * (1 << 20) + b"{}", {}, 413, "too-large"),
]


@pytest.mark.parametrize(("body", "headers", "status", "code"), UNREADABLE)
def test_a_body_that_cannot_be_taken_is_refused_for_what_it_is(
    api: Served, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    size = api.wired.ledger.size()
    answer = api.ask("POST", "/models/demand/rollback", content=body, headers={"Content-Type": "application/json"} | headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert api.wired.ledger.size() == size


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/models/demand/rollback", b'{"reason": "x", "reason": "y"}', "reason"),
        ("/models/demand/rollback", b'{"reason": "x", "re\\u0061son": "x"}', "reason"),
        ("/runs", b'{"model": "demand", "parameters": {"trees": 1, "trees": 900}}', "trees"),
    ],
)
def test_a_name_that_is_given_twice_is_refused_at_any_depth(api: Served, path: str, body: bytes, name: str) -> None:
    size = api.wired.ledger.size()
    answer = api.ask("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "unparsable")
    assert f'"{name}" twice' in answer.json()["detail"]
    assert api.wired.ledger.size() == size


def test_a_refused_field_is_named_with_the_one_that_was_meant(api: Served) -> None:
    answer: dict[str, Any] = api.post("/runs", {"model": "demand", "trails": 3}).json()
    assert [(one["where"], one["fix"].partition("?")[0]) for one in answer["problems"]] == [("/trails", 'did you mean "trials"')]
