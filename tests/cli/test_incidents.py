"""An incident from a complaint to its review, by the command line."""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec
import pytest

from flyball.records.alerts import AlertMoved, AlertState, Finding
from flyball.records.base import Record
from flyball.records.incidents import INCIDENTS, Cause, IncidentMoved, IncidentNoted, IncidentOpened, IncidentState
from flyball.serving import wal
from flyball.serving.layout import Layout
from flyball.wiring import open_project


class Told(Record, frozen=True):
    """A command that does as it is told."""

    id: str
    actor: str


def open_one(root: Path, *, mitigated: bool = True) -> str:
    """An incident of demand, as the loop records it."""
    wired = open_project(root, claim=True)
    finding = Finding(monitor="drift of inputs", severity="alert", column="temperature", failure="input_drift", why="PSI 0.4 (floor 0.1)")
    events = [
        AlertMoved(
            key="demand/drift of inputs/temperature", model="demand", monitor=finding.monitor, source=AlertState.OK, target=AlertState.FIRING,
            episode=1, finding=finding,
        ),
        IncidentOpened(
            incident="inc_1", model="demand", failure_mode="input_drift", alert="demand/drift of inputs/temperature", what="input drift",
            cause=finding.why, owner="ana", actions=("ticket",),
            causes=(Cause(kind="data", what="input drift (temperature)", score=0.6, evidence="PSI 0.4 (floor 0.1)"),),
        ),
        IncidentNoted(incident="inc_1", note="also something else"),
        *([IncidentMoved(incident="inc_1", source=IncidentState.OPEN, target=IncidentState.MITIGATED, why="resolved")] if mitigated else []),
    ]  # fmt: skip
    wired.ledger.execute(Told(id="opened", actor="loop"), lambda *_: events)
    wired.close()
    return "inc_1"


def answer_one(root: Path, request: str) -> None:
    """An answer of demand in the project's log."""
    writer = wal.Writer(Layout(root / ".flyball").log, "g0", reserve_bytes=0)
    values = {"packed_input": msgspec.msgpack.encode([[8, 1, 19.5]]), "packed_output": msgspec.msgpack.encode([[42.5, None]])}
    names = writer.declare("demand@1.0.0", ["hour", "weekday", "temperature"])
    assert writer.append([names, wal.frame("answer", request, version="demand@1.0.0", rows=1, **values)])
    writer.close()


def test_a_complaint_of_a_request_that_is_not_in_the_log_is_refused_with_what_was_looked_at(flyball, trained: Path) -> None:
    answer_one(trained, "abc")
    told = flyball("incidents", "open", "demand", "--what", "always wrong", "--request", "abd", "--project", trained)
    assert told.code == 1
    assert 'demand has answered no request "abd", as far as its log goes' in told.err
    assert "1 segment of the log" in told.err
    assert "leave --request out" in told.err
    assert flyball("incidents", "list", "--project", trained, "--json").document["incidents"] == []


def test_a_complaint_is_an_incident_of_its_own_that_a_person_ends_and_reviews(flyball, trained: Path) -> None:
    at = ("--project", trained)
    answer_one(trained, "abc")
    opened = flyball("incidents", "open", "demand", "--what", "the harbour is always wrong", "--request", "abc", *at, "--json")
    assert opened.code == 0, opened.err
    incident = opened.document["incident"]
    assert opened.document["about"]["row"] == {"hour": 8, "weekday": 1, "temperature": 19.5}
    assert flyball("incidents", "open", "demand", "--what", "the harbour is always wrong", "--request", "abc", *at).code == 1
    shown = flyball("incidents", "show", incident, *at).out
    for part in (
        "complaint: the harbour is always wrong",
        "request   abc\n",
        "demand@1.0.0  hour=8, weekday=1, temperature=19.5  → answered 42.5",
        "actions   page",
        f"flyball incidents mitigated {incident}",
        "opened by",
    ):
        assert part in shown
    ended = flyball("incidents", "mitigated", incident, "--reason", "the harbour's clock is right again", *at).out
    assert ended == f'{incident} mitigated   next: flyball incidents review {incident} --text "…"\n', "the state is said once"
    form = ("--what", "a clock was wrong", "--why", "nothing looked at it", "--action", "a contract on the clock; ana; 14d")
    reviewed = flyball("incidents", "review", incident, *form, *at)
    assert (reviewed.code, reviewed.out) == (0, f"{incident} reviewed   next: it closes when it stays well\n")
    assert len(re.findall(r"(mitigate|review) +done after \d+ [smh]\n", flyball("incidents", "show", incident, *at).out)) == 2
    row = flyball("incidents", "show", incident, *at, "--json").document
    assert (row["about"]["version"], row["about"]["value"]) == ("demand@1.0.0", 42.5)
    exported = flyball("incidents", "review", incident, "--export", *at).out
    assert "| request | abc |" in exported
    assert "→ answered 42.5 |" in exported
    assert row["state"] == "reviewed"
    assert (row["review"]["what"], row["review"]["why"]) == ("a clock was wrong", "nothing looked at it")
    assert [(one["what"], one["owner"]) for one in row["review"]["actions"]] == [("a contract on the clock", "ana")]
    assert row["review"]["impact"].startswith("0 requests, 0 errors"), "what was counted stands in the form"


def test_the_id_that_a_complaint_names_is_found_again_and_shown_with_what_cannot_be_printed_written_out(flyball, trained: Path) -> None:
    at = ("--project", trained)
    answer_one(trained, "order  17\n\x1b[2J")
    opened = flyball("incidents", "open", "demand", "--what", "too low", "--request", "order  17\n\x1b[2J", *at, "--json")
    incident = opened.document["incident"]
    shown = flyball("incidents", "show", incident, *at).out
    assert "request   order  17\\n\\x1b[2J\n" in shown
    assert "→ answered 42.5" in shown
    assert "\x1b" not in shown
    document = flyball("incidents", "show", incident, *at, "--json").document
    assert document["request"] == document["about"]["request"] == "order  17\n\x1b[2J"
    exported = flyball("incidents", "review", incident, "--export", *at).out
    assert r"| request | order  17\\n\\x1b\[2J |" in exported
    assert "→ answered 42.5 |" in exported


def test_what_a_person_says_is_on_one_line_and_commands_no_terminal(flyball, trained: Path) -> None:
    at = ("--project", trained)
    opened = flyball("incidents", "open", "demand", "--what", "always \x1b[31mred\n  by night", *at, "--json")
    incident = opened.document["incident"]
    assert flyball("incidents", "ack", incident, "--reason", "I look\x1b[2J\nat it", *at).code == 0
    for command in (("list",), ("show", incident)):
        shown = flyball("incidents", *command, *at).out
        assert "complaint: always \\x1b[31mred by night" in shown
        assert "\x1b" not in shown
    assert "I look\\x1b[2J at it" in shown


def test_what_is_no_complaint_is_seen_to_end_and_not_said(flyball, trained: Path) -> None:
    incident = open_one(trained, mitigated=False)
    ended = flyball("incidents", "mitigated", incident, "--reason", "it is well", "--project", trained)
    assert (ended.code, "inc_1 is no complaint" in ended.err) == (1, True)


def test_it_is_acknowledged_once_by_one_person_and_then_the_next_step_is_what_is_left_to_do(flyball, trained: Path) -> None:
    incident, at = open_one(trained, mitigated=False), ("--project", trained)
    first = flyball("incidents", "ack", incident, "--reason", "looking", *at)
    left = "decide whether the world or the feed has changed: `flyball monitor`; it ends by itself when its alert resolves"
    assert (first.code, first.out.strip()) == (0, f"inc_1 acknowledged   open   next: {left}")
    for shown in (("incidents", "list"), ("incidents", "show", incident), ("status",)):
        said = " ".join(flyball(*shown, *at).out.split())
        assert ("incidents ack" in said, "decide whether the world" in said) == (False, True), said
    for reason in ("looking", "still looking"):
        again = flyball("incidents", "ack", incident, "--reason", reason, *at)
        assert (again.code, "inc_1 is acknowledged already   open" in again.out) == (0, True), again.out
    assert flyball("incidents", "ack", incident, *at, "--json").document["event"] == 0
    notes = flyball("incidents", "show", incident, *at, "--json").document["notes"]
    assert sum(note.startswith("acknowledged by ") for note in notes) == 1


def test_a_complaint_is_reviewed_after_a_person_said_what_ended_it_and_the_refusal_says_how(flyball, trained: Path) -> None:
    at = ("--project", trained)
    incident = flyball("incidents", "open", "demand", "--what", "always wrong", *at, "--json").document["incident"]
    early = flyball("incidents", "review", incident, "--text", "x", *at)
    assert (early.code, "false alarm" in early.err) == (1, False)
    assert f'flyball incidents mitigated {incident} --reason "…"' in early.err


def test_an_incident_is_shown_with_its_causes_and_what_happened_around_it_and_is_exported_whole(flyball, trained: Path) -> None:
    incident, at = open_one(trained), ("--project", trained)
    shown = flyball("incidents", "show", incident, *at).out
    assert "likely 1  0.60  data: input drift (temperature); PSI 0.4 (floor 0.1)" in shown
    for part in (
        "declared    demand",
        "gates       demand@1.0.0",
        "firing      drift of inputs: PSI 0.4",
        "incident    inc_1 mitigated: resolved",
    ):
        assert part in shown
    document = flyball("incidents", "show", incident, *at, "--json").document
    assert document["left_out"] == 0
    seqs = [moment["seq"] for moment in document["timeline"]]
    assert seqs == sorted(seqs)
    assert flyball("incidents", "review", incident, "--text", "a | b\nc", *at).code == 0
    written = flyball("incidents", "review", incident, "--export", *at).out
    for part in ("# input drift", "## Impact", "1. data: input drift (temperature) (score 0.60)", "## Timeline", "a \\| b"):
        assert part in written
    table = [line for line in written.splitlines() if line.startswith("| 20")]
    assert table
    assert all(line.replace("\\|", "").count("|") == 4 for line in table), "no text ends a cell"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--what", "x", "--action", "no owner"), "is no action of a review"),
        (("--what", "x", "--action", "a; ana; soon"), 'due "soon"'),
        (("--what", "x", "--action", "a; ana; 2001-01-01T00:00:00Z"), "due already"),
        (("--what", "x", "--text", "y"), "--what"),
        ((), "a review needs a text"),
    ],
)
def test_a_form_that_is_not_filled_in_says_what_is_missing(flyball, trained: Path, more: tuple[str, ...], says: str) -> None:
    incident = open_one(trained)
    ended = flyball("incidents", "review", incident, *more, "--project", trained)
    assert (ended.code, says in ended.err) == (2, True), ended.err
    wired = open_project(trained)
    row = wired.ledger.state().get(INCIDENTS, incident)
    wired.close()
    assert row is not None
    assert row.state == IncidentState.MITIGATED


def test_a_fallback_by_hand_is_refused_where_none_is_declared(flyball, trained: Path) -> None:
    incident = open_one(trained, mitigated=False)
    ended = flyball("incidents", "fallback", incident, "--project", trained)
    assert (ended.code, "demand declares no fallback=" in ended.err) == (1, True)


def test_an_incident_of_errors_says_what_was_raised_and_names_no_rollback_that_would_be_refused(flyball, trained: Path) -> None:
    at = ("--project", trained)
    writer = wal.Writer(Layout(trained / ".flyball").log, "g0", reserve_bytes=0)
    row = msgspec.msgpack.encode([[8, 1, 19.5]])
    failed = [
        wal.frame(
            "answer", f"r{place}", picked_ns=time.monotonic_ns(), version="demand@1.0.0", status="error", rows=1, packed_input=row,
            marks={"why": f'model "demand" failed to predict 1 rows: {what}: secret {place}'},
        )
        for place, what in enumerate(("ValueError", "KeyError", "ValueError"))
    ]  # fmt: skip
    assert writer.append([writer.declare("demand@1.0.0", ["hour", "weekday", "temperature"]), *failed])
    writer.close()
    wired = open_project(trained, claim=True)
    opened = IncidentOpened(
        incident="inc_1", model="demand", failure_mode="errors", alert="demand/error_rate ≤ 1%/", what="errors", cause="0.4", owner="ana",
        actions=("page", "rollback"),
    )  # fmt: skip
    wired.ledger.execute(Told(id="opened", actor="loop"), lambda *_: [opened])
    wired.close()
    shown = flyball("incidents", "show", "inc_1", *at).out
    assert re.search(r"\n  raised    ValueError 2×, KeyError 1× \(since 20\d\d-[^ ]+Z\)\n", shown), shown
    assert ("secret" in shown, "by hand   read what was raised: `flyball incidents show`" in shown) == (False, True)
    document = flyball("incidents", "show", "inc_1", *at, "--json").document["raised"]
    assert document["classes"] == [{"what": "ValueError", "requests": 2}, {"what": "KeyError", "requests": 1}]
    assert (document["requests"], document["more"], document["cut"], document["since"].startswith("20")) == (3, 0, False, True)
    for told in (shown, flyball("incidents", "list", *at).out, flyball("status", *at).out):
        assert ("flyball incidents ack" in told, "flyball rollback" in told) == (True, False), told
    assert flyball("rollback", "demand", "--reason", "errors", *at).code == 1
