"""Signed notes: what a signer wrote is read, and nothing else is."""

import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import Corrupt, Refused
from flyball.ledger import keys
from flyball.ledger.note import Checkpoint, Signer, Verifier, opened, split, version_text

SIGNER = Signer("flyball/0123456789abcdef", bytes(range(32)))
OTHER = Signer("flyball/0123456789abcdef", bytes(32))
KNOWN = [Verifier(SIGNER.vkey)]
CHECKPOINT = Checkpoint(SIGNER.name, 1234, hashlib.sha256(b"root").digest())
NOTE = SIGNER.sign(CHECKPOINT.text)


def test_the_example_of_the_specification_is_read() -> None:
    # https://pkg.go.dev/golang.org/x/mod/sumdb/note: key and note of its documentation
    known = Verifier("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = (
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert opened(note.encode(), [known]).startswith("If you think cryptography")


def test_a_checkpoint_comes_back_as_it_was_signed() -> None:
    assert Checkpoint.parse(opened(NOTE, KNOWN)) == CHECKPOINT


@given(place=st.integers(0, len(NOTE) - 1), byte=st.integers(0, 255))
def test_no_byte_of_a_note_can_be_changed(place: int, byte: int) -> None:
    if byte != NOTE[place]:
        with pytest.raises(Corrupt):
            opened(NOTE[:place] + bytes([byte]) + NOTE[place + 1 :], KNOWN)


def test_a_note_without_a_signature_or_by_another_key_is_refused() -> None:
    with pytest.raises(Corrupt):
        opened(CHECKPOINT.text.encode() + b"\n", KNOWN)
    with pytest.raises(Corrupt, match="not known"):
        opened(OTHER.sign(CHECKPOINT.text), KNOWN)


def test_a_version_cannot_be_taken_for_a_checkpoint() -> None:
    note = SIGNER.sign(version_text("price@1.0.0", "ab" * 32))
    with pytest.raises(Corrupt, match="not a checkpoint"):
        Checkpoint.parse(opened(note, KNOWN))


@pytest.mark.parametrize(
    "text", ["", "o\n1\n", f"o\n01\n{'A' * 43}=\n", f"o\n-1\n{'A' * 43}=\n", "o\n1\nAAAA\n", f"\n1\n{'A' * 43}=\n", f"o\n1\n{'A' * 43}B\n"]
)
def test_what_is_not_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(Corrupt):
        Checkpoint.parse(text)


def test_a_key_is_read_back_from_its_text_and_says_nothing_of_itself_when_it_cannot() -> None:
    assert Signer.parse(SIGNER.skey).vkey == SIGNER.vkey
    secret = base64.b64encode(b"\x01" + bytes(range(32))).decode()
    with pytest.raises(Corrupt) as caught:
        Signer.parse(SIGNER.skey.replace("+flyball/0", "+flyball/1"))
    assert secret[:8] not in str(caught.value)


@pytest.mark.parametrize("vkey", ["", "name", "a b+00000000+AA==", SIGNER.vkey.replace("+", "+0", 1), SIGNER.vkey[:-4]])
def test_what_is_not_a_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(Corrupt):
        Verifier(vkey)


def test_a_file_of_notes_is_split_into_them() -> None:
    second = SIGNER.sign(CHECKPOINT._replace(size=1300).text)
    assert list(split(NOTE + second)) == [NOTE, second]
    assert list(split(b"")) == []


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = keys.signer(tmp_path / "keys")
    assert keys.signer(tmp_path / "keys").vkey == made.vkey
    assert (tmp_path / "keys" / keys.KEY).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert [each.name for each in (tmp_path / "keys").iterdir()] == [keys.KEY]


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    keys.signer(tmp_path)
    (tmp_path / keys.KEY).chmod(0o644)
    with pytest.raises(Refused, match="can be read by others"):
        keys.signer(tmp_path)


def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    keys.signer(tmp_path)
    (tmp_path / keys.KEY).write_text("PRIVATE+KEY+x")
    (tmp_path / keys.KEY).chmod(0o600)
    with pytest.raises(Corrupt, match=r"ledger\.key"):
        keys.signer(tmp_path)


def test_a_note_that_others_have_signed_too_is_read_where_it_comes_from_outside() -> None:
    witness = Signer("witness.example", bytes(reversed(range(32))))
    theirs = witness.sign(CHECKPOINT.text).rpartition(b"\n\n")[2]
    # a cosignature of another length: C2SP has kinds that are not plain Ed25519
    longer = b"\xe2\x80\x94 other.example " + base64.b64encode(bytes(80)) + b"\n"
    cosigned = NOTE + theirs + longer
    assert opened(cosigned, KNOWN, cosigned=True) == CHECKPOINT.text
    with pytest.raises(Corrupt, match="not known"):
        opened(cosigned, KNOWN)
    with pytest.raises(Corrupt, match="by no key that is known"):
        opened(CHECKPOINT.text.encode() + b"\n" + theirs, KNOWN, cosigned=True)
    with pytest.raises(Corrupt, match="does not hold"):
        opened(cosigned.replace(b"1234", b"1235", 1), KNOWN, cosigned=True)
