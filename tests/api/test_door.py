"""Who is let in: by which token, to what, and what becomes of those who have none."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterable

import pytest

from flyball.api import gate
from flyball.api.routes import ADMIN, NOT_OFFERED, OPEN, READ, RECORD, ROUTES, SIGNED, Route
from flyball.errors import Unauthenticated
from flyball.ledger import checkpoints
from flyball.loop.authority import TABLE
from flyball.loop.local import new_secret
from flyball.records.identity import REFUSED_ACCESS, TOKENS, Role, secret_hash
from flyball.serving.problems import TooMany

from .kit import DOCUMENT, Served, eventually
from .schema import references, resolve


def filled(route: Route) -> str:
    """The route's path, for things that are not there."""
    names = {
        "model": "nothing",
        "version": "9.9.9",
        "run": "run_0",
        "rollout": "ro_0",
        "incident": "inc_0",
        "dataset": "nothing",
        "view": "nothing",
        "ref": "nothing",
        "seq": "1",
        "other": "9.9.9",
        "route": "nothing",
    }
    return route.path.format(**names, token="tok_0")


LOOKS = (READ, RECORD, ADMIN)


def test_every_route_says_what_it_needs_and_that_is_in_the_table_of_who_may_give_what() -> None:
    assert [str(route) for route in ROUTES if route.needs not in (OPEN, SIGNED, *LOOKS) and route.needs not in TABLE] == []
    assert [str(route) for route in ROUTES if route.acts and route.needs in (OPEN, *LOOKS)] == [], "a route that acts names its command"
    assert [route.path for route in ROUTES if route.needs == OPEN] == ["/health"]
    assert [route.path for route in ROUTES if route.needs == SIGNED] == ["/hooks/{route}"]
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)


def test_without_a_token_nothing_but_health_and_the_document_is_answered(api: Served) -> None:
    for place, route in enumerate(ROUTES):
        # an address each: the tenth attempt is another test
        answer = api.ask(route.method, filled(route), token="", peer=f"10.1.0.{place}")
        assert answer.status_code == (200 if route.needs == OPEN else 401), str(route)
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"] == "Bearer"
    assert api.get("/openapi.json", token="").json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("role", Role)
def test_a_route_that_acts_lets_in_the_roles_of_its_command_and_no_other(api: Served, role: Role) -> None:
    token = api.caller(role)
    for route in ROUTES:
        if route.needs not in (OPEN, SIGNED, *LOOKS):
            answer = api.ask(route.method, filled(route), token=token, body={} if route.acts else None)
            assert (answer.status_code == 403) == (role not in TABLE[route.needs].roles), f"{route} {role}: {answer.text}"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_who_may_not_see_the_tokens_is_told_so_and_not_of_a_command(api: Served, role: Role) -> None:
    answer = api.get("/tokens", token=api.caller(role))
    assert (answer.status_code, answer.json()["detail"]) == (403, "bo may not see the tokens: it takes the role admin")
    assert api.get("/tokens").status_code == 200


def test_every_role_reads(api: Served) -> None:
    for role in Role:
        token = api.caller(role)
        for path in (
            "/models",
            "/runs",
            "/rollouts",
            "/datasets",
            "/declarations",
            "/incidents",
            "/events",
            "/checkpoints",
            "/models/demand",
        ):
            assert api.get(path, token=token).status_code == 200, (role, path)


def test_a_token_of_another_scope_is_not_for_the_control_plane(api: Served) -> None:
    answer = api.get("/models", token=api.token("cy", scopes=("predict",)))
    assert (answer.status_code, answer.json()["code"]) == (403, "refused")


def test_a_token_for_some_models_sees_and_changes_those_alone(api: Served) -> None:
    other, own = api.token("dot", Role.OPERATOR, models=["price-*"]), api.token("eve", Role.OPERATOR, models=["dem*"])
    assert api.get("/models", token=other).json()["items"] == []
    assert api.get("/runs", token=other).json()["items"] == []
    assert api.get("/datasets", token=other).json()["items"] == []
    assert api.get("/models/demand", token=other).status_code == 403
    assert api.post("/rollouts", {"model": "demand", "version": "1.0.0"}, token=other).status_code == 403
    assert [row["model"] for row in api.get("/models", token=own).json()["items"]] == ["demand"]
    assert len(api.get("/datasets", token=own).json()["items"]) == 1
    assert api.post("/rollouts", {"model": "demand", "version": "1.0.0"}, token=own).status_code == 202


@pytest.mark.parametrize("path", ["/events", "/events/1", "/events/1/proof", "/checkpoints"])
def test_the_record_is_of_all_models_and_so_not_for_a_token_for_some(api: Served, path: str) -> None:
    checkpoints.sign(api.wired.ledger, api.wired.ports.signer())
    assert api.get(path, token=api.token("eve", Role.VIEWER)).status_code == 200
    refused = api.get(path, token=api.token("fay", Role.ADMIN, models=["dem*"]))
    assert (refused.status_code, "the record is of all models" in refused.json()["detail"]) == (403, True)


def test_the_record_says_who_holds_tokens_by_hash_and_tells_no_secret(api: Served) -> None:
    secret = api.token("gil", Role.SCIENTIST)
    told = api.get("/events?limit=200", token=api.token("eve", Role.VIEWER)).text
    assert secret not in told
    [made] = [one["event"] for one in json.loads(told)["items"] if one["event"].get("person") == "gil"]
    assert (made["kind"], made["hash"]) == ("token.created", secret_hash(secret))


def test_a_stream_of_the_record_is_not_for_a_token_for_some_models(api: Served) -> None:
    refused = api.get("/events", token=api.token("fay", Role.ADMIN, models=["dem*"]), headers={"Accept": "text/event-stream"})
    assert refused.status_code == 403


def test_a_revoked_token_is_refused_within_a_second(api: Served) -> None:
    api.token("gus", Role.VIEWER)
    secret = api.token("hal", Role.VIEWER)
    assert api.get("/models", token=secret).status_code == 200
    token = next(row.token for _, row in api.wired.ledger.state().scan(TOKENS) if row.person == "hal")
    assert api.ask("DELETE", f"/tokens/{token}", body={"reason": "left"}).status_code == 200
    eventually(lambda: api.get("/models", token=secret, peer="10.2.0.1").status_code == 401, "it is still taken", within_s=1.0)


def test_an_expired_token_is_refused(api: Served) -> None:
    secret = api.token("ian", Role.VIEWER, span_s=1.0)
    assert api.get("/models", token=secret).status_code == 200
    eventually(lambda: api.get("/models", token=secret, peer="10.3.0.1").status_code == 401, "it is still taken", within_s=3.0)


def test_the_eleventh_wrong_token_of_a_minute_is_told_to_wait_and_a_right_one_from_there_is_not(api: Served) -> None:
    answers = [api.get("/models", token=f"fb_{number}", peer="203.0.113.9") for number in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert answers[-1].json()["code"] == "too-many"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 6
    assert api.get("/models", peer="203.0.113.9").status_code == 200, "who shares an address with a guesser is not locked out"
    assert api.get("/models", token="fb_other", peer="203.0.113.10").status_code == 401


def test_wrong_tokens_cost_the_ledger_no_look_at_all_tokens(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    for name in ("size", "state"):
        asked = getattr(api.wired.ledger, name)
        monkeypatch.setattr(api.wired.ledger, name, lambda name=name, asked=asked: looks.append(name) or asked())

    def cost(secrets: Iterable[str], peer: str) -> Counter[str]:
        looks.clear()
        for secret in secrets:
            with pytest.raises((Unauthenticated, TooMany)):
                api.gate.caller(f"Bearer {secret}", peer)
        return Counter(looks)

    assert not cost(["", "x", "fb_x", "fb_" + "é" * 43], "10.6.0.1"), "what is no secret is not looked for"
    assert cost([new_secret() for _ in range(10)], "10.6.0.2") == {"size": 10, "state": 1}
    monkeypatch.setattr(gate, "KNOWN_S", 1000.0)
    assert not cost([new_secret() for _ in range(50)], "10.6.0.2"), "an address that has tried too often"
    secret = api.token("hal", Role.VIEWER)
    assert api.gate.caller(f"Bearer {secret}", "10.6.0.3").person == "hal"
    assert api.gate.caller(f"Bearer {secret}", "10.6.0.2").person == "hal", "a right one from there is taken all the same"


def test_who_was_turned_away_is_recorded_once_for_many(api: Served) -> None:
    for number in range(12):
        api.get("/models", token=f"fb_{number}", peer="203.0.113.9")
    api.get("/models", token="", peer="2001:db8::1")
    api.get("/models", token="", peer="2001:db8::2")
    before = api.wired.ledger.size()
    api.keeper.step()
    api.keeper.step()
    rows = dict(api.wired.ledger.state().scan(REFUSED_ACCESS))
    assert {source: row.count for source, row in rows.items()} == {"203.0.113.9": 12, "2001:db8::/64": 2}
    assert api.wired.ledger.size() == before + 2


def test_a_path_that_is_planned_is_said_to_be(api: Served) -> None:
    for first in NOT_OFFERED:
        answer = api.get(f"/{first}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        assert "does not offer" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("/nothing", "/api/v1/openapi.json lists all"),
        ("/models/demand/nothing", "/api/v1/openapi.json lists all"),
        ("/", "/api/v1/openapi.json lists all"),
        ("/modles", 'did you mean "/api/v1/models"? /api/v1/openapi.json lists all'),
        ("/modles/", 'did you mean "/api/v1/models"? /api/v1/openapi.json lists all'),
        ("/models/demand/version", 'did you mean "/api/v1/models/demand/versions"? /api/v1/openapi.json lists all'),
        ("/declarations/", "ask for /api/v1/declarations"),
        ("/models/demand/", "ask for /api/v1/models/demand"),
    ],
)
def test_a_path_with_nothing_at_it_suggests_what_is_near_and_nothing_else(api: Served, path: str, fix: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()["fix"]) == (404, fix)


def test_another_method_is_told_which_there_is(api: Served) -> None:
    answer = api.ask("PUT", "/models")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert api.ask("POST", "/openapi.json").status_code == 405


def test_the_document_names_every_route_and_every_name_in_it_means_something() -> None:
    for route in ROUTES:
        told = DOCUMENT["paths"]["/api/v1" + route.path][route.method.lower()]
        assert told["summary"].endswith(".")
        assert str(route.status) in told["responses"]
        names = {one["name"] for one in told["parameters"]}
        assert {*route.query} <= names
        # what is signed has an id of its own
        assert ("Idempotency-Key" in names) == (route.acts and route.needs != SIGNED)
        assert ("requestBody" in told) == route.acts
    operations = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(set(operations)) == len(operations)
    for ref in references(DOCUMENT):
        resolve(ref, DOCUMENT)


@pytest.mark.parametrize("size", [200_000, 3_000_000])
def test_whoever_is_refused_hears_why_whatever_they_have_sent(api: Served, size: int) -> None:
    for place, (path, token, status) in enumerate((("/models/demand/rollback", "", 401), ("/models", None, 405), ("/nothing", None, 404))):
        answer = api.ask("POST", path, token=token, content=b"x" * size, peer=f"10.4.{size % 7}.{place}")
        assert answer.status_code == status
    assert api.post("/models/demand/rollback", content=b"x" * size).status_code == (413 if size > 1 << 20 else 415)


@pytest.mark.parametrize("path", ["POST /runs", "GET /health", "GET /openapi.json", "GET /nothing", "PUT /models"])
def test_whoever_sends_half_a_body_is_answered_before_it_ends(api: Served, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(5)
        asking.connect(str(api.socket))
        method, _, place = path.partition(" ")
        asking.sendall(f"{method} /api/v1{place} HTTP/1.1\r\nHost: x\r\nFlyball-Peer: 10.5.0.1\r\nContent-Length: 10\r\n\r\nx".encode())
        assert asking.recv(12) == {"/runs": b"HTTP/1.1 401", "/nothing": b"HTTP/1.1 404", "/models": b"HTTP/1.1 405"}.get(
            place, b"HTTP/1.1 200"
        )
