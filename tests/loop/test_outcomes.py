"""Business outcomes, beside the loop: from the real log and data sets that grow, late, twice and corrected, into what people are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import flyball as fb
from flyball.errors import Unavailable
from flyball.governance.authority import LOOP
from flyball.loop import children, outcomes_child
from flyball.loop.aside import LATER
from flyball.loop.gauges import gauges
from flyball.loop.memory import stored
from flyball.loop.outcomes import outcomes_found, outcomes_kept
from flyball.records import codec
from flyball.records.alerts import ALERTS, AlertState
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import INCIDENTS
from flyball.records.outcomes import OutcomesKept
from flyball.store.operational import Operational
from flyball.store.sql import Database

from .outcome_kit import SUBJECT, Asked, Repaid


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Repaid:
    root = tmp_path_factory.mktemp("repaid") / "project"
    Repaid.make(root, subject=SUBJECT)
    return Repaid(root)


@pytest.fixture
def loans(made: Repaid, tmp_path: Path) -> Repaid:
    shutil.copytree(made.root, tmp_path / "project", symlinks=True)
    return Repaid(tmp_path / "project")


def week(n: int, days_ago: float = 5.0) -> list[Asked]:
    """So many answers to so many customers, an instant apart."""
    return [Asked(f"a{place}", days_ago - place * 1e-6, key=f"c{place}", kind="new" if place % 2 else "old") for place in range(n)]


def test_what_answers_bring_is_counted_by_the_key_that_callers_send(loans: Repaid) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, week(300))
    loans.paid("a", [(f"o{place}", f"c{place}", 4.5, 10.0) for place in range(60)] + [("o-x", "nobody", 1.0, 10.0)])
    found = loans.counted()
    assert (found["asked"], found["due"], found["unmatched"]) == (300, 300, 1)
    assert found["value"]["value"] == pytest.approx(0.2)
    assert found["coverage"] == pytest.approx(0.2)
    assert 0.4 * 86_400 < found["lag_p50_s"] < 0.6 * 86_400
    assert {name: one["value"] for name, one in found["slices"].items()} == {"kind=new": 0.2, "kind=old": 0.2}
    assert found["effects"] == []
    assert "dealt at random" in found["no_effect"]


def test_or_by_the_id_that_the_answer_bore(loans: Repaid) -> None:
    loans.declare("prediction_id")
    with loans.opened() as wired:
        loans.answered(wired, week(200))
    loans.paid("a", [(f"o{place}", f"a{place}", 4.5, 1.0) for place in range(100)] + [("o-x", "a1", 2.5, 1.0)], on="prediction_id")
    found = loans.counted()
    assert (found["due"], found["value"]["value"], found["unmatched"]) == (200, 0.5, 1), "one came after the two days that it has"


def test_rows_that_come_late_twice_and_corrected_count_as_what_they_are(loans: Repaid) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, week(200))
    first = [(f"o{place}", f"c{place}", 4.5, 1.0) for place in range(50)]
    loans.paid("a", [*first, ("end", "nobody", 1.0, 1.0)])
    assert loans.counted()["value"]["value"] == 0.25
    # the same rows again, one of them now of another customer, and fifty that come days later
    again = [("o0", "c199", 4.4, 1.0), *first[1:]]
    loans.paid("b", [*again, *((f"late{place}", f"c{place}", 4.0, 1.0) for place in range(100, 150))])
    found = loans.counted(minutes=11)
    assert (found["value"]["value"], found["due"]) == (0.5, 200)
    assert loans.counted(minutes=22) == found, "nothing is new, and nothing is counted twice"


def test_an_answer_is_judged_when_its_time_is_over_as_far_as_the_data_reach(loans: Repaid) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, [*week(100), *(Asked(f"b{place}", 1.0, key=f"d{place}") for place in range(100))])
    loans.paid("a", [("o1", "c1", 4.9, 1.0)])
    assert loans.counted()["due"] == 0, "the feed is silent since: that nothing was paid is not known"
    loans.paid("b", [("o2", "d1", 0.1, 1.0)])
    found = loans.counted(minutes=11)
    assert (found["asked"], found["due"], found["value"]["value"]) == (200, 100, 0.01)


def test_an_outcome_below_its_bound_is_an_incident_that_takes_nothing_back(loans: Repaid) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, week(400, days_ago=3.5))
    loans.paid("a", [*((f"o{place}", f"c{place}", 3.4, 1.0) for place in range(20)), ("end", "nobody", 0.1, 1.0)])
    loans.counted()
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        state = wired.ledger.state()
        [alert] = [row for _, row in state.scan(ALERTS, "loan/") if row.monitor.startswith("conversion")]
        assert (alert.state, alert.finding.failure, alert.finding.n) == (AlertState.FIRING, "outcome", 400)
        [incident] = [row for _, row in state.scan(INCIDENTS)]
        assert (incident.failure_mode, incident.actions) == ("outcome", ("ticket",))
        told = {sample.name: sample.value for sample in gauges(wired.ports, wired.ports.clock.now())}
        assert told["flyball_outcome"] == pytest.approx(0.05)
        assert told["flyball_outcome_low"] < 0.05 < told["flyball_outcome_high"]


def test_where_it_stays_above_there_is_none_by_a_column_that_callers_send(loans: Repaid) -> None:
    loans.declare("kind")
    with loans.opened() as wired:
        loans.answered(wired, [Asked(f"a{place}", 3.5, kind=f"c{place}") for place in range(400)])
    loans.paid("a", [*((f"o{place}", f"c{place}", 3.4, 1.0) for place in range(120)), ("end", "nobody", 0.1, 1.0)], on="kind")
    assert loans.counted()["value"]["value"] == 0.3
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        assert [row for _, row in wired.ledger.state().scan(INCIDENTS)] == []


def test_right_answers_that_bring_more_are_a_relation_in_words_and_no_effect(loans: Repaid) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, week(1_000))
        loans.labelled(wired, [(f"a{place}", 1.0 if place < 600 else 0.0) for place in range(1_000)])
    loans.paid("a", [(f"o{place}", f"c{place}", 4.5, 1.0) for place in (*range(180), *range(600, 640))] + [("end", "nobody", 0.1, 1.0)])
    relation = loans.counted()["relation"]
    assert (relation["right"]["value"], relation["wrong"]["value"]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert 0.1 < relation["difference"]["low"] < 0.2 < relation["difference"]["high"]
    shown = " ".join(loans.shown("monitor", "loan").split())
    assert "relation, no effect: 0.3 where the model was right, 0.1 where it was wrong" in shown
    assert "no effect is claimed: no two versions answered side by side" in shown


@pytest.mark.parametrize("sticky", [True, False])
def test_an_effect_is_claimed_where_keys_were_dealt_and_not_where_they_met_both(loans: Repaid, *, sticky: bool) -> None:
    loans.declare("who")
    rng, asked = np.random.default_rng(3), []
    for place in range(6_000):
        new = rng.random() < 0.5
        for again in range(2):
            new = new if sticky or not again else rng.random() < 0.5
            version, role = ("1.1.0", "challenger") if new else ("1.0.0", "champion")
            asked.append(
                Asked(f"a{place}-{again}", 5.0 - again * 0.1 - place * 1e-6, f"c{place}", version=version, role=role, rollout="ro_1")
            )
    paid = [
        (f"o{place}", f"c{place}", 4.5, 1.0)
        for place in range(6_000)
        if rng.random() < (0.30 if asked[2 * place].role == "challenger" else 0.20)
    ]
    with loans.opened() as wired:
        loans.answered(wired, asked)
    loans.paid("a", [*paid, ("end", "nobody", 0.1, 1.0)])
    loans.counted()
    with loans.opened() as wired:
        loans.split(wired)
        ports, outcomes = wired.acting(LOOP), wired.outcomes()
        now = ports.clock.now() + 86_400_000_000
        outcomes.step(ports, now)
        outcomes.finish(ports, now)
    [seen] = loans.call("monitor", "loan").document["outcomes"]
    [effect] = seen["effects"]
    if not sticky:
        assert effect["difference"]["value"] is None
        assert "of the keys met both versions" in effect["difference"]["why"]
        return
    assert 0 < effect["difference"]["low"] < 0.1 < effect["difference"]["high"]
    assert effect["difference"]["n"] == 6_000
    assert "effect    1.1.0 against 1.0.0, dealt at random" in loans.shown("monitor", "loan")


def test_of_very_many_answers_those_of_a_part_of_the_keys_are_read(loans: Repaid, monkeypatch: pytest.MonkeyPatch) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, week(2_000))
    loans.paid("a", [*((f"o{place}", f"c{place}", 4.5, 1.0) for place in range(0, 2_000, 2)), ("end", "nobody", 0.1, 1.0)])
    loans.counted()
    monkeypatch.setattr(outcomes_child, "MOST", 600)
    with loans.opened() as wired:
        ports = wired.acting(LOOP)
        [due] = wired.outcomes()._due(ports, ports.clock.now() + 86_400_000_000)
        answer = outcomes_child.count(due.task, wired.blobs)
    [counts] = answer.counts
    whole = [day for day in counts.days if not day.slice]
    assert answer.share_of == 4
    assert 350 < sum(day.asked for day in whole) < 600
    assert sum(day.total for day in whole) / sum(day.n for day in whole) == pytest.approx(0.5, abs=0.1)
    assert counts.unmatched <= 1, "rows of keys that were not read are not told as rows of no answer"


def test_of_very_many_rows_and_labels_few_are_held_at_once_and_the_counts_are_the_same(
    loans: Repaid, monkeypatch: pytest.MonkeyPatch
) -> None:
    loans.declare("who")
    with loans.opened() as wired:
        loans.answered(wired, week(300))
        loans.labelled(
            wired, [(f"a{place}", float(place % 3 > 0)) for place in range(300)] + [(f"x{place}", 1.0) for place in range(2_000)]
        )
    loans.paid("a", [(f"o{place}", f"c{place}", 4.5, 1.0) for place in range(1_000)])
    again = [(f"o{place}", f"c{place + 1_000 * (place % 2)}", 4.4, 2.0) for place in range(0, 1_000, 3)]
    loans.paid("b", [*again, *((f"later{place}", f"c{place}", 4.3, 1.0) for place in range(300)), ("end", "nobody", 0.1, 1.0)])
    loans.counted()
    with loans.opened() as wired:
        ports = wired.acting(LOOP)
        [due] = wired.outcomes()._due(ports, ports.clock.now() + 86_400_000_000)
        whole = outcomes_child.count(due.task, wired.blobs)
        monkeypatch.setattr(outcomes_child, "AT_ONCE", 100)
        monkeypatch.setattr(outcomes_child, "MOST", 500)
        assert outcomes_child.count(due.task, wired.blobs) == whole, "part by part"
        [outcome] = due.model.outcomes
        parts = [
            rows.height
            for rows in outcomes_child.outcome_rows(outcome, due.task.sources[0].lies, wired.blobs, 0, due.task.sources[0].reaches)
        ]
        assert (sum(parts), max(parts) < 200, len(parts)) == (1_301, True, 17)
        monkeypatch.setattr(outcomes_child, "MOST_ROWS", 200)
        shared = outcomes_child.count(due.task, wired.blobs)
    [counts], [part] = whole.counts, shared.counts
    assert (whole.share_of, counts.rows) == (1, 1_301)
    assert sum(day.labelled for day in counts.days if not day.slice) == 300
    assert shared.share_of == 4
    assert sum(day.asked for day in part.days if not day.slice) < 150
    assert 200 < part.rows < 500, "of the same share of keys"


def test_a_declaration_that_cannot_be_read_keeps_no_other_model_from_being_counted(loans: Repaid) -> None:
    loans.declare("who")
    loop = loans.root / "loop.py"
    loop.write_text(loop.read_text() + '\nearlier = loan.replace(name="earlier")\n')
    assert loans.call("apply").code == 0
    loans.paid("a", [("end", "nobody", 0.1, 1.0)])
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        row = wired.ledger.state().get(DECLARATIONS, "earlier")
        assert row is not None
        wired.blobs.remove(row.body)
    with loans.opened() as wired:
        ports = wired.acting(LOOP)
        due = wired.outcomes()._due(ports, ports.clock.now() + 86_400_000_000)
        assert [one.model.name for one in due] == ["loan"]


def test_outcomes_that_could_not_be_counted_are_counted_an_hour_later(loans: Repaid) -> None:
    loans.declare("who")
    loans.paid("a", [("end", "nobody", 0.1, 1.0)])
    assert loans.call("tick").code == 0
    with loans.opened() as wired:
        ports, outcomes = wired.acting(LOOP), wired.outcomes()
        now = ports.clock.now() + 86_400_000_000
        outcomes._child = children.Held(patience_s=0.0)
        outcomes.step(ports, now)
        with pytest.raises(Unavailable, match="are not counted"):
            outcomes.finish(ports, now)
        assert list(outcomes._due(ports, now + int(LATER) // 2)) == []
        assert [one.model.name for one in outcomes._due(ports, now + int(LATER))] == ["loan"]


def test_what_is_counted_is_decoded_once_a_model_and_not_looked_at_where_no_monitor_asks(tmp_path: Path) -> None:
    memory = Operational(Database.open(tmp_path / "kept.db"))
    for at in (1, 2):
        memory.save({stored("outcomes/asked"): codec.encode(OutcomesKept(model="asked", at=at))})
        first = outcomes_kept(memory, "asked")
        assert first.at == at
        assert outcomes_kept(memory, "asked") is first
    data = fb.Dataset("rows", source="a.csv", time="ts", columns={"x": float, "up": int})
    brought = fb.Outcome("brought", source=data, on="x", column="x", within="1d", how="count")
    model = fb.Model("asked", task="binary", data=data, label="up", inputs=["x"], outcomes=brought)
    memory.save({stored("outcomes/asked"): b"unreadable"})
    assert outcomes_found(memory, model, "1.0.0", 1) == []
