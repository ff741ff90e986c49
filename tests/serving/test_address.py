"""Who reaches an address, in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.serving import supervisor
from flyball.serving.address import reach


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_a_loopback_address_is_reached_by_nobody_else(address: str) -> None:
    assert reach(address, 7117) == ""


@pytest.mark.parametrize(
    ("address", "where"),
    [("0.0.0.0", "every address of this one (0.0.0.0)"), ("::", "every address of this one (::)"), ("192.0.2.7", "192.0.2.7")],
)
def test_an_address_that_others_reach_is_said_to_be_one(address: str, where: str) -> None:
    assert reach(address, 7322) == f"other machines reach it on port 7322 of {where}; every caller needs a token"


@pytest.mark.parametrize(("bound", "lines"), [("127.0.0.1", 1), ("0.0.0.0", 2)])
def test_flyball_says_where_it_is_up_and_who_else_reaches_it(
    bound: str, lines: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def up_at_once(_project: Path, _env: str, *, up: object, **_options: object) -> int:
        assert callable(up)
        up(bound, 7322)
        return 0

    monkeypatch.setattr(supervisor, "supervise", up_at_once)
    assert supervisor.main(["--root", str(tmp_path), "--host", bound]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "flyball is up on http://127.0.0.1:7322   stop it with Ctrl-C"
    assert (len(told), told[1:]) == (lines, [reach(bound, 7322)] if lines > 1 else [])
