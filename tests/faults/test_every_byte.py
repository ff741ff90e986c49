"""Whichever single byte of what is stored is changed, `audit verify` finds it, and names the place."""

import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from flyball.clock import Instant, VirtualClock
from flyball.ledger import checkpoints
from flyball.ledger.canonical import canonical
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.note import Signer, version_text
from flyball.ledger.verify import VerifyProblem, verify
from flyball.loop.folds import FOLDS
from flyball.records.base import Event, Record, State
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Estimate
from flyball.records.identity import Role, TokenCreated
from flyball.records.models import Manifest, Signature
from flyball.records.proofs import KeyAdded
from flyball.records.training import RunQueued, RunStarted, RunSucceeded
from flyball.records.versions import VersionEligible, VersionRegistered, VersionSigned
from flyball.store.blobs import LocalBlobs
from flyball.store.sql import Database

SIGNER = Signer("flyball/0123456789abcdef", bytes(range(32)))
SAMPLES = 0 if os.environ.get("SOAK") else 60
"""Bytes of each table that are changed; `make soak` changes them all."""


class Give(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str
    events: tuple[Event, ...]


def decide(_state: State, command: Give, _now: Instant) -> Sequence[Event]:
    return command.events


class Site(NamedTuple):
    """A ledger in which every part of flyball has left something, and its files."""

    ledger: SqlLedger
    blobs: LocalBlobs
    file: Path

    def problems(self) -> tuple[VerifyProblem, ...]:
        return verify(self.ledger, self.blobs).problems


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    blobs = LocalBlobs(folder / "blobs")
    ledger = SqlLedger(Database.open(folder / "ledger.db", durable=False), FOLDS, VirtualClock(1_700_000_000_000_000))
    code = blobs.put(b"{}")
    manifest = Manifest(
        model="price",
        file="loop.py",
        code=code,
        declaration=code,
        files={"model.skops": blobs.put(b"weights")},
        signature=Signature(task="binary", fields=()),
        python="3.11",
        libraries={},
    )
    artifact = blobs.put(canonical(manifest))
    applied = DeclarationApplied(
        model="price", file="loop.py", version_digest="v", policy_digest="p", body=code, code=code, gates_digest="g", author=""
    )
    registered = VersionRegistered(
        model="price",
        version="1.0.0",
        run="run_1",
        artifact=artifact,
        result="",
        version_digest="v",
        policy_digest="p",
        data={"market": "d"},
        metrics={"accuracy": Estimate(value=0.75, low=0.7, high=0.8, n=144)},
    )
    note = SIGNER.sign(version_text("price@1.0.0", artifact)).decode()
    token = TokenCreated(
        token="tok_1", person="ana", team="", jobs=(), roles=(Role.ADMIN,), scopes=(), models=(), hash="00" * 32, expires_at=0
    )
    commands: tuple[tuple[Event, ...], ...] = (
        (KeyAdded(vkey=SIGNER.vkey), token),
        (applied,),
        (RunQueued(run="run_1", model="price", trigger="manual", reason="because", spec=code),),
        (RunStarted(run="run_1", attempt=1),),
        (RunSucceeded(run="run_1", result="", version="1.0.0"), registered, VersionEligible(model="price", version="1.0.0", verdicts=())),
        (VersionSigned(model="price", version="1.0.0", note=note),),
    )
    for number, events in enumerate(commands):
        ledger.execute(Give(id=f"cmd_{number}", actor="user:ana", events=events), decide)
        if number % 2:
            checkpoints.sign(ledger, SIGNER)
    found = Site(ledger, blobs, folder / "ledger.db")
    assert found.problems() == ()
    yield found
    ledger.database.close()


def places(site: Site, table: str, keys: str, column: str) -> Iterator[tuple[tuple[object, ...], bytes]]:
    """(key, bytes) of every row of a table."""
    with sqlite3.connect(site.file) as connection:
        yield from ((tuple(row[:-1]), row[-1]) for row in connection.execute(f"SELECT {keys}, {column} FROM {table}").fetchall())


def changes(stored: Sequence[tuple[tuple[object, ...], bytes]], seed: str) -> Iterator[tuple[tuple[object, ...], bytes, bytes]]:
    """(key, bytes, changed bytes): one byte each, at sampled places or at all of them."""
    chance = random.Random(seed)
    every = [(row, place) for row, (_, data) in enumerate(stored) for place in range(len(data))]
    assert every, "there is something to change"
    for row, place in chance.sample(every, min(SAMPLES or len(every), len(every))):
        key, data = stored[row]
        byte = (data[place] + chance.randrange(1, 256)) % 256
        yield key, data, data[:place] + bytes([byte]) + data[place + 1 :]


def each_is_found(site: Site, table: str, keys: str, column: str, named: Callable[[tuple[object, ...]], str]) -> None:
    where = " AND ".join(f'"{key}" = ?' for key in keys.split(", "))
    connection = sqlite3.connect(site.file, isolation_level=None)
    for key, before, after in changes(list(places(site, table, keys, column)), table):
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (after, *key))
        problems = site.problems()
        assert named(key) in [each.where for each in problems], (key, before, after, problems)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (before, *key))
    connection.close()
    assert site.problems() == (), "it is as it was"


def test_every_byte_of_an_event(site: Site) -> None:
    each_is_found(site, "event", "seq", "body", lambda key: f"event {key[0]}")


def test_every_byte_of_a_hash_of_the_tree(site: Site) -> None:
    connection = sqlite3.connect(site.file, isolation_level=None)
    for (seq,), before, after in changes(list(places(site, "event", "seq", "hashes")), "hashes"):
        [level] = {place // 32 for place, (one, two) in enumerate(zip(before, after, strict=True)) if one != two}
        connection.execute("UPDATE event SET hashes = ? WHERE seq = ?", (after, seq))
        assert [each.where for each in site.problems()] == [f"node {level}/{(int(str(seq)) >> level) - 1}"]
        connection.execute("UPDATE event SET hashes = ? WHERE seq = ?", (before, seq))
    connection.close()
    assert site.problems() == (), "it is as it was"


def test_every_byte_of_the_command_beside_an_event(site: Site) -> None:
    connection = sqlite3.connect(site.file, isolation_level=None)
    stored = [(key, str(command).encode()) for key, command in places(site, "event", "seq", "command")]
    for (seq,), before, after in changes(stored, "command"):
        connection.execute("UPDATE event SET command = CAST(? AS TEXT) WHERE seq = ?", (after.decode("latin-1"), seq))
        assert [each.where for each in site.problems()] == [f"event {seq}"]
        connection.execute("UPDATE event SET command = ? WHERE seq = ?", (before.decode(), seq))
    connection.close()
    assert site.problems() == (), "it is as it was"


def test_every_byte_of_a_checkpoint(site: Site) -> None:
    each_is_found(site, "checkpoint", "size", "note", lambda key: f"checkpoint {key[0]}")


@pytest.mark.parametrize("name", ["declaration", "run", "version", "model", "token", "key"])
def test_every_byte_of_a_row_of_state(site: Site, name: str) -> None:
    each_is_found(site, f"p_{name}", "key", "body", lambda key: f"{name} {key[0]}")


def test_every_byte_of_an_artifact(site: Site) -> None:
    stored = [((digest,), site.blobs.get(digest)) for digest in site.blobs.digests()]
    for (digest,), before, after in changes(stored, "blob"):
        file = site.blobs.path(str(digest))
        file.chmod(0o644)
        file.write_bytes(after)
        assert f"blob {digest}" in [each.where for each in site.problems()]
        file.write_bytes(before)
    assert site.problems() == ()


def test_a_place_that_is_changed_is_found_as_well(site: Site) -> None:
    """Numbers and keys beside the bytes."""
    connection = sqlite3.connect(site.file, isolation_level=None)
    for table, column, before, after in (
        ("event", "seq", 3, 300),
        ("checkpoint", "size", 3, 4),
        ("p_run", "key", "run_1", "run_2"),
        ("head", "size", None, 3),
    ):
        [old] = connection.execute(f"SELECT {column} FROM {table} WHERE ? IS NULL OR {column} = ? LIMIT 1", (before, before)).fetchone()
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (after, old))
        assert site.problems() != (), (table, column)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", (old, after))
        assert site.problems() == (), (table, column)
    connection.close()
    assert site.problems() == ()


def test_what_somebody_added_is_named(site: Site) -> None:
    connection = sqlite3.connect(site.file, isolation_level=None)
    for add, remove, where in (
        ("INSERT INTO p_run VALUES (x'ff', x'00')", "DELETE FROM p_run WHERE key = x'ff'", "run b'\\xff'"),
        ("INSERT INTO p_run VALUES ('run_z', x'00')", "DELETE FROM p_run WHERE key = 'run_z'", "run run_z"),
        ("CREATE VIEW mine AS SELECT 1", "DROP VIEW mine", "table mine"),
        ("CREATE TRIGGER mine AFTER INSERT ON event BEGIN SELECT 1; END", "DROP TRIGGER mine", "table mine"),
    ):
        connection.execute(add)
        assert where in [each.where for each in site.problems()]
        connection.execute(remove)
    connection.close()
    assert site.problems() == ()
