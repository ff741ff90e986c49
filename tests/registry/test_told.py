"""A gate by a slice of many values is judged like any other: the event lists what matters, and counts the rest."""

import pytest

from flyball.ledger.canonical import write_body
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Recorded
from flyball.records.estimates import Asked, Estimate, Outcome, Verdict
from flyball.records.versions import VERSIONS, VersionEligible, VersionHeld, VersionRegistered, VersionRejected, VersionState
from flyball.registry.fold import FOLDS
from flyball.registry.rules import judge, may_release
from flyball.registry.told import count

PASS, FAIL, LACKING = Outcome.PASS, Outcome.FAIL, Outcome.INSUFFICIENT
REGISTERED = VersionRegistered(
    model="late", version="1.0.0", run="r", artifact="", result="", version_digest="", policy_digest="", data={}, metrics={}
)


def by_store(outcome, number, *, first=0, check="accuracy in each store ≥ 0.8", base=0.5, store="Example Trading Company {}, Ltd"):
    """One verdict for each value; the later, the better."""
    return [
        Verdict(
            check=check,
            outcome=outcome,
            slice=f"store={store.format(k)}",
            estimate=Estimate(value=base + k / 1e4, low=0.7333333333333333, high=0.9222222222222222, n=450),
            reference=Estimate(value=base, low=0.7111111111111111, high=0.9, n=450) if "champion" in check else None,
            why=f"store {store.format(k)}: 0.812 [0.733, 0.922] n=450",
        )
        for k in range(first, first + number)
    ]


def row_after(event):
    projection = MemoryProjection()
    for seq, each in enumerate((REGISTERED, event), 1):
        FOLDS[type(each)](projection, Recorded(seq, seq, "loop", "c", each))
    return projection.get(VERSIONS, "late/1.0.0")


def small(event):
    return len(write_body(2**52, "loop", "cmd_01HN9881000000000002", event)) <= 16 * 1024


@pytest.mark.parametrize(
    "store", ["{}", "Example Trading Company {}, Ltd", "丸の内一丁目九番一号グラントウキョウ" * 30 + "{}", "\x01" * 5_000 + "{}"]
)
@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ({PASS: 200}, VersionEligible),
        ({PASS: 150, LACKING: 50}, VersionHeld),
        ({PASS: 100, LACKING: 50, FAIL: 50}, VersionRejected),
        ({FAIL: 200}, VersionRejected),
    ],
)
def test_two_hundred_values_make_an_event_that_can_be_recorded(outcomes, kind, store):
    verdicts = [verdict for outcome, number in outcomes.items() for verdict in by_store(outcome, number, store=store)]
    event = judge("late", "1.0.0", verdicts)
    assert isinstance(event, kind)
    assert small(event)
    row = row_after(event)
    assert {outcome: count(row, outcome) for outcome in outcomes} == outcomes
    assert event.verdicts


def test_few_verdicts_are_all_there_in_their_order():
    verdicts = [*by_store(PASS, 10), *by_store(LACKING, 5), *by_store(FAIL, 5)]
    event = judge("late", "1.0.0", verdicts)
    assert event.verdicts == tuple(verdicts)
    assert event.unlisted == {}


def test_what_does_not_pass_is_listed_first_and_the_worst_of_it():
    verdicts = [*by_store(PASS, 150), *by_store(LACKING, 20), *by_store(FAIL, 20)]
    event = judge("late", "1.0.0", verdicts)
    assert set(event.unlisted) == {"pass"}
    assert [one for one in event.verdicts if one.outcome != PASS] == verdicts[150:]
    many = judge("late", "1.0.0", [*by_store(PASS, 50), *by_store(FAIL, 150)])
    assert many.unlisted["pass"] == 50
    assert [one.slice for one in many.verdicts] == [one.slice for one in by_store(FAIL, len(many.verdicts))], "the least accuracies"
    errors = judge("late", "1.0.0", by_store(FAIL, 150, check="mae in each store ≤ 0.1"))
    assert errors.verdicts[-1].slice.endswith("149, Ltd"), "of an error the largest is the worst"
    assert len(errors.verdicts) < 150


def test_each_gate_that_passed_is_named_so_that_a_release_may_rest_on_it():
    paired = by_store(PASS, 1, check="accuracy ≥ champion − 0.02")
    verdicts = [*by_store(PASS, 200, base=0.1), *by_store(PASS, 200, check="accuracy in each store ≥ champion", base=0.1), *paired]
    event = judge("late", "1.0.0", verdicts)
    assert isinstance(event, VersionEligible)
    assert paired[0] in event.verdicts
    assert len({one.check for one in event.verdicts}) == 3


def test_an_approval_hides_no_gate_that_waits_for_rows():
    approvals = [
        Verdict(check=f"approval by 1 officer-{k}", outcome=LACKING, why="none given", asks=(Asked(role=f"officer-{k}", count=1),))
        for k in range(300)
    ]
    event = judge("late", "1.0.0", [*approvals, *by_store(LACKING, 1)])
    assert event.unlisted["insufficient"] > 0
    assert any(not one.check.startswith("approval") for one in event.verdicts)


def test_a_gate_of_the_users_own_may_say_anything():
    shouting = Verdict(check="my_gate", outcome=LACKING, why="it raised ValueError: " + "[1 2 3]\n" * 10_000)
    event = judge("late", "1.0.0", [shouting])
    assert small(event)
    assert event.verdicts[0].why.startswith("it raised ValueError: [1 2 3]")


def test_a_refusal_counts_what_the_event_does_not_list():
    rejected = row_after(judge("late", "1.0.0", by_store(FAIL, 200)))
    refusal = may_release(rejected, 1)
    assert refusal.what == "late@1.0.0 failed 200 gates"
    assert f"and {200 - len(rejected.verdicts)} more" in refusal.why
    held = row_after(judge("late", "1.0.0", by_store(LACKING, 200)))
    assert held.state is VersionState.HELD
    refusal = may_release(held, 1)
    assert refusal.what == "late@1.0.0 has 200 open gates"
    assert "until its hold-out is twice as long" in refusal.fix
