"""What people are told, when, and how often: once each, and again while nobody is on it."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.declare.columns import column
from flyball.declare.data import Dataset
from flyball.declare.framing import Framing
from flyball.declare.model import Model
from flyball.declare.policy import Playbook
from flyball.incidents import messages
from flyball.incidents.messages import AGAIN
from flyball.incidents.playbook import MODES
from flyball.records.alerts import AlertRow, AlertState, Finding
from flyball.records.deliveries import Message, SaidRow
from flyball.records.incidents import IncidentRow, IncidentState

T = 1_700_000_000_000_000
MINUTE, HOUR, DAY = Span.parse("1m"), Span.parse("1h"), Span.parse("1d")
NAME = "inc_1"


def make_model(**more):
    data = Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": column(int, one_of=(0, 1))})
    return Model("m", task="binary", data=data, label="y", owner="ana", framing=Framing("test", kpi="chargebacks"), **more)


def incident(state=IncidentState.OPEN, **more) -> IncidentRow:
    values = {
        "incident": NAME,
        "model": "m",
        "failure_mode": "errors",
        "alert": "m/error_rate ≤ 1%/",
        "what": "errors",
        "cause": "error_rate is 0.4",
        "owner": "ana",
        "opened_at": T,
        "mitigate_by": T + 5 * MINUTE,
        "review_by": T + DAY,
        "root_cause_by": T + 7 * DAY,
        "actions": ("page", "rollback"),
    }
    return IncidentRow(state=state, **{**values, **more})


def said_after(*told: Message, at=T) -> SaidRow | None:
    row = None
    for message in told:
        row = messages.after(row, message, "risk", at)
    return row


def say(row, said=None, now=T, **more) -> list[Message]:
    return list(messages.of_incident(row, said, make_model(), now, **more))


def told(found) -> list[str]:
    return [message.told for message in found]


def test_an_incident_is_told_once_with_everything_that_a_person_needs() -> None:
    [message] = say(incident(notes=("release m@1.1.0 rolled back (ro_1): errors",)), link="https://fb.example", back=True)
    assert (message.told, message.act, message.severity, message.urgent) == ("opened", "trigger", "critical", True)
    assert (message.thread, message.incident, message.model, message.owner) == (NAME, NAME, "m", "ana")
    assert message.title == "m: errors"
    for part in (
        "Errors in m since 2023-11-14T22:13:20Z.",
        "At stake: chargebacks.",
        "Cause: error_rate is 0.4. Monitor: error_rate ≤ 1%.",
        "flyball's playbook: rollback.",
        "Noted: release m@1.1.0 rolled back (ro_1): errors.",
        "Next: flyball rollback m, or flyball incidents ack inc_1",
    ):
        assert part in message.text
    assert (message.command, message.link) == ("flyball incidents show inc_1", "https://fb.example/api/v1/incidents/inc_1")
    assert say(incident(), said_after(message)) == []


def test_what_no_page_is_asked_for_wakes_nobody() -> None:
    [message] = say(incident(actions=("ticket",)))
    assert (message.severity, message.urgent) == ("warning", False)
    said = said_after(message)
    assert say(incident(actions=("ticket",)), said, T + 3 * AGAIN) == []
    [raised] = say(incident(actions=("ticket", "page")), said, T + HOUR)
    assert (raised.told, raised.urgent, raised.act) == ("raised", True, "trigger")
    assert raised.title == "m: errors, urgent now", "nothing is known of why"


def test_a_page_is_sent_again_after_four_hours_until_somebody_is_on_it() -> None:
    [opened] = say(incident())
    said = said_after(opened)
    assert say(incident(), said, T + AGAIN - 1) == []
    [again] = say(incident(), said, T + AGAIN)
    assert (again.told, again.message != opened.message) == ("again", True)
    assert "open for 4h, nobody has said that they are on it" in again.title
    said = messages.after(said, again, "risk", T + AGAIN)
    assert say(incident(), said, T + 2 * AGAIN - 1) == []
    [third] = say(incident(), said, T + 2 * AGAIN)
    assert third.message not in (opened.message, again.message)
    acked = incident(notes=("acknowledged by user:bo: on it",))
    [message] = say(acked, said, T + 9 * AGAIN)
    assert (message.told, message.act) == ("acknowledged", "acknowledge")
    assert message.title == "m: errors: acknowledged by user:bo: on it"
    assert say(acked, messages.after(said, message, "risk", T + 9 * AGAIN), T + 99 * AGAIN) == []


def test_what_opens_again_is_no_longer_acknowledged_and_wakes_a_person() -> None:
    [opened] = say(incident())
    notes = ("acknowledged by user:bo", "mitigated: rolled back", "open: fires again 1h after it was mitigated: errors")
    again = incident(reopened_at=T + HOUR, notes=notes)
    said = said_after(opened, *say(incident(notes=notes[:1]), said_after(opened)))
    [message] = say(again, said, T + HOUR)
    assert (message.told, message.act, message.urgent, message.since) == ("reopened", "trigger", True, T + HOUR)
    assert "Fires again" in message.text
    assert messages.acknowledged_by(again) == ""
    assert messages.again_due(again, messages.after(said, message, "risk", T + HOUR)) == T + HOUR + AGAIN
    [acked] = say(
        msgspec.structs.replace(again, notes=(*notes, "acknowledged by user:bo")), messages.after(said, message, "risk", T + HOUR)
    )
    assert acked.told == "acknowledged"


def test_mitigated_and_closed_are_told_as_the_end_and_then_nothing_is() -> None:
    said = said_after(*say(incident()))
    done = incident(IncidentState.MITIGATED, mitigated_at=T + MINUTE, notes=("mitigated: another champion's route was in force",))
    [message] = say(done, said)
    assert (message.told, message.act, message.severity) == ("mitigated", "resolve", "info")
    assert ". Another champion's route was in force. flyball's playbook" in message.text
    assert 'Next: flyball incidents review inc_1 --text "…"' in message.text
    said = messages.after(said, message, "risk", T)
    closed = incident(IncidentState.CLOSED, mitigated_at=T + MINUTE, closed_at=T + HOUR, notes=("closed: reviewed",))
    [message] = say(closed, said)
    assert (message.told, message.act) == ("closed", "resolve")
    assert ". Closed: reviewed. " in message.text
    assert messages.after(said, message, "risk", T) is None


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("its alert has resolved: 0 [0, 0.03435]", "Its alert has resolved: 0 [0, 0.03435]."),
        ("user:ana: the clock is right", "user:ana: the clock is right."),
        ("error_rate is low", "error_rate is low."),
    ],
)
def test_a_sentence_begins_with_a_capital_letter_and_a_name_as_it_is(why: str, told: str) -> None:
    done = incident(IncidentState.MITIGATED, mitigated_at=T + MINUTE, notes=(f"mitigated: {why}",))
    [message] = say(done, said_after(*say(incident())))
    assert f" ≤ 1%. {told} " in message.text


def test_whoever_is_told_of_a_complaint_takes_it_and_then_says_what_ended_it_wherever_they_read_of_it() -> None:
    ended = 'flyball incidents mitigated inc_1 --reason "…", when what it is about is mended'
    open_ = incident(failure_mode="complaint", actions=("page",), alert="")
    [message] = say(open_)
    assert message.text.endswith(f"Next: flyball incidents ack inc_1; {ended}")
    assert message.text.endswith(messages.next_step(open_, back=True))
    assert messages.next_step(msgspec.structs.replace(open_, notes=("acknowledged by user:ana",)), back=True) == ended


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (IncidentState.OPEN, "flyball rollback m, or flyball incidents ack inc_1"),
        (IncidentState.MITIGATING, "flyball rollback m, or flyball incidents ack inc_1"),
        (IncidentState.MITIGATED, 'flyball incidents review inc_1 --text "…"'),
        (IncidentState.REVIEWED, "it closes when it stays well"),
        (IncidentState.CLOSED, "nothing is left to do"),
    ],
)
def test_the_next_step_follows_from_where_an_incident_stands(state: IncidentState, says: str) -> None:
    assert messages.next_step(incident(state), back=True) == says


ACKED = ("acknowledged by user:ana",)
ENDS = "it ends by itself when its alert resolves"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"failure_mode": "input_drift", "actions": ("ticket",)},
            f"decide whether the world or the feed has changed: `flyball monitor`; {ENDS}",
        ),
        (
            {},
            f"read what was raised: `flyball incidents show`; roll back if there is a version to go back to (flyball rollback m); {ENDS}",
        ),
        ({"failure_mode": "bad_release", "alert": "", "actions": ("ticket",)}, "say why the gates let it pass"),
        ({"failure_mode": "of another version", "actions": ()}, f"find what is wrong; {ENDS}"),
    ],
)
def test_whoever_has_said_that_they_are_on_it_is_told_what_they_do_by_hand_and_what_ends_it(more: dict[str, object], says: str) -> None:
    assert messages.next_step(incident(notes=ACKED, **more), back=True) == says
    # since it opened again nobody is on it
    again = incident(notes=(*ACKED, "open: fires again"), **more)
    assert messages.next_step(again, back=True).endswith("flyball incidents ack inc_1")


def test_where_nothing_can_be_taken_back_no_command_says_so() -> None:
    assert messages.next_step(incident(), back=False) == "flyball incidents ack inc_1"
    says = messages.next_step(incident(notes=ACKED), back=False)
    assert says.endswith(f"roll back if there is a version to go back to (nothing can be taken back now); {ENDS}")


def test_what_becomes_urgent_says_what_made_it_so() -> None:
    row = incident(
        failure_mode="schema_change", what="schema change (carrier purple)", actions=("ticket",), alert="m/drift of inputs/carrier"
    )
    said = said_after(*say(row))
    urgent = messages.Urgent(by="error_rate over 1m ≤ 0.05", why="0.2677 [0.24, 0.29]")
    [raised] = say(msgspec.structs.replace(row, actions=("ticket", "page")), said, raised=urgent)
    assert raised.title == "m: schema change (carrier purple), urgent now: error_rate over 1m ≤ 0.05"
    assert "Monitor: drift of inputs. It is urgent now: error_rate over 1m ≤ 0.05: 0.2677 [0.24, 0.29]. " in raised.text


def test_nobody_who_is_on_it_is_told_to_say_so() -> None:
    for mode in MODES:
        assert "incidents ack" not in messages.next_step(incident(failure_mode=mode.name, notes=ACKED), back=True), mode.name


def test_what_is_served_elsewhere_is_taken_back_there_and_by_no_command_of_flyballs() -> None:
    left = ("served elsewhere: flyball routes nothing of it, so risk mitigates it there, and it ends here when that is seen",)
    assert messages.next_step(incident(), back=True).startswith("flyball rollback m, or flyball incidents ack")
    assert messages.next_step(incident(notes=left), back=True) == "flyball incidents ack inc_1"
    says = messages.next_step(incident(notes=(*left, *ACKED)), back=True)
    assert says.startswith("where it is served: read what was raised: `flyball incidents show`")
    assert "flyball rollback" not in says


def test_what_was_over_before_a_route_heard_of_it_is_not_told() -> None:
    assert say(incident(IncidentState.CLOSED, closed_at=T)) == []
    old = incident(IncidentState.MITIGATED, mitigated_at=T)
    assert say(old, now=T + 2 * DAY) == []
    assert told(say(old, now=T + HOUR)) == ["opened", "mitigated"]


@pytest.mark.parametrize(("clock", "urgent"), [("mitigate", True), ("review", False), ("root cause", False)])
def test_a_clock_that_ran_out_is_told_and_wakes_nobody_for_a_review(clock: str, urgent: bool) -> None:
    said = said_after(*say(incident()))
    [message] = say(incident(overdue=(clock,)), said)
    assert (message.told, message.urgent) == ("overdue", urgent)
    assert "is overdue" in message.title
    assert say(incident(overdue=(clock,)), messages.after(said, message, "risk", T)) == []


def test_what_is_muted_is_not_told_but_that_it_is_over() -> None:
    assert say(incident(), muted=True) == []
    said = said_after(*say(incident()))
    assert say(incident(), said, T + AGAIN, muted=True) == []
    done = incident(IncidentState.MITIGATED, mitigated_at=T + MINUTE)
    assert told(say(done, said, muted=True)) == ["mitigated"]
    assert told(say(incident(), muted=False)) == ["opened"]


def warning(state=AlertState.FIRING, severity="warn", episode=1, why="x is higher") -> AlertRow:
    finding = Finding(monitor="drift(inputs)", severity=severity, column="x", failure="input_drift", why=why)
    return AlertRow(key="m/drift(inputs)/x", model="m", monitor="drift(inputs)", state=state, episode=episode, since=T, finding=finding)


def test_a_warning_is_a_ticket_where_the_playbook_makes_one_and_ends_when_it_is_well() -> None:
    [message] = messages.of_alert(warning(), None, make_model(), T)
    assert (message.told, message.act, message.severity, message.urgent) == ("warned", "trigger", "warning", False)
    assert message.thread == "m/drift(inputs)/x#1"
    assert message.text.startswith("x is higher.")
    said = messages.after(None, message, "risk", T)
    assert list(messages.of_alert(warning(), said, make_model(), T)) == []
    [over] = messages.of_alert(warning(AlertState.RESOLVED, "none", why="as it was"), said, make_model(), T)
    assert (over.told, over.act, over.thread) == ("recovered", "resolve", message.thread)
    assert messages.after(said, over, "risk", T) is None
    [grave] = messages.of_alert(warning(severity="alert"), said, make_model(), T)
    assert "an incident tells of it" in grave.text
    [anew] = messages.of_alert(warning(episode=2), None, make_model(), T)
    assert anew.thread != message.thread


def test_a_warning_is_told_to_nobody_where_no_ticket_is_asked_for_or_it_is_muted() -> None:
    assert list(messages.of_alert(warning(), None, make_model(playbook=Playbook(input_drift="retrain")), T)) == []
    assert list(messages.of_alert(warning(), None, make_model(), T, muted=True)) == []
    assert list(messages.of_alert(warning(AlertState.PENDING), None, make_model(), T)) == []


_STATES = (
    incident(),
    incident(actions=("ticket",)),
    incident(notes=("acknowledged by user:bo",)),
    incident(overdue=("mitigate",)),
    incident(IncidentState.MITIGATING, notes=("mitigating: training",)),
    incident(IncidentState.MITIGATED, mitigated_at=T + MINUTE, notes=("mitigated: so",)),
    incident(reopened_at=T + HOUR, mitigate_by=T + HOUR + 5 * MINUTE, notes=("mitigated: so", "open: again")),
    incident(IncidentState.REVIEWED, mitigated_at=T + MINUTE, reviewed_at=T + HOUR),
    incident(IncidentState.CLOSED, mitigated_at=T + MINUTE, closed_at=T + 2 * HOUR),
)


@given(st.lists(st.tuples(st.sampled_from(_STATES), st.integers(0, 10)), max_size=12))
def test_nothing_is_said_twice_and_a_look_that_changes_nothing_says_nothing(steps) -> None:
    said, now, seen = None, T + 2 * HOUR, []
    for row, hours in steps:
        now += hours * HOUR
        for message in itertools.chain(say(row, said, now)):
            said = messages.after(said, message, "risk", now)
            seen.append(message.message)
            if message.told == "closed":
                return
        assert say(row, said, now) == []
    assert len(seen) == len(set(seen))


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_a_message_fits_into_an_event_whatever_the_cause_and_the_notes_say(cause: str, note: str) -> None:
    for message in say(incident(cause=cause, notes=(note,) * 9)):
        assert len(message.text) <= 2000
        assert "\n" not in message.text
        assert len(message.title) <= 200
