"""What the API shows: everything that stands in the ledger, a page at a time."""

from __future__ import annotations

import threading

import httpx
import msgspec
import pytest

from flyball.api import pages
from flyball.api.asking import PREFIX
from flyball.api.shape import instants, shown
from flyball.clock import Span
from flyball.errors import BadInput
from flyball.ledger import checkpoints
from flyball.records.estimates import Estimate
from flyball.records.identity import AccessRefused, Role, TokenRow
from flyball.records.online import ViewsStatus, ViewStatus
from flyball.records.proofs import KeyRow
from flyball.records.training import RUNS, RunFailed, RunQueued, RunRow

from .kit import Served, eventually


def queued(number: int, model: str = "demand") -> RunQueued:
    return RunQueued(run=f"run_{number:04d}", model=model, trigger="manual", reason="for a test", spec="")


def test_a_project_can_be_looked_at_from_end_to_end(api: Served) -> None:
    model = api.get("/models").json()["items"][0]
    assert (model["model"], model["newest"], model["champion"], model["champion_at"]) == ("demand", "1.0.0", "", None)
    assert api.get("/models/demand").json() == model
    version = api.get("/models/demand/versions").json()["items"][0]
    assert api.get("/models/demand/versions/1.0.0").json() == version
    assert version["state"] == "eligible"
    assert api.get("/models/demand/versions/champion").status_code == 404
    verdicts = api.get("/models/demand/versions/1.0.0/verdicts").json()
    assert {one["outcome"] for one in verdicts["verdicts"]} == {"pass"}
    run = api.get(f"/runs/{version['run']}").json()
    assert (run["state"], run["model"]) == ("succeeded", "demand")
    found = run["result_of"]
    assert found["artifact"] == version["artifact"]
    assert found["cost"]["cpu_s"] > 0
    assert found["environment"]["libraries"]["scikit-learn"]
    beside = api.get("/models/demand/versions/1.0.0/compare/1.0.0").json()
    assert (beside["first"], beside["differences"]) == ("demand@1.0.0", [])
    assert {one["metric"] for one in beside["metrics"]} >= {"mae"}
    assert {(one["first"], one["second"]) for one in beside["verdicts"]} == {("pass", "pass")}
    assert api.get(f"/runs/{version['run']}/compare/{version['run']}").json()["metrics"] == beside["metrics"]
    assert api.get("/models/demand/versions/1.0.0/compare/9.9.9").status_code == 404
    log = api.get(f"/runs/{version['run']}/logs")
    assert int(log.headers["flyball-next-offset"]) == len(log.content)
    dataset = api.get("/datasets").json()["items"][0]
    versions = api.get(f"/datasets/{dataset['name']}/versions").json()["items"]
    assert versions == [dataset["head"] | {"present": dataset["head"]["content"], "collected_at": None}]
    assert api.get("/declarations").json()["items"][0]["model"] == "demand"
    assert api.get("/monitors/demand").json()["alerts"] == []
    labels = api.get("/monitors/demand").json()["labels"]
    assert (labels["span"], labels["judged"], labels["coverage"], labels["lag_p90_s"]) == ("7d", 0, None, None)


def test_a_model_says_what_of_it_waits_or_is_broken(api: Served) -> None:
    assert api.get("/models/demand").json()["waits"] == []
    api.happened(queued(9_999), RunFailed(run="run_9999", why="no rows\n    fix  more"))
    failed = {"kind": "failed", "model": "demand", "subject": "run_9999", "what": "no rows", "step": "flyball runs show run_9999"}
    assert api.get("/models/demand").json()["waits"] == [failed]
    assert api.get("/models").json()["items"][0]["waits"] == [failed]


def test_every_event_is_told_with_its_place_and_its_proof(api: Served) -> None:
    first = api.get("/events?limit=3").json()
    assert [one["seq"] for one in first["items"]] == [1, 2, 3]
    then = api.get(f"/events?limit=2&after={first['next']}").json()
    assert [one["seq"] for one in then["items"]] == [4, 5]
    assert api.get("/events/2").json() == first["items"][1]
    size = api.wired.ledger.size()
    assert api.get(f"/events?after={size}").json() == {"items": [], "next": None}
    assert api.get(f"/events/{size + 1}").status_code == 404
    assert api.get("/events/0").status_code == 404
    assert api.get("/events/x").status_code == 422
    assert api.get("/events?after=-1").status_code == 422


def test_a_checkpoint_and_a_proof_are_what_audit_gives(api: Served) -> None:
    assert api.get("/events/1/proof").status_code == 404, "nothing is signed yet"
    wired = api.wired
    signed = checkpoints.sign(wired.ledger, wired.ports.signer())
    listed = api.get("/checkpoints").json()["items"]
    assert listed == [{"size": signed.size, "note": signed.note.decode()}]
    proof = api.get("/events/1/proof").json()
    assert (proof["seq"], proof["size"], proof["checkpoint"]) == (1, signed.size, signed.note.decode())
    assert api.get(f"/checkpoints?after={signed.size}").json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ("UPDATE event SET body = CAST(body AS TEXT) WHERE seq = 1", "/events/1/proof"),
        ("UPDATE event SET body = CAST(body AS TEXT) WHERE seq = 1", "/events/1"),
        ("UPDATE event SET body = CAST(body AS TEXT) WHERE seq = 1", "/events"),
        ("UPDATE checkpoint SET note = CAST(note AS TEXT)", "/events/1/proof"),
        ("UPDATE checkpoint SET note = x'ff'", "/checkpoints"),
    ],
)
def test_what_was_changed_in_the_database_is_damage_and_no_mistake_of_ours(api: Served, change: str, path: str) -> None:
    checkpoints.sign(api.wired.ledger, api.wired.ports.signer())
    with api.wired.database.writing() as connection:
        connection.execute(change)
    answer = api.get(path)
    assert (answer.status_code, answer.json().get("code")) == (500, "corrupt"), answer.text


def test_a_list_is_read_page_by_page_and_nothing_is_left_out_or_told_twice(api: Served) -> None:
    api.happened(*(event for number in range(120) for event in (queued(number), RunFailed(run=f"run_{number:04d}", why="a test"))))
    seen: list[str] = []
    after = ""
    while True:
        page = api.get(f"/runs?limit=25{after}").json()
        assert len(page["items"]) <= 25
        seen += [one["run"] for one in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    ids = [key for key, _ in api.wired.ledger.state().scan(RUNS)]
    assert seen == sorted(ids, reverse=True)


def test_a_page_that_shows_few_of_many_ends_and_goes_on(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_LOOKED_AT", 10)
    api.happened(*(event for number in range(40) for event in (queued(number, "other"), RunFailed(run=f"run_{number:04d}", why="a test"))))
    api.happened(queued(41))
    found, after, asked = [], "", 0
    while True:
        page = api.get(f"/runs?model=demand&limit=2{after}").json()
        found += page["items"]
        asked += 1
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(found) == 2
    assert asked > 2


@pytest.mark.parametrize("text", ["000000050999999", "000000050" + "9" * 5_000, "50999999", "5_0", "\u0665\u0660", " 50", "-1", "+50", ""])
def test_a_limit_is_read_to_its_last_digit(text: str) -> None:
    with pytest.raises(BadInput, match="limit is"):
        pages.limit_of({"limit": text})
    assert pages.limit_of({"limit": "000000000000200"}) == 200


@pytest.mark.parametrize(
    "path", ["/events?after=NUMBER", "/checkpoints?after=NUMBER", "/events/NUMBER", "/events/NUMBER/proof", "/runs?limit=NUMBER"]
)
def test_a_number_that_no_machine_reads_is_refused_wherever_one_is_asked_for(api: Served, path: str) -> None:
    answer = api.get(path.replace("NUMBER", "1" * 5_000))
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-input")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "after=abc", "after=%00", "page=2", "after=cnVuCg"]
)
def test_a_query_that_means_nothing_is_refused(api: Served, query: str) -> None:
    answer = api.get(f"/runs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "bad-input")


def test_a_cursor_is_that_of_its_list_alone() -> None:
    given = pages.cursor("run", "run_1")
    assert pages.after_of({"after": given}, "run") == "run_1"
    for name, text in (("rollout", given), ("run", f"{given}="), ("run", given[1:])):
        with pytest.raises(BadInput):
            pages.after_of({"after": text}, name)


def test_times_are_told_in_utc_lengths_in_seconds_and_no_number_as_null() -> None:
    row = RunRow(run="r", model="m", trigger="manual", reason="", spec="", release=True, state="queued", queued_at=1_500_000)  # type: ignore[arg-type]
    told = shown(row)
    assert (told["queued_at"], told["ended_at"], told["attempt"]) == ("1970-01-01T00:00:01.500000Z", None, 0)
    assert [shown(Span.parse(text)) for text in ("2h", "0s", "-90s", "1500ms")] == ["7200s", "0s", "-90s", "1.5s"]
    assert shown(Estimate(value=float("nan")))["value"] is None
    assert shown(AccessRefused(source="a", count=1, since=1, until=2, why=""))["kind"] == "access.refused"
    assert instants(TokenRow) == {"created_at", "expires_at", "revoked_at"}
    assert instants(KeyRow) == {"added_at"}, "an event's number is no moment"


def stream(api: Served, lines: list[str], *, token: str, **headers: str) -> None:
    given = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", **headers}
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(api.socket)), base_url="http://flyball", timeout=30)
    with client, client.stream("GET", f"{PREFIX}/events?after=0", headers=given) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines += response.iter_lines()


def ids(lines: list[str]) -> list[int]:
    return [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]


def test_events_are_streamed_as_they_happen_until_the_token_is_revoked(api: Served) -> None:
    body = api.post("/tokens", {"person": "tim", "roles": ["viewer"]}).json()
    size, lines = api.wired.ledger.size(), []
    listening = threading.Thread(target=stream, args=(api, lines), kwargs={"token": body["secret"], "Last-Event-ID": str(size - 1)})
    listening.start()
    eventually(lambda: ids(lines) == [size], "the last event before is not told")
    api.happened(queued(1))
    eventually(lambda: ids(lines) == [size, size + 1], "what happened is not told", within_s=2)
    assert "event: run.queued" in lines
    assert api.ask("DELETE", f"/tokens/{body['token']}", body={"reason": "left"}).status_code == 200
    listening.join(timeout=5)
    assert not listening.is_alive(), "who is not let in any more hears nothing more"


def test_a_view_is_shown_as_the_loop_saw_it_last_and_only_to_whom_its_models_are_for(api):
    def status(view, models):
        return ViewStatus(
            view=view, digest="0" * 16, data="town", entity=(), features=("demand_now",), ttl=None, owner="", models=models, state="live",
            content="c" * 64, rows=3, as_of=1, made_at=2, newest="c" * 64, lag=0,
        )  # fmt: skip

    assert api.get("/features/recent").status_code == 404
    told = ViewsStatus((status("other", ("another",)), status("recent", ("demand",))))
    api.wired.layout.views.write_bytes(msgspec.json.encode(told))
    found = api.get("/features/recent").json()
    assert found["definitions"][0]["state"] == "live"
    assert found["definitions"][0]["models"] == ["demand"]
    own = api.token("bo", Role.VIEWER, models=("demand",))
    assert api.get("/features/recent", token=own).status_code == 200
    refused = api.get("/features/other", token=own)
    assert (refused.status_code, "other" in refused.json()["fix"]) == (404, False)


def test_versions_are_searched(api: Served) -> None:
    assert [row["version"] for row in api.get("/models/demand/versions?search=mae%3E0%20state%3Deligible").json()["items"]] == ["1.0.0"]
    assert api.get("/models/demand/versions?search=mae%3E1e9").json()["items"] == []
    refused = api.get("/models/demand/versions?search=acuracy%3E0.7")
    assert (refused.status_code, "accuracy" in refused.json()["fix"]) == (422, True), refused.text


@pytest.mark.parametrize("what", ["runs", "rollouts", "incidents"])
def test_a_token_for_another_model_is_told_no_id_of_what_it_may_not_see(api: Served, what: str) -> None:
    stranger = api.token("elsewhere", Role.VIEWER, models=("nothing-here",))
    ids = [one[what[:-1]] for one in api.get(f"/{what}").json()["items"]]
    told = api.get(f"/{what}/nosuch", token=stranger)
    assert told.status_code == 404
    assert not [one for one in ids if one in told.text]
    if what == "runs":
        assert ids
        assert api.get(f"/runs/{ids[0][-4:]}", token=stranger).status_code == 404, "nor is it found by its end"
