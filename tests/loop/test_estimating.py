"""Performance without labels, beside the loop: from the real log, once a day, as an event, in words, and never as more than a warning."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.api.control import Control
from flyball.data.erasures import present
from flyball.errors import FlyballError
from flyball.governance.authority import LOOP
from flyball.loop import children
from flyball.loop.aside import LATER
from flyball.loop.broken import broken_findings
from flyball.loop.domain_child import Answer, Task, compare, reference_rows
from flyball.loop.estimates import NoteEstimate, decide_note_estimate
from flyball.loop.estimating import Due, Estimating, made_of
from flyball.loop.library import BlobLibrary
from flyball.loop.memory import load
from flyball.monitoring.estimates import ESTIMATED, WHOLE
from flyball.records.alerts import ALERTS, AlertState
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import INCIDENTS
from flyball.records.training import RUNS
from flyball.records.unlabelled import ESTIMATES, Kept, PerformanceEstimated
from flyball.records.versions import VERSIONS, ChampionChanged
from flyball.wiring import Wired

from .estimate_kit import DAY, Loans, drawn


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Loans:
    return Loans.make(tmp_path_factory.mktemp("loans") / "project")


@pytest.fixture
def loans(made: Loans, tmp_path: Path) -> Loans:
    return copy(made, tmp_path)


def copy(made: Loans, folder: Path) -> Loans:
    shutil.copytree(made.root, folder / "project", symlinks=True)
    return Loans(folder / "project")


class Looking:
    """Looks at a project, one a day; the present is passed in."""

    def __init__(self, loans: Loans) -> None:
        self.loans, self.days = loans, 1
        self.estimating: Estimating | None = None

    def look(self, rows: pl.DataFrame | None = None, **asked: tuple[str, ...]) -> PerformanceEstimated | None:
        """Answer rows, count them, and look two days on; the event that is new."""
        self.days += 1
        with self.loans.opened() as wired:
            if rows is not None:
                self.loans.ask(wired, rows, **asked)
        assert self.loans.call("tick").code == 0
        with self.loans.opened() as wired:
            ports, before = wired.acting(LOOP), wired.ledger.size()
            estimating = wired.estimating()
            now = ports.clock.now() + self.days * DAY
            estimating.step(ports, now)
            estimating.finish(ports, now)
            found = [one.event for one in wired.ledger.read(before, 100)]
        assert self.loans.call("tick").code == 0
        assert all(isinstance(one, PerformanceEstimated) for one in found)
        return found[0] if found else None

    def alert(self, monitor: str) -> AlertState:
        with self.loans.opened() as wired:
            row = wired.ledger.state().get(ALERTS, f"loan/{monitor}/")
            return AlertState.OK if row is None else row.state


def test_answers_like_those_of_the_hold_out_are_estimated_and_nothing_is_wrong(loans: Loans) -> None:
    looking, rows = Looking(loans), drawn(np.random.default_rng(1), 1_500)
    found = looking.look(rows)
    assert found is not None
    assert (found.n, found.nulls, found.refused, found.metric) == (1_500, 0, "", "accuracy")
    assert found.blind == "a label is known 2d after the answer"
    assert found.apart is not None
    assert found.apart.auc.low is not None
    assert found.apart.auc.low < 0.55
    estimate = found.estimates["accuracy"]
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < found.level["accuracy"] < estimate.high
    assert (looking.alert(ESTIMATED), looking.alert(WHOLE)) == (AlertState.OK, AlertState.OK)
    [model] = loans.call("status").document["models"]
    assert model["estimate"]["estimates"]["accuracy"]["n"] == 1_500
    assert model["estimate"]["apart"]["auc"]["value"] == found.apart.auc.value
    assert model["quality"]["value"] is None, "an estimate is no live quality"
    assert "without labels, an estimate over 1,500 answers" in loans.shown("status")


def test_answers_the_model_is_less_sure_of_are_a_warning_that_opens_no_incident_and_is_not_told_as_quality(loans: Loans) -> None:
    looking = Looking(loans)
    unsure = drawn(np.random.default_rng(2), 6_000).filter((1.5 * pl.col("x") + pl.col("z") - 0.5).abs() < 1.2)[:900]
    found = looking.look(unsure)
    assert found is not None
    assert found.refused == ""
    assert looking.alert(ESTIMATED) == AlertState.FIRING
    with loans.opened() as wired:
        row = wired.ledger.state().get(ALERTS, f"loan/{ESTIMATED}/")
        assert row is not None
        assert (row.finding.severity, row.finding.why[:15]) == ("warn", "an estimate, fo")
        assert "a classifier tells these rows" in row.finding.why
        assert [each for _, each in wired.ledger.state().scan(INCIDENTS)] == []
    [model] = loans.call("status").document["models"]
    assert model["quality"]["verdict"] == "insufficient"


def test_drift_of_both_columns_together_that_neither_shows_is_found_in_two_looks(loans: Loans) -> None:
    looking, rng = Looking(loans), np.random.default_rng(3)
    first = looking.look(drawn(rng, 1_500, joint=0.9))
    assert first is not None
    assert first.apart is not None
    assert first.apart.columns == {}, "no column by itself"
    assert first.apart.auc.low is not None
    assert first.apart.auc.low > 0.65
    assert looking.alert(WHOLE) == AlertState.OK
    looking.look(drawn(rng, 1_500, joint=0.9))
    assert looking.alert(WHOLE) == AlertState.FIRING
    with loans.opened() as wired:
        [incident] = [each for _, each in wired.ledger.state().scan(INCIDENTS)]
        assert (incident.failure_mode, "rollback" in incident.actions) == ("input_drift", False)


def test_a_window_too_far_from_the_hold_out_is_refused_with_the_reason(loans: Loans) -> None:
    found = Looking(loans).look(drawn(np.random.default_rng(4), 1_500, shift=1.5))
    assert found is not None
    assert found.estimates == {}
    assert "a classifier tells the window's rows" in found.refused or "outside of what the reference had" in found.refused
    [model] = loans.call("status").document["models"]
    assert model["estimate"]["refused"] == found.refused
    assert "no estimate without labels" in loans.shown("status")


def test_an_idle_model_costs_no_event_and_a_day_is_looked_at_once(loans: Loans) -> None:
    looking = Looking(loans)
    assert looking.look() is None
    assert looking.look(drawn(np.random.default_rng(5), 300)) is not None
    looking.days -= 1
    assert looking.look(drawn(np.random.default_rng(6), 300)) is None, "that day has its estimate"


def test_a_column_that_is_not_sent_any_more_is_what_tells_the_rows_apart(loans: Loans) -> None:
    found = Looking(loans).look(drawn(np.random.default_rng(7), 400), names=("x",))
    assert found is not None
    assert "AUC at least 1.00" in found.refused
    assert found.apart is not None
    assert found.apart.columns["z"] == 1.0


def test_an_estimate_of_a_version_that_answers_no_more_is_not_recorded(loans: Loans) -> None:
    found = Looking(loans).look(drawn(np.random.default_rng(8), 300))
    assert found is not None
    with loans.opened() as wired:
        loans.tell(wired, ChampionChanged(model="loan", version="", former="1.0.0", rollback=False, reason="given up"))
        command = NoteEstimate(id="late", actor="loop", made=found)
        assert decide_note_estimate(wired.ledger.state(), command, 0) == ()


def test_a_project_that_asks_for_none_gets_none(loans: Loans) -> None:
    (loans.root / "flyball.toml").write_text("[settings]\nestimate = 0\n")
    assert Looking(loans).look(drawn(np.random.default_rng(9), 300)) is None
    with loans.opened() as wired:
        assert wired.ledger.state().get(ESTIMATES, "loan") is None


def test_rows_of_the_reference_are_those_that_the_data_set_holds_now(tmp_path: Path) -> None:
    """Nothing of a row is kept for estimates: an erased person is in no comparison from then on."""
    loans = Loans.make(tmp_path / "project", subject='subject="who",')
    before = reference_height(loans)
    ended = loans.call("data", "erase", "--subject", "ana", "--reason", "asked for")
    assert ended.code == 0, ended.err
    assert 0 < reference_height(loans) < before


def reference_height(loans: Loans) -> int:
    with loans.opened() as wired:
        task = task_of(loans, wired)
        assert compare(task, wired.blobs).why, "nobody asked yet, and that is said"
        return reference_rows(task, BlobLibrary(wired.blobs).model(task.declaration), wired.blobs)[0].height


def task_of(loans: Loans, wired: Wired) -> Task:
    state = wired.ledger.state()
    version = state.get(VERSIONS, "loan/1.0.0")
    assert version is not None
    run = state.get(RUNS, version.run)
    assert run is not None
    spec = wired.ports.library.spec(run.spec)
    return Task(
        version="loan@1.0.0",
        since=0,
        until=0,
        columns={"x": "numeric", "z": "numeric"},
        declaration=spec.declaration,
        content=present(state, "loans", version.data["loans"]),
        as_of=spec.as_of,
        # more than there are: every row of the data set that is known
        holdout_rows=10_000,
        log=str(loans.state / "log"),
        blobs=str(wired.blobs.root),
    )


def test_the_error_of_numbers_is_estimated_from_the_column_that_tells_it(tmp_path: Path) -> None:
    looking = Looking(Loans.make(tmp_path / "project", task="regression"))
    rows = drawn(np.random.default_rng(11), 900, shift=0.5)
    found = looking.look(rows)
    assert found is not None
    assert (found.refused, found.metric, list(found.estimates)) == ("", "mae", ["mae"])
    estimate, level = found.estimates["mae"], found.level["mae"]
    assert estimate.low is not None
    assert estimate.low > 1.1 * level
    assert looking.alert(ESTIMATED) == AlertState.FIRING
    # what labels would have said: the model answers 2x as well as a line can
    true = float((rows["loss"] - 2 * rows["x"]).abs().mean())  # type: ignore[arg-type]  # of numbers
    assert estimate.high is not None
    assert estimate.low < true < estimate.high


def test_labels_that_contradict_two_of_three_windows_end_the_estimates_and_what_was_estimated_is_still_noted(loans: Loans) -> None:
    with loans.opened() as wired:
        loans.ask(wired, drawn(np.random.default_rng(12), 600))
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        state, library = wired.ledger.state(), wired.ports.library
        row, declared = state.get(VERSIONS, "loan/1.0.0"), state.get(DECLARATIONS, "loan")
        assert row is not None
        assert declared is not None
        kept = load(wired.ports.memory).monitor("loan")
        [day] = kept.answered
        until = (day.day + 1) * DAY
        weeks = [
            msgspec.structs.replace(day, day=day.day - 7 * week, n=600, matured=600, labelled=600, tp=300, fn=300) for week in (1, 2, 3)
        ]
        kept = msgspec.structs.replace(kept, answered=(*reversed(weeks), day))
        past = tuple(
            Kept(metric="accuracy", value=0.78, sd=0.02, n=600, since=until - 7 * (week + 1) * DAY, until=until - 7 * week * DAY)
            for week in (1, 2, 3)
        )
        result = library.result(row.result)
        due = Due(library.model(declared.body), row, result, kept, until - 7 * DAY, until, None)
        found = made_of(due, Answer(why="nobody looked"), past, library.expected(result.expected), now=until + 1)
    assert (found.outside, found.confronted) == (3, 3)
    assert found.estimates == {}
    assert "lay outside of their interval in 3" in found.refused
    assert found.kept is not None, "it is confronted in its turn, and estimates come back when labels agree"


def test_the_control_plane_drives_it_and_goes_on_where_it_fails(loans: Loans, capfd: pytest.CaptureFixture[str]) -> None:
    with loans.opened() as wired:
        loans.ask(wired, drawn(np.random.default_rng(13), 300))
    assert loans.call("tick").code == 0
    with loans.opened(claim=True) as wired:
        control, now = Control(wired, watch=False), wired.ports.clock.now()
        control._estimate(now + 2 * DAY)
        control._estimating.finish(wired.ports, now + 2 * DAY)
        row = wired.ledger.state().get(ESTIMATES, "loan")
        assert row is not None
        assert row.newest.n == 300
        wired.blobs.path(row.newest.reference).unlink()
        wired.ports.library.expected.cache_clear()  # type: ignore[attr-defined]  # as another process has it
        control._estimate(now + 3 * DAY)
        thread = control._estimating._thread
        assert thread is not None
        thread.join()
        control._estimate(now + 3 * DAY)
        assert wired.ledger.state().get(ESTIMATES, "loan") == row
    assert "performance is not estimated: " in capfd.readouterr().err


def test_a_look_that_failed_is_made_an_hour_later_and_not_a_day(loans: Loans) -> None:
    with loans.opened() as wired:
        loans.ask(wired, drawn(np.random.default_rng(14), 300))
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        ports, estimating = wired.acting(LOOP), wired.estimating()
        now = ports.clock.now() + 2 * DAY
        state = ports.ledger.state()
        [run] = [row for _, row in state.scan(RUNS) if row.result]
        expected = wired.blobs.path(ports.library.result(run.result).expected)
        away = expected.rename(expected.with_suffix(".away"))
        ports.library.expected.cache_clear()  # type: ignore[attr-defined]  # as a process that has not read it
        estimating.step(ports, now)
        with pytest.raises(FlyballError):
            estimating.finish(ports, now)
        away.rename(expected)
        for later, made in ((int(LATER) // 2, False), (int(LATER) + 1, True)):
            estimating.step(ports, now + later)
            estimating.finish(ports, now + later)
            assert (wired.ledger.state().get(ESTIMATES, "loan") is not None) == made


def test_where_the_childs_comparison_fails_what_counts_tell_is_estimated_and_its_monitor_is_broken(loans: Loans) -> None:
    with loans.opened() as wired:
        loans.ask(wired, drawn(np.random.default_rng(13), 300))
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        ports, estimating = wired.acting(LOOP), wired.estimating()
        now = ports.clock.now() + 2 * DAY
        estimating._child = children.Held(patience_s=0.0)
        estimating.step(ports, now)
        estimating.finish(ports, now)
        row = wired.ledger.state().get(ESTIMATES, "loan")
        assert row is not None
        assert (row.newest.n, row.newest.apart) == (300, None)
        assert "took more than 0 s" in row.newest.unseen
        [found] = broken_findings(ports.memory, "loan")
        assert (found.monitor, found.standing) == (ESTIMATED, "broken")
        estimating._child = children.Held()
        estimating.step(ports, now + DAY)
        estimating.finish(ports, now + DAY)
        assert list(broken_findings(ports.memory, "loan")) == []
