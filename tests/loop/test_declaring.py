"""What a compilation changes: only what differs, a broken file nothing of its own, and a healed one is forgotten."""

from __future__ import annotations

from pathlib import Path

from flyball.clock import VirtualClock
from flyball.errors import Problem
from flyball.ledger.canonical import MAX_BODY
from flyball.ledger.ledger import SqlLedger
from flyball.loop.commands import decide_apply
from flyball.loop.compiling import Broken, Compilation
from flyball.loop.declaring import apply_command
from flyball.loop.folds import FOLDS
from flyball.records.declarations import DECLARATIONS, LOOP_FILES, Compiled
from flyball.store.blobs import LocalBlobs
from flyball.store.sql import Database


class Applying:
    def __init__(self, root: Path) -> None:
        self.database = Database.open(root / "ledger.db")
        self.ledger = SqlLedger(self.database, FOLDS, VirtualClock(0))
        self.blobs = LocalBlobs(root / "blobs")
        self.count = 0

    def __call__(self, *models: Compiled, broken: tuple[Broken, ...] = ()) -> list[str]:
        """Apply; the kinds of event that it brought."""
        self.count += 1
        found = Compilation(models, broken, (), "")
        receipt = self.ledger.execute(apply_command(found, self.blobs, command=f"c{self.count}", actor="ana"), decide_apply)
        return [one.event.kind for one in self.ledger.read(receipt.first - 1, receipt.last - receipt.first + 1)] if receipt.first else []

    def broken(self) -> list[str]:
        return [file for file, _ in self.ledger.state().scan(LOOP_FILES)]


def model(name: str = "m", version: str = "v1", policy: str = "p1") -> Compiled:
    return Compiled(
        model=name,
        file=f"{name}.py",
        line=1,
        version_digest=version,
        policy_digest=policy,
        gates_digest=policy,
        body=f"{name}{version}{policy}",
        code={},
    )


def damaged(file: str = "m.py", *texts: str) -> Broken:
    return Broken(file, "digest", tuple(Problem(f"{file}:1", text) for text in texts or ("does not import",)))


def test_applying_the_same_again_records_nothing(tmp_path: Path) -> None:
    apply = Applying(tmp_path)
    assert apply(model()) == ["declaration.applied"]
    assert apply(model()) == []
    assert apply(model(policy="p2")) == ["declaration.applied"]
    apply.database.close()


def test_a_broken_file_leaves_its_model_as_it_was_and_is_healed_without_applying_it_anew(tmp_path: Path) -> None:
    apply = Applying(tmp_path)
    apply(model())
    assert apply(broken=(damaged(),)) == ["declaration.refused"]
    assert apply(broken=(damaged(),)) == []
    assert apply(broken=(damaged("m.py", "another reason"),)) == ["declaration.refused"]
    row = apply.ledger.state().get(DECLARATIONS, "m")
    assert row is not None
    assert row.version_digest == "v1"
    assert apply(model()) == ["declaration.healed"]
    assert apply.broken() == []
    apply.database.close()


def test_a_broken_file_that_is_deleted_is_not_broken_any_more(tmp_path: Path) -> None:
    apply = Applying(tmp_path)
    apply(model(), broken=(damaged("other.py"),))
    assert apply.broken() == ["other.py"]
    assert apply(model()) == ["declaration.healed"]
    assert apply.broken() == []
    apply.database.close()


def test_however_much_is_wrong_with_a_file_it_fits_an_event(tmp_path: Path) -> None:
    apply = Applying(tmp_path)
    assert apply(broken=(damaged("m.py", *["é" * 100_000] * 200),)) == ["declaration.refused"]
    row = apply.ledger.state().get(LOOP_FILES, "m.py")
    assert row is not None
    assert row.problems[-1] == "and 192 more: flyball check lists them"
    assert sum(len(text.encode()) for text in row.problems) < MAX_BODY
    apply.database.close()
