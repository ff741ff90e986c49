"""What a run costs, from the setting to the record: on the run, the version, and for a budget."""

import re

import pytest

from flyball.declare.costs import price_setting
from flyball.records.training import RUNS
from flyball.wiring import open_project


@pytest.mark.process
def test_a_price_makes_runs_cost_money_and_the_record_keeps_their_cpu_time(new, flyball, monkeypatch):
    monkeypatch.setenv("FLYBALL_CPU_HOUR_PRICE", "3.60 EUR")
    made = flyball("train", "demand", "--trials", 0, "--project", new, "--json").document
    cost = made["cost"]
    assert cost["cpu_s"] > 0.5
    assert made["cpu_s"] == cost["cpu_s"], "one figure, that of the whole run"
    assert flyball("models", "show", "demand", "--project", new, "--json").document["cpu_s"] == cost["cpu_s"]
    assert (cost["currency"], cost["money"]) == ("EUR", pytest.approx(cost["cpu_s"] / 1000, rel=0.01))
    assert " EUR" in flyball("models", "show", "demand", "--project", new).out
    assert "cost: " in (card := flyball("models", "card", "demand", "--project", new).out)
    assert " EUR" in card.partition("cost: ")[2].splitlines()[0]
    shown = flyball("runs", "show", made["run"], "--project", new)
    assert "cost      " in shown.out
    assert "Wh (an estimate" in shown.out
    wired = open_project(new)
    try:
        row = wired.ledger.state().get(RUNS, made["run"])
    finally:
        wired.close()
    # the guardian counts to the end of the process, the run until it writes its result
    assert row.cpu_s == pytest.approx(cost["cpu_s"], abs=1.5)
    assert row.cpu_s >= cost["cpu_s"] - 0.1


def test_a_price_that_cannot_be_read_is_told(new, flyball, monkeypatch):
    monkeypatch.setenv("FLYBALL_CPU_HOUR_PRICE", "cheap")
    ended = flyball("status", "--project", new, "--json")
    assert (ended.code, ended.document["code"]) == (1, "declaration")
    assert "cpu_hour_price" in ended.document["detail"]


def test_without_a_price_the_cost_is_not_known_and_never_nothing(trained, flyball):
    shown = flyball("models", "show", "demand", "--project", trained, "--json").document["cost"]
    assert (shown["money"], shown["why"]) == (None, f"no price is set: {price_setting()}")
    assert "money not known" in flyball("models", "show", "demand", "--project", trained).out
    text = re.search(r"write (cpu_hour_price = .*?) \(.*under (\[settings\]) in (flyball.toml)", shown["why"])
    assert text is not None, shown["why"]
    setting, section, file = text.groups()
    (trained / file).write_text(f"{section}\n{setting}\n")
    assert flyball("train", "demand", "--trials", 0, "--set", "max_depth=2", "--project", trained, "--json").document["cost"]["money"] > 0


@pytest.mark.process
def test_a_gate_on_costs_without_a_price_says_what_to_set_and_the_same_run_with_a_price_passes_it(new, flyball, monkeypatch):
    loop = new / "loop.py"
    loop.write_text(loop.read_text().replace("gates=[", 'gates=[fb.metric("train_cost") <= "100 EUR", '))
    held = flyball("train", "demand", "--trials", 0, "--project", new)
    assert f"held by 1 open gate: {price_setting('EUR')}, then flyball train demand" in held.out
    refused = flyball("release", "demand@1.0.0", "--project", new)
    assert (refused.code, "hold-out" in refused.err) == (1, False), refused.err
    monkeypatch.setenv("FLYBALL_CPU_HOUR_PRICE", "3.60 EUR")
    made = flyball("train", "demand", "--trials", 0, "--project", new, "--json").document
    assert (made["version"], made["state"]) == ("1.0.0", "eligible")
