"""Checkpoints, and what can be proven with them to somebody who has kept one."""

import base64
import hashlib
import http.server
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from flyball.clock import Instant, Span, VirtualClock
from flyball.errors import BadInput, Conflict, Corrupt, NotFound, Unavailable
from flyball.governance.fold import FOLDS as GOVERNANCE
from flyball.ledger import checkpoints, merkle
from flyball.ledger.anchors import FileAnchor, WebhookAnchor, kept_in
from flyball.ledger.checkpointcheck import Kept
from flyball.ledger.export import CHECKPOINTS, EVENTS, KEYS, Exported, export, load
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.note import Checkpoint, Signer, Verifier, opened
from flyball.ledger.verify import verify
from flyball.records.base import Event, Record, State
from flyball.records.proofs import KeyAdded
from flyball.records.training import RunQueued
from flyball.store.sql import Database
from flyball.training.fold import FOLDS as TRAINING

START = 1_700_000_000_000_000
SIGNER = Signer("flyball/0123456789abcdef", bytes(range(32)))
STRANGER = Signer("flyball/0123456789abcdef", bytes(32))


class Give(Record, frozen=True):
    """Append these events."""

    id: str
    actor: str
    events: tuple[Event, ...]


def decide(_state: State, command: Give, _now: Instant) -> Sequence[Event]:
    return command.events


def open_ledger(folder: Path) -> SqlLedger:
    return SqlLedger(Database.open(folder / "ledger.db"), {**GOVERNANCE, **TRAINING}, VirtualClock(START))


def give(ledger: SqlLedger, count: int = 1) -> None:
    first = ledger.size()
    for number in range(first, first + count):
        event = RunQueued(run=f"run_{number}", model="price", trigger="manual", reason="because", spec="")
        ledger.execute(Give(id=f"c{number}", actor="user:ana", events=(event,)), decide)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    made = open_ledger(tmp_path)
    made.execute(Give(id="key", actor="loop", events=(KeyAdded(vkey=SIGNER.vkey),)), decide)
    give(made, 6)
    yield made
    made.database.close()


def test_a_checkpoint_says_the_root_of_all_events_in_the_name_of_the_ledger(ledger: SqlLedger) -> None:
    signed = checkpoints.sign(ledger, SIGNER)
    said = Checkpoint.parse(opened(signed.note, [Verifier(SIGNER.vkey)]))
    assert said == Checkpoint(SIGNER.name, 7, ledger.head().root)
    assert checkpoints.sign(ledger, SIGNER) == signed, "nothing has happened since"
    assert verify(ledger, None).checkpoints == 1


def test_only_a_key_that_the_ledger_names_signs(ledger: SqlLedger) -> None:
    with pytest.raises(Corrupt, match="does not know the key"):
        checkpoints.sign(ledger, STRANGER)


def test_a_checkpoint_is_due_after_so_many_events_or_so_long(ledger: SqlLedger) -> None:
    hour = Span.parse("1h")
    assert checkpoints.due(ledger, START, events=7, age=hour)
    assert not checkpoints.due(ledger, START + hour - 1, events=8, age=hour)
    assert checkpoints.due(ledger, START + hour, events=8, age=hour)
    checkpoints.sign(ledger, SIGNER)
    assert not checkpoints.due(ledger, START + 100 * hour, events=1, age=hour), "nothing is new"


def test_every_event_is_proven_against_the_first_checkpoint_that_covers_it(ledger: SqlLedger) -> None:
    checkpoints.sign(ledger, SIGNER)
    give(ledger, 30)
    checkpoints.sign(ledger, SIGNER)
    for seq in range(1, 38):
        proof = checkpoints.prove(ledger, seq)
        assert proof.size == (7 if seq <= 7 else 37)
        said = Checkpoint.parse(opened(proof.checkpoint.encode(), [Verifier(proof.vkey)]))
        path = [base64.b64decode(each) for each in proof.path]
        assert merkle.includes(merkle.leaf_hash(proof.event.encode()), seq - 1, said.size, path, said.root)


def test_what_has_no_proof_says_why(ledger: SqlLedger) -> None:
    with pytest.raises(NotFound, match="no checkpoint yet"):
        checkpoints.prove(ledger, 1)
    checkpoints.sign(ledger, SIGNER)
    for seq in (0, 8):
        with pytest.raises(NotFound, match=f"there is no event {seq}"):
            checkpoints.prove(ledger, seq)


def test_a_kept_checkpoint_is_shown_to_be_the_beginning_of_todays(ledger: SqlLedger) -> None:
    old = checkpoints.sign(ledger, SIGNER)
    give(ledger, 30)
    new = checkpoints.sign(ledger, SIGNER)
    proof = checkpoints.consistency(ledger, old.note)
    before, after = (Checkpoint.parse(opened(each.encode(), [Verifier(SIGNER.vkey)])) for each in (proof.old, proof.new))
    assert (before.size, after.size) == (old.size, new.size)
    assert merkle.consistent(before.size, after.size, before.root, after.root, [base64.b64decode(each) for each in proof.path])


def test_a_record_that_was_cut_off_or_written_anew_is_not_the_one_of_a_kept_checkpoint(ledger: SqlLedger, tmp_path: Path) -> None:
    old = checkpoints.sign(ledger, SIGNER)
    other = open_ledger(tmp_path / "other")
    other.execute(Give(id="key", actor="loop", events=(KeyAdded(vkey=SIGNER.vkey),)), decide)
    checkpoints.sign(other, SIGNER)
    with pytest.raises(Corrupt, match="checkpoint of 1 events, and the older one is of 7"):
        checkpoints.consistency(other, old.note)
    give(other, 20)
    event = RunQueued(run="run_x", model="price", trigger="manual", reason="another story", spec="")
    other.execute(Give(id="x", actor="user:eve", events=(event,)), decide)
    checkpoints.sign(other, SIGNER)
    assert checkpoints.consistency(other, old.note).path, "the first seven events are the same"
    forged = SIGNER.sign(Checkpoint(SIGNER.name, 7, hashlib.sha256(b"another").digest()).text)
    with pytest.raises(Corrupt, match="not the one that the checkpoint"):
        checkpoints.consistency(other, forged)


def test_verify_compares_with_checkpoints_kept_outside(ledger: SqlLedger) -> None:
    kept = [Kept("elsewhere", checkpoints.sign(ledger, SIGNER).note)]
    assert verify(ledger, None, kept).verified
    cut = SIGNER.sign(Checkpoint(SIGNER.name, 9, hashlib.sha256(b"later").digest()).text)
    anew = SIGNER.sign(Checkpoint(SIGNER.name, 5, hashlib.sha256(b"other").digest()).text)
    foreign = SIGNER.sign(Checkpoint("flyball/elsewhere", 5, hashlib.sha256(b"other").digest()).text)
    told = {}
    for name, note in (("cut", cut), ("anew", anew), ("foreign", foreign), ("stranger", STRANGER.sign("a\n1\nx\n")), ("noise", b"\xff")):
        [problem] = verify(ledger, None, [Kept("elsewhere", note)]).problems
        assert (problem.where, problem.event) == ("elsewhere", None)
        told[name] = problem.what
    assert "its end was cut off" in told["cut"]
    assert "events 1 to 5 are not those" in told["anew"]
    assert "another ledger" in told["foreign"]
    assert "cannot be read" in told["stranger"]
    assert "cannot be read" in told["noise"]


def test_a_key_signs_from_its_event_on_and_not_before(ledger: SqlLedger) -> None:
    early = STRANGER.sign(Checkpoint(SIGNER.name, 7, ledger.head().root).text)
    assert "no key that is known" in verify(ledger, None, [Kept("early", early)]).problems[0].what
    ledger.execute(Give(id="key2", actor="loop", events=(KeyAdded(vkey=STRANGER.vkey),)), decide)
    checkpoints.sign(ledger, STRANGER)
    assert verify(ledger, None).verified
    assert checkpoints.prove(ledger, 3).vkey == STRANGER.vkey
    assert "no key that is known" in verify(ledger, None, [Kept("early", early)]).problems[0].what


def test_a_file_anchor_keeps_every_note_in_order(ledger: SqlLedger, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor.txt")
    assert list(anchor.kept()) == []
    notes = []
    for _ in range(3):
        notes.append(checkpoints.sign(ledger, SIGNER).note)
        anchor.publish(notes[-1])
        give(ledger)
    assert [kept.note for kept in anchor.kept()] == notes
    assert verify(ledger, None, list(kept_in(tmp_path / "anchor.txt"))).verified


def test_a_file_anchor_that_cannot_be_written_says_which_setting(ledger: SqlLedger, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written") as caught:
        FileAnchor(tmp_path / "no" / "such" / "folder").publish(b"note")
    assert "anchor_file" in caught.value.fix


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes notes, or refuses them."""

    got: list[bytes]
    status = 204

    def do_POST(self) -> None:
        self.got.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[type[Receiver], str]]:
    kind = type("Own", (Receiver,), {"got": [], "status": 204})
    server = http.server.HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kind, f"http://user:pass@127.0.0.1:{server.server_port}/hook?token=s3cret"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_gets_the_note_and_its_secrets_are_not_told(ledger: SqlLedger, receiver: tuple[type[Receiver], str]) -> None:
    kind, url = receiver
    note = checkpoints.sign(ledger, SIGNER).note
    WebhookAnchor(url).publish(note)
    assert kind.got == [note]
    kind.status = 500
    with pytest.raises(Unavailable, match=r"webhook 127\.0\.0\.1") as caught:
        WebhookAnchor(url).publish(note)
    assert "s3cret" not in str(caught.value)
    assert "pass" not in str(caught.value)
    with pytest.raises(Unavailable) as caught:
        WebhookAnchor("http://127.0.0.1:9/s3cret").publish(note)
    assert "s3cret" not in str(caught.value)


def test_an_address_that_is_none_is_refused() -> None:
    for url in ("file:///etc/passwd", "anchor.example", "http://"):
        with pytest.raises(BadInput, match="anchor_url"):
            WebhookAnchor(url)


def test_exported_files_hold_the_record_as_it_was_hashed(ledger: SqlLedger, tmp_path: Path) -> None:
    signed = checkpoints.sign(ledger, SIGNER)
    written = export(ledger, tmp_path / "out")
    assert written == Exported(events=7, checkpoints=1, root=ledger.head().root.hex())
    frontier: list[bytes] = []
    for number, line in enumerate((tmp_path / "out" / EVENTS).read_bytes().splitlines()):
        merkle.append(number, frontier, merkle.leaf_hash(line))
    assert merkle.root(frontier) == ledger.head().root
    assert (tmp_path / "out" / CHECKPOINTS).read_bytes() == signed.note
    assert (tmp_path / "out" / KEYS).read_text() == f"{SIGNER.vkey}\n"
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted([EVENTS, CHECKPOINTS, KEYS])


def test_an_exported_record_is_loaded_as_it_was(ledger: SqlLedger, tmp_path: Path) -> None:
    checkpoints.sign(ledger, SIGNER)
    written = export(ledger, tmp_path / "out", personal=True)
    other = open_ledger(tmp_path / "other")
    assert load(other, tmp_path / "out", written) == 7
    assert other.head()._replace(fence=0) == ledger.head()._replace(fence=0)
    found = verify(other, None)
    assert (found.verified, found.events, found.checkpoints) == (True, 7, 1)
    give(other)
    with pytest.raises(Conflict, match="not empty"):
        load(other, tmp_path / "out", written)


def test_an_export_without_its_texts_is_not_loaded(ledger: SqlLedger, tmp_path: Path) -> None:
    written = export(ledger, tmp_path / "out")
    other = open_ledger(tmp_path / "other")
    with pytest.raises(Corrupt, match=r"personal\.jsonl cannot be read"):
        load(other, tmp_path / "out", written)
    assert other.size() == 0


def test_a_changed_export_is_not_loaded(ledger: SqlLedger, tmp_path: Path) -> None:
    written = export(ledger, tmp_path / "out")
    whole = (tmp_path / "out" / EVENTS).read_bytes()
    for place, changed in enumerate((whole.replace(b"because", b"becausf", 1), whole[: whole.rindex(b"{")], whole[:-1], whole + whole)):
        (tmp_path / "out" / EVENTS).write_bytes(changed)
        other = open_ledger(tmp_path / f"other{place}")
        with pytest.raises(Corrupt):
            load(other, tmp_path / "out", written)
        assert other.size() == 0
        assert verify(other, None).verified


def test_a_witness_may_have_signed_a_kept_checkpoint_too(ledger: SqlLedger) -> None:
    signed = checkpoints.sign(ledger, SIGNER)
    witness = Signer("witness.example", bytes(32))
    cosigned = signed.note + witness.sign(signed.note.decode().rpartition("\n\n")[0] + "\n").rpartition(b"\n\n")[2]
    assert verify(ledger, None, [Kept("elsewhere", cosigned)]).verified
    assert checkpoints.consistency(ledger, cosigned).format == "flyball-consistency/1"


@pytest.mark.parametrize("url", ["https://h:443secret/x", "https://h..x/secret", "https://[::1/secret"])
def test_an_address_that_cannot_be_used_is_an_error_without_it(url: str) -> None:
    with pytest.raises((BadInput, Unavailable)) as caught:
        WebhookAnchor(url).publish(b"note")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("gone", [128, 254])
@pytest.mark.parametrize("changed", [0, 7])
def test_where_an_event_is_missing_no_checkpoint_is_said_to_be_of_another_record(ledger: SqlLedger, gone: int, changed: int) -> None:
    give(ledger, 255 - ledger.size())
    checkpoints.sign(ledger, SIGNER)
    with ledger.database.writing() as connection:
        connection.execute("DELETE FROM event WHERE seq = ?", (gone,))
        # the last event of each subtree in the frontier of 255, and more of them than are tried against each other
        for seq in [each for each in (128, 192, 224, 240, 248, 252, 254, 255) if each != gone][:changed]:
            connection.execute("UPDATE event SET hashes = zeroblob(length(hashes)) WHERE seq = ?", (seq,))
    found = verify(ledger, None).problems
    assert f"event {gone}" in [each.where for each in found]
    assert not [each for each in found if each.where.startswith("checkpoint")]
    assert len(found) >= changed


def test_a_checkpoint_of_more_events_than_are_left_says_so(ledger: SqlLedger) -> None:
    checkpoints.sign(ledger, SIGNER)
    size = ledger.size()
    with ledger.database.writing() as connection:
        connection.execute("DELETE FROM event WHERE seq = ?", (size,))
    told = {each.where: each.what for each in verify(ledger, None).problems}
    assert told[f"checkpoint {size}"] == f"it was signed for {size} events, and the ledger has {size - 1}: its end was cut off"
