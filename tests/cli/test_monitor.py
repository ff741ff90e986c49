"""`flyball monitor`: what the monitors say of one model, and what a drift is made of."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flyball.cli import estimated
from flyball.cli import monitor as monitoring
from flyball.clock import Span
from flyball.loop import memory
from flyball.monitoring.objectives import Budget
from flyball.monitoring.slabs import Slab
from flyball.monitoring.state import MonitorState
from flyball.monitoring.usage import Usage, Used
from flyball.monitoring.windows import Trail
from flyball.records.estimates import Estimate
from flyball.records.evidence import Quality
from flyball.records.unlabelled import PerformanceEstimated
from flyball.wiring import open_project

HOUR = Span.parse("1h")


def watched(project: Path, *, drifts: bool) -> None:
    """A week of labelled rows, and a column that drifts or does not: counted as the loop counts them."""
    with contextlib.closing(open_project(project)) as wired:
        ports = wired.ports
        now = ports.clock.now()
        quality = Quality(
            model="demand",
            version="1.0.0",
            role="champion",
            slice="",
            minute=0,
            matured=500,
            labelled=490,
            abs_error=9_800.0,
            sq_error=4e5,
            quad_error=1e9,
        )
        hits = ("alert",) * 3 if drifts else ("none",) * 3
        trail = Trail(
            column="temperature", test="cells", pace="fast", hits=hits, effects=(0.4 if drifts else 0.0,) * 3, verdict=hits[-1], p=1e-9, n=1_000,
            value="higher", how="values are higher: median 11 → 24", at=now, windows=3,
        )  # fmt: skip
        state = MonitorState(
            model="demand",
            version="1.0.0",
            released_at=now - 2 * HOUR,
            until=now,
            slabs=(Slab(start=(now - HOUR) // 60_000_000, quality=(quality,)),),
            trails=(trail,),
        )
        memory.save(ports.memory, memory.load(ports.memory).with_monitor(state))


def test_a_drift_is_told_with_its_column_since_when_and_what_would_say_more(flyball: Callable[..., Any], narrow: Path) -> None:
    watched(narrow, drifts=True)
    flyball("tick", "--project", narrow)
    ended = flyball("monitor", "demand", "--project", narrow)
    assert ended.code == 0, ended.err
    text = " ".join(ended.out.split())
    assert "demand 1.0.0 answers since" in text
    assert "labels 98% of the 500 rows that were due in 7d" in text
    assert "firing drift of inputs: alert, since" in text
    assert "temperature: values are higher: median 11 → 24; PSI 0.4" in text
    assert 'how much of the metric\'s change lies in temperature is not counted: slices=["temperature"] would' in text
    assert "next flyball incidents show inc_" in text
    document = flyball("monitor", "demand", "--project", narrow, "--json").document
    assert (document["model"], document["version"], document["quality"]["n"]) == ("demand", "1.0.0", 490)
    [alert] = [one for one in document["alerts"] if one["finding"]["column"] == "temperature"]
    assert (alert["state"], alert["finding"]["severity"]) == ("firing", "alert")
    assert len(document["incidents"]) == 1
    assert (document["explained"]["temperature"], document["since"][:4].isdecimal()) == (None, True)


def test_an_alert_fires_since_it_began_whoever_is_on_it_by_now(flyball: Callable[..., Any], narrow: Path) -> None:
    watched(narrow, drifts=True)
    flyball("tick", "--project", narrow)
    before = flyball("monitor", "demand", "--project", narrow, "--json").document
    [firing] = [one for one in before["alerts"] if one["finding"]["column"] == "temperature"]
    assert firing["fires_since"] == firing["since"]
    assert flyball("incidents", "ack", before["incidents"][0], "--project", narrow).code == 0
    after = flyball("monitor", "demand", "--project", narrow, "--json").document
    [taken] = [one for one in after["alerts"] if one["finding"]["column"] == "temperature"]
    assert taken["state"] == "acknowledged"
    assert taken["since"] > taken["fires_since"] == firing["since"]


def test_what_the_text_says_of_estimates_and_budgets_machines_are_told(
    flyball: Callable[..., Any], narrow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(narrow, drifts=False)
    flyball("tick", "--project", narrow)
    window = {"model": "demand", "version": "1.0.0", "since": 1, "until": 2_000_000, "n": 900, "metric": "mae", "blind": "labels come late"}
    made = PerformanceEstimated(**window, nulls=0, reference="", estimates={"mae": Estimate(value=3.5, low=3.0, high=4.0, n=900)}, level={})
    monkeypatch.setattr(estimated, "estimate_of", lambda *_: made)
    spent = Budget("error_rate", "error_rate", "events", "requests", 0.99, Span.parse("30d"), 500.0, 10.0, -1.0, True, 86_400_000_000)
    monkeypatch.setattr(monitoring, "budgets_of", lambda *_: (spent,))
    text = " ".join(flyball("monitor", "demand", "--project", narrow).out.split())
    assert "demand: mae 3.5 [3, 4] without labels, an estimate over 900 answers" in text
    assert "budget demand: error_rate: −100% left (10 of 500 requests were bad); spent until 1970-01-02" in text
    document = flyball("monitor", "demand", "--project", narrow, "--json").document
    assert document["estimate"]["estimates"]["mae"]["value"] == 3.5
    assert document["estimate"]["blind"] == "labels come late"
    [budget] = document["budgets"]
    assert (budget["objective"], budget["left"], budget["back_at"][:10]) == ("error_rate", -1.0, "1970-01-02")


def test_where_nothing_is_wrong_it_says_so(flyball: Callable[..., Any], narrow: Path) -> None:
    watched(narrow, drifts=False)
    flyball("tick", "--project", narrow)
    ended = flyball("monitor", "demand", "--project", narrow)
    assert ended.code == 0, ended.err
    # what nobody can tell is not said to be well
    assert "no data   latency_p99 ≤ 1h: n=0 < 500 requests" in ended.out
    assert "all other monitors are quiet" in ended.out
    document = flyball("monitor", "demand", "--project", narrow, "--json").document
    assert {"monitor": "latency_p99 ≤ 1h", "why": "n=0 < 500 requests"} in document["lacking"]


def test_a_model_that_never_answered_has_nothing_to_tell(flyball: Callable[..., Any], new: Path) -> None:
    ended = flyball("monitor", "demand", "--project", new)
    assert ended.code == 1
    assert "demand" in ended.err
    assert "Traceback" not in ended.err


def test_what_predictions_cost_is_told_where_it_was_measured(flyball: Callable[..., Any], narrow: Path) -> None:
    watched(narrow, drifts=False)
    assert "CPU s" not in flyball("monitor", "demand", "--project", narrow).out
    with contextlib.closing(open_project(narrow)) as wired:
        used = Used(start=wired.ports.clock.now() // 60_000_000 - 5, cpu_s=3.6, wall_s=60.0, n=2_000)
        usage = Usage(model="demand", version="1.0.0", versions={"1.0.0": (used,)})
        memory.save(wired.ports.memory, memory.load(wired.ports.memory).with_usage(usage))
    toml = narrow / "flyball.toml"
    toml.write_text(toml.read_text().replace("[settings]\n", '[settings]\ncpu_hour_price = "0.04 EUR"\ncpu_watts = 20\n'))
    told = "1,000 predictions take 1.8 CPU s, about 0.01 Wh, 0.00002 EUR; its worker takes 6% of a processor"
    for verb in (("monitor", "demand"), ("status",)):
        assert told in flyball(*verb, "--project", narrow).out
        document = flyball(*verb, "--project", narrow, "--json").document
        cost = document["cost"] if verb[0] == "monitor" else document["models"][0]["cost"]
        assert (cost["cpu_s"], cost["currency"], cost["predictions"]) == (1.8, "EUR", 2_000)
