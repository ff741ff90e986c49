"""What a person who watches is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

import flyball as fb
from flyball.declare.model import Model
from flyball.incidents.rules import react
from flyball.loop.telling import Telling, first_of, line
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.alerts import Finding as AlertFinding
from flyball.records.base import Event, State
from flyball.records.data import DataCommitted, DataRefused, DatasetVersion, Finding
from flyball.records.declarations import DeclarationHealed, DeclarationRefused
from flyball.records.estimates import Outcome, Verdict
from flyball.records.incidents import IncidentMoved, IncidentNoted, IncidentOpened, IncidentRow, IncidentState
from flyball.records.training import RUNS, RunCancelled, RunFailed, RunQueued, RunSucceeded
from flyball.records.versions import ChampionChanged, VersionEligible, VersionHeld, VersionJudged

NEW = Finding(rule="unseen", severity="warn", text="k: 3 of 9 new rows have a value that was never there: z (3)")
VERSION = DatasetVersion(
    name="rows", version="1.0.0", content="c", schema={}, rows=1_200, stats=(), parents=(), first=0, last=0, as_of=0, source_mark=""
)
VERDICTS = (Verdict(check="a ≥ 1", outcome=Outcome.PASS), *(Verdict(check=f"c{i} ≥ 1", outcome=Outcome.FAIL) for i in range(7)))
WAIVED = (Verdict(check="b ≥ 1", outcome=Outcome.WAIVED), Verdict(check="a ≥ 1", outcome=Outcome.PASS))


@pytest.mark.parametrize(
    ("event", "mood", "words"),
    [
        (DeclarationRefused(file="loop.py", digest="d", problems=("loop.py:3  bad name\n    why  x", "y")), "bad", "loop.py:3  bad name (and 1 more)"),
        (DeclarationHealed(file="loop.py"), "good", "loop.py"),
        (DataRefused(name="rows", source_mark="m", violations=("x: 3 of 9 values are missing",)), "bad", "rows: x: 3 of 9 values are missing"),
        (DeclarationRefused(file="loop.py", digest="d", problems=("bad name", *["x"] * 7, "and 192 more: flyball check lists them")), "bad", "bad name (and 199 more)"),
        (DataRefused(name="rows", source_mark="m", violations=(*["x: no"] * 20, "and 1,480 more")), "bad", "rows: x: no (and 1,499 more)"),
        (DataCommitted(version=VERSION, findings=(NEW, NEW), unlisted=5), "bad", "never there: z (3) (and 6 more)"),
        (DataCommitted(version=VERSION), "plain", "1,200 rows"),
        (DataCommitted(version=VERSION, findings=(NEW,)), "bad", "rows@1.0.0 warns: k: 3 of 9 new rows have a value that was never there: z (3)"),
        (RunQueued(run="r", model="m", trigger="monitor", reason="drift", spec="s"), "plain", "m: drift"),
        (RunFailed(run="run_1", why="no rows\n    fix  more"), "bad", "run_1 failed: no rows"),
        (RunCancelled(run="run_1", reason="the wrong data\nsee the chat"), "plain", "run_1 was cancelled: the wrong data"),
        (RunSucceeded(run="run_1", result="r", version="1.0.0"), "plain", "run_1 ended with version 1.0.0, which was there before"),
        (RunCancelled(run="run_1", reason=""), "plain", "run_1 was cancelled: no reason was given"),
        (VersionHeld(model="m", version="1.1.0", verdicts=VERDICTS), "bad", "m@1.1.0 is stopped: c0 ≥ 1; c1 ≥ 1; c2 ≥ 1; c3 ≥ 1; c4 ≥ 1; and 2 more"),
        (VersionEligible(model="m", version="1.1.0", verdicts=WAIVED), "good", "m@1.1.0 passes: a ≥ 1; waived: b ≥ 1"),
        (VersionJudged(model="m", version="1.1.0", verdicts=WAIVED, result="", gates_digest=""), "good", "m@1.1.0, judged anew, holds: a ≥ 1; waived: b ≥ 1"),
        (ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason=""), "good", "m@1.1.0, before it 1.0.0"),
        (IncidentOpened(incident="inc", model="m", failure_mode="errors", alert="", what="bad", cause="", owner="", actions=()), "bad", "inc m: bad"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)  # fmt: skip
def test_an_event_is_one_line_that_says_whose_it_is(event, mood: str, words: str) -> None:
    found, text = line(event)
    assert found == mood
    assert words in text
    assert "\n" not in text


def test_what_begins_like_a_number_of_others_and_is_none_is_one() -> None:
    assert first_of(["a", "and 3 moreover"]) == "a (and 1 more)"
    assert first_of(["and 3 more"]) == "and 3 more", "there is none before it"
    assert first_of([]) == ""


def test_what_is_no_news_is_not_told() -> None:
    later = DatasetVersion(
        name="rows", version="1.1.0", content="c", schema={}, rows=9, stats=(), parents=("c",), first=0, last=0, as_of=0, source_mark=""
    )
    assert line(DataCommitted(version=later)) == ("plain", "")
    assert line(RunSucceeded(run="run_1", result="r")) == ("plain", ""), "its version is told"


def state(**runs: str) -> State:
    """A state that knows of runs whose they are."""
    rows = {run: SimpleNamespace(model=model) for run, model in runs.items()}
    return cast("State", SimpleNamespace(get=lambda table, key: rows.get(key) if table is RUNS else None))


@pytest.mark.parametrize(
    "event", [RunFailed(run="run_1", why="no rows"), RunCancelled(run="run_1", reason="x"), RunSucceeded(run="run_1", result="r", version="1.0.0")]
)  # fmt: skip
def test_what_becomes_of_a_run_is_told_with_whose_it_is(event: Event) -> None:
    assert Telling().line(event, state(run_1="m"))[1].startswith("training    m: run_1 ")
    assert Telling().line(event, state())[1].startswith("training    run_1 "), "nobody knows whose it is"


def test_the_cause_with_which_an_incident_opens_again_is_told_once() -> None:
    rows = [
        AlertRow(key=f"m/{mode}/x", model="m", monitor=mode, state=AlertState.FIRING, episode=1, since=100,
                 finding=AlertFinding(monitor=mode, severity="alert", why=f"{mode} is bad", failure=mode, column="x"))
        for mode in ("errors", "schema_change")
    ]  # fmt: skip
    data = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
    model = Model("m", task="binary", data=data, label="y")
    before = IncidentRow(incident="inc", model="m", failure_mode="errors", alert="m/errors/x", what="errors", cause="errors is bad", owner="",
                         state=IncidentState.MITIGATED, opened_at=1, mitigate_by=2, review_by=3, root_cause_by=4, actions=(), mitigated_at=50)  # fmt: skip
    events = react(rows, [before], model, 100, str)
    assert [event.cause for event in events if isinstance(event, IncidentNoted)] == ["schema change (x): schema_change is bad"] * 2
    telling = Telling()
    told = [text for event in events if (text := telling.line(event, state())[1])]
    assert ["open: fires again" in told[0], *told[1:]] == [
        True,
        "incident    inc: its cause is now known: schema change (x): schema_change is bad",
    ]
    again = IncidentMoved(incident="inc", source=IncidentState.MITIGATED, target=IncidentState.OPEN, why="fires again")
    assert telling.line(again, state())[1]
    assert telling.line(events[1], state())[1] == told[1], "it opened again, and its cause is news"


def test_the_cause_that_an_incident_opens_with_is_not_told_as_news() -> None:
    telling = Telling()
    opened = IncidentOpened(incident="inc", model="m", failure_mode="errors", alert="", what="bad", cause="x", owner="", actions=())
    assert telling.line(opened, state())[1] == "incident    inc m: bad: x"
    assert telling.line(IncidentNoted(incident="inc", note="", cause="x"), state()) == ("plain", "")
    assert telling.line(IncidentNoted(incident="inc", note="", cause="y"), state())[1].endswith("its cause is now known: y")
