"""Tables of former versions are brought over as they are on opening, or left alone."""

from types import ModuleType

import pytest

from flyball.errors import Conflict, Corrupt
from flyball.ledger import merkle
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.verify import verify
from flyball.store.tables import SCHEMA_VERSION

from .conftest import Place


def make_former(place: Place, ledger: SqlLedger, version: str) -> None:
    """Make the tables those of a former version, and close them."""
    with ledger.database.reading() as connection:
        nodes = connection.execute(ledger.database.sql.all_nodes).fetchall()
    ledger.database.close()
    whole, blob = ("BIGINT", "BYTEA") if place.kind == "postgresql" else ("INTEGER", "BLOB")
    place.alter("DROP TABLE node")
    place.alter(f"CREATE TABLE node (level INTEGER NOT NULL, idx {whole} NOT NULL, hash {blob} NOT NULL, PRIMARY KEY (level, idx))")
    for number, hashed in nodes:
        place.alter("INSERT INTO node VALUES (?, ?, ?)", *merkle.at(number), hashed)
    place.alter("UPDATE meta SET value = ? WHERE key = 'schema'", version)
    if version == "1":
        place.alter("DROP TABLE checkpoint")
        place.alter("DROP TABLE personal")


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("count", [0, 1, 600])
def test_the_tables_of_a_former_version_are_brought_over(place: Place, kit: ModuleType, version: str, count: int) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", *(kit.queued(f"r{number}") for number in range(count)))
    root = ledger.head().root
    make_former(place, ledger, version)
    after = place.ledger()
    assert after.head().root == root
    kit.give(after, "c2", kit.queued("more"))
    assert verify(after, None).problems == ()
    assert {"checkpoint", "personal"} <= set(after.database.table_names())
    with after.database.reading() as connection:
        assert connection.execute(after.database.sql.get_meta, ("schema",)).fetchone() == (SCHEMA_VERSION,)


def test_a_hash_that_was_changed_is_not_mended_by_bringing_it_over(place: Place, kit: ModuleType) -> None:
    ledger = place.ledger()
    kit.give(ledger, "c1", *(kit.queued(f"r{number}") for number in range(20)))
    make_former(place, ledger, "2")
    place.alter("UPDATE node SET hash = ? WHERE level = 1 AND idx = 4", b"x" * 32)
    assert [each.where for each in verify(place.ledger(), None).problems] == ["node 1/4"]


@pytest.mark.parametrize(("level", "idx"), [(70, 0), (0, -1), (3, 1 << 61)])
def test_a_tree_that_is_none_is_refused_and_left_as_it_is(place: Place, level: int, idx: int) -> None:
    make_former(place, place.ledger(), "2")
    place.alter("INSERT INTO node VALUES (?, ?, ?)", level, idx, b"x" * 32)
    for _ in range(2):
        with pytest.raises(Corrupt, match=f"there is a node {level}/{idx}"):
            place.database()


def test_tables_of_another_version_are_left_alone(place: Place) -> None:
    place.database().close()
    place.alter("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(Conflict, match="version 99") as caught:
        place.database()
    assert "newer one" in caught.value.fix
