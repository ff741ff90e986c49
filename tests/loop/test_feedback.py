"""A model that is fed its own answers: an upstream job writes them where labels, or a column, should be; and the twin in which none does."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flyball.data.commit import scan
from flyball.errors import Unavailable
from flyball.governance.authority import LOOP
from flyball.ledger.verify import verify
from flyball.loop import children, feedback_child
from flyball.loop.aside import LATER
from flyball.loop.broken import broken_findings
from flyball.records.alerts import ALERTS, AlertState
from flyball.records.feedback import FEEDBACKS, FeedbackExamined
from flyball.records.incidents import INCIDENTS
from flyball.records.versions import MODELS, VERSIONS
from flyball.serving import wal
from flyball.training.artifact import load
from flyball.wiring import Wired

from . import estimate_kit
from .estimate_kit import Loans, drawn

DECLARED = estimate_kit.LOOP.replace(', known_after="2d"', ', nulls="100%"')
"""The loan project whose labels are known at once, with a column that an upstream job may write to."""


class Fed(Loans):
    """The project on disk."""

    def write(self, frame: pl.DataFrame) -> None:
        super().write(frame.with_columns(own=pl.lit(None, pl.Float64)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("loans") / "project"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate_kit, "LOOP", DECLARED.replace('"kind": str,', '"kind": str, "own": fb.column(float, nulls="100%"),'))
        Fed.make(root)
    return root


@pytest.fixture
def loans(made: Path, tmp_path: Path) -> Loans:
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    return Loans(tmp_path / "project")


def answered(loans: Loans, wired: Wired, rows: pl.DataFrame) -> pl.DataFrame:
    """Have the champion answer these rows a moment ago, on the log; the rows with its `answer` and `own` score."""
    version = wired.ledger.state().get(VERSIONS, "loan/1.0.0")
    assert version is not None
    made = load(version.artifact, wired.blobs, wired.layout.run / "code").predict(rows.select("x", "z", "kind"))
    assert made.score is not None
    found = rows.with_columns(pl.Series("answer", np.asarray(made.value).astype(np.int64)), pl.Series("own", made.score))
    writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
    frames = [writer.declare("loan@1.0.0", ["x", "z", "kind"])]
    for place, row in enumerate(found.iter_rows(named=True)):
        at = time.monotonic_ns() - 2 * 10**9
        frames.append(
            wal.frame(
                "answer", f"r{place}", rows=1, picked_ns=at, answered_ns=at, version="loan@1.0.0", role="champion",
                packed_input=wal._encode([[row["x"], row["z"], row["kind"]]]), packed_output=wal._encode([[row["answer"], row["own"]]]),
            )
        )  # fmt: skip
    assert writer.append(frames)
    writer.close()
    return found


def fed(loans: Loans, rows: pl.DataFrame) -> None:
    """What happened since, as the data set has it: these rows of a second ago after all others, with the labels that they have."""
    path = loans.root / "data" / "loans.csv"
    before = pl.read_csv(path)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    new = rows.with_columns(ts=pl.lit(stamp), who=pl.lit("cem"))
    pl.concat([before, new.select(name for name in before.columns if name in new.columns)], how="diagonal_relaxed").write_csv(path)


def trained(loans: Loans) -> FeedbackExamined | None:
    """What is found of the version that is trained now, once the loop has passed."""
    ended = loans.call("train", "loan", "--trials", 0)
    assert ended.code == 0, ended
    for _ in range(2):
        assert loans.call("tick").code == 0
    with loans.opened() as wired:
        state = wired.ledger.state()
        roles = state.get(MODELS, "loan")
        assert roles is not None
        assert roles.newest != "1.0.0"
        assert verify(wired.ledger, wired.blobs).verified
        row = state.get(FEEDBACKS, f"loan/{roles.newest}")
        return None if row is None else row.newest


def alerts(loans: Loans) -> dict[str, tuple[str, str]]:
    with loans.opened() as wired:
        rows = [row for _, row in wired.ledger.state().scan(ALERTS, "loan/")]
        return {
            f"{row.monitor}/{row.finding.column}": (row.finding.severity, row.finding.why)
            for row in rows
            if row.finding.failure == "feedback" and row.state == AlertState.FIRING
        }


def incidents(loans: Loans) -> list[str]:
    with loans.opened() as wired:
        return [row.failure_mode for _, row in wired.ledger.state().scan(INCIDENTS) if row.failure_mode == "feedback"]


def test_labels_that_an_upstream_job_fills_with_answers_are_found_and_the_share_is_told(loans: Loans) -> None:
    rng = np.random.default_rng(1)
    with loans.opened() as wired:
        rows = answered(loans, wired, drawn(rng, 1_500))
    copied = pl.Series(rng.random(rows.height) < 0.6)
    fed(loans, rows.with_columns(good=pl.when(copied).then("answer").otherwise("good")).drop("own"))
    found = trained(loans)
    assert found is not None
    assert (found.why, found.answered) == ("", 1_500)
    assert found.copied.low is not None
    assert found.copied.value is not None
    assert 0.35 < found.copied.low < 0.6
    assert 0.5 < found.copied.value < 0.7
    severity, why = alerts(loans)["it does not learn its own answers/"]
    assert severity == "alert"
    assert "1,500 of which the model itself had answered" in why
    assert incidents(loans) == ["feedback"]
    assert "copies of its answers" in loans.shown("monitor", "loan")
    shown = loans.shown("models", "show", f"loan@{found.version}")
    assert "feedback  loan@" in shown
    assert loans.call("models", "show", f"loan@{found.version}").document["feedback"]["answered"] == 1_500


def test_the_twin_in_which_labels_are_the_worlds_has_none(loans: Loans) -> None:
    with loans.opened() as wired:
        rows = answered(loans, wired, drawn(np.random.default_rng(1), 1_500))
    fed(loans, rows.drop("own"))
    found = trained(loans)
    assert found is not None
    assert (found.why, found.answered) == ("", 1_500)
    assert found.copied.low == 0.0
    assert (alerts(loans), incidents(loans)) == ({}, [])


def test_a_column_that_holds_the_models_own_score_is_named(loans: Loans) -> None:
    with loans.opened() as wired:
        rows = answered(loans, wired, drawn(np.random.default_rng(2), 600))
    fed(loans, rows)
    found = trained(loans)
    assert found is not None
    assert found.columns == {"own": 1.0}
    severity, why = alerts(loans)["it does not learn its own answers/own"]
    assert (severity, "own is the answer's own score in 100% of them" in why) == ("alert", True)


def test_labels_that_exist_where_it_answered_yes_alone_are_a_warning_that_says_what_is_not_known(loans: Loans) -> None:
    with loans.opened() as wired:
        rows = answered(loans, wired, drawn(np.random.default_rng(3), 1_500))
    fed(loans, rows.with_columns(good=pl.when(pl.col("answer") == 1).then("good")).drop("own"))
    found = trained(loans)
    assert found is not None
    assert {one.answer: one.labelled for one in found.coverage}["0.0"] == 0
    assert found.copied.low == 0.0, "of those that it answered yes as many were as ever"
    severity, why = alerts(loans)["labels come whatever it answers/"]
    assert severity == "warn"
    assert "0% of" in why
    assert incidents(loans) == []


def test_where_the_model_had_answered_none_of_its_rows_nothing_is_noted(loans: Loans) -> None:
    fed(loans, drawn(np.random.default_rng(4), 300))
    assert trained(loans) is None
    assert alerts(loans) == {}


def test_of_very_many_answers_and_rows_the_newest_by_time_are_looked_at(loans: Loans, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second gateway's log is read last, and ends first."""
    with loans.opened() as wired:
        for place, gateway in enumerate(("g0", "g1")):
            writer = wal.Writer(wired.layout.log, gateway, reserve_bytes=0)
            frames = [writer.declare("loan@1.0.0", ["x", "z", "kind"])]
            for row in range(100):
                at = time.monotonic_ns() - (10 + 100 * place + 100 - row) * 10**9
                frames.append(
                    wal.frame(
                        "answer", f"{gateway}-{row}", rows=1, picked_ns=at, answered_ns=at, version="loan@1.0.0", role="champion",
                        packed_input=wal._encode([[0.1, 0.2, "new"]]), packed_output=wal._encode([[1, float(place)]]),
                    )
                )  # fmt: skip
            assert writer.append(frames)
            writer.close()
    fed(loans, drawn(np.random.default_rng(7), 300))
    # the file's first rows are the newest
    path = loans.root / "data" / "loans.csv"
    before = pl.read_csv(path)
    before.reverse().write_csv(path)
    assert loans.call("train", "loan", "--trials", 0).code == 0
    monkeypatch.setattr(feedback_child, "MOST", 50)
    with loans.opened() as wired:
        ports = wired.acting(LOOP)
        task = next(wired.feedback()._due(ports, ports.clock.now()))
        model = ports.library.model(task.declaration)
        answers = feedback_child.logged(task, model, ("x", "z", "kind"), wired.blobs)
        rows = feedback_child.learned(task, model, ("x", "z", "kind"), wired.blobs)
        frames = [frame["ts"].dt.epoch("us") for frame in scan(task.content, wired.blobs, ["ts"])]
    assert answers["score"].to_list() == [0.0] * 50
    assert rows["known"].min() == pl.concat(frames).sort()[-50]


def test_an_older_version_whose_result_is_gone_is_left_out_and_the_new_one_is_looked_at(loans: Loans) -> None:
    fed(loans, drawn(np.random.default_rng(5), 300))
    assert loans.call("train", "loan", "--trials", 0).code == 0
    with loans.opened() as wired:
        ports, feedback = wired.acting(LOOP), wired.feedback()
        task = next(feedback._due(ports, ports.clock.now()))
        row = wired.ledger.state().get(VERSIONS, "loan/1.0.0")
        assert row is not None
        assert [one.version for one in task.answering] == ["1.0.0"]
        wired.blobs.remove(row.result)
    with loans.opened() as wired:
        ports = wired.acting(LOOP)
        task = next(wired.feedback()._due(ports, ports.clock.now()))
        assert task.answering == ()


def test_an_alert_is_over_when_the_next_version_was_looked_at_and_has_none(loans: Loans) -> None:
    with loans.opened() as wired:
        loans.tell(wired, FeedbackExamined(model="loan", version="1.0.0", data="loans", rows=900, answered=900, columns={"own": 1.0}))
    assert loans.call("tick").code == 0
    assert "it does not learn its own answers/own" in alerts(loans)
    fed(loans, drawn(np.random.default_rng(4), 300))
    found = trained(loans)
    assert found is not None, "that there is none is noted where an alert stands"
    assert (found.version, found.answered) == ("1.1.0", 0)
    with loans.opened() as wired:
        [row] = [row for _, row in wired.ledger.state().scan(ALERTS, "loan/") if row.finding.column == "own"]
        assert (row.state, "is not the answer's own score" in row.finding.why) == (AlertState.RESOLVED, True)


def test_a_version_that_could_not_be_looked_at_is_looked_at_an_hour_later(loans: Loans) -> None:
    fed(loans, drawn(np.random.default_rng(6), 300))
    assert loans.call("train", "loan", "--trials", 0).code == 0
    with loans.opened() as wired:
        ports, feedback = wired.acting(LOOP), wired.feedback()
        now = ports.clock.now()
        feedback._child = children.Held(patience_s=0.0)
        feedback.step(ports, now)
        with pytest.raises(Unavailable, match="was not looked at"):
            feedback.finish(ports, now)
        assert list(feedback._due(ports, now + int(LATER) // 2)) == []
        assert [one.key for one in feedback._due(ports, now + int(LATER))] == ["loan/1.1.0"]
        feedback._child = children.Held()
        feedback.step(ports, now + int(LATER))
        feedback.finish(ports, now + int(LATER))
        assert list(feedback._due(ports, now + 3 * int(LATER))) == [], "it was looked at"


def broken(loans: Loans) -> list[tuple[str, AlertState, str]]:
    with loans.opened() as wired:
        rows = [row for key, row in wired.ledger.state().scan(ALERTS, "loan/") if key.endswith("/broken")]
        return [(row.monitor, row.state, row.finding.why) for row in rows]


def test_a_look_that_raises_breaks_its_monitor_alone_until_one_ends_as_it_should(
    loans: Loans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed(loans, drawn(np.random.default_rng(8), 300))
    assert loans.call("train", "loan", "--trials", 0).code == 0
    # every child that looks is one whose comparison has a defect
    defect = "import flyball.evaluation.feedback as own\nown.examine = lambda *_, **__: [][0]\n"
    (tmp_path / "defect").mkdir()
    (tmp_path / "defect" / "sitecustomize.py").write_text(defect)
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "defect"), *filter(None, [os.environ.get("PYTHONPATH")])]))
        with loans.opened() as wired:
            ports, feedback = wired.acting(LOOP), wired.feedback()
            now = ports.clock.now()
            feedback.step(ports, now)
            with pytest.raises(children.Unforeseen, match="was not looked at") as caught:
                feedback.finish(ports, now)
            assert "IndexError: list index out of range (feedback_child.py:" in caught.value.why
            assert list(feedback._due(ports, now + int(LATER) // 2)) == [], "it is not begun again at once"
        assert loans.call("tick").code == 3
    [(monitor, state, why)] = broken(loans)
    assert (monitor, state) == ("it does not learn its own answers", AlertState.BROKEN)
    assert "the monitor itself failed: IndexError: list index out of range" in why
    assert "broken" in loans.shown("monitor", "loan")
    for _ in range(2):
        assert loans.call("tick").code == 0
    assert [each[1] for each in broken(loans)] == [AlertState.RESOLVED]


def test_what_the_looks_own_thread_raises_is_told_as_well(loans: Loans, monkeypatch: pytest.MonkeyPatch) -> None:
    fed(loans, drawn(np.random.default_rng(8), 300))
    assert loans.call("train", "loan", "--trials", 0).code == 0
    with loans.opened() as wired:
        ports, feedback = wired.acting(LOOP), wired.feedback()
        now = ports.clock.now()

        def panic(*_: object) -> FeedbackExamined:
            raise pl.exceptions.PanicException("index out of bounds")

        monkeypatch.setattr(feedback, "_look", panic)
        feedback.step(ports, now)
        with pytest.raises(children.Unforeseen, match=r"the look at loan/1\.1\.0 failed"):
            feedback.finish(ports, now)
        [found] = broken_findings(ports.memory, "loan")
        assert (found.standing, found.monitor) == ("broken", "it does not learn its own answers")
        assert "PanicException: index out of bounds" in found.why


def test_what_was_found_is_kept_when_the_store_can_again(loans: Loans, monkeypatch: pytest.MonkeyPatch) -> None:
    with loans.opened() as wired:
        rows = answered(loans, wired, drawn(np.random.default_rng(2), 300))
    fed(loans, rows)
    assert loans.call("train", "loan", "--trials", 0).code == 0
    with loans.opened() as wired:
        ports, feedback = wired.acting(LOOP), wired.feedback()
        now = ports.clock.now()

        def full(*_: object) -> None:
            raise Unavailable("the disk is full")

        feedback.step(ports, now)
        with monkeypatch.context() as patch:
            patch.setattr(type(ports.ledger), "execute", full)
            with pytest.raises(Unavailable, match="the disk is full"):
                feedback.finish(ports, now)
        assert wired.ledger.state().get(FEEDBACKS, "loan/1.1.0") is None
        feedback.step(ports, now)
        assert wired.ledger.state().get(FEEDBACKS, "loan/1.1.0") is not None
