"""Rows are pushed over HTTP: checked one by one, kept before the answer, once for each key; and read a page at a time without who they are of."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest

import flyball as fb
from flyball.api.pages import cursor
from flyball.data import manifest
from flyball.data.refresh import refresh
from flyball.data.sources.pushed import pushed_since
from flyball.declare import codec
from flyball.loop import pushing
from flyball.loop.held import Holdings
from flyball.loop.reading import Reader
from flyball.loop.tick import commit
from flyball.records.data import DATASET_VERSIONS, DATASETS, DataCollected
from flyball.records.declarations import DeclarationApplied
from flyball.records.identity import Role

from .kit import Served


def fit(X, y):
    return X, y


PAY = fb.Dataset(
    "pay", source="push://", time="at", id="id", subject="who", arrived="came",
    columns={"amount": fb.column(float, between=(0, 100)), "good": fb.column(int, known_after="1d"), "phone": fb.column(str, personal=True, nulls="100%")},
)  # fmt: skip
ROW = {"id": "a", "who": "ana", "at": "2026-01-01T00:00:00Z", "amount": 5, "phone": "+44 20 7946"}


@pytest.fixture
def pay(api: Served) -> Served:
    """The project with a model whose rows are pushed."""
    model = fb.Model("pays", task="binary", data=PAY, label="good", train=fb.Train(fit), owner="o")
    body = codec.encode(model)
    digests = codec.digests(body)
    put = api.wired.blobs.put
    api.happened(
        DeclarationApplied(
            model="pays", file="pays.py", version_digest=digests.version, policy_digest=digests.policy, gates_digest=digests.gates,
            body=put(body.encode()), code=put(b"{}"), author="ana",
        )
    )  # fmt: skip
    return api


def kept(pay: Served) -> list[str]:
    return pushed_since(PAY, 0, pay.wired.layout.push).frame["id"].to_list()


def committed(pay: Served) -> None:
    """What the loop would do."""
    wired = pay.wired
    found = refresh(PAY, wired.reader.access(None), wired.blobs, wired.ledger.state().get(DATASETS, "pay"))
    commit(wired.acting(wired.caller), found)


def test_good_rows_are_kept_and_each_bad_one_is_told(pay: Served) -> None:
    answer = pay.post(
        "/datasets/pay/rows", {"rows": [ROW, {**ROW, "id": "b", "amount": 500}, {**ROW, "id": "c", "other": 1}, {**ROW, "id": "d"}]}
    )
    assert answer.status_code == 200
    told = answer.json()
    assert (told["accepted"], told["cursor"]) == (2, 2)
    assert [(each["index"], each["code"]) for each in told["refused"]] == [(1, "bad-input"), (2, "bad-input")]
    assert "not between 0 and 100" in told["refused"][0]["detail"]
    assert kept(pay) == ["a", "d"]


def test_only_if_all_are_refused_the_request_is(pay: Served) -> None:
    answer = pay.post("/datasets/pay/rows", {"rows": [{**ROW, "amount": -1}, 7]})
    assert answer.status_code == 422
    assert [each["where"] for each in answer.json()["problems"]] == ["/rows/0", "/rows/1"]
    assert kept(pay) == []


@pytest.mark.parametrize("body", [{"rows": []}, {}, {"rows": {}}, {"row": [ROW]}, {"rows": [ROW], "more": 1}])
def test_a_body_that_is_not_rows_is_refused(pay: Served, body: object) -> None:
    assert pay.post("/datasets/pay/rows", body).status_code == 422


def test_a_key_sends_rows_once(pay: Served) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = pay.post("/datasets/pay/rows", {"rows": [ROW]}, headers=headers)
    again = pay.post("/datasets/pay/rows", {"rows": [ROW]}, headers=headers)
    assert first.json() == again.json()
    other = pay.post("/datasets/pay/rows", {"rows": [{**ROW, "id": "b"}]}, headers=headers)
    assert other.status_code == 422
    assert kept(pay) == ["a"]


def test_a_data_set_that_is_not_pushed_or_not_there_is_told(pay: Served) -> None:
    own = pay.get("/datasets").json()["items"][0]["name"]
    assert pay.post(f"/datasets/{own}/rows", {"rows": [ROW]}).status_code == 409
    missing = pay.post("/datasets/pai/rows", {"rows": [ROW]})
    assert missing.status_code == 404
    assert "pay" in missing.json()["fix"]


def test_who_only_reads_sends_nothing_and_a_token_of_another_model_neither(pay: Served) -> None:
    viewer = pay.token("vi", Role.VIEWER)
    assert pay.post("/datasets/pay/rows", {"rows": [ROW]}, token=viewer).status_code == 403
    other = pay.token("ot", Role.SCIENTIST, models=("demand",))
    assert pay.post("/datasets/pay/rows", {"rows": [ROW]}, token=other).status_code == 404
    assert pay.post("/datasets/pay/rows", {"rows": [ROW]}, token="").status_code == 401
    own = pay.token("ow", Role.SCIENTIST, models=("pays",))
    assert pay.post("/datasets/pay/rows", {"rows": [ROW]}, token=own).status_code == 200


def test_rows_of_a_version_are_paged_without_what_says_whose_they_are(pay: Served) -> None:
    pay.post("/datasets/pay/rows", {"rows": [{**ROW, "id": str(number), "at": f"2026-01-01T00:00:{number:02}Z"} for number in range(5)]})
    committed(pay)
    first = pay.get("/datasets/pay/rows?limit=3").json()
    assert [each["index"] for each in first["items"]] == [0, 1, 2]
    assert set(first["items"][0]["row"]) == {"amount", "good", "at", "came"}
    rest = pay.get(f"/datasets/pay/rows?limit=3&after={first['next']}").json()
    assert ([each["index"] for each in rest["items"]], rest["next"]) == ([3, 4], None)
    assert rest["items"][0]["row"]["at"] == "2026-01-01T00:00:03Z"
    assert pay.get("/datasets/pay/rows?version=1.0.0").status_code == 200
    assert pay.get("/datasets/pay/rows?version=7.0.0").status_code == 404
    assert pay.get("/datasets/pay/rows?after=x").status_code == 422


def test_a_page_of_rows_reads_the_chunks_that_it_shows_alone(pay: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pay.post("/datasets/pay/rows", {"rows": [{**ROW, "id": str(number), "amount": number} for number in range(4)]})
    committed(pay)
    whole, read = manifest.manifest, manifest.read
    asked: list[str] = []
    monkeypatch.setattr(manifest, "manifest", lambda *given: msgspec.structs.replace(whole(*given), chunks=whole(*given).chunks * 3))
    monkeypatch.setattr(manifest, "read", lambda *given: asked.append(given[0]) or read(*given))
    first = pay.get("/datasets/pay/rows?limit=6").json()
    assert ([each["row"]["amount"] for each in first["items"]], len(asked)) == ([0, 1, 2, 3, 0, 1], 2)
    asked.clear()
    rest = pay.get(f"/datasets/pay/rows?limit=2&after={first['next']}").json()
    assert ([(each["index"], each["row"]["amount"]) for each in rest["items"]], len(asked)) == ([(6, 2), (7, 3)], 2)
    asked.clear()
    last = pay.get(f"/datasets/pay/rows?limit=9&after={rest['next']}").json()
    assert ([each["index"] for each in last["items"]], last["next"], len(asked)) == ([8, 9, 10, 11], None, 1)


def test_a_cursor_that_nobody_gave_out_is_no_mistake_of_ours(pay: Served) -> None:
    pay.post("/datasets/pay/rows", {"rows": [ROW]})
    committed(pay)
    [content] = (version.content for _, version in pay.wired.ledger.state().scan(DATASET_VERSIONS, "pay/"))
    forged = cursor(f"{DATASET_VERSIONS.name}/{content}", "²")
    assert pay.get(f"/datasets/pay/rows?after={forged}").status_code < 500


def test_rows_that_were_let_go_are_said_to_be(pay: Served) -> None:
    pay.post("/datasets/pay/rows", {"rows": [ROW]})
    committed(pay)
    [content] = (version.content for _, version in pay.wired.ledger.state().scan(DATASET_VERSIONS, "pay/"))
    pay.happened(DataCollected(name="pay", version="1.0.0", content=content, rows=1))
    answer = pay.get("/datasets/pay/rows?version=1.0.0")
    assert (answer.status_code, "are not held any more" in answer.json()["detail"]) == (404, True)


def test_two_versions_are_compared_by_number_or_content_without_whose_rows_they_are(pay: Served) -> None:
    pay.post("/datasets/pay/rows", {"rows": [ROW]})
    committed(pay)
    pay.post("/datasets/pay/rows", {"rows": [{**ROW, "id": "b", "amount": 7}, {**ROW, "id": "c", "amount": 9}]})
    committed(pay)
    told = pay.get("/datasets/pay/diff?from=1.0.0").json()
    assert (told["before"]["rows"], told["after"]["rows"], told["rows"]["added"], told["rows"]["removed"]) == (1, 3, 2, 0)
    assert {each["column"] for each in told["columns"]} >= {"amount"}
    assert "ana" not in json.dumps(told["rows"])
    assert ROW["phone"] not in json.dumps(told)
    back = pay.get(f"/datasets/pay/diff?from={told['after']['content'][:12]}&to=1.0.0").json()
    assert (back["rows"]["added"], back["rows"]["removed"]) == (0, 2)
    assert pay.get("/datasets/pay/diff").status_code == 422
    assert pay.get("/datasets/pay/diff?from=7.0.0").status_code == 404
    assert pay.get("/datasets/pai/diff?from=1.0.0").status_code == 404
    assert pay.get("/datasets/pay/diff?from=1.0.0", token=pay.token("ot", Role.VIEWER, models=("demand",))).status_code == 404


def test_a_data_set_that_was_never_read_has_no_rows_to_show(pay: Served) -> None:
    assert pay.get("/datasets/pay/rows").status_code == 404


def test_a_request_has_so_many_rows_at_most(pay: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "MOST", 2)
    assert pay.post("/datasets/pay/rows", {"rows": [ROW] * 3}).status_code == 422


def test_a_person_is_erased_from_what_was_sent(pay: Served) -> None:
    from flyball.loop.eraser import Eraser
    from flyball.loop.erasing import decide_erase

    pay.post("/datasets/pay/rows", {"rows": [ROW, {**ROW, "id": "b", "who": "ben"}]})
    wired = pay.wired
    eraser = Eraser(wired.subjects(), wired.blobs, wired.layout)
    held = eraser.find("ana", "pay")
    assert (held.pushed, held.nothing) == (1, False)
    order = eraser.order(held, wired.subjects().make_key(), command="cmd_e", actor="user:ada", reason="request 7")
    wired.ledger.execute(order, decide_erase)
    eraser.finish(held)
    assert kept(pay) == ["b"]
    assert eraser.find("ana", "pay").nothing
    assert isinstance(wired.reader, Reader)


def test_rows_that_were_sent_and_are_in_no_version_are_exported_with_what_is_held_of_a_person(pay: Served) -> None:
    pay.post("/datasets/pay/rows", {"rows": [ROW]})
    committed(pay)
    pay.post("/datasets/pay/rows", {"rows": [{**ROW, "id": "later"}, {**ROW, "id": "b", "who": "ben"}]})
    wired = pay.wired
    found = Holdings(wired.subjects(), wired.blobs, wired.layout).of("ana", "pay", wired.ports.clock.now())
    assert [(each["row"]["id"], each["versions"]) for each in found.rows] == [("a", ["1.0.0"]), ("later", [])]


def test_a_column_that_was_of_persons_and_is_declared_no_more_is_not_shown(pay: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    pay.post("/datasets/pay/rows", {"rows": [ROW]})
    committed(pay)
    fewer = {name: column for name, column in PAY.columns.items() if name == "amount"}
    now = replace(PAY, columns=fewer)
    monkeypatch.setattr("flyball.api.rows.datasets", lambda _models: {"pay": now})
    assert set(pay.get("/datasets/pay/rows").json()["items"][0]["row"]) == {"amount", "good", "at", "came"}


def test_versions_say_where_their_rows_lie(pay: Served) -> None:
    pay.post("/datasets/pay/rows", {"rows": [ROW]})
    committed(pay)
    pay.post("/datasets/pay/rows", {"rows": [{**ROW, "id": "b"}]})
    committed(pay)
    old, new = sorted(pay.get("/datasets/pay/versions").json()["items"], key=lambda each: each["version"])
    pay.happened(DataCollected(name="pay", version=old["version"], content=old["content"], rows=1))
    gone, head = sorted(pay.get("/datasets/pay/versions").json()["items"], key=lambda each: each["version"])
    assert (old["present"], head["present"], head["collected_at"]) == (old["content"], new["content"], new["collected_at"])
    assert gone["present"] == ""
    assert old["collected_at"] is None
    assert gone["collected_at"] is not None
    refused = pay.get(f"/datasets/pay/rows?version={old['version']}")
    assert (refused.status_code, "are not held any more" in refused.json()["detail"]) == (404, True)
