"""Whatever is changed behind flyball's back is found, and named."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from flyball.clock import Instant, VirtualClock
from flyball.errors import Unusable
from flyball.ledger.canonical import canonical, write_body
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.verify import VerifyReport, verify
from flyball.records.base import Event, Projection, Record, Recorded, State
from flyball.records.declarations import DECLARATIONS, DeclarationApplied, DeclarationRow
from flyball.records.models import Manifest, Signature
from flyball.records.serving import Arm, ModelRoute, RouteDesired
from flyball.store.blobs import LocalBlobs
from flyball.store.sql import Database

MODELS = 11


class Change(Record, frozen=True):
    """Any command."""

    id: str
    actor: str = "user:ana"


def fold_applied(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, DeclarationApplied)
    values = {name: getattr(event, name) for name in event.__struct_fields__ if name in DeclarationRow.__struct_fields__}
    projection.put(DECLARATIONS, event.model, DeclarationRow(**values, applied_at=recorded.at))


def fold_route(_projection: Projection, _recorded: Recorded) -> None:
    pass


class Site:
    """A ledger of 12 events with its blobs, and a way in past flyball."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = LocalBlobs(folder / "blobs")
        ledger = self.open()
        code = self.blobs.put(b"{}")
        for number in range(MODELS):
            body = self.blobs.put(f"declaration {number}".encode())
            event = DeclarationApplied(
                model=f"m{number:02}",
                file="loop.py",
                version_digest="v",
                policy_digest="p",
                body=body,
                code=code,
                gates_digest="",
                author="",
            )
            self.give(ledger, f"c{number}", event)
        self.weights = self.blobs.put(b"weights")
        signature = Signature(task="binary", fields=())
        manifest = Manifest(
            model="m00",
            file="loop.py",
            code=code,
            declaration=code,
            files={"model.skops": self.weights},
            signature=signature,
            python="3.11",
            libraries={},
        )
        self.manifest = self.blobs.put(canonical(manifest))
        arm = Arm(version="1.0.0", role="champion", artifact=self.manifest, weight=10_000)
        self.give(ledger, "route", RouteDesired(epoch=1, model="m00", route=ModelRoute(signature=signature, arms=(arm,))))
        ledger.database.close()

    def open(self) -> SqlLedger:
        database = Database.open(f"sqlite:///{self.folder}/ledger.db", durable=False)
        return SqlLedger(database, {DeclarationApplied: fold_applied, RouteDesired: fold_route}, VirtualClock(1_700_000_000_000_000))

    def give(self, ledger: SqlLedger, name: str, event: Event) -> None:
        def decide(_state: State, _command: Change, _now: Instant) -> Sequence[Event]:
            return (event,)

        ledger.execute(Change(id=name), decide)

    def sql(self, statement: str, *values: object) -> None:
        connection = sqlite3.connect(self.folder / "ledger.db")
        with connection:
            assert connection.execute(statement, values).rowcount != 0, "the change must hit something"
        connection.close()

    def body(self, seq: int) -> bytes:
        connection = sqlite3.connect(self.folder / "ledger.db")
        body = connection.execute("SELECT body FROM event WHERE seq = ?", (seq,)).fetchone()[0]
        connection.close()
        assert isinstance(body, bytes)
        return body

    def hashes(self, seq: int) -> bytes:
        with sqlite3.connect(self.folder / "ledger.db") as connection:
            [hashes] = connection.execute("SELECT hashes FROM event WHERE seq = ?", (seq,)).fetchone()
        connection.close()
        assert isinstance(hashes, bytes)
        return hashes

    def verify(self) -> VerifyReport:
        ledger = self.open()
        report = verify(ledger, self.blobs)
        ledger.database.close()
        return report

    def found(self) -> list[tuple[str, int | None]]:
        report = self.verify()
        assert report.verified == (not report.problems)
        return [(problem.where, problem.event) for problem in report.problems]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_an_untouched_site_verifies_and_counts_what_it_checked(site: Site) -> None:
    report = site.verify()
    assert report.problems == ()
    assert (report.verified, report.events, report.artifacts, report.checkpoints) == (True, MODELS + 1, MODELS + 3, 0)


@pytest.mark.parametrize("seq", [1, 2, 8, 9, 11, 12])
def test_a_changed_event_is_named_and_nothing_above_it(site: Site, seq: int) -> None:
    site.sql("UPDATE event SET body = ? WHERE seq = ?", site.body(seq).replace(b"user:ana", b"user:eve"), seq)
    found = site.verify().problems
    assert [problem.what for problem in found if "does not hash to its leaf" in problem.what] == [
        f"event {seq} was changed: its body does not hash to its leaf"
    ]
    assert {problem.event for problem in found} == {seq}
    assert len(found) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda body: b" " + body,
        lambda body: body.replace(b'"v":2', b'"v":2.0'),
        lambda body: body.replace(b"declaration.applied", b"declaration.unheard"),
        lambda body: body[:-1],
        lambda _body: "text",
        lambda _body: 17,
        lambda _body: b"",
    ],
)
def test_a_body_that_is_no_longer_an_event_is_named(site: Site, change: Callable[[bytes], object]) -> None:
    site.sql("UPDATE event SET body = ? WHERE seq = 5", change(site.body(5)))
    assert ("event 5", 5) in site.found()


def test_an_event_exchanged_for_a_well_formed_one_is_named_with_the_row_it_would_have_made(site: Site) -> None:
    event = DeclarationApplied(
        model="m04", file="evil.py", version_digest="v", policy_digest="p", body="", code="", gates_digest="", author=""
    )
    site.sql("UPDATE event SET body = ? WHERE seq = 5", write_body(1_700_000_000_000_000, "user:ana", "c4", event))
    assert site.found() == [("event 5", 5), ("declaration m04", 5)]


@pytest.mark.parametrize(
    ("level", "idx", "first"), [(0, 0, 1), (0, 4, 5), (0, 11, 12), (1, 0, 1), (1, 5, 11), (2, 1, 5), (2, 2, 9), (3, 0, 1)]
)
def test_a_changed_node_is_named_alone(site: Site, level: int, idx: int, first: int) -> None:
    hashes = site.hashes(seq := (idx + 1) << level)
    changed = hashes[: 32 * level] + b"\x13" * 32 + hashes[32 * level + 32 :]
    site.sql("UPDATE event SET hashes = ? WHERE seq = ?", changed, seq)
    assert site.found() == [(f"node {level}/{idx}", first)]


@pytest.mark.parametrize(("level", "idx", "first"), [(0, 4, 5), (0, 10, 11), (1, 0, 1), (2, 2, 9), (3, 0, 1)])
@pytest.mark.parametrize("left", [0, 31])
def test_a_removed_node_is_named_alone(site: Site, level: int, idx: int, first: int, left: int) -> None:
    seq = (idx + 1) << level
    site.sql("UPDATE event SET hashes = ? WHERE seq = ?", site.hashes(seq)[: 32 * level + left], seq)
    assert site.found() == [(f"node {level}/{idx}", first)]


def test_an_event_without_its_hashes_is_named_with_each_of_them(site: Site) -> None:
    site.sql("UPDATE event SET hashes = ? WHERE seq = 8", "text")
    assert set(site.found()) == {("node 0/7", 8), ("node 1/3", 7), ("node 2/1", 5), ("node 3/0", 1)}


@pytest.mark.parametrize(("seq", "where"), [(12, "node 3/1"), (11, "node 1/5"), (8, "node 4/0")])
@pytest.mark.parametrize("more", [b"\x13" * 32, b"\x13"])
def test_an_added_node_is_named_alone(site: Site, seq: int, where: str, more: bytes) -> None:
    site.sql("UPDATE event SET hashes = ? WHERE seq = ?", site.hashes(seq) + more, seq)
    assert site.found() == [(where, seq)]


@pytest.mark.parametrize(
    "change",
    [
        "size = 11",
        "size = 13",
        "frontier = zeroblob(64)",
        "frontier = x''",
        "frontier = 'text'",
        "at = at - 1",
        "at = at + 1",
        "size = 'many'",
        f"at = {2**53}",
    ],
)
def test_a_changed_head_is_named(site: Site, change: str) -> None:
    site.sql(f"UPDATE head SET {change}")
    assert {where for where, _ in site.found()} & {"head", "event 12", "event 13"}


def test_a_removed_head_is_named(site: Site) -> None:
    ledger = site.open()
    site.sql("DELETE FROM head")
    assert [problem.where for problem in verify(ledger, site.blobs).problems] == ["head"]


@pytest.mark.parametrize("seq", [1, 5, 6, 8, 11, 12])
def test_a_removed_event_is_named_with_its_row_and_the_others_are_not_blamed(site: Site, seq: int) -> None:
    site.sql("DELETE FROM event WHERE seq = ?", seq)
    row = [(f"declaration m{seq - 1:02}", None)] if seq <= MODELS else []
    assert site.found() == [(f"event {seq}", seq), *row]


def test_events_cut_off_at_the_end_are_named_as_long_as_the_head_counts_them(site: Site) -> None:
    site.sql("DELETE FROM event WHERE seq > 10")
    assert ("event 11", 11) in site.found()


def test_an_event_put_behind_the_head_is_named(site: Site) -> None:
    site.sql("INSERT INTO event SELECT 13, command, body, hashes FROM event WHERE seq = 12")
    assert site.found() == [("event 13", 13)]


def test_events_that_changed_places_are_named(site: Site) -> None:
    third, fourth = site.body(3), site.body(4)
    site.sql("UPDATE event SET body = ? WHERE seq = 3", fourth)
    site.sql("UPDATE event SET body = ? WHERE seq = 4", third)
    assert {("event 3", 3), ("event 4", 4)} <= set(site.found())


def test_an_event_moved_far_away_does_not_keep_verify_busy(site: Site) -> None:
    site.sql("UPDATE event SET seq = ? WHERE seq = 12", 2**50)
    site.sql("UPDATE head SET size = ?", 2**50)
    assert ("event 12", 12) in site.found()


def test_a_changed_row_is_named_with_the_last_event_that_touched_it(site: Site) -> None:
    site.sql("UPDATE p_declaration SET body = replace(body, 'loop.py', 'evil.py') WHERE key = 'm03'")
    assert site.found() == [("declaration m03", 4)]


def test_a_row_that_no_event_explains_is_named(site: Site) -> None:
    site.sql("INSERT INTO p_declaration (key, body) SELECT 'zz', body FROM p_declaration WHERE key = 'm03'")
    assert site.found() == [("declaration zz", None)]


def test_a_removed_row_is_named_with_the_event_that_made_it(site: Site) -> None:
    site.sql("DELETE FROM p_declaration WHERE key = 'm03'")
    assert site.found() == [("declaration m03", 4)]


@pytest.mark.parametrize("command", ["c99", "", 7, b"c1"])
def test_an_event_that_is_kept_under_another_command_is_named_and_put_right_by_a_rebuild(site: Site, command: object) -> None:
    site.sql("UPDATE event SET command = ? WHERE seq = 2", command)
    assert site.found() == [("event 2", 2)]
    ledger = site.open()
    ledger.rebuild()
    assert verify(ledger, site.blobs).verified


def test_a_number_that_no_record_can_hold_is_named_with_the_row_that_it_would_make(site: Site) -> None:
    site.sql("UPDATE event SET body = ? WHERE seq = 5", site.body(5).replace(b'"at":1700000000000000', b'"at":99999999999999999'))
    assert {("event 5", 5), ("declaration m04", 5)} <= set(site.found())


def test_a_table_that_nothing_explains_is_named(site: Site) -> None:
    connection = sqlite3.connect(site.folder / "ledger.db")
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()
    assert site.found() == [("table notes", None)]


def test_a_changed_or_missing_blob_is_named_with_the_event_that_needs_it(site: Site) -> None:
    body = msgspec.json.decode(site.body(3))["event"]["body"]
    path = site.blobs.path(body)
    path.chmod(0o644)
    path.write_bytes(b"another declaration")
    assert site.found() == [(f"blob {body}", 3)]
    path.unlink()
    assert site.found() == [(f"blob {body}", 3)]
    assert "missing" in site.verify().problems[0].what


def test_blobs_that_cannot_be_read_are_each_named(site: Site) -> None:
    ledger, blobs = site.open(), site.blobs
    refused = PermissionError(13, "Permission denied")

    class Unreadable(LocalBlobs):
        def check(self, digest: str) -> None:
            raise Unusable(f"blob {digest} cannot be read", why=str(refused))

    found = verify(ledger, Unreadable(blobs.root)).problems
    assert {each.event for each in found} == set(range(1, MODELS + 2))
    assert all("Permission denied" in each.what for each in found)
    ledger.database.close()


def test_a_file_inside_an_artifact_is_looked_for_too(site: Site) -> None:
    site.blobs.path(site.weights).unlink()
    problem = site.verify().problems
    assert [(each.where, each.event) for each in problem] == [(f"blob {site.weights}", MODELS + 1)]
    assert "route.arms[0].artifact → files[model.skops]" in problem[0].what


def test_a_rebuild_undoes_changes_of_rows(site: Site) -> None:
    site.sql("DELETE FROM p_declaration WHERE key = 'm03'")
    site.sql("INSERT INTO p_declaration (key, body) SELECT 'zz', body FROM p_declaration WHERE key = 'm04'")
    ledger = site.open()
    assert ledger.rebuild() == MODELS + 1
    assert verify(ledger, site.blobs).verified
