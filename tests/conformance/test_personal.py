"""Personal texts are kept and erased alike on every database."""

from __future__ import annotations

from types import ModuleType

from flyball.data.fold import FOLDS as DATA
from flyball.ledger.verify import verify
from flyball.records.data import SubjectErased


def test_a_text_is_found_by_its_hash_and_erased_without_a_trace_in_any_proof(place, kit: ModuleType) -> None:
    ledger = place.ledger(folds={**kit.FOLDS, **DATA})
    told = [SubjectErased(subject="k", data=("d",), rows=0, predictions=0, waiting=0, texts=0, reason=name) for name in ("ana", "bo")]
    kit.give(ledger, "c1", *told)
    hashes = [recorded.event.reason for recorded in ledger.read(0, 9)]
    assert [ledger.personal(each) for each in hashes] == ["ana", "bo"]
    assert ledger.personal_of("bo") == [hashes[1]]
    before = ledger.head()
    ledger.erase_personal([hashes[0], "0" * 64])
    assert [ledger.personal(each) for each in hashes] == [None, "bo"]
    assert ledger.head() == before
    assert verify(ledger, None).verified
    kit.give(ledger, "c2", told[0])
    place.alter("UPDATE personal SET key = ? WHERE key = ?", "f" * 64, hashes[1])
    assert [problem.where for problem in verify(ledger, None).problems] == [f"personal {'f' * 64}"]
