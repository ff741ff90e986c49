"""What a person says is no alarm is normal from then on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.conftest import DAY, START

from flyball.monitoring.normal import LEAST, Losses, Normal, add, normal
from flyball.stats.swings import upper

NOON = START // DAY * DAY + DAY // 2


def of(days):
    found = Losses()
    for day, losses in enumerate(days):
        found = add(found, losses, NOON + day * DAY)
    return found


def by_hand(days):
    """The same from all losses at once, those of the last day in the mean alone."""
    values, over = np.concatenate(days), days[:-1]
    mean_over = np.concatenate(over).mean()
    off = sum((np.sum(day) - len(day) * mean_over) ** 2 for day in over)
    phi = upper(off, len(over), rows=sum(map(len, over)), variance=float(values.var()))
    return Normal(values.mean() + 1.6448536269514722 * np.sqrt(phi * values.var() / values.size), phi)


@pytest.mark.parametrize("swing", [0.0, 0.1])
def test_the_bound_is_that_of_the_losses_themselves(swing):
    random = np.random.default_rng(int(swing * 10))
    rates = np.clip(0.2 + swing * random.normal(size=15), 0, 1)
    days = [(random.uniform(size=400) < rate).astype(float) for rate in rates]
    found = normal(of(days), Normal(0.0, 1.0))
    assert found == pytest.approx(by_hand(days))
    assert (found.swing > 10) is (swing > 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 40))
def test_losses_add_up_however_a_day_is_cut(losses, cut):
    once = add(Losses(), losses, NOON)
    twice = add(add(Losses(), losses[:cut], NOON), losses[cut:], NOON)
    assert (twice.n, twice.today_n) == (once.n, once.today_n)
    assert (twice.total, twice.squares, twice.today_total) == pytest.approx((once.total, once.squares, once.today_total))


def test_neither_bound_nor_swing_falls():
    low = of([[0.0] * 300, [1.0] + [0.0] * 299])
    assert normal(low, Normal(0.3, 2.5)) == Normal(0.3, 2.5)


def test_a_few_labels_say_nothing():
    assert normal(of([[1.0] * (LEAST - 1)]), Normal(0.1, 1.0)) == Normal(0.1, 1.0)
    assert normal(of([[1.0] * LEAST]), Normal(0.1, 1.0)) == Normal(1.0, 1.0)


def test_a_few_days_do_not_tell_how_days_differ():
    few = of([[0.0] * 100, [1.0] * 100, [0.0] * 100])
    assert normal(few, Normal(0.1, 1.0)).swing == 1.0
