"""The loop rehearsed on made-up history: a stream whose rule changes at once, at moments that nobody announces."""

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.declare.policy import Retrain
from flyball.loop import backtest
from flyball.loop.backtest import Policy, policies, rehearse
from flyball.training.fitting import FitCache

from .streams import PER_DAY, declared, history, stream


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_change_is_abrupt_the_declared_policy_beats_every_schedule_that_retrains_as_often(seed: int, tmp_path: Path) -> None:
    frame = stream(seed)
    model = declared(frame)
    past = history(model, frame, tmp_path)
    cache = FitCache()
    kept = [policy for policy in policies(model) if policy.name in ("declared", "never")]
    found = {policy.name: rehearse(policy, past, cache=cache, approval=Span(0)) for policy in kept}
    ours = found["declared"]
    assert 3 <= ours.retrains <= 12, "two or three for each change, which comes four times or so: until there are rows to learn it from"
    plain = next(policy.model for policy in kept if policy.name == "never")
    length = int(past.rows.times[-1]) - past.start
    for retrains, window in itertools.product((ours.retrains, 2 * ours.retrains), ("7d", "28d")):
        # as often as ours, to the very number, and twice as often; on windows that suit the stream better than a schedule's usual one
        every = Span(round(length / (retrains + 0.5)))
        train = replace(plain.train, window=Span.parse(window))
        scheduled = plain.replace(train=train, retrain=Retrain(every=every, cooldown=min(every, train.holdout)))
        result = rehearse(Policy(f"{retrains} times on {window}", scheduled), past, cache=cache, approval=Span(0))
        assert result.retrains == retrains
        found[result.name] = result
    for name, result in found.items():
        assert name == "declared" or ours.quality > result.quality + (0.03 if result.retrains == ours.retrains else 0), (ours, result)


def test_a_proposal_waits_for_a_person_in_virtual_time(tmp_path: Path) -> None:
    frame = stream(5)
    model = declared(frame).replace(autonomy="propose")
    past = history(model, frame, tmp_path)
    at_once = rehearse(Policy("at once", model), past, cache=FitCache(), approval=Span(0))
    late = rehearse(Policy("late", model), past, cache=FitCache(), approval=Span.parse("5d"))
    assert at_once.retrains > 0
    assert late.quality < at_once.quality


def test_the_baselines_see_only_labels_that_were_known(tmp_path: Path) -> None:
    frame = stream(7)
    model = declared(frame)
    past = history(model, frame, tmp_path)
    found = backtest.baselines(model, past)
    y = past.rows.frame["__y"].to_numpy()
    first = past.evaluated.start
    # a label is known an hour after its row, and what is known at a row's own moment is not known before it: three rows back
    assert found["persistence"] == pytest.approx(np.mean(y[first:] == y[first - 3 : -3]))
    assert found["last_week"] == pytest.approx(np.mean(y[first:] == y[first - 7 * PER_DAY : -7 * PER_DAY]))


def test_a_label_that_comes_after_a_week_or_arrives_late_is_in_no_baseline_before(tmp_path: Path) -> None:
    frame = stream(7).with_columns(arrived=pl.col("at") + timedelta(days=1))
    model = declared(frame)
    columns = {"a": float, "b": float, "hit": fb.column(int, one_of=(0, 1), known_after="8d")}
    slow = model.replace(data=fb.Dataset("stream", source=frame, time="at", columns=columns))
    late = model.replace(data=fb.Dataset("stream", source=frame, time="at", arrived="arrived", columns=model.data.columns))
    for changed, back in ((slow, 8 * PER_DAY + 1), (late, PER_DAY + 1)):
        past = history(changed, frame, tmp_path)
        found = backtest.baselines(changed, past)
        y = past.rows.frame["__y"].to_numpy()
        first = past.evaluated.start
        week = max(back, 7 * PER_DAY)
        assert found["persistence"] == pytest.approx(np.mean(y[first:] == y[first - back : -back]))
        assert found["last_week"] == pytest.approx(np.mean(y[first:] == y[first - week : -week]))
