import math

import msgspec
import pytest

from flyball.clock import Span
from flyball.declare.checks import champion, metric
from flyball.declare.model import _default_rollout
from flyball.declare.policy import Rollout
from flyball.ledger.canonical import write_body
from flyball.records.base import Refusal
from flyball.records.rollouts import PairCounts, RolloutEvidence, RolloutState, StepCounts
from flyball.rollout.readings import RATIO, cleared, fired, on_quality, readings
from flyball.rollout.rules import NEVER, by_person, next_due, plan, replay, slow_threshold
from flyball.rollout.states import TRANSITIONS

QUALITY = metric("accuracy") >= champion - 0.01
HOUR = 3_600_000_000


def reading(found, test, name=""):
    return next(one for one in found if one.test == test and one.slice == name)


def test_worked_numbers_of_the_paired_test_come_out_in_the_reading(play):
    ours = play()
    evidence = RolloutEvidence(pairs=(PairCounts(minus=60, zero=2880, plus=60),))
    found = reading(readings(ours.row, ours.declaration, evidence, task="binary"), str(QUALITY))
    assert found.log10_for * math.log(10) == pytest.approx(2.1755, abs=5e-5)
    assert found.log10_against * math.log(10) == pytest.approx(-1.6088, abs=5e-5)
    assert (found.need_for, found.need_against, found.n) == (20, pytest.approx(1 / 0.0075), 3000)


@pytest.mark.parametrize(
    ("steps", "log_e"),
    [([(6, 9, 500)], 5.9135), ([(2, 30, 500), (20, 40, 2500)], -2.0439), ([(0, 20_000, 500)], -125.85)],
)
def test_worked_numbers_of_the_share_test_come_out_in_the_reading(play, steps, log_e):
    ours = play()
    counts = tuple(
        StepCounts(weight=w, canary_units=1000, canary_met=1000, canary_bad=a, stable_units=30_000, stable_bad=b) for a, b, w in steps
    )
    found = reading(readings(ours.row, ours.declaration, RolloutEvidence(steps=counts), task="binary"), "error_rate")
    assert found.log10_against * math.log(10) == pytest.approx(log_e, abs=5e-3)


def test_the_weights_of_all_cells_sum_to_one_percent(play):
    ours = play(slow_us=1000)
    pairs = tuple(PairCounts(slice=name, zero=1) for name in ("", "day=1", "day=2", "day=3"))
    found = readings(ours.row, ours.declaration, RolloutEvidence(pairs=pairs), task="binary")
    parts = [1 / one.need_against for one in found if one.test != RATIO]
    assert sum(parts) == pytest.approx(0.01)
    assert reading(found, str(QUALITY)).need_against == pytest.approx(200)
    assert reading(found, str(QUALITY), "day=1").need_against == pytest.approx(1200)


def test_a_later_attempt_needs_twice_the_evidence_each_time(play):
    needs = []
    for attempt in (1, 2, 3):
        ours = play(attempt=attempt)
        needs.append(readings(ours.row, ours.declaration, ours.evidence, task="binary")[0].need_for)
    assert needs == [20, 40, 80]


def test_what_spoke_against_an_artifact_is_kept_for_its_next_attempt_and_what_spoke_for_it_is_not(play):
    from flyball.rollout.evidence import follow_on

    earlier = RolloutEvidence(pairs=(PairCounts(minus=100, zero=900, plus=20),), steps=(StepCounts(weight=500, canary_bad=3),))
    ours = play(attempt=2)
    before = readings(ours.row, ours.declaration, earlier, task="binary")
    after = readings(ours.row, ours.declaration, follow_on(earlier), task="binary")
    assert after[0].log10_against == before[0].log10_against
    assert after[0].log10_for == 0
    assert follow_on(follow_on(earlier)) == follow_on(earlier)


def test_a_relative_margin_on_an_error_in_units_is_taken_from_the_old_versions_loss(play):
    declaration = Rollout(guards=[metric("mae") <= champion * 1.05]).shadow("1h")
    ours = play(declaration)
    # old loss .2 of the cap: 5% of it is a margin of .01
    pairs = (PairCounts(minus=60, zero=2880, plus=60, old_loss=600),)
    found = readings(ours.row, declaration, RolloutEvidence(pairs=pairs), task="regression", loss_cap=40)[0]
    assert found.log10_for * math.log(10) == pytest.approx(2.1755, abs=5e-5)


def test_a_guard_with_a_number_is_held_to_the_number(play):
    declaration = Rollout(guards=[metric("accuracy") >= 0.7]).shadow("1h")
    ours = play(declaration)

    def against(wrong):
        pairs = (PairCounts(minus=wrong, zero=1000 - wrong, plus=0, old_loss=0),)
        return fired(readings(ours.row, declaration, RolloutEvidence(pairs=pairs), task="binary"))

    assert against(400)
    assert not against(280)


def test_a_guard_that_live_rows_cannot_test_is_shown_and_says_nothing(play):
    declaration = Rollout(guards=[QUALITY, metric("positive_rate") <= champion * 1.2]).shadow("1h")
    ours = play(declaration)
    found = reading(readings(ours.row, declaration, ours.evidence, task="binary"), "positive_rate ≤ champion × 1.2")
    assert (found.log10_for, found.log10_against, found.need_against) == (None, None, None)


def test_the_first_release_answers_at_once_because_there_is_nothing_to_compare_with(play):
    ours = play(champion_version="")
    targets = [ours.decide().target for _ in range(3)]
    assert targets == [RolloutState.WARMING, RolloutState.WATCHING, RolloutState.COMPLETED]
    assert "no champion to compare with" in ours.moves[1].why


def test_a_worker_that_does_not_start_fails_the_rollout(play):
    ours = play(workers_ready=None)
    ours.decide()
    assert ours.decide() is None
    assert ours.decide(workers_ready=False).target is RolloutState.FAILED


def test_a_good_version_goes_through_its_steps_and_is_promoted_on_its_evidence(play):
    declaration = Rollout(guards=[QUALITY]).shadow("5m", labels=100).canary("25%", "5m")
    ours = play(declaration).start()
    assert ours.row.state is RolloutState.SHADOW
    for _ in range(5):
        ours.see(traffic=ours.requests((100, 0), (100, 0)))
    assert ours.decide() is None, "baked, but the labels it wants are not in"
    ours.see(pairs=(4, 392, 4), matured=400)
    assert ours.decide().target is RolloutState.CANARY
    for _ in range(5):
        ours.see(traffic=ours.requests((100, 0), (300, 0)), pairs=(12, 976, 12), matured=1000)
    ours.see(pairs=(0, 0, 0))
    moved = ours.decide()
    assert moved.target is RolloutState.WATCHING
    assert "accuracy ≥ champion − 0.01: evidence" in moved.why
    assert moved.counts == ours.evidence


def test_nothing_is_promoted_before_its_bake(play):
    ours = play(Rollout(guards=[QUALITY]).shadow("10m")).start()
    ours.see(traffic=ours.requests((5000, 0), (5000, 0)), pairs=(50, 4900, 50), matured=5000)
    assert ours.decide() is None
    ours.now += 30 * 60_000_000
    assert ours.decide() is None, "a clock that jumps bakes nothing"
    for _ in range(10):
        ours.see(traffic=ours.requests((10, 0), (10, 0)))
    assert ours.decide().target is RolloutState.WATCHING


def test_the_last_split_lasts_longer_than_an_answer_that_hangs_is_waited_for(play):
    ours = play(Rollout(guards=[QUALITY]).canary("50%", "1s")).start()
    ours.see(seconds=1, traffic=ours.requests((5000, 0), (5000, 0)), pairs=(50, 4900, 50), matured=5000)
    ours.see(seconds=1, traffic=ours.requests((5000, 0), (5000, 0)))
    assert ours.evidence.baked >= 1_000_000
    assert ours.decide() is None, "errors of requests that still hang are not told yet"
    ours.see(seconds=1, traffic=ours.requests((10, 0), (10, 0)))
    assert ours.decide().target is RolloutState.WATCHING


def test_half_hourly_rows_bake_twelve_hours_in_about_twelve_hours(play):
    ours = play(Rollout(guards=[QUALITY]).shadow("12h")).start()
    ticks = 0
    while ours.evidence.baked < 12 * HOUR:
        ours.see(seconds=1800, traffic=ours.requests((1, 0), (1, 0)))
        ticks += 1
    assert 24 <= ticks <= 26


def test_labels_for_too_few_rows_do_not_promote(play):
    ours = play(Rollout(guards=[QUALITY]).shadow("0s")).start()
    ours.see(traffic=ours.requests((5000, 0), (5000, 0)), pairs=(50, 4900, 50), matured=10_000, labelled=5000)
    assert ours.decide() is None
    ours.see(matured=0, labelled=3000)
    assert ours.decide().target is RolloutState.WATCHING


def test_the_gate_stands_in_only_where_the_plan_says_so_and_the_record_says_it(play):
    for evidence, passed, expected in [("live", True, None), ("gate", False, None), ("gate", True, RolloutState.WATCHING)]:
        ours = play(Rollout(guards=[QUALITY], evidence=evidence).shadow("0s"), gate_passed=passed).start()
        ours.see(traffic=ours.requests((24, 0), (24, 0)), pairs=(1, 22, 1), matured=24)
        moved = ours.decide()
        assert (moved and moved.target) is expected
        if moved:
            assert "live evidence insufficient: the gate's paired evidence stands in" in moved.why


def test_the_gate_does_not_stand_in_for_errors_that_doubled(play):
    ours = play(Rollout(guards=[QUALITY], evidence="gate").canary("50%", "0s"), gate_passed=True).start()
    ours.see(traffic=ours.requests((20, 3), (20, 1)))
    assert ours.decide() is None


def test_a_worse_version_is_rolled_back_and_the_guard_is_named(play):
    ours = play().start()
    ours.see(traffic=ours.requests((2000, 0), (2000, 0)), pairs=(120, 1840, 40), matured=2000)
    moved = ours.decide()
    assert moved.target is RolloutState.ROLLING_BACK
    assert "accuracy ≥ champion − 0.01: evidence against" in moved.why
    assert ours.decide(in_force=False) is None
    assert ours.decide(in_force=True).target is RolloutState.ROLLED_BACK


def test_a_slice_alone_can_roll_back(play):
    ours = play().start()
    ours.see(pairs=(100, 9800, 100), slices=[PairCounts(slice="day=6", minus=90, zero=400, plus=5), PairCounts(slice="day=7", zero=9000)])
    assert "in day=6" in ours.decide().why


@pytest.mark.parametrize("state", ["paused", "frozen", "watching"])
def test_a_guard_fires_also_when_paused_frozen_or_watching(play, state):
    ours = play().start()
    resume = RolloutState.SHADOW if state != "watching" else None
    ours.row = msgspec.structs.replace(ours.row, state=RolloutState(state), resume=resume)
    ours.see(pairs=(120, 1840, 40), matured=2000)
    assert ours.decide(frozen_by="incident inc_1").target is RolloutState.ROLLING_BACK


def test_a_split_that_is_not_what_the_route_says_freezes(play):
    ours = play(Rollout(guards=[QUALITY]).canary("5%", "1h")).start()
    ours.see(traffic=ours.requests((200, 0), (1800, 0)))
    moved = ours.decide()
    assert moved.target is RolloutState.FROZEN
    assert "sample ratio" in moved.why
    assert ours.decide() is None


def test_a_freeze_ends_where_it_began_and_its_time_does_not_bake(play):
    ours = play(Rollout(guards=[QUALITY]).shadow("5m").canary("25%", "5m")).start()
    ours.see(traffic=ours.requests((10, 0), (10, 0)))
    baked = ours.evidence.baked
    assert ours.decide(frozen_by="change window").target is RolloutState.FROZEN
    ours.see(traffic=ours.requests((10, 0), (10, 0)), seconds=3600)
    assert ours.evidence.baked == baked
    assert ours.decide().target is RolloutState.SHADOW
    ours.see(traffic=ours.requests((10, 0), (10, 0)))
    assert ours.evidence.baked > baked


def test_undecided_for_give_up_rolls_back_and_says_what_was_lacking(play):
    ours = play(Rollout(guards=[QUALITY], give_up="1d").shadow("1h")).start()
    ours.now = 24 * HOUR
    assert ours.decide() is None
    ours.now = 26 * HOUR
    moved = ours.decide()
    assert moved.target is RolloutState.ROLLING_BACK
    assert "undecided" in moved.why
    assert "error_rate" in moved.why


def test_watching_ends_after_its_time_and_late_labels_still_roll_back_before(play):
    declaration = Rollout(guards=[QUALITY], watch="1d").shadow("0s")
    for late in (False, True):
        ours = play(declaration).start()
        ours.row = msgspec.structs.replace(ours.row, state=RolloutState.WATCHING, entered_at=ours.now)
        ours.now += 12 * HOUR
        assert ours.decide() is None
        if late:
            ours.see(pairs=(120, 1840, 40))
            assert ours.decide().target is RolloutState.ROLLING_BACK
        else:
            ours.now += 12 * HOUR
            assert ours.decide().target is RolloutState.COMPLETED


def test_slow_answers_roll_back_where_a_threshold_is_known(play):
    ours = play(Rollout(guards=[QUALITY]).canary("25%", "1h"), slow_us=5000).start()
    ours.see(traffic=ours.requests((300, 0), (900, 0), slow=(60, 9)))
    assert "latency_p99" in ours.decide().why
    ours = play(Rollout(guards=[QUALITY]).canary("25%", "1h")).start()
    ours.see(traffic=ours.requests((300, 0), (900, 0), slow=(60, 9)))
    assert ours.decide() is None


def test_errors_of_a_shadow_roll_back_before_anybody_sees_them(play):
    ours = play().start()
    ours.see(traffic=ours.requests((500, 40), (500, 0)))
    assert "error_rate" in ours.decide().why


def test_every_arrow_that_is_decided_stands_in_the_table(play):
    ours = play(Rollout(guards=[QUALITY], give_up="1d").shadow("1h").canary("25%", "1h")).start()
    for state in RolloutState:
        for frozen_by in ("", "incident"):
            for in_force in (True, False):
                for now in (0, 30 * 24 * HOUR):
                    for pairs in ((), (PairCounts(minus=120, zero=1840, plus=40),), (PairCounts(minus=50, zero=4900, plus=50),)):
                        ours.row = msgspec.structs.replace(
                            ours.row, state=state, resume=RolloutState.SHADOW if state.value in {"frozen", "paused"} else None
                        )
                        ours.evidence = RolloutEvidence(pairs=pairs, baked=Span(2 * HOUR), under=f"{state.value}:0", matured=9, labelled=9)
                        ours.now = now
                        before = ours.row
                        moved = ours.decide(frozen_by=frozen_by, in_force=in_force)
                        assert moved is None or moved.target in TRANSITIONS[state]
                        ours.row = before


@pytest.mark.parametrize("state", list(RolloutState))
@pytest.mark.parametrize("action", ["pause", "resume", "abort"])
def test_a_person_moves_a_rollout_along_the_table_or_is_told_why_not(play, state, action):
    row = msgspec.structs.replace(play().row, state=state, resume=RolloutState.CANARY if state.value in {"frozen", "paused"} else None)
    moved = by_person(row, action, "because")
    if isinstance(moved, Refusal):
        assert moved.code == "conflict"
        assert state.value in moved.what
    else:
        assert moved.target in TRANSITIONS[state]
        assert "because" in moved.why


def test_a_first_release_is_never_rolled_back_into_nobody_answering(play):
    ours = play(champion_version="").start()
    assert ours.row.state is RolloutState.WATCHING
    ours.evidence = RolloutEvidence(steps=(StepCounts(weight=0, canary_units=500, canary_met=500, canary_bad=500),))
    assert fired(readings(ours.row, ours.declaration, ours.evidence, task="binary"))
    assert ours.decide().target is RolloutState.COMPLETED
    assert isinstance(by_person(ours.row, "abort", "because"), Refusal)


def test_a_decision_replays_from_its_record(play):
    ours = play().start()
    before = ours.row
    ours.see(pairs=(120, 1840, 40), slices=[PairCounts(slice=f"day={day}", minus=10, zero=90) for day in range(40)])
    moved = ours.decide()
    again, differ = replay(moved, before, ours.declaration, task="binary")
    assert differ == ()
    assert {one.slice for one in moved.readings} <= {one.slice for one in again}
    forged = msgspec.structs.replace(moved, counts=msgspec.structs.replace(moved.counts, pairs=(PairCounts(minus=1, zero=99),)))
    assert replay(forged, before, ours.declaration, task="binary")[1]


def test_the_event_of_a_move_stays_within_an_events_size(play):
    ours = play(Rollout(guards=[QUALITY, metric("accuracy") >= 0.5]).shadow("1h"), slow_us=10).start()
    slices = [
        PairCounts(slice=f"some_longer_column=value number {k}", minus=10 / 3, zero=90 / 7, plus=1 / 3, old_loss=1 / 9) for k in range(300)
    ]
    ours.see(pairs=(120, 1840, 40), slices=slices)
    body = write_body(0, "loop", "c", ours.decide())
    assert 5_000 < len(body) < 16_000


FAST = {math.floor(8 * math.log2(1000)): 2_000}
"""Two thousand requests of a millisecond."""


def guarded(*bounds):
    return Rollout(guards=[metric("latency_p99") <= bound for bound in bounds])


def test_a_declared_latency_is_the_least_that_counts_as_slow():
    declaration = guarded("50ms")
    assert slow_threshold({}, declaration) == 50_000
    assert slow_threshold(FAST, declaration) == 50_000
    assert slow_threshold({math.floor(8 * math.log2(64_000)): 2_000}, declaration) > 70_000
    assert slow_threshold({}, Rollout()) is None
    hour = Span.parse("1h")
    assert slow_threshold({}, Rollout(), hour) == 3_600_000_000, "beyond it no answer can be acted on"
    assert slow_threshold({}, declaration, hour) == 50_000, "what is declared wins"
    assert slow_threshold(FAST, Rollout(), hour) == slow_threshold(FAST, Rollout()), "a champion that is known is the better measure"
    common = {"rollout": "r", "model": "m", "version": "2", "champion": "1", "attempt": 1, "reason": ""}
    assert plan(declaration, slow_us=70_000, **common).slow_us == 70_000


def test_the_slow_threshold_needs_500_requests_and_lies_a_tenth_above_p99():
    place = math.floor(8 * math.log2(1000))
    assert slow_threshold({place: 499}, Rollout()) is None
    assert 1100 <= slow_threshold({place: 1980, place + 40: 20}, Rollout()) <= 1100 * 2 ** (1 / 8) + 1
    assert slow_threshold({place: 1970, place + 40: 30}, Rollout()) > 30_000


def test_a_guard_on_latency_sets_how_many_times_the_champions_is_slow():
    p99 = slow_threshold(FAST, guarded(champion * 1.0))
    assert slow_threshold(FAST, guarded(champion * 3)) == pytest.approx(3 * p99, abs=3)
    assert slow_threshold(FAST, guarded(champion + 5)) == pytest.approx(p99 + 5_000, abs=1)
    assert slow_threshold(FAST, guarded(champion * 3, "2ms")) == 2_000, "all of them hold, so the least is held to"
    assert slow_threshold({}, guarded(champion * 3)) is None
    others = Rollout(guards=[metric("latency_p50") <= "50ms", metric("latency_p99") >= "50ms"])
    assert slow_threshold({}, others) is None, "a bound on the median says nothing of the slowest answers"


ERRORS_AT_MOST = metric("error_rate") <= 0.01


def test_errors_are_held_to_a_number_on_the_new_version_alone(play):
    declaration = Rollout(guards=[ERRORS_AT_MOST]).canary("50%", "1h")

    def found(failed, met, attempt=1):
        step = StepCounts(
            weight=5_000, canary_units=met, canary_bad=failed, canary_met=met, canary_failed=failed, stable_units=met, stable_bad=failed
        )
        ours = play(declaration, attempt=attempt)
        return readings(ours.row, declaration, RolloutEvidence(steps=(step,)), task="binary")

    both_bad = found(90, 3_000)
    assert [one.test for one in fired(both_bad)] == [str(ERRORS_AT_MOST)], "3% against 3% is no excess, and more than 1%"
    assert sum(1 / one.need_against for one in both_bad if one.test != RATIO and one.need_against) == pytest.approx(0.01)
    assert not fired(found(20, 3_000))
    assert cleared(reading(found(2, 2_000), str(ERRORS_AT_MOST)))
    assert not cleared(reading(found(0, 100), str(ERRORS_AT_MOST))), "too little to say is no pass"


def test_the_least_excess_of_errors_that_a_guard_names_is_held_to(play):
    step = (StepCounts(weight=5_000, canary_units=5_000, canary_met=5_000, canary_bad=300, stable_units=5_000, stable_bad=200),)

    def against(*factors):
        declaration = Rollout(guards=[metric("error_rate") <= champion * factor for factor in factors]).canary("50%", "1h")
        return reading(readings(play(declaration).row, declaration, RolloutEvidence(steps=step), task="binary"), "error_rate").log10_against

    assert against(2.0) < against(1.0)
    assert against(2.0, 1.0) == against(1.0)


@pytest.mark.parametrize(
    "guard",
    [
        metric("latency_p50") <= "50ms",
        metric("latency_p95") <= champion * 2,
        metric("error_rate").by("day") <= champion * 2,
        metric("error_rate") <= champion + 0.01,
        metric("error_rate") <= 0,
        metric("error_rate") >= 0.5,
        metric("latency_p99") <= champion * 0.9,
        metric("accuracy").gap("day") <= 0.1,
        metric("mae") <= champion,
        metric("accuracy") <= 0.5,
    ],
)
def test_a_guard_that_nothing_tests_is_shown_without_a_reading(play, guard):
    declaration = Rollout(guards=[guard]).shadow("1h")
    found = readings(play(declaration).row, declaration, RolloutEvidence(), task="binary")
    assert reading(found, str(guard)).need_against is None


def test_a_plan_whose_guards_name_operations_alone_is_promoted_on_them_and_says_so(play):
    declaration = Rollout(guards=[metric("error_rate") <= champion * 1.25]).shadow("0s")
    ours = play(declaration).start()
    ours.see(traffic=ours.requests((10_000, 0), (10_000, 0)))
    moved = ours.decide()
    assert moved.target is RolloutState.WATCHING
    assert "quality not tested on live rows" in moved.why


def test_without_a_guard_on_quality_a_plan_that_rests_on_the_gate_needs_it_and_says_so(play):
    declaration = Rollout(guards=[metric("error_rate") <= champion * 1.25], evidence="gate").shadow("0s")
    for passed in (False, True):
        ours = play(declaration, gate_passed=passed).start()
        ours.see(traffic=ours.requests((10_000, 0), (10_000, 0)))
        moved = ours.decide()
        if passed:
            assert moved.target is RolloutState.WATCHING
            assert "the gate's paired evidence stands in (no guard on quality that live rows can test)" in moved.why
        else:
            assert moved is None


def test_a_default_rollout_is_tested_on_live_rows(play):
    for task, metric_name in (("binary", "accuracy"), ("forecast", "mae")):
        assert [guard.metric.name for guard in on_quality(_default_rollout(task), task)] == [metric_name]
    declaration = _default_rollout("binary")
    ours = play(declaration, gate_passed=True).start()
    ours.row = msgspec.structs.replace(ours.row, state=RolloutState.CANARY, step=1)
    ours.evidence = RolloutEvidence(
        steps=(StepCounts(weight=1_000, canary_units=10_000, canary_met=10_000, stable_units=90_000),),
        baked=Span.parse("2d"),
        under="canary:1",
    )
    assert ours.decide() is None, "operations alone do not promote it"
    ours.see(traffic=ours.requests((1, 0), (1, 0)), pairs=(20, 1960, 20), matured=2_000)
    assert ours.decide().target is RolloutState.WATCHING


def test_the_last_split_takes_three_seconds_however_short_it_is(play):
    ours = play(Rollout(guards=[QUALITY]).canary("5%", "1s").canary("25%", "1s"))
    due = [next_due(msgspec.structs.replace(ours.row, state=RolloutState.CANARY, step=step), ours.declaration, 7) for step in (0, 1)]
    assert due == [1_000_000, 3_000_000]


def test_what_is_due_by_the_clock_is_the_bake_the_watch_or_nothing(play):
    ours = play(Rollout(guards=[QUALITY], watch="2h").shadow("1h"))
    assert next_due(ours.row, ours.declaration, 7) == 7
    ours.start()
    assert next_due(ours.row, ours.declaration, 7) == HOUR
    ours.row = msgspec.structs.replace(ours.row, state=RolloutState.WATCHING)
    assert next_due(ours.row, ours.declaration, 7) == 2 * HOUR
    ours.row = msgspec.structs.replace(ours.row, state=RolloutState.COMPLETED)
    assert next_due(ours.row, ours.declaration, 7) == NEVER
