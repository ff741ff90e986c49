"""Gates that are declared anew judge what waits and what serves again, on the evidence that lies there: nothing is fitted."""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Any

import pytest

from flyball.records.base import Record
from flyball.records.estimates import Outcome
from flyball.records.training import RUNS, RunRow, RunState
from flyball.records.versions import VERSIONS, ChampionChanged, VersionDeployed, VersionRetired, VersionRow, VersionState
from flyball.wiring import open_project

AGAINST = 'fb.metric("mae") <= fb.champion * 1.05'


class _Say(Record, frozen=True):
    """A command that records what the test wants to have happened."""

    id: str
    actor: str = "loop"


class Town:
    """The project of one version, whose gates the test declares anew."""

    def __init__(self, flyball: Any, project: Path) -> None:
        self.flyball, self.project = flyball, project
        loop = project / "loop.py"
        text = loop.read_text().replace('autonomy="act"', 'autonomy={"release": "record", "training": "record"}')
        loop.write_text(re.sub(r"    retrain=.*\n", "", text))

    def verb(self, *arguments: object) -> Any:
        return self.flyball(*arguments, "--project", self.project)

    def declare(self, gates: str, slices: str = "") -> None:
        loop = self.project / "loop.py"
        text = re.sub(r"    slices=.*\n", "", loop.read_text())
        more = f"    slices=[{slices}],\n" if slices else ""
        loop.write_text(re.sub(r"    gates=.*\n", f"    gates=[{gates}, {AGAINST}],\n{more}", text))
        applied = self.verb("apply")
        assert applied.code == 0, applied.err

    def judged(self) -> VersionRow:
        """The version after the loop has passed as often as it takes until nothing is under way."""
        for _ in range(200):
            assert self.verb("tick").code == 0
            if all(row.state in (RunState.SUCCEEDED, RunState.FAILED) for row in self.runs()) and len(self.runs()) > 1:
                return self.row()
            time.sleep(0.1)
        raise AssertionError([(row.state, row.why) for row in self.runs()])

    def runs(self) -> list[RunRow]:
        with contextlib.closing(open_project(self.project)) as wired:
            return [row for _, row in wired.ledger.state().scan(RUNS)]

    def row(self) -> VersionRow:
        with contextlib.closing(open_project(self.project)) as wired:
            found = wired.ledger.state().get(VERSIONS, "demand/1.0.0")
        assert found is not None
        return found

    def serves(self) -> None:
        """1.0.0 is the champion."""
        events = (
            VersionDeployed(model="demand", version="1.0.0"),
            ChampionChanged(model="demand", version="1.0.0", former="", rollback=False, reason="first"),
        )
        with contextlib.closing(open_project(self.project)) as wired:
            wired.ledger.execute(_Say(id="say"), lambda *_: events)


@pytest.fixture
def town(flyball: Any, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Town:
    monkeypatch.delenv("FLYBALL_TOKEN", raising=False)
    return Town(flyball, trained)


def test_what_waits_is_judged_by_them_without_a_training_also_by_slices_that_the_evidence_did_not_say(town: Town) -> None:
    before = town.row()
    town.declare('fb.metric("mae").by("weekday") <= 1000', slices='"weekday"')
    refused = town.verb("release", "demand@1.0.0")
    assert (refused.code, "judged by other gates" in refused.err) == (1, True)
    assert "gate      demand@1.0.0 (eligible): not judged yet by the gates as they are declared now   →" in town.verb("status").out
    assert "gates     not judged yet by the gates as they are declared now" in town.verb("models", "show", "demand@1.0.0").out
    row = town.judged()
    judging = town.runs()[-1]
    assert "not judged yet" not in town.verb("models", "show", "demand@1.0.0").out
    assert (judging.state, judging.trigger) == (RunState.SUCCEEDED, "evidence"), judging.why
    assert row.state is VersionState.HELD, "a day has 24 rows: too few, and that is no pass"
    assert {verdict.slice for verdict in row.verdicts if "weekday" in verdict.check} == {f"weekday={day}" for day in range(1, 8)}
    assert row.gates_digest != before.gates_digest
    assert (row.artifact, row.metrics["mae"]) == (before.artifact, before.metrics["mae"]), "nothing was fitted"
    refused = town.verb("release", "demand@1.0.0")
    assert (refused.code, "open gate" in refused.err) == (1, True)
    shown = town.verb("runs", "show", judging.run).out
    assert "judged    1.0.0 again; nothing was fitted" in shown
    assert town.verb("audit", "verify").code == 0


def test_a_gate_that_it_fails_rejects_it_and_one_that_it_holds_brings_it_back(town: Town) -> None:
    town.declare('fb.metric("mae") <= 0.001')
    assert town.judged().state is VersionState.REJECTED
    town.declare('fb.metric("mae") <= 1000')
    for _ in range(100):
        row = town.judged()
        if row.state is not VersionState.REJECTED:
            break
    assert row.state is VersionState.ELIGIBLE
    assert [run.trigger for run in town.runs()] == ["manual", "evidence", "evidence"]


def test_what_is_being_judged_is_said_to_be(town: Town) -> None:
    town.declare('fb.metric("mae") <= 0.001')
    assert town.verb("tick").code == 0
    said = town.verb("models", "judge", "demand@1.0.0", "--reason", "by hand")
    assert (said.code, "demand@1.0.0 is being judged" in said.err, f"{town.runs()[-1].run} does it now" in said.err) == (1, True, True), (
        said.err
    )


def test_what_answered_before_is_not_released_by_gates_that_are_declared_no_more(town: Town) -> None:
    town.serves()
    events = (VersionRetired(model="demand", version="1.0.0", why="replaced"),)
    with contextlib.closing(open_project(town.project)) as wired:
        wired.ledger.execute(_Say(id="went"), lambda *_: events)
        changed = (ChampionChanged(model="demand", version="", former="1.0.0", rollback=False, reason="given up"),)
        wired.ledger.execute(_Say(id="changed"), lambda *_: changed)
    town.declare('fb.metric("mae") <= 0.001')
    refused = town.verb("release", "demand@1.0.0")
    assert (refused.code, "judged by other gates than those declared now" in refused.err) == (1, True)
    assert 'flyball models judge demand@1.0.0 --reason "…" has it judged by them; or go back to it: flyball rollback demand' in refused.err
    assert "judged by other gates" in town.verb("release", "demand@1.0.0", "--dry-run").err
    assert "judged by other gates than those declared now" in town.verb("models", "show", "demand@1.0.0").out
    assert "a judging needs a reason" in town.verb("models", "judge", "demand@1.0.0").err
    wanted = town.verb("models", "judge", "demand@1.0.0", "--reason", "to be released again")
    assert (wanted.code, "demand@1.0.0 is judged by the loop   retired" in wanted.out) == (0, True), wanted.err
    assert "not judged yet by the gates as they are declared now" in town.verb("models", "show", "demand@1.0.0").out
    row = town.judged()
    assert (row.state, [verdict.outcome for verdict in row.verdicts if verdict.check == "mae ≤ 0.001"]) == (
        VersionState.RETIRED,
        [Outcome.FAIL],
    )
    refused = town.verb("release", "demand@1.0.0")
    assert (refused.code, "failed a gate" in refused.err) == (1, True)


def test_training_rows_that_are_declared_a_suite_later_let_nothing_pass_either(town: Town) -> None:
    loop, rows = town.project / "loop.py", (town.project / "data" / "demand.csv").read_text().splitlines()
    (town.project / "data" / "winter.csv").write_text("\n".join([rows[0], *rows[-600:]]) + "\n")
    cases = '\nwinter = fb.Dataset("winter", source="data/winter.csv", time="ts", columns=dict(town.columns))\n\ndemand = fb.Model('
    text = loop.read_text().replace("\ndemand = fb.Model(", cases)
    loop.write_text(text.replace("    owner=", '    suites=[fb.suite("winter", winter, metric="r2", at_least=0.5)],\n    owner='))
    assert town.verb("apply").code == 0
    row = town.judged()
    [verdict] = [each for each in row.verdicts if each.check.startswith("suite ")]
    assert (row.state, verdict.outcome) == (VersionState.HELD, Outcome.INSUFFICIENT)
    assert "600 of its 600 rows are in training too (100.0%)" in verdict.why, "what answers has learned from its hold-out as well"


def test_a_champion_that_fails_a_new_gate_goes_on_and_says_so(town: Town) -> None:
    town.serves()
    town.declare('fb.metric("mae") <= 0.001')
    row = town.judged()
    assert row.state is VersionState.DEPLOYED, "it answers on: what to do is for a person, or for the next version"
    assert [verdict.outcome for verdict in row.verdicts if verdict.check == "mae ≤ 0.001"] == ["fail"]
    assert "gate      demand@1.0.0 (deployed): mae ≤ 0.001: fail" in town.verb("status").out
    [doubt] = town.verb("status", "--json").document["in_doubt"]
    assert doubt["version"] == "1.0.0"
    assert re.search(r"FAIL +mae ≤ 0.001", town.verb("models", "show", "demand@champion").out)
    runs = len(town.runs())
    assert town.verb("tick").code == 0
    assert len(town.runs()) == runs, "it is judged once"
    town.declare('fb.metric("mae") <= 1000')
    for _ in range(100):
        row = town.judged()
        if all(verdict.outcome != "fail" for verdict in row.verdicts):
            break
    assert row.state is VersionState.DEPLOYED
    assert town.verb("status", "--json").document["in_doubt"] == []


def test_a_gate_of_the_users_own_code_judges_with_the_code_of_today(town: Town) -> None:
    loop = town.project / "loop.py"
    loop.write_text(loop.read_text().replace("demand = fb.Model(", "def never(evidence):\n    return False\n\n\ndemand = fb.Model(", 1))
    town.declare("never")
    row = town.judged()
    assert row.state is VersionState.REJECTED, [(verdict.check, verdict.why) for verdict in row.verdicts]
