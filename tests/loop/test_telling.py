"""What a person who watches is told."""

from __future__ import annotations

import pytest

from flyball.loop.telling import first_of, line
from flyball.records.data import DataCommitted, DataRefused, DatasetVersion, Finding
from flyball.records.declarations import DeclarationHealed, DeclarationRefused
from flyball.records.estimates import Outcome, Verdict
from flyball.records.incidents import IncidentOpened
from flyball.records.training import RunCancelled, RunFailed, RunQueued, RunSucceeded
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
