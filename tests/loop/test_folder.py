"""Predictions in a folder are taken once each, whatever is killed when; a label that is filled in later is a label, and no prediction."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flyball.cli.main import run
from flyball.clock import instant
from flyball.loop import folder as taking
from flyball.loop import memory as memories
from flyball.loop.folder import rows, version_of
from flyball.loop.lookup import declared
from flyball.loop.tick import tick
from flyball.monitoring.slabs import within
from flyball.records.data import DATASETS, DatasetRow
from flyball.records.elsewhere import VersionSeen
from flyball.serving import wal
from flyball.serving.sealer import unseal

from .elsewhere_kit import Watched, made

MORE = '"prediction": int, "score": fb.column(float, nulls="100%"), "version": str, "latency_ms": fb.column(float, nulls="100%"),'


def frame(rows: list[dict[str, Any]], *, labelled: bool) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "request": [one["id"] for one in rows],
            "at": [datetime.fromisoformat(one["time"]).replace(tzinfo=None) for one in rows],
            "amount": [one["row"]["amount"] for one in rows],
            "purpose": [one["row"]["purpose"] for one in rows],
            "prediction": [one["value"] for one in rows],
            "score": [one["score"] for one in rows],
            "version": [one["version"] for one in rows],
            "latency_ms": [12.5 for _ in rows],
            "defaulted": pl.Series([one["label"] if labelled else None for one in rows], dtype=pl.Int64),
        }
    )


class Folder(Watched):
    """A project whose predictions lie in a folder."""

    def __init__(self, root: Path) -> None:
        (root / "predictions").mkdir(parents=True)
        self.versions = 0
        self.put("0", made(0, 100), labelled=False, root=root)
        super().__init__(root, source="predictions/*.parquet", more=MORE)

    def put(self, name: str, rows: list[dict[str, Any]], *, labelled: bool, root: Path | None = None) -> None:
        frame(rows, labelled=labelled).write_parquet((root or self.root) / "predictions" / f"{name}.parquet")

    def content(self) -> str:
        row = self.wired.ports.ledger.state().get(DATASETS, "requests")
        return row.head.content if row is not None and row.head is not None else ""

    def read(self, before: str = "") -> None:
        """Wait until the source was read, and let the loop take and count it."""
        end = time.monotonic() + 60
        while self.content() in ("", before):
            assert time.monotonic() < end, "the folder was not read"
            self.tick()
        self.tick()
        self.tick()

    def records(self) -> list[wal.LogRecord]:
        found = [record for row in self.wired.subjects().segments() for record in unseal(self.wired.blobs.get(row.parquet_sha256))]
        for file in wal.segments(self.wired.layout.log):
            found += wal.read(file.path)[0]
        return found

    def ids(self, kind: str) -> Counter[str]:
        return Counter(record.request_id for record in self.records() if record.kind == kind)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made_folder = Folder(tmp_path / "p")
    yield made_folder
    made_folder.close()


def test_rows_become_answers_and_filled_in_labels_become_labels(folder: Folder) -> None:
    folder.read()
    answers = [record for record in folder.records() if record.kind == "answer"]
    assert len(answers) == 100
    assert {record.version for record in answers} == {"legacy-risk@7"}
    assert {(record.answered_ns - record.picked_ns) // 1000 for record in answers} == {12_500}
    assert folder.ids("label") == {}
    before = folder.content()
    folder.put("0", made(0, 100), labelled=True)
    folder.put("1", made(1, 50), labelled=False)
    folder.read(before)
    assert set(folder.ids("answer").values()) == {1}
    assert folder.ids("answer").total() == 150
    assert folder.ids("label") == Counter(one["id"] for one in made(0, 100))
    assert [event.version for event in folder.events(VersionSeen)] == ["7"]
    kept = memories.load(folder.wired.ports.memory).monitor("legacy-risk")
    slab = within(kept.slabs, 0, kept.until)
    whole = next(part for part in slab.quality if not part.slice)
    assert (slab.n, whole.labelled) == (150, 100)


def committed(folder: Folder, before: str) -> None:
    """Wait until the source was read; nothing is taken of it yet."""
    end = time.monotonic() + 60
    while folder.content() in ("", before):
        assert time.monotonic() < end, "the folder was not read"
        tick(folder.wired.ports.clock.now(), folder.wired.ports)


def killed(folder: Folder, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """Begin to take what there is, in writes of seven frames, and die after so many of them."""
    dying = folder.wired.elsewhere().folders
    with monkeypatch.context() as patch:
        left, written = iter(range(writes)), taking._written

        def dies(writer: wal.Writer, frames: list[bytes], name: str) -> list[bytes]:
            if next(left, None) is None:
                raise OSError("the process is gone")
            return written(writer, frames, name)

        patch.setattr(taking, "_written", dies)
        patch.setattr(taking, "FRAMES", 7)
        dying.step(folder.wired.ports)
        thread = dying._thread
        assert thread is not None
        thread.join()


@pytest.mark.parametrize("writes", [0, 1, 20, 10_000])
def test_what_a_killed_attempt_wrote_is_not_written_again(folder: Folder, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    folder.read()
    before = folder.content()
    folder.put("0", made(0, 100), labelled=True)
    folder.put("1", made(1, 300), labelled=True)
    committed(folder, before)
    killed(folder, monkeypatch, writes)
    there = folder.ids("answer").total()
    assert there == {0: 100, 10_000: 400}.get(writes, there)
    assert writes != 20 or 100 < there < 400, "it died on its way"
    folder.again()
    folder.tick()
    folder.tick()
    assert folder.ids("answer").total() == folder.ids("label").total() == 400
    assert set(folder.ids("answer").values()) == set(folder.ids("label").values()) == {1}


def broken(folder: Folder, name: str, *, whole: int = 0) -> None:
    """A file that is no whole Parquet: text, or the first bytes of what it was."""
    path = folder.root / "predictions" / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:whole] if whole else b"this is no Parquet")


def refused(folder: Folder) -> DatasetRow:
    """Wait until a look at the folder was refused."""
    end = time.monotonic() + 60
    while (row := folder.wired.ports.ledger.state().get(DATASETS, "requests")) is None or not row.refused_mark:
        assert time.monotonic() < end, "the folder was not read"
        folder.tick()
    return row


def findings(folder: Folder) -> list[str]:
    row = folder.wired.ports.ledger.state().get(DATASETS, "requests")
    assert row is not None
    assert row.violations == ()
    return [finding.text for finding in row.findings if finding.rule == "broken"]


def test_a_broken_file_is_left_out_and_said_and_those_beside_it_are_taken(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.read()
    before = folder.content()
    broken(folder, "1")
    folder.put("2", made(2, 50), labelled=False)
    folder.read(before)
    assert folder.ids("answer").total() == 150
    (told,) = findings(folder)
    assert told.startswith("predictions/1.parquet: the file is not whole Parquet (")
    assert told.endswith("); it is left out, the 2 other files are taken")
    assert run(["status", "--project", str(folder.root)]) == 0
    assert "it is left out, the 2 other files are taken" in capsys.readouterr().out
    assert run(["check", "--data", str(folder.root)]) == 0
    checked = capsys.readouterr().out
    assert "predictions/1.parquet  the file is not whole Parquet: it is left out, the other files are taken" in checked
    assert "rename it when it is whole" in checked
    before = folder.content()
    folder.put("1", made(1, 30), labelled=False)
    folder.read(before)
    assert findings(folder) == []
    assert folder.ids("answer").total() == 180
    assert set(folder.ids("answer").values()) == {1}


def test_status_says_how_many_more_files_are_wrong_and_what_lists_them(folder: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.read()
    before = folder.content()
    for number in range(1, 5):
        folder.put(str(number), made(number, 30), labelled=False)
        broken(folder, str(number))
    folder.put("5", made(5, 30), labelled=False)
    folder.read(before)
    (told,) = findings(folder)
    others = ", ".join(f"predictions/{number}.parquet" for number in (2, 3, 4))
    assert told.endswith(f"); it and 3 more are left out, the 2 other files are taken; broken, too: {others}")
    assert run(["status", "--project", str(folder.root)]) == 0
    assert (
        f"it and 3 more are left out, the 2 other files are taken; broken, too: {others}   → flyball check --data"
        in capsys.readouterr().out
    )
    assert run(["data", "list", "--project", str(folder.root)]) == 0
    assert "it and 3 more are left out" in " ".join(capsys.readouterr().out.split())


def test_a_file_that_was_taken_and_breaks_and_comes_back_is_taken_once(folder: Folder) -> None:
    folder.read()
    for number, breaks in enumerate((True, False), 1):
        before = folder.content()
        folder.put(f"other-{number}", made(number, 20), labelled=False)
        if breaks:
            broken(folder, "0", whole=2_000)
        else:
            folder.put("0", made(0, 100), labelled=True)
        folder.read(before)
        # each is taken by another process, which writes a segment of its own
        folder.again()
    assert folder.ids("answer").total() == 140
    assert set(folder.ids("answer").values()) == {1}
    assert folder.ids("label").total() == 100


def test_what_was_taken_before_it_broke_is_taken_once_though_a_look_was_refused_meanwhile(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.read()
    folder.again()
    with monkeypatch.context() as patch:
        # nothing is taken yet when every file is broken, and findings are of that look alone
        patch.setattr(taking.Folders, "step", lambda *_: None)
        before = folder.content()
        folder.put("1", made(1, 20), labelled=False)
        broken(folder, "0")
        folder.read(before)
        broken(folder, "1")
        refused(folder)
    folder.tick()
    folder.again()
    before = folder.content()
    folder.put("0", made(0, 100), labelled=False)
    folder.put("1", made(1, 20), labelled=False)
    folder.read(before)
    assert folder.ids("answer").total() == 120
    assert set(folder.ids("answer").values()) == {1}


def test_a_file_that_is_moved_away_and_back_is_taken_once(folder: Folder) -> None:
    folder.read()
    there, away = folder.root / "predictions" / "0.parquet", folder.root / "0.parquet"
    for number, (path, target) in enumerate(((there, away), (away, there)), 1):
        # each is taken by another process, which writes a segment of its own
        folder.again()
        before = folder.content()
        folder.put(f"other-{number}", made(number, 20), labelled=False)
        path.rename(target)
        folder.read(before)
    assert folder.ids("answer").total() == 140
    assert set(folder.ids("answer").values()) == {1}


@pytest.mark.parametrize("first", [True, False], ids=["of the first version", "of a later one"])
def test_what_a_killed_attempt_wrote_of_a_file_that_was_away_meanwhile_is_not_written_again(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    there, away = folder.root / "predictions" / "5.parquet", folder.root / "5.parquet"
    if first:
        committed(folder, "")
        killed(folder, monkeypatch, 0)
    else:
        folder.read()
    before = folder.content()
    folder.put("5", made(5, 300), labelled=False)
    folder.again()
    committed(folder, before)
    killed(folder, monkeypatch, 20)
    assert 100 < folder.ids("answer").total() < 400, "it died on its way"
    for number, (path, target) in enumerate(((there, away), (away, there)), 1):
        # each is taken by another process, which writes a segment of its own
        folder.again()
        before = folder.content()
        folder.put(str(number), made(number, 20), labelled=False)
        path.rename(target)
        committed(folder, before)
        folder.tick()
        kept = taking._kept(folder.wired.ports.memory, "legacy-risk")
        assert (kept.gone, kept.begun) == (instant(made(5, 300)[-1]["time"]), ()), "its rows may be back"
    assert folder.ids("answer").total() == 440
    assert set(folder.ids("answer").values()) == {1}


def test_while_a_file_stays_broken_no_more_of_the_log_is_read_than_without_it(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    read, records = list[int](), taking.LogOf.records
    monkeypatch.setattr(taking.LogOf, "records", lambda self, least: read.append(least) or records(self, least))
    broken(folder, "broken")
    folder.read()
    for number in (1, 2):
        # each is taken by another process, which writes a segment of its own
        folder.again()
        before = folder.content()
        folder.put(str(number), made(number, 20), labelled=False)
        folder.read(before)
    assert folder.ids("answer").total() == 140
    assert read == [0, 0, 1], "from the segment on in which the last one was taken"


def test_where_every_file_is_broken_the_data_set_is_refused_and_what_was_taken_stays(folder: Folder) -> None:
    folder.read()
    broken(folder, "0")
    row = refused(folder)
    assert "predictions/0.parquet  the file is not whole Parquet" in row.violations[0]
    assert row.head is not None
    assert folder.ids("answer").total() == 100


def test_without_what_was_kept_the_log_says_what_is_in_it(folder: Folder) -> None:
    folder.read()
    memory = folder.wired.ports.memory
    memory.save({"1/predictions taken/legacy-risk": None})
    folder.again()
    folder.tick()
    assert folder.ids("answer").total() == 100


def test_a_row_without_a_prediction_was_not_answered(folder: Folder) -> None:
    folder.read()
    given = frame(made(0, 2), labelled=False).with_columns(pl.Series("prediction", [None, 1], dtype=pl.Int64))
    found = [one.error for one, _label in rows(declared(folder.wired.ports, "legacy-risk"), given)]
    assert found == ["the row has no prediction", ""]


def test_rows_that_were_not_answered_never_refuse_the_others_and_check_says_how_many_values_may_be_missing(
    folder: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    def checked() -> str:
        capsys.readouterr()
        run(["check", "--data", "--project", str(folder.root)])
        return " ".join(capsys.readouterr().out.split())

    folder.read()
    before = folder.content()
    rows_made = made(1, 50)
    unanswered = frame(rows_made, labelled=False).with_columns(
        pl.when(pl.col("request") == rows_made[7]["id"]).then(None).otherwise(pl.col(name)).alias(name)
        for name in ("prediction", "score", "version")
    )
    unanswered.write_parquet(folder.root / "predictions" / "1.parquet")
    assert "missing" not in checked()
    folder.read(before)
    assert folder.ids("answer").total() == 150
    assert folder.ids("error")[rows_made[7]["id"]] + folder.ids("answer")[rows_made[7]["id"]] == 1
    assert findings(folder) == []
    # what is no answer has to be there as declared
    (folder.root / "predictions" / "1.parquet").unlink()
    unasked = frame(rows_made, labelled=False).with_columns(amount=pl.lit(None, dtype=pl.Float64))
    unasked.write_parquet(folder.root / "predictions" / "2.parquet")
    told = checked()
    assert "amount: 50 of 150 values are missing, at most 0% may be" in told
    assert 'columns={"amount": fb.column(float, nulls="34%", …)}' in told


def test_a_version_has_the_characters_of_a_version() -> None:
    assert [version_of(text) for text in ("7", "a@b/c", "-x-", "", None)] == ["7", "a-b-c", "x", "unversioned", "unversioned"]
