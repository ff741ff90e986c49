"""Of persons: what was erased is not called right, and nothing of anybody goes into the record for good."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.clock import Span
from flyball.governance.authority import LOOP
from flyball.loop.verifying import Verifying
from flyball.records.skew import FeaturesVerified, Skew

from .skew_kit import END, HOUR, SHOPS, Shops, verified

NOON = END * 1_000_000 - 2 * HOUR
WHO = SHOPS[3]


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Shops:
    """Here a shop is a person."""
    return Shops.make(tmp_path_factory.mktemp("persons"), subject=True)


def test_the_record_names_no_value_no_key_and_no_id_that_a_caller_chose(shops: Shops) -> None:
    shops.serve(SHOPS[:2], at=NOON, span="5d")
    shops.serve([WHO], at=NOON, span="5d", ids=["ana@example.org"])
    with shops.opened() as wired:
        verifying = Verifying(wired.vectors(), wired.verifier, wired.layout.metrics("features"), every=Span.parse("5m"))
        now = wired.ports.clock.now()
        for _ in range(2):
            verifying.step(wired.acting(LOOP), now)
            assert verifying._thread is not None or verifying._made is None
            if verifying._thread is not None:
                verifying._thread.join(60)
        [event] = [one.event for one in wired.ledger.read(0, 1_000) if isinstance(one.event, FeaturesVerified)]
    assert event.wrong == 3
    assert event.examples
    for one in event.examples:
        assert (one.served, one.offline) == ("", "")
        assert one.skew == Skew.WRONG
        assert one.row == "" or one.row.startswith("p_")
    assert WHO not in str(event)
    # who may export what is held of a person may see the values; the key never
    for one in verified(shops.call("features", "verify"))["differences"]:
        assert one["key"] is None
        assert one["served"] < one["offline"]


def test_what_rested_on_erased_rows_cannot_be_told_any_more_and_what_did_not_can(shops: Shops) -> None:
    erased, other = shops.serve([WHO, SHOPS[4]], at=NOON)
    ended = shops.call("data", "erase", "--subject", WHO, "--reason", "request 12")
    assert ended.code == 0, ended.out
    found = verified(shops.call("features", "verify", "--sample", 1000))
    assert found["unknown"] >= 3
    assert not [one for one in found["differences"] if one["row"] in (erased, other)]
    with shops.opened() as wired:
        rows = [row for row in wired.vectors().read(0) if row.row in (erased, other)]
        judged = {row.row: wired.verifier().judge(row.version, [row]) for row in rows}
    assert judged[erased].count(Skew.UNKNOWN) == 3
    assert judged[other].count(Skew.EQUAL) == 3


def test_what_views_gave_a_person_is_in_what_is_held_of_them(shops: Shops) -> None:
    [own] = shops.serve([SHOPS[5]], at=NOON)
    held = shops.call("data", "export", "--subject", SHOPS[5]).document
    [prediction] = [one for one in held["predictions"] if one["id"] == own]
    assert set(prediction["features"]) == {"sold", "times", "newest"}
    assert prediction["features"]["times"] > 0


def test_a_token_without_the_right_to_disclose_sees_which_and_not_what(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    created = shops.call("token", "create", "looker", "--role", "viewer")
    assert created.code == 0, created.out
    monkeypatch.setenv("FLYBALL_TOKEN", created.document["secret"])
    shops.serve([SHOPS[6]], at=NOON, span="5d")
    found = verified(shops.call("features", "verify"))
    assert found["wrong"] > 0
    assert {(one["served"], one["offline"], one["hidden"]) for one in found["differences"]} == {(None, None, True)}


def test_a_bad_time_is_told(shops: Shops) -> None:
    ended = shops.call("features", "verify", "--since", "yesterday")
    assert ended.code == 2
    assert "--since 24h" in ended.out + ended.err
    assert shops.call("features", "verify", "nothing-like-it").code == 1


def test_in_words(shops: Shops, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from flyball.cli.main import run

    shops.serve(SHOPS[:1], at=NOON, span="5d")
    assert run(["features", "verify", "shops@1.0.0", "--project", str(shops.root)]) == 1
    told = capsys.readouterr().out
    assert "week.sold: " in told
    assert " wrong of " in told
    assert "another definition" in told
