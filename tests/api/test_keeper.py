"""What keeps gateways up to date keeps on."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.api import keeper
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
