"""What keeps gateways up to date keeps on."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.api import keeper
from flyball.errors import Unavailable
from flyball.records.identity import Role

from .kit import Served, eventually


def test_gateways_hear_of_tokens_anew_whatever_another_process_has_made_of_the_file(api: Served) -> None:
    api.keeper.step()
    file = api.wired.layout.tokens
    older = file.read_bytes()
    api.token("bo", Role.VIEWER)
    api.keeper.step()
    newest = file.read_bytes()
    assert newest != older

    def mended() -> bool:
        api.keeper.step()
        return file.exists() and file.read_bytes() == newest

    for damage in (lambda: file.write_bytes(older), lambda: file.write_bytes(b"{"), file.unlink):
        damage()
        eventually(mended, "the file stays as it is", within_s=5.0)


def test_a_mistake_of_ours_does_not_end_it(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    take_over, tries = keeper.tokens.take_over, iter([True])

    def fails_once(layout: Any) -> Any:
        if next(tries, False):
            raise ZeroDivisionError("by nothing")
        return take_over(layout)

    monkeypatch.setattr(keeper.tokens, "take_over", fails_once)
    said: list[str] = []
    kept = keeper.Keeper(api.wired, api.gate.failures, said.append)
    kept.start()
    try:
        eventually(lambda: said, "it says nothing")
        api.wired.layout.tokens.unlink()
        eventually(api.wired.layout.tokens.exists, "it has ended", within_s=10.0)
    finally:
        kept.stop()
    assert said == ["put off, by a mistake of flyball's own: ZeroDivisionError: 'by nothing'"]


def test_health_is_what_the_last_look_at_the_ledger_came_to(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> int:
        raise Unavailable('connection to "db.internal" failed', why="no route", fix="start the server")

    assert api.get("/health", token="").json()["status"] == "ok"
    with monkeypatch.context() as stopped:
        stopped.setattr(api.wired.ledger, "size", broken)
        with pytest.raises(Unavailable):
            api.keeper.step()
    answer = api.get("/health", token="")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "5")
    assert "cannot use its database" in answer.json()["detail"]
    assert "db.internal" not in answer.text, "everybody may ask"
    api.keeper.step()
    assert api.get("/health", token="").status_code == 200


def test_a_ledger_that_does_not_answer_at_all_is_no_health(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    api.keeper.step()
    monkeypatch.setattr(keeper, "SILENT_S", -1.0)
    monkeypatch.setattr(api.wired.ledger, "size", lambda: pytest.fail("it is not asked for this"))
    assert api.get("/health", token="").status_code == 503
