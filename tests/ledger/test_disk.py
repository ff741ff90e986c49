"""A disk that fills up under the record."""

from types import ModuleType

import pytest

from flyball.errors import Unavailable
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.verify import verify


def test_a_full_disk_refuses_the_command_and_the_next_one_may_go_on(ledger: SqlLedger, kit: ModuleType) -> None:
    kit.give(ledger, "c1", kit.queued("r1"))
    with ledger.database.writing() as connection:
        full = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {full}")
    with pytest.raises(Unavailable) as caught:
        kit.give(ledger, "c2", *(kit.queued(f"r{number}", reason="x" * 9000) for number in range(50)))
    assert caught.value.why == "the disk is full"
    assert ledger.size() == 1
    with ledger.database.writing() as connection:
        connection.execute(f"PRAGMA max_page_count = {full * 100}")
    kit.give(ledger, "c2", kit.queued("r2"))
    assert verify(ledger, None).verified
