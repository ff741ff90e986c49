"""Views get into the store whole, by what was added, or from a moment on; a kill in between costs nothing but the time."""

from __future__ import annotations

import msgspec
import polars as pl
import pytest

import flyball as fb
from flyball.errors import Conflict, Unavailable
from flyball.features.online.form import entity
from flyball.features.online.materialise import At, Version, add, added, backfill, fill, filling, live
from flyball.features.online.plan import TILES, plan
from flyball.features.online.progress import kept_from, packed

ROWS = [("x" if t % 3 else "y", t, t, float(t), t % 4, 0.5 * t, "p", t % 2 == 0) for t in range(40)]
LATER = 10**15


class Killed(BaseException):
    """What ends a writer in the middle."""


def stop(done, _of):
    if done == 4:
        raise Killed


def values(kit, online, view, store, moment, keys=("x", "y")):
    got = online(view, store).values(kit.asked(view, list(keys), [moment] * len(keys), [moment] * len(keys)))
    return [got.row(place, named=True) for place in range(len(keys))]


def expected(kit, view, rows, moment, keys=("x", "y")):
    return [kit.expected(view, rows, key, moment, moment) for key in keys]


def test_a_view_that_was_filled_is_read_as_it_is_defined(kit, store, online):
    view = kit.view()
    at = fill(store, plan(view), Version("one", kit.frame(ROWS)), LATER)
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)
    assert (at.progress.content, at.progress.rows, at.progress.whole) == ("one", 40, True)
    assert at.progress.as_of == 39 * kit.S
    assert live(store, plan(view)) == at
    assert filling(store, plan(view)) is None


def test_what_was_added_gives_the_same_as_filling_all(kit, store, online):
    view = kit.view()
    at = fill(store, plan(view), Version("one", kit.frame(ROWS[:25])), LATER)
    for start in range(25, 40, 5):
        more = Version(f"upto {start}", kit.frame(ROWS[start : start + 5]))
        at = add(store, plan(view), at, more, LATER, rows=start + 5)
    assert values(kit, online, view, store, 42) == expected(kit, view, ROWS, 42)
    assert at.progress.content == "upto 35"
    assert (at.progress.rows, at.progress.next) == (40, 40)


def test_whoever_adds_to_what_another_has_changed_is_refused(kit, store):
    view = kit.view()
    at = fill(store, plan(view), Version("one", kit.frame(ROWS[:25])), LATER)
    add(store, plan(view), at, Version("two", kit.frame(ROWS[25:])), LATER, rows=40)
    with pytest.raises(Conflict):
        add(store, plan(view), at, Version("two", kit.frame(ROWS[25:])), LATER, rows=40)


def test_a_fill_that_was_broken_off_goes_on_where_it_was(kit, store, online, monkeypatch):
    monkeypatch.setattr("flyball.features.online.materialise.ENTITIES", 2)
    view = kit.view()
    rows = [(f"k{number}", number, number, 1.0, 1, 1.0, "p", True) for number in range(9)]
    version = Version("one", kit.frame(rows))

    with pytest.raises(Killed):
        fill(store, plan(view), version, LATER, stop)
    with pytest.raises(Unavailable):
        values(kit, online, view, store, 9, ["k0"])
    steps = []
    fill(store, plan(view), version, LATER, lambda done, of: steps.append((done, of)))
    assert steps == [(6, 9), (8, 9), (9, 9)]
    keys = [f"k{number}" for number in range(9)]
    assert values(kit, online, view, store, 9, keys) == expected(kit, view, rows, 9, keys)


def test_a_fill_of_another_version_begins_anew_and_the_old_values_are_read_until_it_is_whole(kit, store, online, monkeypatch):
    monkeypatch.setattr("flyball.features.online.materialise.ENTITIES", 1)
    view = kit.view()
    fill(store, plan(view), Version("one", kit.frame(ROWS[:20])), LATER)
    before = values(kit, online, view, store, 45)
    seen = []

    def look(_done, _of):
        seen.append(values(kit, online, view, store, 45))

    fill(store, plan(view), Version("two", kit.frame(ROWS)), LATER, look)
    assert seen == [before, before]
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)
    assert len(store.generations()) == 1


def test_a_backfill_makes_anew_what_lies_from_its_moment_on(kit, store, online):
    view = kit.view()
    rows = [(key, t, arrived, None, *rest) for key, t, arrived, _, *rest in ROWS]
    at = fill(store, plan(view), Version("one", kit.frame([*ROWS[:30], *rows[30:]])), LATER)
    backfill(store, plan(view), at, Version("one", kit.frame(ROWS)), 30 * kit.S, LATER)
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)


@pytest.mark.parametrize(("most", "steps"), [(100, [4]), (7, [2, 3, 4]), (6, [2, 3, 4]), (5, [1, 2, 3, 4]), (1, [1, 2, 3, 4])])
def test_entities_of_many_rows_are_filled_a_few_at_a_time(kit, store, online, monkeypatch, most, steps):
    monkeypatch.setattr("flyball.features.online.materialise.ROWS", most)
    view = kit.view()
    rows = [(key, t, t, 1.0, 1, 1.0, "p", True) for key, count in (("a", 3), ("b", 3), ("c", 9), ("d", 1)) for t in range(count)]
    version, done = Version("one", kit.frame(rows)), []
    at = fill(store, plan(view), version, LATER, lambda upto, _of: done.append(upto))
    assert done == steps
    done.clear()
    backfill(store, plan(view), at, version, 0, LATER, lambda upto, _of: done.append(upto))
    assert done == steps
    assert values(kit, online, view, store, 9, ["a", "b", "c", "d"]) == expected(kit, view, rows, 9, ["a", "b", "c", "d"])


def test_a_backfill_that_was_broken_off_goes_on_where_it_was(kit, store, online, monkeypatch):
    monkeypatch.setattr("flyball.features.online.materialise.ENTITIES", 2)
    view = kit.view()
    rows = [(f"k{number}", number, number, 1.0, 1, 1.0, "p", True) for number in range(9)]
    version = Version("one", kit.frame(rows))
    at = fill(store, plan(view), version, LATER)

    with pytest.raises(Killed):
        backfill(store, plan(view), at, version, 2 * kit.S, LATER, stop)
    steps = []
    backfill(store, plan(view), live(store, plan(view)), version, 2 * kit.S, LATER, lambda done, _of: steps.append(done))
    assert steps == [6, 7]
    backfill(store, plan(view), live(store, plan(view)), version, 2 * kit.S, LATER, lambda done, _of: steps.append(done))
    assert steps == [6, 7, 2, 4, 6, 7], "it was done"
    with pytest.raises(Killed):
        backfill(store, plan(view), live(store, plan(view)), version, 2 * kit.S, LATER, stop)
    more = Version("two", kit.frame([("a", 9, 9, 2.0, 1, 1.0, "p", True)]))
    add(store, plan(view), live(store, plan(view)), more, LATER, rows=10)
    whole = Version("two", kit.frame([*rows, ("a", 9, 9, 2.0, 1, 1.0, "p", True)]))
    backfill(store, plan(view), live(store, plan(view)), whole, 2 * kit.S, LATER, lambda done, _of: steps.append(done))
    assert steps[6:] == [2, 4, 6, 8], "of another version none is done"
    keys = [f"k{number}" for number in range(9)]
    assert values(kit, online, view, store, 9, keys) == expected(kit, view, rows, 9, keys)


def test_a_backfill_is_seen_whole_or_not_at_all(kit, store, online, monkeypatch):
    monkeypatch.setattr("flyball.features.online.materialise.ENTITIES", 2)
    view, made = kit.view(), plan(kit.view())
    rows = [(f"k{number}", number, number, 1.0, 1, 1.0, "p", True) for number in range(9)]
    wrong = [(key, t, a, None, *rest) for key, t, a, _, *rest in rows]
    keys, version = [row[0] for row in rows], Version("one", kit.frame(rows))
    before = fill(store, made, Version("one", kit.frame(wrong)), LATER)
    old, new = (expected(kit, view, each, 9, keys) for each in (wrong, [*wrong[:2], *rows[2:]]))
    seen = []

    def look(_done, _of):
        seen.append(values(kit, online, view, store, 9, keys) == old)

    after = backfill(store, made, before, version, 2 * kit.S, LATER + 1, look)
    assert seen == [True] * 4
    assert values(kit, online, view, store, 9, keys) == new
    assert [each.number for each in store.generations()] == [after.generation.number]
    assert (after.progress.made_at, after.progress.since, after.progress.copied) == (LATER + 1, None, False)


def test_a_backfill_that_was_broken_off_while_it_copied_goes_on_there(kit, store, online, monkeypatch):
    monkeypatch.setattr("flyball.store.online_sql.AT_ONCE", 1)
    view, made = kit.view(), plan(kit.view())
    version = Version("one", kit.frame(ROWS))
    at = fill(store, made, version, LATER)
    copy, steps = store.copy, []

    def killed(*given):
        steps.append(copy(*given))
        if len(steps) == 2:
            raise Killed
        return steps[-1]

    monkeypatch.setattr(store, "copy", killed)
    with pytest.raises(Killed):
        backfill(store, made, at, version, 30 * kit.S, LATER)
    half = filling(store, made)
    monkeypatch.setattr(store, "copy", lambda *given: (steps.append(copy(*given)), steps[-1])[1])
    parts = len(store.read(made.store_name, [entity("x"), entity("y")]))
    assert backfill(store, made, at, version, 30 * kit.S, LATER).generation.number == half.generation.number
    assert steps == [1] * parts + [0, 0], "each once, and a last look"
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)


def test_a_backfill_loses_nothing_that_was_added_while_it_was_under_way(kit, store, online):
    view, made = kit.view(), plan(kit.view())
    at = fill(store, made, Version("one", kit.frame(ROWS[:30])), LATER)

    def meanwhile(_done, _of):
        more = Version("two", kit.frame(ROWS[30:]))
        add(store, made, live(store, made), more, LATER, rows=40)

    with pytest.raises(Conflict):
        backfill(store, made, at, Version("one", kit.frame(ROWS[:30])), 0, LATER, meanwhile)
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)
    again = backfill(store, made, live(store, made), Version("two", kit.frame(ROWS)), 0, LATER)
    assert (again.progress.content, len(store.generations())) == ("two", 1)
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)


def test_a_backfill_that_was_broken_off_before_it_was_published_is_no_fill(kit, store, online, monkeypatch):
    view, made = kit.view(), plan(kit.view())
    wrong = [(key, t, a, None, *rest) for key, t, a, _, *rest in ROWS]
    at, version = fill(store, made, Version("one", kit.frame(wrong)), LATER), Version("one", kit.frame(ROWS))

    def killed(*_given):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(store, "publish", killed)
        with pytest.raises(Killed):
            backfill(store, made, at, version, 30 * kit.S, LATER)
    half = filling(store, made)
    with monkeypatch.context() as patched:
        steps = []
        patched.setattr(store, "publish", killed)
        with pytest.raises(Killed):
            backfill(store, made, live(store, made), version, 30 * kit.S, LATER, lambda done, _of: steps.append(done))
    assert (filling(store, made), steps) == (half, []), "all of it was done"
    fill(store, made, version, LATER)
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)


def test_a_backfill_that_was_broken_off_within_the_live_values_is_no_part_of_another(kit, store, online, monkeypatch):
    """As stores of before have it."""
    monkeypatch.setattr("flyball.features.online.materialise.ENTITIES", 2)
    view, made = kit.view(), plan(kit.view())
    rows = [(f"k{number}", number, number, 1.0, 1, 1.0, "p", True) for number in range(9)]
    wrong = [(key, t, a, None, *rest) for key, t, a, _, *rest in rows]
    at = fill(store, made, Version("one", kit.frame(wrong)), LATER)
    half = msgspec.structs.replace(at.progress, since=5 * kit.S, remade=4)
    at = At(store.put(at.generation, (), packed(half)), half)
    steps = []
    after = backfill(store, made, at, Version("one", kit.frame(rows)), 2 * kit.S, LATER, lambda done, _of: steps.append(done))
    assert steps == [2, 4, 6, 7]
    keys = [row[0] for row in rows]
    assert values(kit, online, view, store, 9, keys) == expected(kit, view, [*wrong[:2], *rows[2:]], 9, keys)
    assert (after.progress.since, after.progress.remade) == (None, 0)


def test_a_fill_does_not_go_on_with_what_a_backfill_left(kit, store, online):
    view, made = kit.view(), plan(kit.view())
    wrong = [(key, t, a, None, *rest) for key, t, a, _, *rest in ROWS]
    at = fill(store, made, Version("one", kit.frame(wrong)), LATER)
    with pytest.raises(Killed):
        backfill(store, made, at, Version("one", kit.frame(ROWS)), 30 * kit.S, LATER, lambda *_: stop(4, 4))
    assert filling(store, made) is not None
    fill(store, made, Version("one", kit.frame(ROWS)), LATER)
    assert values(kit, online, view, store, 45) == expected(kit, view, ROWS, 45)


def test_rows_that_no_window_reaches_any_more_are_removed_as_others_come(kit, store):
    view = kit.view(newest=False)
    made = plan(view)
    object.__setattr__(made, "kept", 30 * kit.S)
    at = fill(store, made, Version("0", kit.frame([])), LATER)
    counts = []
    for number in range(40):
        t = number * 10
        row = kit.frame([("x", t, t, 1.0, 1, 1.0, "p", True)])
        at = add(store, made, at, Version(str(number), row), LATER, rows=number + 1)
        counts.append(len(store.read(made.store_name, [entity("x")])))
    assert max(counts) <= 8, "30 s of reach, 30 s that are kept, and the tile at either end"


@pytest.mark.parametrize("span", ["1m", "10m", "1h", "3d"])
def test_an_entity_of_short_windows_is_in_no_more_parts_than_one_of_long_ones(kit, store, span):
    """A look-up reads them all."""
    view = fb.FeatureView("busy", kit.purchases, entity="k", features={"n": fb.window(span).count()})
    made, step = plan(view), int(fb.window(span).span) // kit.S // 60
    rows = kit.frame([("x", t * step, None, 1.0, 1, 1.0, "p", True) for t in range(3_600 // step + 150)])
    fill(store, made, Version("one", rows), LATER)
    assert 60 <= len(store.read(made.store_name, [entity("x")])) <= TILES + 2


def test_an_entity_and_a_view_without_rows_are_there_and_empty(kit, store, online):
    view = kit.view()
    fill(store, plan(view), Version("none", kit.frame([])), LATER)
    assert values(kit, online, view, store, 1) == expected(kit, view, [], 1)


@pytest.mark.parametrize("view_of", [{}, {"windows": False}, {"newest": False}, {"entity": None}])
def test_rows_of_times_to_come_wait_until_they_are_known(kit, store, online, view_of):
    view = kit.view(**view_of)
    now = 20 * kit.S
    fill(store, plan(view), Version("one", kit.frame(ROWS)), now)
    for moment in (20, 21, 30, 39, 60):
        assert values(kit, online, view, store, moment) == expected(kit, view, ROWS, moment)


@pytest.mark.parametrize("entity", ["k", None])
def test_the_earliest_moment_that_is_kept_sees_in_a_models_own_stream_what_was_known_before_it(kit, store, online, entity):
    """A row that becomes known just then hides the older one from every moment but this."""
    view = fb.FeatureView("own", kit.purchases, entity=entity, features={"v": "v"})
    made = plan(view)
    object.__setattr__(made, "kept", 30 * kit.S)
    rows = [("x", t, t, float(t), 1, 1.0, "p", True) for t in (10, 20, 50)]
    at = fill(store, made, Version("one", kit.frame(rows)), LATER)
    assert kept_from(made, at.progress) == 20 * kit.S
    asked = pl.DataFrame({"row_time": [20 * kit.S], "moment": [20 * kit.S]} | ({"key": ["x"]} if entity else {}))
    assert online(view, store).values(asked)["v"].to_list() == [10.0]
    for place in range(3):
        more = Version(str(place), kit.frame(rows[place : place + 1]))
        at = fill(store, made, more, LATER) if not place else add(store, made, at, more, LATER, rows=place + 1)
    assert online(view, store).values(asked)["v"].to_list() == [10.0]


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([1, 2, 3], [1, 2, 3, 4, 5], [4, 5]),
        ([1, 2, 3], [0, 1, 2, 2, 3], [0, 2]),
        ([1, 1, 2], [1, 2, 1, 1], [1]),
        ([1, 2], [1, 3, 4], None),
        ([1, 2], [1], None),
        ([], [1], [1]),
        ([1, 1], [1, 2, 3], None),
        ([2, 1], [1, 2], []),
    ],
)
def test_what_was_added_is_told_from_what_was_changed(before, after, found):
    old, new = (pl.DataFrame({"a": each, "b": ["t"] * len(each)}, schema={"a": pl.Int64, "b": pl.String}) for each in (before, after))
    got = added(old, new)
    assert (None if got is None else got["a"].to_list()) == found


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        ([("x", 1)], [("x", 1), ("x", 2)], [2]),
        ([("x", 1)], [("x", 2), ("x", 1)], None),
        ([("x", 1)], [("y", 2), ("x", 1)], [2]),
        ([("x", 1), ("x", 2)], [("x", 2), ("x", 1)], None),
        ([("x", 1), ("y", 2)], [("y", 2), ("x", 1)], []),
        ([("x", 1), ("x", 1)], [("x", 1), ("x", 1), ("x", 1)], [1]),
    ],
)
def test_of_rows_that_only_their_order_tells_apart_the_new_ones_must_be_the_last(kit, before, after, found):
    """Rows of one entity at one time: which of them is the newest would not be told by adding to what is there."""
    old, new = (kit.frame([(key, 5, 5, float(v), None, None, None, None) for key, v in rows]) for rows in (before, after))
    got = added(old, new, kit.encode.ties(kit.view()))
    assert (None if got is None else got["v"].to_list()) == found


def test_columns_of_another_type_are_a_change():
    assert added(pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1.0, 2.0]})) is None
