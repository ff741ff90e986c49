"""A model that is served elsewhere is watched as every other one: what is normal is learnt, drift has its cause, and nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from flyball.cli.main import run
from flyball.incidents.impact import words
from flyball.incidents.playbook import is_left
from flyball.loop import memory as memories
from flyball.loop.elsewhere import learnt
from flyball.loop.freezes import LIVE
from flyball.loop.lookup import declared
from flyball.loop.reviews import measured
from flyball.monitoring.learning import MONITOR
from flyball.monitoring.slabs import within
from flyball.records.data import DATASETS
from flyball.records.elsewhere import ReferenceMade, VersionSeen
from flyball.records.training import RUNS

from .elsewhere_kit import LOOP_FILE, PURPOSES, Watched, made


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    project = Watched(tmp_path / "p")
    yield project
    project.close()


def labelled(watched: Watched) -> tuple[int, int]:
    """Rows that were judged, and those of them with a label."""
    kept = watched.monitor
    whole = next((part for part in within(kept.slabs, 0, kept.until).quality if not part.slice), None)
    return (whole.matured, whole.labelled) if whole else (0, 0)


def answered(watched: Watched) -> int:
    kept = watched.monitor
    return within(kept.slabs, 0, kept.until).n


def test_gateways_are_told_what_a_prediction_is(watched: Watched) -> None:
    signature = watched.model.signature
    assert [(field.name, field.type, field.on_request) for field in signature.fields] == [
        ("amount", "float", "mark"),
        ("purpose", "str", "mark"),
    ]
    assert signature.classes == (0, 1)


def test_what_is_normal_is_learnt_from_the_first_week(watched: Watched) -> None:
    for day in range(3):
        watched.send(made(day, 400))
    watched.tick()
    row = watched.row
    assert row is not None
    assert (row.version, row.watched) == ("7", ""), "three days are no week"
    for day in range(3, 9):
        rows = made(day, 400)
        watched.send(rows)
        watched.label(rows)
    watched.tick()
    watched.tick()
    assert [event.version for event in watched.events(VersionSeen)] == ["7"]
    (reference,) = watched.events(ReferenceMade)
    assert (reference.version, reference.of, reference.labels >= 500) == ("7", "", True)
    assert 2_700 <= reference.predictions <= 2_900, "of the first week alone"
    assert 0.1 < reference.loss_bound < 0.13, "the upper bound of an error of one in ten"
    assert reference.metrics["accuracy"].value == pytest.approx(0.9, abs=0.03)
    bins = {each.column for each in watched.wired.ports.library.bins(reference.reference)}
    assert bins == {"amount", "purpose", "prediction"}
    kept = watched.monitor
    assert (kept.version, kept.m0) == ("7", reference.loss_bound)


def test_how_good_it_was_is_learnt_when_the_labels_come(watched: Watched) -> None:
    days = [made(day, 200) for day in range(9)]
    for rows in days:
        watched.send(rows)
    watched.tick()
    watched.tick()
    (first,) = watched.events(ReferenceMade)
    assert (first.labels, first.loss_bound) == (0, 1.0), "the loss is not watched yet"
    for rows in days:
        watched.label(rows)
    watched.tick()
    watched.tick()
    second = watched.events(ReferenceMade)[-1]
    assert second.labels >= 500
    assert 0.1 < second.loss_bound < 0.14


def test_labels_that_come_after_their_rows_were_judged_are_counted_once(watched: Watched) -> None:
    rows = made(1, 300)
    watched.send(rows)
    watched.tick()
    assert labelled(watched) == (300, 0), "judged by its own time, without a label"
    watched.label(rows[:200])
    watched.label(rows[:100])
    watched.tick()
    assert labelled(watched) == (300, 200)
    watched.label(rows[:200])
    watched.tick()
    assert labelled(watched) == (300, 200)


def test_a_label_that_was_known_too_late_is_none_and_one_without_a_time_is_on_its_way(watched: Watched) -> None:
    rows = made(1, 200)
    watched.send(rows)
    watched.label(rows[:100], after=timedelta(hours=3))
    watched.label(rows[100:], after=None)
    watched.tick()
    watched.tick()
    assert labelled(watched) == (200, 100)


def test_what_is_sent_twice_is_counted_once_also_by_another_process(watched: Watched) -> None:
    rows = made(1, 150)
    watched.send(rows)
    watched.send(rows)
    watched.tick()
    assert answered(watched) == 150
    watched.again()
    watched.send(rows)
    watched.send(made(2, 50))
    watched.tick()
    assert answered(watched) == 200


def test_labels_find_their_rows_after_a_restart(watched: Watched) -> None:
    rows = made(1, 150)
    watched.send(rows)
    watched.tick()
    watched.again()
    watched.label(rows)
    watched.tick()
    assert labelled(watched) == (150, 150)


def test_a_drift_opens_an_incident_with_its_cause_and_without_it_there_is_none(tmp_path: Path) -> None:
    for name, purposes in (("drifts", (*PURPOSES[:3], "debt_consolidation")), ("twin", PURPOSES)):
        watched = Watched(tmp_path / name)
        watched.normal()
        for day in (9, 9.4, 9.7, 10):
            watched.send(made(day, 1_000, seed=1, purposes=purposes))
            watched.tick()
        incidents = watched.incidents
        watched.close()
        if name == "twin":
            assert incidents == []
            continue
        (incident,) = incidents
        assert incident.failure_mode == "schema_change"
        assert '"debt_consolidation" 0%' in incident.cause
        assert incident.owner == "risk"


def test_an_incident_counts_the_predictions_it_was_found_in_and_says_who_mitigates_it(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    watched.normal()
    for day in (9, 9.4, 9.7, 10):
        watched.send(made(day, 1_000, seed=1, purposes=(*PURPOSES[:3], "debt_consolidation")))
        watched.tick()
    (incident,) = watched.incidents
    counted = measured(watched.wired.ports, incident)
    assert counted is not None
    # all were made before it opened; two windows of a thousand found it, and the first is counted from the hour on
    assert 2_000 <= counted.requests <= 4_100
    assert counted.since < incident.opened_at
    assert "Z, 0 errors" in words(counted)
    assert f"{counted.requests:,} predictions made since 20" in words(counted)
    assert (
        incident.notes[0]
        == "served elsewhere: flyball routes nothing of it, so risk mitigates it there, and it ends here when that is seen"
    )
    assert run(["incidents", "show", incident.incident, "--project", str(watched.root)]) == 0
    shown = capsys.readouterr().out
    assert ", by risk where it is served\n" in shown
    assert "by hand   where it is served: ask the data's owner" in shown
    assert run(["incidents", "fallback", incident.incident, "--project", str(watched.root)]) == 1
    refused = capsys.readouterr().err
    assert "legacy-risk is served elsewhere" in refused
    assert "risk lets something else answer there" in refused
    assert "flyball rollback" not in refused


def test_what_an_incident_is_counted_from_stays_and_its_number_only_grows(watched: Watched) -> None:
    watched.normal()
    other, told = (*PURPOSES[:3], "debt_consolidation"), []
    # more of it, then what was missing before, and then all is well
    for day, n, purposes in ((9, 1_000, other), (9.4, 1_000, other), (9.7, 1_000, other), (8.5, 3_000, PURPOSES), (10, 4_000, PURPOSES)):
        watched.send(made(day, n, seed=1, purposes=purposes))
        watched.tick()
        for incident in watched.incidents:
            counted = measured(watched.wired.ports, incident)
            assert counted is not None
            told.append((counted.since, counted.requests))
    assert len(told) >= 3
    assert len({since for since, _ in told}) == 1
    assert [n for _, n in told] == sorted(n for _, n in told)
    assert told[-1][1] > told[0][1]


def test_a_complaint_was_found_in_no_prediction_and_what_it_cost_is_not_known(watched: Watched) -> None:
    watched.normal()
    assert run(["incidents", "open", "legacy-risk", "--what", "it is wrong", "--project", str(watched.root)]) == 0
    (incident,) = watched.incidents
    counted = measured(watched.wired.ports, incident)
    assert counted is not None
    assert words(counted).startswith("not known: no prediction that was made since 20")
    assert is_left(incident.notes), "flyball takes nothing back for a person who complains either"


def test_what_flyball_cannot_do_is_left_to_a_person(watched: Watched) -> None:
    watched.normal()
    for day in (9, 9.4, 9.7, 10):
        rows = made(day, 1_000, seed=2, wrong=0.5)
        watched.send(rows)
        watched.label(rows)
        watched.tick()
    (incident,) = [each for each in watched.incidents if each.state in LIVE]
    assert incident.failure_mode in ("concept_drift", "performance")
    assert 'action "retrain" is not done by flyball: risk has to' in incident.notes
    state = watched.wired.ports.ledger.state()
    assert list(state.scan(RUNS)) == []


def test_a_rollback_says_who_has_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watched = Watched(tmp_path / "p")
    watched.close()
    assert run(["rollback", "legacy-risk", "--project", str(tmp_path / "p")]) != 0
    said = capsys.readouterr().err
    assert "legacy-risk is served elsewhere" in said
    assert "take the former version back there" in said


def test_a_new_version_is_a_release_and_is_compared_with_the_former_until_its_own_week_is_over(watched: Watched) -> None:
    watched.normal()
    before = watched.row
    assert before is not None
    watched.send(made(3, 200, version="8"))
    watched.tick()
    row = watched.row
    assert row is not None
    assert (row.version, row.watched, row.reference) == ("8", "7", before.reference)
    for day in range(4, 11):
        rows = made(day, 200, version="8")[: 100 if day == 10 else 200]
        watched.send(rows)
        watched.label(rows)
    watched.tick()
    watched.tick()
    row = watched.row
    assert row is not None
    assert row.watched == "8"
    assert row.reference != before.reference
    assert [event.version for event in watched.events(VersionSeen)] == ["7", "8"]
    watched.send(made(10, 600)[360:])
    watched.tick()
    watched.tick()
    back = watched.row
    assert back is not None
    assert (back.version, back.watched, back.reference) == ("7", "7", before.reference), "of its own first days, as it was"


def test_what_a_former_version_answered_may_be_sent_later_and_changes_nothing(watched: Watched) -> None:
    watched.normal()
    before = watched.row
    assert before is not None
    rows = made(-20, 300, version="6")
    watched.send([*rows, *made(-9_000, 1, version="9")])
    watched.label(rows)
    watched.tick()
    assert watched.row == before
    assert [event.version for event in watched.events(VersionSeen)] == ["7", "9", "6"]
    assert watched.monitor.version == "7"


def test_a_version_that_is_rolled_back_elsewhere_is_followed_by_the_one_that_answers_again(watched: Watched) -> None:
    watched.normal()
    watched.send(made(8, 40, version="8")[:10])
    watched.tick()
    row = watched.row
    assert row is not None
    assert (row.version, row.watched) == ("8", "7")
    both = [one for one in made(8, 40)[:10] if one["time"] <= made(8, 40, version="8")[9]["time"]]
    watched.send(both)
    watched.tick()
    row = watched.row
    assert row is not None
    assert row.version == "8", "both answer"
    counted = watched.monitor.labels
    rows = made(8.5, 400)[:200]
    watched.send(rows)
    watched.label(rows)
    watched.tick()
    watched.tick()
    row = watched.row
    assert row is not None
    assert (row.version, row.watched) == ("7", "7")
    monitor = watched.monitor
    assert (monitor.version, monitor.labels > counted) == ("7", True)
    assert [event.version for event in watched.events(VersionSeen)] == ["7", "8", "7"]


def test_inputs_are_compared_with_what_it_was_trained_on_where_that_is_declared(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    lines = [f"2026-01-{1 + n % 28:02d}T00:00:00Z,t{n},{900 + n % 300},{PURPOSES[n % 4]},{n % 2}" for n in range(2_000)]
    (tmp_path / "p" / "trained.csv").write_text("\n".join(["at,request,amount,purpose,defaulted", *lines]))
    watched = Watched(tmp_path / "p", source="trained.csv")
    until_read(watched)
    watched.send(made(1, 10))
    watched.tick()
    watched.tick()
    (reference,) = watched.events(ReferenceMade)
    watched.close()
    assert (reference.of, reference.rows, reference.predictions) == ("requests", 2_000, 0)
    assert {each.column for each in watched.wired.ports.library.bins(reference.reference)} == {"amount", "purpose"}


def until_read(watched: Watched) -> None:
    end = time.monotonic() + 30
    while (row := watched.wired.ports.ledger.state().get(DATASETS, "requests")) is None or row.head is None:
        assert time.monotonic() < end
        watched.tick()


def test_how_far_it_is_learnt_is_said_by_its_own_monitor(watched: Watched) -> None:
    def said() -> str:
        ports = watched.wired.ports
        (finding,) = learnt(ports.ledger.state(), declared(ports, "legacy-risk"), memories.load(ports.memory))
        assert (finding.monitor, finding.severity) == (MONITOR, "none")
        return finding.why

    assert said() == "no prediction has come yet"
    for day in range(3):
        watched.send(made(day, 100))
    watched.tick()
    assert said() == "7: learning what is normal: 2 d of 7, 300 predictions of 1,000"
    watched.normal()
    assert said().startswith("7: what is normal is known, how good it was from")


def test_monitor_splits_a_change_of_the_metric_by_column_as_for_a_trained_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = (
        LOOP_FILE.replace("SOURCE", "push://")
        .replace("MORE", "")
        .replace("import flyball as fb", "import flyball as fb\nimport polars as pl")
    )
    slices = '    slices={"purpose": pl.col("purpose"), "dear": pl.col("amount") > 1_000},\n'
    watched = Watched(tmp_path / "p", file=file.replace("    monitors=[", f"{slices}    monitors=["))
    try:
        for day in range(9):
            rows = made(day, 400)
            if day >= 7:
                # more of them ask for a car by then, and those are judged wrongly
                rows = made(day, 1_500, seed=2, purposes=("car", "car", "car", *PURPOSES[1:]))
                rows = [one | {"label": 1 - one["value"]} if one["row"]["purpose"] == "car" else one for one in rows]
            watched.send(rows)
            watched.label(rows)
        watched.tick()
        watched.tick()
        reference = watched.events(ReferenceMade)[-1]
        assert set(reference.by_slice) == {*(f"purpose={value}" for value in PURPOSES), "dear=true", "dear=false"}
        assert sum(reference.by_slice[f"purpose={value}"]["accuracy"].n for value in PURPOSES) == reference.labels
        assert 0.8 < reference.by_slice["purpose=car"]["accuracy"].value < 0.95
        for day in (9.4, 9.7, 10):
            watched.send(made(day, 1_000, seed=1, purposes=(*PURPOSES[:3], "debt_consolidation")))
            watched.tick()
    finally:
        watched.close()
    assert run(["monitor", "legacy-risk", "--project", str(watched.root), "--json"]) == 0
    document = msgspec.json.decode(capsys.readouterr().out)
    found = document["explained"]["purpose"]
    assert (found["metric"], found["parts"][0]["value"]) == ("accuracy", "car")
    assert found["change"] == pytest.approx(found["moved"] + found["within"])
    assert found["within"] < -0.1
    assert found["parts"][0]["share_now"] > found["parts"][0]["share_then"] + 0.1
    assert run(["monitor", "legacy-risk", "--project", str(watched.root)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "accuracy has changed by −0." in text
    assert "purpose=car: " in text


@pytest.mark.parametrize("purposes", [(*PURPOSES[:3], "debt_consolidation"), PURPOSES])
@pytest.mark.parametrize("labelled_too", [False, True])
def test_a_drift_in_what_was_read_before_its_reference_was_made_is_found(
    tmp_path: Path, purposes: tuple[str, ...], labelled_too: bool
) -> None:
    watched = Watched(tmp_path / "p")
    days = [made(day, 800, seed=1, purposes=PURPOSES if day < 8 else purposes) for day in range(11)]
    for rows in days:
        watched.send(rows)
    watched.tick()
    if labelled_too:
        for rows in days:
            watched.label(rows)
    for _ in range(4):
        watched.tick()
    kept, incidents = watched.monitor, watched.incidents
    watched.close()
    assert kept.behind is None
    counted = sum(window.n for window in kept.slow.windows)
    # those after the first seven days, and not one twice
    assert 4 * 800 - 20 <= counted <= 4 * 800
    if purposes == PURPOSES:
        assert incidents == []
        return
    (incident,) = incidents
    assert incident.failure_mode == "schema_change"
    assert '"debt_consolidation" 0%' in incident.cause


def test_what_was_read_before_is_counted_once_however_often_the_loop_is_killed_and_more_comes_meanwhile(watched: Watched) -> None:
    for day in range(9):
        watched.send(made(day, 800, seed=1))
    watched.tick()
    assert watched.events(ReferenceMade)
    # what comes now is read in the pass that begins with the reference
    watched.send(made(9, 300, seed=1))
    watched.again()
    watched.loop_alone()
    assert watched.monitor.behind is not None
    watched.again()
    watched.loop_alone()
    assert sum(window.n for window in watched.monitor.slow.windows) == 300
    watched.send(made(9.5, 200, seed=1))
    for _ in range(3):
        watched.tick()
        watched.again()
    kept = watched.monitor
    assert kept.behind is None
    assert 2 * 800 + 500 - 20 <= sum(window.n for window in kept.slow.windows) <= 2 * 800 + 500


def test_all_predictions_are_compared_with_what_it_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    lines = [f"2026-01-{1 + n % 28:02d}T00:00:00Z,t{n},{900 + n % 300},{PURPOSES[n % 4]},{n % 2}" for n in range(2_000)]
    (tmp_path / "p" / "trained.csv").write_text("\n".join(["at,request,amount,purpose,defaulted", *lines]))
    watched = Watched(tmp_path / "p", source="trained.csv")
    until_read(watched)
    watched.send(made(9, 900))
    for _ in range(3):
        watched.tick()
    kept = watched.monitor
    watched.close()
    assert kept.behind is None
    assert sum(window.n for window in kept.slow.windows) == 900
