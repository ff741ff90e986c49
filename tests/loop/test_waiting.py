"""What of a model waits or is broken, by a few looks at it, however many versions and runs it has."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import flyball as fb
from flyball.errors import Corrupt, NotFound
from flyball.ledger.projection import MemoryProjection
from flyball.loop.requests import Signatures
from flyball.loop.waiting import waiting
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.models import Field, Signature
from flyball.records.rollouts import ROLLOUTS, RolloutRow, RolloutState
from flyball.records.serving import ROUTES, ModelRoute, RouteRow
from flyball.records.training import RUNS, RunRow, RunState
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow, VersionState

FEW = Verdict(check="accuracy ≥ 0.7", outcome=Outcome.INSUFFICIENT, why="n=3 < 100", slice="day=1")
NO_CASES = Verdict(check="suite winter: r2 ≥ 0.5", outcome=Outcome.INSUFFICIENT, why='data set "winter": data/winter.csv does not exist')
A_YES = Verdict(check="approval by 1 approver", outcome=Outcome.INSUFFICIENT, why="none given", asks=(Asked(role="approver", count=1),))
PASSES = Verdict(check="mae ≤ 4", outcome=Outcome.PASS)


TOOK = Signature(task="regression", fields=(Field(name="hour", type="int"),))


class Shelf:
    """What versions take, and what is declared."""

    def __init__(self, signature: Signatures, declared: fb.Model | None = None) -> None:
        self.signature, self._declared = signature, declared

    def model(self, body: str) -> fb.Model:
        assert self._declared is not None, f"{body} is declared by nobody"
        return self._declared


def same(_artifact: str) -> Signature:
    """Every version takes one and the same."""
    return TOOK


def other(artifact: str) -> Signature:
    """The version `b` takes a weekday too."""
    more = (Field(name="weekday", type="int"),) if artifact == "b" * 64 else ()
    return msgspec.structs.replace(TOOK, fields=(*TOOK.fields, *more))


class NoScan(MemoryProjection):
    """A projection in which nothing can be looked through."""

    def scan(self, table: Any, prefix: str = "") -> Any:
        raise AssertionError(f"{table.name} is looked through for {prefix}")


def version(state: VersionState, *verdicts: Verdict, number: str = "1.1.0", artifact: str = "a" * 64) -> VersionRow:
    return VersionRow(
        model="m", version=number, state=state, run="run_1", artifact=artifact, result="", version_digest="v", policy_digest="p",
        data={}, metrics={}, registered_at=0, verdicts=verdicts,
    )  # fmt: skip


def world(*rows: VersionRow, run: RunRow | None = None, rollout: RolloutState | None = None) -> NoScan:
    state = NoScan()
    for row in rows:
        state.put(VERSIONS, f"m/{row.version}", row)
    if run is not None:
        state.put(RUNS, run.run, run)
    if rollout is not None:
        active = RolloutRow(
            rollout="ro_1", model="m", version="1.1.0", champion="1.0.0", steps=(), evidence="gate", attempt=1, state=rollout, step=0,
            planned_at=0, entered_at=0, why="by ana: look first\nmore", slow_us=None,
        )  # fmt: skip
        state.put(ROLLOUTS, "ro_1", active)
    newest = rows[-1].version if rows else ""
    state.put(
        MODELS,
        "m",
        ModelRow(model="m", champion="1.0.0", newest=newest, last_run=run.run if run else "", rollout="ro_1" if rollout else ""),
    )
    return state


def run(state: RunState, why: str = "", judges: str = "") -> RunRow:
    return RunRow(
        run="run_2", model="m", trigger="manual", reason="", spec="s", release=True, state=state, queued_at=0, why=why, judges=judges
    )


def told(state: NoScan, *, up: bool = False, signatures: Signatures = same, declared: fb.Model | None = None) -> list[str]:
    shelf: Any = Shelf(signatures, declared)
    return [f"{each.kind} {each.subject}: {each.what} → {each.step}" for each in waiting(state, "m", now=0, up=up, library=shelf)]


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        (
            (FEW, PASSES),
            "held 1.1.0: accuracy ≥ 0.7 in day=1: n=3 < 100 → it is judged again as labelled rows come, until its hold-out is twice as long; or declare a longer one, then flyball train m",
        ),
        ((FEW, FEW, NO_CASES), "held 1.1.0: accuracy ≥ 0.7 in day=1: n=3 < 100 (and 2 more) → bring the cases"),
        ((NO_CASES,), "data/winter.csv does not exist → bring the cases that are missing: flyball check --data says which; then flyball train m"),
        ((A_YES,), 'held 1.1.0: approval by 1 approver → flyball approve m@1.1.0 --reason "…"'),
        ((A_YES, FEW), 'held 1.1.0: approval by 1 approver; accuracy ≥ 0.7 in day=1: n=3 < 100 → flyball approve m@1.1.0 --reason "…"'),
    ],
)  # fmt: skip
def test_a_held_version_says_what_for_and_what_ends_it(verdicts: tuple[Verdict, ...], says: str) -> None:
    [line] = told(world(version(VersionState.HELD, *verdicts)))
    assert says in line


FAILS = Verdict(check="mae ≤ 4", outcome=Outcome.FAIL, why="5.1 [4.9, 5.3], n=400", slice="day=1")


def test_a_rejected_version_says_by_which_gate_and_what_stops_it_besides() -> None:
    [line] = told(world(version(VersionState.REJECTED, PASSES, FAILS, FAILS)))
    assert line.startswith(
        "rejected 1.1.0: failed mae ≤ 4 in day=1: 5.1 [4.9, 5.3], n=400 (and 1 more) → flyball models show m@1.1.0 says more; "
    )
    assert line.endswith('train a better version: flyball train m; or another person, as approver or admin, lets it pass: flyball waive m@1.1.0 --gate "mae ≤ 4" --reason "…"')  # fmt: skip
    [line] = told(world(version(VersionState.REJECTED, FAILS, A_YES)))
    assert "n=400; open as well: approval by 1 approver → " in line
    assert line.endswith('then, for what is open: flyball approve m@1.1.0 --reason "…"')
    champion = version(VersionState.DEPLOYED, number="1.0.0")
    [line] = told(world(champion, version(VersionState.REJECTED, FAILS, artifact="b" * 64)), signatures=other)
    assert f"n=400; {NEVER.partition(' → ')[0]} → " in line
    assert "flyball waive" not in line, "to let it pass would bring it nowhere"


def test_rows_that_come_are_not_waited_for_where_a_share_of_the_rows_is_held_out() -> None:
    cases = fb.Dataset("d", source="d.csv", columns={"a": float, "y": int})
    train = fb.Train(lambda X, y: None, split="stratified", holdout="20%")
    model = fb.Model("m", task="binary", data=cases, label="y", train=train)
    state = world(version(VersionState.HELD, FEW))
    declared = DeclarationRow(model="m", file="loop.py", body="b" * 64, code="c" * 64, version_digest="v", policy_digest="p", applied_at=1)
    state.put(DECLARATIONS, "m", declared)
    [line] = told(state, declared=model)
    assert "→ no row that comes judges it again, for a share of the rows is held out" in line
    [line] = told(state, declared=model.replace(train=None))
    assert "→ it is judged again as labelled rows come" in line


@pytest.mark.parametrize("state", [each for each in VersionState if each is not VersionState.HELD])
def test_what_is_held_no_more_is_not_told_and_only_the_newest_version_is(state: VersionState) -> None:
    lines = told(world(version(VersionState.HELD, FEW, number="1.0.0"), version(state, PASSES)))
    assert not [line for line in lines if line.startswith("held")]


NEVER = (
    "it takes other requests than the champion 1.0.0: field weekday is new; callers send what the champion takes, so the two cannot be compared "
    "on the same requests → declare it to take what the champion takes, and train it again; or as a model of another name"
)


def test_a_version_that_is_never_released_says_so_instead_of_what_would_be_refused() -> None:
    champion = version(VersionState.DEPLOYED, number="1.0.0")
    [line] = told(world(champion, version(VersionState.ELIGIBLE, PASSES, artifact="b" * 64)), signatures=other)
    assert line.startswith(f"refused 1.1.0: {NEVER}")
    [line] = told(world(champion, version(VersionState.HELD, A_YES, artifact="b" * 64)), signatures=other)
    assert line.startswith(f"held 1.1.0: approval by 1 approver; {NEVER}"), "a yes would not bring it there"
    assert told(world(champion, version(VersionState.ELIGIBLE, PASSES)), signatures=other) == []
    assert told(world(version(VersionState.ELIGIBLE, PASSES, artifact="b" * 64)), signatures=other) == [], "nobody answers yet"


def test_what_a_version_takes_that_cannot_be_read_keeps_nobody_from_seeing_the_rest() -> None:
    def gone(_artifact: str) -> Signature:
        raise NotFound("blob is not there")

    champion = version(VersionState.DEPLOYED, number="1.0.0")
    state = world(champion, version(VersionState.ELIGIBLE, PASSES), run=run(RunState.FAILED, "x"))
    assert [line.partition(" ")[0] for line in told(state, signatures=gone)] == ["failed"]


def test_a_failed_run_is_told_until_another_one_follows() -> None:
    assert told(world(run=run(RunState.FAILED, "no rows\n    fix  more"))) == ["failed run_2: no rows → flyball runs show run_2"]
    assert told(world(run=run(RunState.FAILED, "x", judges="1.1.0"))) == ["failed run_2: judging 1.1.0 again: x → flyball runs show run_2"]
    assert [told(world(run=run(state))) for state in RunState if state is not RunState.FAILED] == [[]] * (len(RunState) - 1)


@pytest.mark.parametrize(("cancelled", "failed"), [(1, ["failed run_2: no rows → flyball runs show run_2"]), (1_000, [])])
def test_a_run_that_was_cancelled_hides_no_failure_before_it_and_costs_few_looks(cancelled: int, failed: list[str]) -> None:
    state = world(run=run(RunState.FAILED, "no rows"))
    last = "run_2"
    for number in range(cancelled):
        row = msgspec.structs.replace(run(RunState.CANCELLED, "enough"), run=f"cancelled_{number}", after=last)
        state.put(RUNS, row.run, row)
        last = row.run
    state.put(MODELS, "m", msgspec.structs.replace(state.get(MODELS, "m") or ModelRow(model="m"), last_run=last))
    assert told(state) == failed


@pytest.mark.parametrize(
    ("state", "alone", "up"),
    [
        (RolloutState.ROLLING_BACK, "goes back to 1.0.0, and waits: nothing is up → flyball up, or flyball tick", "not in force everywhere yet → flyball rollouts show ro_1"),
        (RolloutState.WARMING, "is released, and waits: nothing is up → flyball up", ""),
        (RolloutState.PAUSED, "is paused: by ana: look first → flyball rollouts resume ro_1", "is paused: by ana: look first → flyball rollouts resume ro_1"),
        (RolloutState.FROZEN, "is frozen: by ana: look first → flyball rollouts show ro_1", "is frozen: by ana: look first → flyball rollouts show ro_1"),
        (RolloutState.CANARY, "", ""),
        (RolloutState.ROLLED_BACK, "", ""),
    ],
)  # fmt: skip
def test_a_rollout_that_stands_says_why_and_what_lets_it_go_on(state: RolloutState, alone: str, up: str) -> None:
    for found, says in ((told(world(rollout=state)), alone), (told(world(rollout=state), up=True), up)):
        assert len(found) == bool(says)
        assert not says or (found[0].startswith("rollout ro_1: 1.1.0 ") and says in found[0])


def test_a_first_release_that_may_not_answer_says_so() -> None:
    state = world(rollout=RolloutState.WARMING)
    state.put(ROUTES, "m", RouteRow(epoch=1, route=ModelRoute(signature=Signature(task="binary", fields=()), arms=()), desired_at=0))
    [line] = told(state, up=True)
    assert "1.1.0 is released, and may not answer yet" in line
    assert "flyball rollouts abort ro_1" in line


def test_all_of_a_model_that_waits_is_told_at_once() -> None:
    state = world(version(VersionState.HELD, FEW), run=run(RunState.FAILED, "x"), rollout=RolloutState.PAUSED)
    assert [line.partition(" ")[0] for line in told(state)] == ["held", "failed", "rollout"]
    assert told(NoScan()) == []


def test_a_row_that_cannot_be_read_is_told_as_such() -> None:
    class Damaged(NoScan):
        def get(self, table: Any, key: str) -> Any:
            if table is RUNS:
                raise Corrupt("row run_2 of run cannot be read", fix="flyball audit rebuild")
            return super().get(table, key)

    state = Damaged()
    state.put(MODELS, "m", ModelRow(model="m", last_run="run_2"))
    assert told(state) == ["unread : row run_2 of run cannot be read → flyball audit rebuild"]
