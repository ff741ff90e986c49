"""What a closed change window keeps from going forward, and what it never holds up."""

import msgspec
import pytest

from flyball.clock import Span
from flyball.declare.checks import champion, metric
from flyball.declare.policy import Rollout
from flyball.records.rollouts import RolloutState
from flyball.rollout.rules import NEVER, for_window, next_due

S = 1_000_000
HOUR = 3600 * S
DAY = 24 * HOUR
QUALITY = metric("accuracy") >= champion - 0.01
OPENS = 9 * HOUR
"""Time begins on Thursday 1 January 1970 at midnight: at nine o'clock the window opens, for eight hours."""
CLOSES = 17 * HOUR
WINDOW = "Mon-Fri 09:00-17:00 UTC"
UNTIL_FRIDAY = "change window closed until 1970-01-02T09:00Z"


def declared(**more):
    return Rollout(**{"guards": [QUALITY], "change_window": WINDOW, **more})


@pytest.fixture
def day(play):
    """A rollout in the first of its two steps, ten minutes before its window closes."""

    def begin(declaration=None, **facts):
        ours = play(declaration or declared().shadow("5m").canary("25%", "5m"), **facts)
        ours.now = CLOSES - 600 * S
        return ours.start()

    return begin


def baked(ours, minutes=6):
    """So many minutes of requests that say nothing against the version."""
    for _ in range(minutes):
        ours.see(traffic=ours.requests((500, 0), (1500 if ours.row.state is RolloutState.CANARY else 500, 0)))
    return ours


def test_a_rollout_does_not_begin_while_its_window_is_closed(play):
    ours = play(declared().shadow("5m"))
    assert ours.decide().target is RolloutState.WARMING
    for ours.now in (0, OPENS - 1):
        assert ours.decide() is None
        assert next_due(ours.row, ours.declaration, ours.now) == OPENS
    ours.now = OPENS
    assert ours.decide().target is RolloutState.SHADOW


def test_a_rollout_without_steps_answers_nobody_before_its_window_opens(play):
    ours = play(declared())
    ours.decide()
    assert ours.decide() is None
    ours.now = OPENS
    assert ours.decide().target is RolloutState.WATCHING


def test_a_first_release_waits_for_its_window_as_well_and_completes_whenever_it_is_in_force(play):
    ours = play(declared().shadow("5m"), champion_version="")
    ours.decide()
    assert ours.decide() is None
    ours.now = CLOSES - 1
    assert ours.decide().target is RolloutState.WATCHING
    ours.now = CLOSES
    assert ours.decide().target is RolloutState.COMPLETED


def test_a_worker_that_does_not_start_fails_the_rollout_at_any_time(play):
    ours = play(declared().shadow("5m"))
    ours.decide()
    assert ours.decide(workers_ready=False).target is RolloutState.FAILED


def test_a_step_that_is_done_waits_frozen_with_the_reason_and_goes_on_when_the_window_opens(day):
    ours = day()
    ours.now = CLOSES - 60 * S
    baked(ours)
    frozen = ours.decide()
    assert (frozen.target, frozen.step, frozen.why) == (RolloutState.FROZEN, 0, UNTIL_FRIDAY)
    assert frozen.counts == ours.evidence, "the event carries what it rests on"
    assert ours.decide() is None
    assert next_due(ours.row, ours.declaration, ours.now) == DAY + OPENS, "nothing is to be looked at before"
    ours.now = DAY + OPENS
    moved = ours.decide()
    assert (moved.source, moved.target, moved.step) == (RolloutState.FROZEN, RolloutState.CANARY, 1)
    assert moved.why.startswith("the change window is open; shadow baked 6m, no guard fired")


def test_a_step_goes_on_baking_while_the_window_is_closed(day):
    ours = day(declared().shadow("20m").canary("25%", "5m"))
    ours.now = CLOSES
    assert ours.decide() is None
    baked(ours, minutes=20)
    assert ours.row.state is RolloutState.SHADOW
    assert ours.evidence.baked >= Span.parse("19m")
    baked(ours, minutes=2)
    assert ours.decide().why == UNTIL_FRIDAY


def test_a_version_is_not_promoted_while_the_window_is_closed(day):
    ours = day(declared().canary("25%", "5m"))
    ours.now = CLOSES
    baked(ours).see(pairs=(40, 20_000, 45), matured=20_085)
    assert ours.decide().target is RolloutState.FROZEN
    ours.now = DAY + OPENS
    moved = ours.decide()
    assert moved.target is RolloutState.WATCHING
    assert "accuracy" in moved.why


@pytest.mark.parametrize("frozen", [False, True])
def test_a_guard_that_fires_rolls_back_at_any_time(day, frozen):
    ours = day()
    ours.now = CLOSES
    if frozen:
        assert baked(ours).decide().target is RolloutState.FROZEN
    ours.see(pairs=(120, 1840, 40), matured=2000)
    assert ours.decide().target is RolloutState.ROLLING_BACK
    assert ours.decide().target is RolloutState.ROLLED_BACK


def test_watching_goes_on_and_ends_while_the_window_is_closed(day):
    ours = day(declared(watch="1h").shadow("0s"))
    ours.row = msgspec.structs.replace(ours.row, state=RolloutState.WATCHING, entered_at=CLOSES)
    ours.now = CLOSES + 30 * 60 * S
    assert ours.decide() is None
    assert next_due(ours.row, ours.declaration, ours.now) == CLOSES + HOUR
    ours.now = CLOSES + HOUR
    assert ours.decide().target is RolloutState.COMPLETED


def test_what_waits_for_its_window_is_not_given_up(day):
    weekly = declared(give_up="1h", change_window="Thu 16:00-17:00 UTC").shadow("5m").canary("25%", "5m")
    ours = day(weekly)
    ours.now = CLOSES
    assert baked(ours).decide().target is RolloutState.FROZEN
    for ours.now in (DAY, 6 * DAY, 7 * DAY + 16 * HOUR - 1):
        assert ours.decide() is None
    ours.now = 7 * DAY + 16 * HOUR
    assert ours.decide().target is RolloutState.CANARY


def test_what_is_undecided_is_given_up_whether_the_window_is_open_or_not(day):
    ours = day(declared(give_up="1h").canary("25%", "5m"))
    ours.now = CLOSES
    baked(ours)
    assert ours.decide() is None, "no label has come: it is not due to go forward"
    ours.now = CLOSES + 2 * HOUR
    assert ours.decide().target is RolloutState.ROLLING_BACK


def test_another_freeze_is_told_by_its_own_name_before_and_after(day):
    ours = day()
    ours.now = CLOSES
    baked(ours)
    assert ours.decide(frozen_by="incident inc_1").why == "incident inc_1"
    assert ours.decide(frozen_by="incident inc_1") is None
    assert ours.decide().target is RolloutState.SHADOW, "it bakes again"
    assert ours.decide().why == UNTIL_FRIDAY
    ours.now = DAY + OPENS
    assert ours.decide(frozen_by="incident inc_2").target is RolloutState.SHADOW
    assert ours.decide(frozen_by="incident inc_2").why == "incident inc_2"
    assert not for_window(ours.row)


def test_what_does_not_hold_any_more_when_the_window_opens_goes_back_to_its_step(day):
    ours = day(declared().canary("25%", "5m"))
    ours.now = CLOSES
    baked(ours).see(pairs=(40, 20_000, 45), matured=20_085)
    assert ours.decide().target is RolloutState.FROZEN
    ours.see(matured=20_000, labelled=0)
    ours.now = DAY + OPENS
    moved = ours.decide()
    assert (moved.target, moved.why) == (RolloutState.CANARY, "the change window is open")
    assert ours.decide() is None


def test_a_window_that_is_taken_out_of_the_declaration_holds_nothing_any_more(day):
    ours = day()
    ours.now = CLOSES
    assert baked(ours).decide().target is RolloutState.FROZEN
    ours.declaration = Rollout(guards=[QUALITY]).shadow("5m").canary("25%", "5m")
    assert ours.decide().target is RolloutState.CANARY


def test_a_paused_rollout_stays_paused_when_the_window_opens(day):
    ours = day()
    ours.row = msgspec.structs.replace(ours.row, state=RolloutState.PAUSED, resume=RolloutState.SHADOW)
    ours.now = DAY + OPENS
    assert ours.decide() is None
    assert next_due(ours.row, ours.declaration, CLOSES) == NEVER


def test_what_a_person_released_outside_the_window_is_not_held_by_it(play):
    ours = play(declared().shadow("5m").canary("25%", "5m"))
    ours.row = msgspec.structs.replace(ours.row, outside_window=True)
    ours.decide()
    assert next_due(ours.row, ours.declaration, ours.now) == ours.now
    assert ours.decide().target is RolloutState.SHADOW
    assert baked(ours).decide().target is RolloutState.CANARY


def test_the_window_makes_no_difference_while_it_is_open(play):
    for declaration in (declared().shadow("5m").canary("25%", "5m"), Rollout(guards=[QUALITY]).shadow("5m").canary("25%", "5m")):
        ours = play(declaration)
        ours.now = OPENS
        ours.start()
        baked(ours).decide()
        baked(ours).see(pairs=(40, 20_000, 45), matured=20_085)
        ours.decide()
        assert [one.target for one in ours.moves] == [
            RolloutState.WARMING,
            RolloutState.SHADOW,
            RolloutState.CANARY,
            RolloutState.WATCHING,
        ]
