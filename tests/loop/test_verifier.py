"""What the real worker served is held against the data: a planted bug is found by feature, row and class, and nothing else is."""

from __future__ import annotations

import time

import polars as pl

from .skew_kit import END, HOUR, SHOPS, Shops, rows, verified

NOON = END * 1_000_000 - 2 * HOUR


def differing(found: dict) -> set[tuple[str, str, str]]:
    return {(one["row"], one["feature"], one["skew"]) for one in found["differences"]}


def test_what_is_served_as_it_was_trained_is_equal_and_the_command_is_content(shops: Shops) -> None:
    shops.serve([*SHOPS, "nobody"], at=NOON)
    ended = shops.call("features", "verify", "shops")
    assert ended.code == 0, ended.out
    found = verified(ended)
    assert (found["rows"], found["checked"], found["equal"], found["problems"]) == (9, 27, 27, [])


def test_a_planted_five_day_window_names_exactly_the_feature_the_rows_and_the_class(shops: Shops) -> None:
    right = shops.serve(SHOPS[:4], at=NOON)
    bug = shops.serve(SHOPS, at=NOON, span="5d")
    # of a shop without sales nothing differs: five days of nothing are seven days of nothing
    same = shops.serve(["nobody"], at=NOON, span="5d")
    ended = shops.call("features", "verify")
    assert ended.code == 1
    found = verified(ended)
    assert differing(found) == {(row, "sold", "wrong") for row in bug}
    assert not {row for row, _, _ in differing(found)} & {*right, *same}
    assert [(one["feature"], one["wrong"], one["equal"]) for one in found["features"]] == [
        ("sold", 8, 5),
        ("times", 0, 13),
        ("newest", 0, 13),
    ]
    assert (found["missing"], found["extra"], found["stale"], found["unknown"]) == (0, 0, 0, 0)
    assert [one for one in found["problems"] if "another definition" in one], "and the version of the view says it too"


def test_a_store_that_was_not_materialised_for_an_hour_is_stale_and_not_wrong(shops: Shops) -> None:
    before = shops.content()
    shops.write(rows(more=40))
    assert shops.call("tick").code == 0
    late = shops.serve(SHOPS[:3], at=END * 1_000_000 + 39 * 60_000_000, content=before)
    shops.serve(SHOPS[:3], at=END * 1_000_000 + 39 * 60_000_000)
    ended = shops.call("features", "verify", "shops")
    found = verified(ended)
    assert found["stale"] > 0
    assert (found["wrong"], found["missing"], found["extra"]) == (0, 0, 0)
    assert {one["row"] for one in found["differences"]} <= set(late)
    assert ended.code == 0, "late is not wrong"


def test_a_key_that_the_store_has_lost_is_missing(shops: Shops) -> None:
    lost = shops.serve(SHOPS[:2], at=NOON, lost=SHOPS[0])
    ended = shops.call("features", "verify", "shops")
    assert ended.code == 1
    assert differing(verified(ended)) == {(lost[0], feature, "missing") for feature in ("sold", "times", "newest")}


def test_the_online_store_serves_what_training_had_is_late_by_what_it_has_not_taken_up_and_misses_what_it_lost(shops: Shops) -> None:
    later = END * 1_000_000 + 39 * 60_000_000
    shops.bring_up()
    right = shops.ask([*SHOPS, "nobody"], at=NOON)
    late = shops.ask(SHOPS, at=later)
    shops.write(rows(more=40))
    assert shops.call("tick").code == 0
    shops.bring_up()
    shops.lose(SHOPS[0])
    lost = shops.ask(SHOPS[:2], at=later)
    found = verified(shops.call("features", "verify"))
    assert (found["wrong"], found["extra"], found["unknown"], found["problems"]) == (0, 0, 0, [])
    assert {row for row, _, how in differing(found) if how == "missing"} == {lost[0]}
    stale = {row for row, _, how in differing(found) if how == "stale"}
    assert stale
    assert stale <= set(late)
    assert not {row for row, _, _ in differing(found)} & {*right, lost[1]}


def late_sale(*minutes: int) -> pl.DataFrame:
    """All sales and forty more; then sales of the first shop that happened so many minutes after these began, each of which nobody knew of before."""
    frame = rows(more=40)
    moments = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(END + 60 * minute + 30)) for minute in minutes]
    late = pl.DataFrame({"shop": SHOPS[0], "amount": 900.0, "busy": 0, "ts": moments}, schema=frame.schema)
    return pl.concat([frame, late])


def test_what_the_last_request_before_a_refresh_had_is_never_called_wrong(shops: Shops) -> None:
    """The store had gone on, the worker had not heard of it and never said so; then came another late row."""
    before = shops.content()
    shops.write(late_sale(5))
    assert shops.call("tick").code == 0
    last = shops.serve(SHOPS[:2], at=END * 1_000_000 + 39 * 60_000_000, told=before)
    shops.write(late_sale(5, 6))
    assert shops.call("tick").code == 0
    ended = shops.call("features", "verify", "shops")
    found = verified(ended)
    assert (found["wrong"], found["missing"], found["extra"], found["unknown"]) == (0, 0, 0, 0)
    assert differing(found) == {(last[0], feature, "stale") for feature in ("sold", "times")}
    assert ended.code == 0


def test_what_was_committed_long_after_a_request_excuses_no_wrong_value(shops: Shops) -> None:
    bug = shops.serve(SHOPS[:2], at=NOON, span="5d", ago_s=60)
    for minutes in ((5,), (5, 6)):
        shops.write(late_sale(*minutes))
        assert shops.call("tick").code == 0
    assert differing(verified(shops.call("features", "verify", "shops"))) == {(row, "sold", "wrong") for row in bug}
