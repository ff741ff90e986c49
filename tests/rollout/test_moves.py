"""Whatever the slices are called, an arrow can be recorded, and what it records still gives its readings."""

import msgspec
import pytest

from flyball.declare.checks import champion, metric
from flyball.declare.policy import Rollout
from flyball.ledger.canonical import write_body
from flyball.records.rollouts import PairCounts, RolloutEvidence, RolloutMoved, RolloutState, StepCounts
from flyball.rollout.evidence import follow_on
from flyball.rollout.readings import fired, readings
from flyball.rollout.rules import replay

QUALITY = metric("accuracy") >= champion - 0.01
GUARDS = (QUALITY, metric("accuracy") >= 0.3)
NAMES = {
    "short": "depot={}",
    "ascii": "merchant={} Example Trading and Forwarding Company of the North-Eastern Region, Limited Liabil",
    "cyrillic": "город={} Петропавловск-Камчатский городской округ, Камчатский край, Российская Федера",
    "japanese": "店舗={}東京都千代田区丸の内一丁目九番一号グラントウキョウサウスタワー東京都千代田区丸の内一丁目九番一号グラントウキョウサウスタワー東京都千代",
    "quoted": 'name={}"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"\\"',
    "long column": "a_column_with_a_name_" * 12 + "={}",
}
KINDS = [(name, attempt) for name in NAMES for attempt in (1, 2, 3)]


def slices(name, *, first=0, bad=8):
    """32 slices, of which some speak against the new version, each in its own measure."""
    worse = (PairCounts(slice=NAMES[name].format(k), minus=90 + k + 1 / 3, zero=400 / 7, plus=10 / 3, old_loss=1 / 9) for k in range(bad))
    alike = (PairCounts(slice=NAMES[name].format(k), minus=10 / 3, zero=900 / 7 + k, plus=10 / 3, old_loss=1 / 9) for k in range(bad, 32))
    return [msgspec.structs.replace(one, slice=one.slice.replace("=", f"={first}", 1)) for one in (*worse, *alike)]


def shadowed(play, name, attempt, guards=GUARDS):
    """A rollout in its first step with 32 slices now and, from the second attempt on, other and the same ones before."""
    ours = play(Rollout(guards=list(guards)).shadow("1h"), slow_us=10, attempt=attempt).start()
    for earlier in range(1, attempt):
        ours.see(pairs=(40, 1920, 40), slices=slices(name, first=earlier % 2))
        ours.evidence = follow_on(ours.evidence)
    return ours.see(pairs=(40, 1920, 40), slices=slices(name))


@pytest.mark.parametrize(("name", "attempt"), KINDS)
def test_a_guard_that_fires_can_be_recorded_whatever_the_slices_are_called(play, name, attempt):
    moved = shadowed(play, name, attempt).decide()
    assert moved.target is RolloutState.ROLLING_BACK
    assert len(write_body(2**52, "loop", "cmd_01HN9881000000000002", moved)) <= 16 * 1024


@pytest.mark.parametrize(("name", "attempt"), KINDS)
def test_what_is_recorded_gives_the_same_readings(play, name, attempt):
    ours = shadowed(play, name, attempt)
    before = ours.row
    moved = ours.decide()
    read_back = msgspec.json.decode(msgspec.json.encode(moved, enc_hook=int), type=RolloutMoved, dec_hook=lambda kind, value: kind(value))
    again, differ = replay(read_back, before, ours.declaration, task="binary")
    assert differ == ()
    assert {(one.test, one.slice) for one in moved.readings} <= {(one.test, one.slice) for one in again}
    forged = msgspec.structs.replace(moved, counts=msgspec.structs.replace(moved.counts, unlisted={"depot": 500}))
    assert replay(forged, before, ours.declaration, task="binary")[1], "the level is shared out among all slices, listed or not"


@pytest.mark.parametrize(("name", "attempt"), KINDS)
def test_the_slices_that_fired_are_the_ones_that_stay(play, name, attempt):
    ours = shadowed(play, name, attempt)
    found = readings(ours.row, ours.declaration, ours.evidence, task="binary")
    worst = max((one for one in fired(found) if one.slice), key=lambda one: one.log10_against)
    moved = ours.decide()
    told = {one.slice for one in moved.readings if one.slice}
    assert worst.slice in told
    assert worst.slice in moved.why
    named = {slice_ for slice_ in {one.slice for one in found if one.slice} if f"in {slice_}: " in moved.why}
    assert named <= told, "what the reason names has its reading"
    counted = {one.slice for one in (*moved.counts.pairs, *(moved.counts.before.pairs if moved.counts.before else ()))}
    assert told | {""} <= counted


def test_the_decision_rests_on_all_slices_and_the_cut_is_always_the_same(play):
    ours, other = shadowed(play, "japanese", 2), shadowed(play, "japanese", 2)
    whole = readings(ours.row, ours.declaration, ours.evidence, task="binary")
    evidence = ours.evidence
    moved = ours.decide()
    assert ours.evidence == evidence
    assert not evidence.unlisted
    assert moved == other.decide()
    assert sum(moved.counts.unlisted.values()) > 0
    assert {one.slice: one.need_against for one in moved.readings}.items() <= {one.slice: one.need_against for one in whole}.items()


def test_what_fits_is_recorded_as_it_is(play):
    ours = play().start()
    ours.see(pairs=(120, 1840, 40), slices=slices("short"))
    assert ours.decide().counts == ours.evidence


def test_a_plan_of_very_many_guards_and_weights_still_rolls_back(play):
    guards = [metric("accuracy") >= champion - 0.01 - k / 1e6 for k in range(60)]
    ours = shadowed(play, "short", 1, guards)
    steps = tuple(StepCounts(weight=weight, canary_units=10**6, stable_units=10**6) for weight in range(1, 60))
    ours.evidence = RolloutEvidence(steps=steps, pairs=ours.evidence.pairs, before=RolloutEvidence(steps=steps))
    moved = ours.decide()
    assert moved.target is RolloutState.ROLLING_BACK
    assert "evidence against" in moved.why
    assert len(write_body(2**52, "loop", "c", moved)) <= 16 * 1024


def test_a_reason_of_any_length_is_cut(play):
    ours = play().start()
    ours.see(pairs=(40, 1920, 40))
    moved = ours.decide(frozen_by="инцидент " * 5_000)
    assert moved.target is RolloutState.FROZEN
    assert len(write_body(2**52, "loop", "c", moved)) <= 16 * 1024
