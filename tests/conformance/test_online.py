"""What every online store does, on a real file of SQLite and on a real PostgreSQL server."""

import multiprocessing
import os
import signal
import threading
import time

import pytest

from flyball.errors import BadInput, Conflict, Unavailable
from flyball.store.online import Part
from flyball.store.online_address import open_online

VIEW = "spend@1"


def opened(url, folder):
    return open_online(url, folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request, tmp_path):
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres").database()


@pytest.fixture
def make(address, tmp_path):
    made = []

    def store():
        made.append(opened(address, tmp_path))
        return made[-1]

    yield store
    for each in made:
        each.close()


@pytest.fixture
def store(make):
    return make()


def filled(store, parts, view=VIEW, cursor=b"1"):
    """A live generation with these parts."""
    return store.publish(store.put(store.begin(view, b""), parts, cursor))


def read(store, *entities, view=VIEW):
    return [(bytes(entity), part, bytes(body)) for entity, part, body in store.read(view, entities)]


def test_what_was_put_is_read_in_order_of_parts_once_it_is_published(store):
    building = store.put(store.begin(VIEW, b""), [Part(b"a", 7, b"later"), Part(b"a", -1, b"head"), Part(b"b", 0, b"other")], b"1")
    with pytest.raises(Unavailable) as refused:
        store.read(VIEW, [b"a"])
    assert refused.value.code == "view-not-online"
    store.publish(building)
    assert read(store, b"a") == [(b"a", -1, b"head"), (b"a", 7, b"later")]


@pytest.mark.parametrize("number", [0, 2, 3, 100, 5000])
def test_many_entities_are_read_at_once_and_those_that_are_not_there_have_nothing(store, number):
    names = [f"k{place}".encode() for place in range(5000)]
    filled(store, [Part(name, 0, name * 2) for name in names[::2]])
    asked = names[:number]
    assert sorted(read(store, *asked)) == sorted((name, 0, name * 2) for name in asked if name in set(names[::2]))
    assert sorted(read(store, *asked, *asked)) == sorted(read(store, *asked)), "who is named twice is found once"
    assert read(store, b"nobody") == []


def test_bytes_are_kept_as_they_are(store):
    every = bytes(range(256))
    filled(store, [Part(every, -(2**62), every), Part(b"", 2**62, b"")])
    assert read(store, every) == [(every, -(2**62), every)]
    assert read(store, b"") == [(b"", 2**62, b"")]


def test_an_update_gives_the_merge_what_is_there_and_keeps_what_it_makes(store):
    live = filled(store, [Part(b"a", 0, b"1"), Part(b"b", 0, b"2"), Part(b"c", 0, b"3")])
    seen = {}

    def merge(entity, part, there):
        seen[entity, part] = there
        return None if entity == b"b" else (there or b"new") + b"!"

    live = store.update(live, [(b"a", 0), (b"b", 0), (b"d", 4), (b"a", 0)], merge, b"2")
    assert seen == {(b"a", 0): b"1", (b"b", 0): b"2", (b"d", 4): None}
    assert read(store, b"a", b"b", b"c", b"d") == [(b"a", 0, b"1!"), (b"c", 0, b"3"), (b"d", 4, b"new!")]
    assert live.cursor == b"2"
    assert [each.cursor for each in store.generations()] == [b"2"]


def test_an_update_removes_what_lies_below_of_the_entities_that_it_names(store):
    live = filled(store, [Part(name, number, b"x") for name in (b"a", b"b") for number in (-5, 0, 7, 8, 2**62)])
    store.update(live, [(b"a", 8)], lambda *_: b"y", b"2", below=8)
    assert read(store, b"a") == [(b"a", 8, b"y"), (b"a", 2**62, b"x")]
    assert len(read(store, b"b")) == 5


def test_a_merge_that_fails_leaves_values_and_cursor_as_they_were(store):
    live = filled(store, [Part(b"a", 0, b"1")])

    def merge(entity, part, there):
        if entity == b"b":
            raise ZeroDivisionError
        return b"changed"

    with pytest.raises(ZeroDivisionError):
        store.update(live, [(b"a", 0), (b"b", 0)], merge, b"2")
    assert read(store, b"a") == [(b"a", 0, b"1")]
    assert store.generations() == [live]
    store.update(live, [(b"a", 0)], merge, b"2")
    assert read(store, b"a") == [(b"a", 0, b"changed")]


def test_whoever_writes_with_an_old_cursor_is_refused_and_changes_nothing(make):
    one, other = make(), make()
    live = filled(one, [Part(b"a", 0, b"1")])
    one.put(live, [Part(b"a", 0, b"2")], b"2")
    for write in (
        lambda: other.put(live, [Part(b"a", 0, b"x")], b"3"),
        lambda: other.update(live, [(b"a", 0)], lambda *_: b"x", b"3"),
        lambda: other.publish(live),
    ):
        with pytest.raises(Conflict):
            write()
    assert read(other, b"a") == [(b"a", 0, b"2")]


def test_a_new_generation_is_seen_whole_or_not_at_all(make):
    store, reader = make(), make()
    entities = [f"{place}".encode() for place in range(50)]
    filled(store, [Part(entity, 0, b"0") for entity in entities])
    stop, seen = threading.Event(), []

    def look():
        while not stop.is_set():
            seen.append({bytes(body) for _, _, body in reader.read(VIEW, entities)})

    thread = threading.Thread(target=look)
    thread.start()
    for turn in range(1, 15):
        filled(store, [Part(entity, 0, b"%d" % turn) for entity in entities])
        store.collect()
    stop.set()
    thread.join()
    assert all(len(bodies) == 1 for bodies in seen), "never a part of one and a part of another, never none"
    assert len(read(store, *entities)) == 50


def test_readers_do_not_wait_for_a_writer(make):
    store, reader = make(), make()
    live = filled(store, [Part(b"a", 0, b"1")])
    reader.read(VIEW, [b"a"])
    inside, go = threading.Event(), threading.Event()

    def merge(entity, part, there):
        inside.set()
        assert go.wait(30)
        return b"2"

    thread = threading.Thread(target=lambda: store.update(live, [(b"a", 0)], merge, b"2"))
    thread.start()
    assert inside.wait(30)
    assert read(reader, b"a") == [(b"a", 0, b"1")], "while the writer is inside its transaction"
    go.set()
    thread.join()
    assert read(reader, b"a") == [(b"a", 0, b"2")]


def test_a_generation_is_given_the_values_of_another_in_steps_by_whoever_goes_on(make, monkeypatch):
    monkeypatch.setattr("flyball.store.online_sql.AT_ONCE", 3)
    store, other = make(), make()
    parts = [(name, number, name * 2) for name in (b"", b"a", b"a\xff", b"b") for number in (-(2**62), 0)]
    live = filled(store, [Part(*part) for part in parts])
    begun = store.begin(VIEW, b"half")
    assert store.copy(begun, live) == 3
    assert [other.copy(begun, live) for _ in range(4)] == [3, 2, 0, 0]
    assert read(store, b"a") == [part for part in parts if part[0] == b"a"], "the live one has its own still"
    whole = store.publish(store.put(begun, [Part(b"a", 0, b"new")], b"remade"), b"whole")
    assert (whole.live, whole.cursor) == (True, b"whole")
    assert store.generations() == [whole], "it and its cursor, at once"
    wanted = {part[:2]: part[2] for part in parts} | {(b"a", 0): b"new"}
    assert read(store, b"", b"a", b"a\xff", b"b") == [(*key, body) for key, body in wanted.items()]
    store.collect()
    assert read(store, b"", b"a", b"a\xff", b"b") == [(*key, body) for key, body in wanted.items()]


def test_what_is_copied_is_of_one_state(make):
    store, other = make(), make()
    live = filled(store, [Part(b"a", 0, b"1")])
    begun = store.begin(VIEW, b"half")
    other.put(live, [Part(b"b", 0, b"2")], b"2")
    with pytest.raises(Conflict):
        store.copy(begun, live)
    with pytest.raises(Conflict):
        store.copy(begun._replace(cursor=b"another"), live._replace(cursor=b"2"))
    assert store.copy(begun, live._replace(cursor=b"2")) == 2


def test_a_generation_that_is_begun_takes_the_place_of_another_that_was_being_built(store):
    live = filled(store, [Part(b"a", 0, b"1")])
    given_up = store.put(store.begin(VIEW, b""), [Part(b"a", 0, b"2")], b"x")
    building = store.begin(VIEW, b"y")
    assert store.generations() == [live, building]
    with pytest.raises(Conflict):
        store.publish(given_up)
    assert store.collect() == 1
    assert read(store, b"a") == [(b"a", 0, b"1")]


def test_of_many_views_those_that_are_asked_for_are_told(store):
    first, _, building = filled(store, [], "a@1"), filled(store, [], "b@1"), store.begin("c@1", b"2")
    assert store.generations(["a@1", "c@1", "d@1"]) == [first, building]
    assert store.generations([]) == []
    assert len(store.generations()) == 3


def test_views_do_not_disturb_each_other_and_one_that_is_dropped_leaves_nothing(store):
    filled(store, [Part(b"a", 0, b"1")])
    filled(store, [Part(b"a", 0, b"2")], view="spend@2")
    assert read(store, b"a") == [(b"a", 0, b"1")]
    assert read(store, b"a", view="spend@2") == [(b"a", 0, b"2")]
    store.drop(VIEW)
    with pytest.raises(Unavailable):
        store.read(VIEW, [b"a"])
    assert read(store, b"a", view="spend@2") == [(b"a", 0, b"2")]
    assert store.collect() == 0, "dropping has removed its values"
    assert [each.view for each in store.generations()] == ["spend@2"]


def test_dead_values_are_collected_in_steps_and_the_living_stay(store, monkeypatch):
    monkeypatch.setattr("flyball.store.online_sql.AT_ONCE", 10)
    filled(store, [Part(b"%d" % place, 0, b"old") for place in range(35)])
    filled(store, [Part(b"%d" % place, 0, b"new") for place in range(35)])
    assert store.collect() == 35
    assert store.collect() == 0
    assert len(read(store, *[b"%d" % place for place in range(35)])) == 35


def _write_for_ever(address, folder, ready):
    store = opened(address, folder)
    live = next(each for each in store.generations() if each.live)
    ready.set()
    turn = int(live.cursor)
    while True:
        turn += 1
        live = store.put(live, [Part(b"%d" % place, 0, b"%d" % turn) for place in range(20)], b"%d" % turn)


def test_values_and_cursor_of_a_writer_that_is_killed_belong_together(address, make, tmp_path):
    store = make()
    filled(store, [Part(b"%d" % place, 0, b"0") for place in range(20)], cursor=b"0")
    spawn = multiprocessing.get_context("spawn")
    for _ in range(3):
        ready = spawn.Event()
        writer = spawn.Process(target=_write_for_ever, args=(address, tmp_path, ready))
        writer.start()
        assert ready.wait(60)
        before = store.generations()[0].cursor
        until = time.monotonic() + 30
        while store.generations()[0].cursor == before and time.monotonic() < until:
            pass
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        cursor = store.generations()[0].cursor
        assert int(cursor) > int(before)
        assert {body for _, _, body in read(store, *[b"%d" % place for place in range(20)])} == {cursor}


def test_a_healthy_store_says_so(store):
    filled(store, [])
    assert store.health() is None, "what is wrong would have been raised"


def test_a_server_that_is_stopped_is_unavailable_and_comes_back_by_itself(postgres, tmp_path):
    store = opened(postgres.database(), tmp_path)
    filled(store, [Part(b"a", 0, b"1")])
    postgres.stop()
    try:
        for ask in (lambda: store.read(VIEW, [b"a"]), store.health, lambda: store.begin(VIEW, b"")):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                ask()
            assert time.monotonic() - began < 5
    finally:
        postgres.start()
    assert read(store, b"a") == [(b"a", 0, b"1")]
    store.close()


def test_a_server_that_hangs_is_unavailable_within_the_timeout(postgres, tmp_path):
    address = postgres.database()
    store = opened(address, tmp_path)
    filled(store, [Part(b"a", 0, b"1")])
    pid = int(
        postgres.psql("SELECT pid FROM pg_stat_activity WHERE application_name = 'flyball' AND datname = current_database()", address)
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            store.read(VIEW, [b"a"])
        assert time.monotonic() - began < 4
    finally:
        os.kill(pid, signal.SIGCONT)
    assert read(store, b"a") == [(b"a", 0, b"1")]
    store.close()


def test_a_file_that_is_moved_away_is_unavailable_and_comes_back_by_itself(tmp_path):
    store, path = opened("", tmp_path), tmp_path / "online.sqlite3"
    filled(store, [Part(b"a", 0, b"1")])
    path.rename(tmp_path / "elsewhere")
    for ask in (lambda: store.read(VIEW, [b"a"]), store.health):
        with pytest.raises(Unavailable):
            ask()
    (tmp_path / "elsewhere").rename(path)
    assert read(store, b"a") == [(b"a", 0, b"1")], "the file alone is the whole store"
    path.unlink()
    assert store.generations() == []
    filled(store, [Part(b"a", 0, b"2")])
    assert read(store, b"a") == [(b"a", 0, b"2")], "a writer makes it anew"


def test_a_file_that_is_no_database_is_told_as_that_and_mended_by_who_writes(tmp_path):
    path = tmp_path / "online.sqlite3"
    path.write_bytes(b"no database at all" * 100)
    store = opened("", tmp_path)
    with pytest.raises(Unavailable, match="is damaged"):
        store.read(VIEW, [b"a"])
    assert "was damaged (file is not a database) and is made anew" in store.mend()
    assert not path.exists()
    filled(store, [Part(b"a", 0, b"1")])
    assert (store.mend(), read(store, b"a")) == ("", [(b"a", 0, b"1")]), "what is whole is left alone"


def test_a_file_that_is_overwritten_while_it_is_open_is_mended(tmp_path):
    store, path = opened("", tmp_path), tmp_path / "online.sqlite3"
    filled(store, [Part(b"a", 0, b"1")])
    with path.open("r+b") as file:
        file.write(b"\x5a" * path.stat().st_size)
    assert "is made anew" in store.mend()
    filled(store, [Part(b"a", 0, b"2")])
    assert read(store, b"a") == [(b"a", 0, b"2")]


def test_an_address_of_another_kind_is_refused_without_its_password():
    with pytest.raises(BadInput) as refused:
        open_online("redis://me:secret@host/0", None)
    assert "secret" not in str(refused.value)
