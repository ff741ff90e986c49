"""Incidents: one a model, with its cause; mitigated and closed when that was observed; clocks that run."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from flyball.clock import Span
from flyball.declare.columns import column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.policy import ACTIONS, Playbook
from flyball.declare.training import Train
from flyball.errors import Conflict, DeclarationError
from flyball.incidents import persons, playbook, rules
from flyball.incidents.fold import FOLDS
from flyball.incidents.persons import reviewed
from flyball.records.alerts import AlertRow, AlertState, Finding
from flyball.records.base import Recorded
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState, Review
from flyball.records.proposals import PROPOSALS, ProposalMade, ProposalSettled

MINUTE, HOUR, DAY = Span.parse("1m"), Span.parse("1h"), Span.parse("1d")
T = 1_700_000_000_000_000


def fit(X, y):
    return None


def make_model(**policy):
    data = Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": column(int, one_of=(0, 1))})
    return Model("m", task="binary", data=data, label="y", owner="ana", **{"train": Train(fit), **policy})


def alert(failure="input_drift", *, state=AlertState.FIRING, severity="alert", since=T, name="x", why=None, effect=0.3):
    finding = Finding(
        monitor=failure,
        severity=severity,
        column=name,
        value="v",
        effect=effect,
        floor=0.1,
        failure=failure,
        why=why or f"{failure} in {name}",
    )
    return AlertRow(key=f"m/{failure}/{name}", model="m", monitor=failure, state=state, episode=1, since=since, finding=finding)


class World:
    """The projections of incidents, and the events that made them."""

    def __init__(self, **policy):
        self.model = make_model(**policy)
        self.tables = {}
        self.ids = itertools.count(1)

    def get(self, table, key):
        return self.tables.get((table.name, key))

    def put(self, table, key, row):
        self.tables[table.name, key] = row

    def apply(self, events, now):
        for event in events:
            FOLDS[type(event)](self, Recorded(1, now, "loop", "c", event))
        return events

    @property
    def rows(self):
        return [row for (table, _), row in sorted(self.tables.items()) if table == INCIDENTS.name]

    @property
    def row(self) -> IncidentRow:
        (row,) = self.rows
        return row

    def new_id(self, prefix):
        return f"{prefix}_{next(self.ids)}"

    def react(self, *alerts, now=T):
        return self.apply(rules.react(alerts, self.rows, self.model, now, self.new_id), now)

    def progress(self, *alerts, now=T, **seen):
        return self.apply(rules.progress(self.rows[-1], alerts, now=now, **seen), now)


def test_warnings_and_what_does_not_fire_open_nothing():
    world = World()
    assert not world.react(alert(severity="warn"), alert(state=AlertState.PENDING), alert(state=AlertState.STALE))


@pytest.mark.parametrize("failure", ["input_drift", "concept_drift", "schema_change", "errors", "latency", "performance", "bias"])
def test_an_alert_opens_an_incident_that_names_mode_cause_owner_and_actions(failure):
    world = World()
    world.react(alert(failure, why="x: values are higher: median 1 → 2"))
    row = world.row
    assert (row.failure_mode, row.cause, row.owner) == (failure, "x: values are higher: median 1 → 2", "ana")
    assert row.what.startswith(failure.replace("_", " "))
    assert "(x" in row.what
    assert row.actions == playbook.DEFAULTS[failure]
    assert set(row.actions) <= set(ACTIONS)


def test_a_schema_change_names_the_new_value():
    world = World()
    world.react(alert("schema_change"))
    assert world.row.what == "schema change (x v)"


def test_the_same_alert_opens_one_incident():
    world = World()
    world.react(alert())
    assert not world.react(alert(), now=T + MINUTE)
    assert len(world.rows) == 1


def test_the_deepest_cause_is_the_root_and_the_others_are_notes():
    world = World()
    world.react(alert("performance", name=""), alert("input_drift"), alert("schema_change", name="c"))
    assert world.row.failure_mode == "schema_change"
    assert len(world.row.notes) == 2
    assert not world.react(alert("performance", name=""), alert("input_drift"), alert("schema_change", name="c"))


def test_what_is_wrong_with_the_data_becomes_the_cause_of_wrong_answers_under_its_own_name():
    world = World()
    world.react(alert("performance", name=""))
    world.react(alert("performance", name=""), alert("schema_change", name="c", why='"new" 0% → 6%'), now=T + HOUR)
    assert world.row.cause == 'schema change (c v): "new" 0% → 6%'
    assert len(world.rows) == 1


@pytest.mark.parametrize(
    ("first", "later"), [("input_drift", "schema_change"), ("input_drift", "errors"), ("performance", "latency"), ("late_labels", "skew")]
)
def test_a_finding_of_another_kind_is_a_note_and_takes_no_causes_place(first, later):
    world = World()
    world.react(alert(first))
    world.react(alert(first), alert(later, name="c"), now=T + HOUR)
    assert world.row.cause == f"{first} in x"
    assert f"{later} in c" in world.row.notes[-1]


def test_who_mitigates_what_is_served_elsewhere_is_noted_but_a_gap_in_the_log_is_flyballs_own():
    world = World(train=None)
    world.react(alert("input_drift"), alert("evidence_gap", name="", why=GAP))
    drift, gap = sorted(world.rows, key=lambda row: row.failure_mode == "evidence_gap")
    assert drift.notes == ("served elsewhere: flyball routes nothing of it, so ana mitigates it there, and it ends here when that is seen",)
    assert gap.notes == ()
    ours = World()
    ours.react(alert("input_drift"))
    assert ours.row.notes == ()


GAP = "at least 3 records could not be written"


def test_a_gap_in_the_log_is_an_incident_of_its_own_beside_the_one_that_is_open():
    world = World()
    gap = alert("evidence_gap", name="", why=GAP)
    world.react(alert("input_drift"))
    world.react(alert("input_drift"), gap, now=T + MINUTE)
    drift, missing = world.rows
    assert (drift.what, drift.cause, drift.notes) == ("input drift (x)", "input_drift in x", ())
    assert (missing.failure_mode, missing.what, missing.cause) == ("evidence_gap", "evidence gap", GAP)
    assert not world.react(alert("input_drift"), gap, now=T + HOUR)
    # and what is wrong with the model does not join the gap's
    other = World()
    other.react(gap)
    other.react(gap, alert("errors"), now=T + MINUTE)
    assert [row.failure_mode for row in other.rows] == ["evidence_gap", "errors"]
    other.apply(back(other), T + HOUR)
    assert "rolled back" in other.rows[1].notes[-1]


def test_a_gap_and_a_fault_of_the_model_that_fire_together_are_two_incidents():
    world = World()
    world.react(alert("performance", name=""), alert("evidence_gap", name="", why=GAP))
    assert sorted(row.failure_mode for row in world.rows) == ["evidence_gap", "performance"]


def test_a_gap_ends_with_its_own_alert_and_with_no_route():
    world = World()
    gap = alert("evidence_gap", name="")
    world.react(gap)
    assert not world.progress(gap, alert(), now=T + 1, acting="training: run_1", in_force_at=T + 1)
    world.progress(alert("evidence_gap", name="", state=AlertState.RESOLVED, severity="none"), alert(), now=T + 2)
    assert world.row.state == IncidentState.MITIGATED, "that another alert fires is another incident"


def test_a_playbook_overrides_and_unknown_actions_are_named():
    world = World(playbook=Playbook(input_drift=["retrain", "call-bob"], performance=["rollback"]))
    world.react(alert("input_drift"))
    assert world.row.actions == ("retrain", "call-bob")
    assert any("call-bob" in note and "ana" in note for note in world.row.notes)
    assert playbook.actions(world.model.playbook, "concept_drift") == ("rollback",)


def test_clocks_are_five_minutes_a_day_and_a_week_and_ring_once_each():
    world = World()
    world.react(alert())
    rung = []
    now = T
    while (due := rules.next_due(world.rows, now)) is not None:
        now = due
        rung += [(event.note, now - T) for event in world.progress(alert(), now=now)]
    assert rung == [
        ("overdue: mitigate", 5 * MINUTE + 1),
        ("overdue: review", DAY + 1),
        ("overdue: root cause", 7 * DAY + 1),
    ]
    assert world.row.overdue == ("mitigate", "review", "root cause")


def test_an_action_begins_the_mitigation_and_a_route_in_force_ends_it():
    world = World()
    world.react(alert("concept_drift"))
    world.progress(alert("concept_drift"), now=T + MINUTE, acting="training: run_1")
    assert world.row.state == IncidentState.MITIGATING
    assert not world.progress(alert("concept_drift"), now=T + 2 * MINUTE, acting="training: run_1")
    world.progress(alert("concept_drift"), now=T + 3 * MINUTE, in_force_at=T - 1)
    assert world.row.state == IncidentState.MITIGATING, "that route is older than the incident"
    world.progress(alert("concept_drift"), now=T + 4 * MINUTE, in_force_at=T + 3 * MINUTE)
    assert (world.row.state, world.row.mitigated_at) == (IncidentState.MITIGATED, T + 4 * MINUTE)


def test_a_measured_recovery_mitigates_but_silence_does_not():
    world = World()
    world.react(alert())
    assert not world.progress(alert(state=AlertState.STALE), now=T + MINUTE)
    world.progress(alert(state=AlertState.RESOLVED, severity="none"), now=T + 2 * MINUTE)
    assert world.row.state == IncidentState.MITIGATED


def mitigated():
    world = World()
    world.react(alert())
    world.progress(alert(), now=T + MINUTE, in_force_at=T + 1)
    return world


def test_an_incident_closes_on_recovery_and_review_together():
    world = mitigated()
    well = alert(state=AlertState.RESOLVED, severity="none")
    assert not world.progress(well, now=T + HOUR), "not reviewed"
    world.apply(reviewed(world.row, Review(what="a feed had changed its unit; a contract now says so")), T + 2 * HOUR)
    assert not world.progress(alert(), now=T + 3 * HOUR), "still firing"
    assert not world.progress(alert(state=AlertState.STALE), now=T + 3 * HOUR), "no data is no recovery"
    world.progress(well, now=T + 4 * HOUR)
    assert (world.row.state, world.row.closed_at) == (IncidentState.CLOSED, T + 4 * HOUR)
    assert rules.next_due(world.rows, T) is None


def test_where_no_alert_can_say_that_it_is_over_the_end_says_by_whose_word_or_what_was_seen():
    told = World()
    told.apply(persons.complaint(told.model, told.new_id, what="wrong", request="", by="user:ana"), T)
    told.apply([persons.ended(told.row, "user:bo: the clock: right again")], T + MINUTE)
    told.apply(reviewed(told.row, Review(what="a clock was wrong")), T + HOUR)
    told.progress(now=T + 2 * HOUR)
    assert told.row.notes[-1] == "closed: reviewed; it ended on the word of user:bo"
    seen = World()
    seen.apply(persons.complaint(seen.model, seen.new_id, what="wrong", request="", by="user:ana"), T)
    seen.progress(now=T + MINUTE, in_force_at=T + 1)
    seen.apply(reviewed(seen.row, Review(what="another version")), T + HOUR)
    seen.progress(now=T + 2 * HOUR)
    assert seen.row.notes[-1].startswith("closed: reviewed; it ended as was seen: another champion's route was in force everywhere")


def test_an_incident_of_an_alert_is_closed_by_its_recovery_whatever_else_was_seen():
    world = mitigated()
    world.apply(reviewed(world.row, Review(what="x")), T + HOUR)
    world.progress(alert(state=AlertState.RESOLVED, severity="none"), now=T + 2 * HOUR)
    assert world.row.notes[-1] == "closed: reviewed, and every alert it is about has measurably recovered"


def test_a_complaint_that_was_reviewed_already_is_not_to_be_ended_again():
    world = World()
    world.apply(persons.complaint(world.model, world.new_id, what="wrong", request="", by="user:ana"), T)
    with pytest.raises(Conflict) as early:
        reviewed(world.row, Review(what="x"))
    assert early.value.fix == f'flyball incidents mitigated {world.row.incident} --reason "…"'
    world.apply([persons.ended(world.row, "user:bo: right again")], T + MINUTE)
    world.apply(reviewed(world.row, Review(what="x")), T + HOUR)
    with pytest.raises(Conflict) as late:
        reviewed(world.row, Review(what="x"))
    assert late.value.fix == f"flyball incidents show {world.row.incident}"


def test_what_fires_again_within_a_day_is_opened_again_with_a_new_clock():
    world = mitigated()
    assert not world.react(alert(), now=T + HOUR), "the same episode goes on"
    world.react(alert(since=T + 2 * HOUR), now=T + 2 * HOUR)
    assert (world.row.state, world.row.mitigate_by) == (IncidentState.OPEN, T + 2 * HOUR + 5 * MINUTE)
    assert not world.progress(alert(since=T + 2 * HOUR), now=T + 2 * HOUR, in_force_at=T + 1), "the old route did not help"


def test_a_reviewed_incident_that_opens_again_has_all_of_its_clocks_anew():
    world = World()
    world.react(alert())
    world.progress(alert(), now=T + 8 * DAY, in_force_at=T + 8 * DAY)
    assert world.row.overdue == ("mitigate", "review", "root cause")
    world.apply(reviewed(world.row, Review(what="a feed")), T + 8 * DAY + HOUR)
    again = T + 8 * DAY + 2 * HOUR
    world.react(alert(since=again), now=again)
    row = world.row
    assert (row.state, row.reviewed_at, row.overdue) == (IncidentState.OPEN, 0, ())
    assert (row.review_by, row.root_cause_by) == (again + DAY, again + 7 * DAY)
    assert row.review == Review(what="a feed"), "what was learnt then stands"
    assert not world.progress(alert(since=again), now=again + MINUTE)
    notes = [event.note for event in world.progress(alert(since=again), now=again + 7 * DAY + 1)]
    assert notes == ["overdue: mitigate", "overdue: review", "overdue: root cause"]


def test_what_fires_again_after_a_day_is_a_new_incident():
    world = mitigated()
    world.react(alert(since=T + 2 * DAY), now=T + 2 * DAY)
    assert [row.state for row in world.rows] == [IncidentState.MITIGATED, IncidentState.OPEN]


def test_a_false_alarm_is_closed_by_a_person_and_stays_closed_for_this_episode():
    world = World()
    world.react(alert())
    world.apply([rules.false_alarm(world.row, "a planned migration")], T + MINUTE)
    assert world.row.state == IncidentState.CLOSED
    assert not world.react(alert(), now=T + HOUR)
    assert world.react(alert(since=T + HOUR), now=T + HOUR)


def test_a_review_before_the_mitigation_and_a_second_close_are_refused():
    world = World()
    world.react(alert())
    with pytest.raises(Conflict, match="cannot be reviewed"):
        reviewed(world.row, Review(what="x"))
    world.apply([rules.false_alarm(world.row, "x")], T)
    with pytest.raises(Conflict, match="closed already"):
        rules.false_alarm(world.row, "x")


def back(world, rollout="ro_1"):
    return rules.rolled_back(world.rows, world.model, world.new_id, rollout=rollout, version="1.2.0", why="error_rate: evidence 10^3.1")


def test_a_release_that_a_guard_sent_back_is_an_incident_once():
    world = World()
    world.apply(back(world), T)
    assert (world.row.failure_mode, world.row.rollout, world.row.what) == ("bad_release", "ro_1", "bad release: m@1.2.0")
    assert not back(world)
    world.progress(now=T + 1, in_force_at=T + 1)
    assert world.row.state == IncidentState.MITIGATED
    world.apply(reviewed(world.row, Review(what="the new encoder dropped a column")), T + HOUR)
    world.progress(now=T + HOUR)
    assert world.row.state == IncidentState.CLOSED


def test_a_release_sent_back_during_an_incident_is_a_note_on_it():
    world = World()
    world.react(alert("concept_drift"))
    world.apply(back(world), T + MINUTE)
    assert "rolled back (ro_1)" in world.row.notes[-1]
    assert not back(world)


def test_another_models_alerts_do_not_count():
    world = World()
    other = AlertRow(key="o/x/", model="o", monitor="x", state=AlertState.FIRING, episode=1, since=T, finding=alert().finding)
    assert not world.react(other)


def test_every_arrow_that_the_rules_draw_is_in_the_table():
    """From each state, with every kind of evidence, progress and react lead only along arrows of the table."""
    drawn = set()
    for state in IncidentState:
        for seen in AlertState:
            for since in (T - 1, T + HOUR):
                for extra in ({}, {"acting": "a run"}, {"in_force_at": T + HOUR}):
                    world = World()
                    world.react(alert())
                    row = world.row
                    changed = type(row)(
                        **{name: getattr(row, name) for name in row.__struct_fields__} | {"state": state, "mitigated_at": T + 1}
                    )
                    world.put(INCIDENTS, row.incident, changed)
                    bad = alert(state=seen, severity="alert" if seen != AlertState.RESOLVED else "none", since=since)
                    events = [*rules.progress(changed, [bad], now=T + HOUR, **extra)]
                    events += rules.react([bad], [changed], world.model, T + HOUR, world.new_id)
                    drawn |= {(event.source, event.target) for event in events if hasattr(event, "target")}
    assert all(target in rules.ARROWS[source] for source, target in drawn)
    assert {(IncidentState.MITIGATED, IncidentState.OPEN), (IncidentState.REVIEWED, IncidentState.OPEN)} <= drawn


def test_a_proposal_is_kept_with_its_verdict():
    world = World()
    made = ProposalMade(proposal="p1", model="m", action="train", mode="propose", target="", reason="drift")
    world.apply([made], T)
    assert world.get(PROPOSALS, "p1").made_at == T
    world.apply([ProposalSettled(proposal="p1", verdict="rejected", reason="not now")], T)
    assert world.get(PROPOSALS, "p1").verdict == "rejected"


def test_the_deepest_cause_stays_the_cause_when_a_shallower_one_is_noted_after_it():
    world = World()
    world.react(alert("concept_drift"))
    renamed, moved = alert("schema_change", name="purpose"), alert("input_drift", name="base_rate")
    world.react(alert("concept_drift"), renamed, moved)
    named = f"schema change (purpose v): {renamed.finding.why}"
    assert world.row.cause == named
    world.react(alert("concept_drift"), renamed, moved, alert("input_drift", name="amount"))
    assert world.row.cause == named


def test_what_a_graver_alert_asks_for_is_done_in_the_incident_that_is_open():
    world = World()
    world.react(alert("input_drift"))
    assert "rollback" not in world.row.actions
    world.react(alert("input_drift"), alert("errors", name="error_rate"))
    assert "rollback" in world.row.actions
    assert len(world.rows) == 1


def test_an_incident_goes_to_the_owner_of_the_layer_that_failed():
    world = World()
    world.model = world.model.replace(
        data=Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": column(int, one_of=(0, 1))}, owner="data")
    )
    world.react(alert("schema_change"))
    assert world.row.owner == "data"


def test_wrong_answers_that_the_data_explain_go_on_to_the_owner_of_the_data():
    world = World()
    world.model = world.model.replace(
        data=Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": column(int, one_of=(0, 1))}, owner="data")
    )
    world.react(alert("performance", name=""))
    assert world.row.owner == "ana"
    world.react(alert("performance", name=""), alert("input_drift"), now=T + MINUTE)
    assert (world.row.owner, world.row.failure_mode) == ("data", "performance")
    world.react(alert("performance", name=""), alert("input_drift"), alert("latency", name=""), now=T + 2 * MINUTE)
    assert world.row.owner == "data", "what explains nothing takes it from nobody"


def test_an_incident_says_whether_it_is_about_a_column_a_slice_or_both():
    for name, part, told in (("x", "", "(x)"), ("x", "day=6", "(x in day=6)"), ("", "x", "(in x)")):
        row = alert(name=name)
        row = msgspec.structs.replace(row, finding=msgspec.structs.replace(row.finding, slice=part))
        world = World()
        world.apply(rules.react([row], [], world.model, T, world.new_id), T)
        assert world.row.what == f"input drift {told}"


@pytest.mark.parametrize("mode", ["label_drift", "outcome", "feedback"])
def test_what_is_wrong_with_labels_and_outcomes_is_reacted_on_as_the_playbook_says(mode):
    for declared, actions in ((None, ("ticket",)), (["page", "shadow-train"], ("page", "shadow-train"))):
        world = World(playbook=Playbook(**{mode: declared}))
        world.apply(rules.react([alert(mode, name="label")], [], world.model, T, world.new_id), T)
        assert (world.row.failure_mode, world.row.actions, world.row.owner) == (mode, actions, "ana")
    with pytest.raises(DeclarationError, match="no failure mode") as caught:
        Playbook(labels_drift="ticket")  # type: ignore[arg-type]
    assert 'did you mean "label_drift"?' in caught.value.fix
