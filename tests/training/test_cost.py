"""What a run takes: measured by the system, an estimate said to be one, and no price that is not known counted as nothing."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from flyball.declare.units import Money
from flyball.errors import DeclarationError
from flyball.records.estimates import Outcome
from flyball.training.cost import NO_PRICE, Meter, meter_from_now, price_of
from flyball.training.run import execute
from flyball.training.searching import Conduct

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, known_after="-1d"), "price": fb.column(float, known_after="-1d"), "up": fb.column(int, one_of=(0, 1))})

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X, y)

m = fb.Model("m", task="binary", data=market, label="up", train=fb.Train(fit, window="28d", holdout="7d"), gates=[GATES])
"""

CHEAP = 'fb.metric("train_cpu") <= "10m", fb.metric("train_memory") <= "8GB", fb.metric("train_energy") <= 5, fb.metric("train_cost") <= "1 EUR"'
DEAR = 'fb.metric("train_cpu") <= "1ms", fb.metric("train_memory") <= "1MB", fb.metric("train_energy") <= 0, fb.metric("train_cost") <= "0.00000001 EUR"'


def judged(project, gates: str, price: Money | None):
    made = project(LOOP.replace("GATES", gates), "m")
    return execute(made.spec(), made.model, made.frames, made.blobs, conduct=Conduct(meter=meter_from_now(20, price)))


def test_gates_on_what_a_run_takes_pass_and_fail(project):
    price = Money(0.04, "EUR")
    assert [each.outcome for each in judged(project, CHEAP, price).verdicts] == [Outcome.PASS] * 4
    result = judged(project, DEAR, price)
    assert [each.outcome for each in result.verdicts] == [Outcome.FAIL] * 4
    assert "an estimate: 20 W for a busy processor" in result.verdicts[2].why


def test_without_a_price_a_gate_on_the_cost_is_insufficient_and_says_what_to_set(project):
    result = judged(project, CHEAP, None)
    assert [each.outcome for each in result.verdicts] == [Outcome.PASS] * 3 + [Outcome.INSUFFICIENT]
    assert NO_PRICE in result.verdicts[3].why
    assert (result.cost.money, result.cost.currency, result.cost.why) == (None, "", NO_PRICE)


def test_a_bound_in_another_currency_than_the_price_is_insufficient(project):
    verdict = judged(project, 'fb.metric("train_cost") <= "1 USD"', Money(0.04, "EUR")).verdicts[0]
    assert verdict.outcome == Outcome.INSUFFICIENT
    assert "its bound is in USD, and the price of CPU time in EUR" in verdict.why


def test_a_verdict_says_the_time_with_its_unit_and_up_to_when_it_was_counted(project):
    result = judged(project, CHEAP, None)
    assert re.fullmatch(r"[\d.,]+ ms; until its gates were judged", result.verdicts[0].why), result.verdicts[0].why
    assert result.whole_cpu_s == result.cost.cpu_s >= result.measured["train_cpu"].value / 1000


def test_a_result_says_what_its_run_took(project):
    cost = judged(project, CHEAP, Money(3.6, "EUR")).cost
    assert cost.cpu_s > 0
    assert cost.money == pytest.approx(cost.cpu_s / 1000, rel=0.02)
    assert cost.energy_wh == pytest.approx(cost.cpu_s * 20 / 3600, rel=0.02)
    assert cost.peak_bytes > 50e6, "a process with NumPy"


@pytest.mark.process
def test_what_children_take_counts_once_they_have_ended():
    meter = meter_from_now()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass\nheld = bytearray(200_000_000)"], check=True)
    cost = meter.read()
    assert 0.5 <= cost.cpu_s < 5
    alone, three = Meter(at_once=1).read(), Meter(at_once=3).read()
    assert three.peak_bytes - alone.peak_bytes > 2 * 190e6, "those at once are added up"


def test_a_price_that_is_none_is_told():
    assert price_of("") is None
    assert price_of("0.04 EUR") == Money(0.04, "EUR")
    with pytest.raises(DeclarationError, match="cpu_hour_price"):
        price_of("cheap")
