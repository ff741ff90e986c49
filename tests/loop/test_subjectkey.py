"""The key under which the erased are remembered is made once; nobody is forgotten to be erased because it was lost or is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.data.fold import FOLDS
from flyball.errors import Corrupt, Refused
from flyball.ledger.projection import MemoryProjection
from flyball.loop.erasing import EraseSubject, decide_erase
from flyball.loop.subjectkey import FILE, SubjectKey, find_key, make_key, throwaway
from flyball.records.base import Recorded, Refusal
from flyball.records.data import SubjectErased


def erased(fingerprint: str) -> SubjectErased:
    return SubjectErased(subject="k", data=("loans",), rows=1, predictions=0, waiting=0, texts=0, fingerprint=fingerprint)


def after(*fingerprints: str) -> MemoryProjection:
    """The state after erasures under keys of these fingerprints; an empty one is of an event from before there were any."""
    state = MemoryProjection()
    for seq, fingerprint in enumerate(fingerprints, 1):
        FOLDS[SubjectErased](state, Recorded(seq, seq, "user:ana", f"c{seq}", erased(fingerprint)))
    return state


def test_the_first_erasure_makes_the_key_and_later_ones_take_it(tmp_path: Path) -> None:
    assert find_key(tmp_path, MemoryProjection()) is None
    assert list(tmp_path.iterdir()) == []
    made = make_key(tmp_path, MemoryProjection())
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0
    assert find_key(tmp_path, after(made.fingerprint)) == make_key(tmp_path, after(made.fingerprint)) == made
    assert find_key(tmp_path, after("")) == made, "an event of before names no key"


@pytest.mark.parametrize("told", ["", "381802724e3b38c2"])
def test_a_lost_key_is_never_replaced_once_somebody_was_erased(tmp_path: Path, told: str) -> None:
    for look in (find_key, make_key):
        with pytest.raises(Corrupt, match=rf"{FILE} is missing"):
            look(tmp_path, after(told))
    assert list(tmp_path.iterdir()) == []


def test_another_key_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    make_key(tmp_path, MemoryProjection())
    with pytest.raises(Corrupt, match=rf"{FILE} is another one"):
        find_key(tmp_path, after(throwaway().fingerprint))


def test_a_key_that_two_machines_made_at_once_is_taken_of_one(tmp_path: Path) -> None:
    late = EraseSubject(
        id="c2", actor="user:ben", what=erased(make_key(tmp_path, MemoryProjection()).fingerprint), erased=(), looked=(), models=()
    )
    refused = decide_erase(after(throwaway().fingerprint), late, 2)
    assert isinstance(refused, Refusal)
    assert refused.code == "corrupt"
    assert decide_erase(after(late.what.fingerprint), late, 2) == ()


def test_a_key_is_not_told_by_its_fingerprint_or_in_a_message() -> None:
    key = throwaway()
    assert key.secret.hex()[:8] not in key.fingerprint + repr(key)
    assert key.fingerprint != throwaway().fingerprint
    assert len(key.fingerprint) == 16


@pytest.mark.parametrize(("text", "mode", "kind"), [("abc", 0o600, Corrupt), ("00" * 32, 0o644, Refused)])
def test_a_damaged_key_and_one_that_others_can_read_are_refused(tmp_path: Path, text: str, mode: int, kind: type[Exception]) -> None:
    (tmp_path / FILE).write_text(text)
    (tmp_path / FILE).chmod(mode)
    with pytest.raises(kind, match=FILE):
        make_key(tmp_path, MemoryProjection())
    assert (tmp_path / FILE).read_text() == text


def test_the_hash_of_a_person_needs_the_key() -> None:
    assert SubjectKey(bytes(32)).who("ana") != throwaway().who("ana")
