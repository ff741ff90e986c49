"""One table says what `/metrics` tells; the dashboard asks for nothing else, and a gateway answers with what the loop wrote."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flyball.serving.gauges import METRICS, Sample, beat, render
from flyball.serving.layout import Layout, write_json
from flyball.serving.metrics import Metrics

DASHBOARD = Path(__file__).parents[2] / "dashboards" / "flyball.json"
PARTS = ("_bucket", "_sum", "_count")
LINE = re.compile(r"[a-z_]+(\{([a-z_]+=\"(\\.|[^\"\\])*\",?)*\})? \S+")


def known(name: str) -> bool:
    """Whether the table has the metric, or the histogram that a part is of."""
    whole = next((name.removesuffix(part) for part in PARTS if name.endswith(part) and name not in METRICS), name)
    return whole in METRICS and (whole == name or METRICS[whole].kind == "histogram")


def test_names_follow_prometheus_conventions() -> None:
    for name, told in METRICS.items():
        assert re.fullmatch(r"flyball_[a-z_]+", name)
        assert name.endswith("_total") is (told.kind == "counter"), "counters, and they alone, end in _total"
        assert told.says.endswith(".")
        assert not re.search(r"_(ms|us|percent|minutes|hours|days)(_|$)", name), "base units"
        assert not set(told.labels) & {"le", "quantile", "job", "instance"}, "names that Prometheus keeps for itself"


def test_every_metric_that_the_dashboard_asks_for_is_in_the_table_with_the_labels_that_it_names() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    asked += [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    used = set()
    for query in asked:
        found = re.findall(r"flyball_[a-z_]+", query)
        assert found, query
        assert all(known(name) for name in found), query
        used |= set(found)
        for name, inside in re.findall(r"(flyball_[a-z_]+)\{([^}]*)\}", query):
            whole = next((name.removesuffix(part) for part in PARTS if name.endswith(part) and name not in METRICS), name)
            labels = re.findall(r"([a-z_]+)[=!]~?=?\"", inside)
            assert set(labels) <= {*METRICS[whole].labels, "le"}, query
    # of what is told, the dashboard leaves nothing out
    assert {name for name in METRICS if not any(one in (name, *(name + part for part in PARTS)) for one in used)} == set()


def test_the_dashboard_can_be_imported_anywhere() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 39
    assert next(one["type"] for one in dashboard["templating"]["list"]) == "datasource"
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    titles = " ".join(panel["title"] for panel in dashboard["panels"]).lower()
    for word in ("requests", "latency", "failed", "interval", "drift", "label coverage", "budget", "incidents", "loop"):
        assert word in titles


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_a_label_may_hold_anything_and_two_of_one_series_do_not_spoil_the_page() -> None:
    text = render([Sample("flyball_drift_effect", ("m", 'a"b\\c\nd', "cells", "slow"), 0.1)] * 2)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == ['flyball_drift_effect{model="m",column="a\\"b\\\\c\\nd",test="cells",window="slow"} 0.1']
    assert LINE.fullmatch(lines[0])
    with pytest.raises(ValueError, match="in no table"):
        render([Sample("flyball_unheard_of", (), 1)])
    with pytest.raises(ValueError, match="zip"):
        render([Sample("flyball_labels", (), 1)])
    assert render([]) == ""


def test_a_gateway_tells_its_own_counts_the_loops_age_and_what_the_loop_wrote(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.prepare()
    metrics = Metrics(layout, "g0")
    metrics.count("m", "1.0.0", "champion", "ok")
    metrics.observe("m", 700)
    assert "flyball_loop_age_seconds" not in metrics.text(), "no loop has ever run"
    write_json(layout.run / "loop.json", {"at": 0, "pid": 1, "tick_ms": 250.0})
    layout.gauges.write_text(render([Sample("flyball_labels", ("m",), 12)]))
    text = metrics.text()
    assert 'flyball_labels{model="m"} 12' in text
    assert 'flyball_requests_total{model="m",version="1.0.0",role="champion",status="ok"} 1' in text
    assert float(re.search(r"^flyball_loop_age_seconds (\S+)$", text, re.MULTILINE)[1]) > 1e9  # type: ignore[index]  # it is there
    assert "flyball_loop_pass_seconds 0.25" in text
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or LINE.fullmatch(line), line
    told = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert len(told) == len(set(told)), "a metric is told once"
    assert all(known(name) for name in told)


def test_the_loops_age_is_measured_when_it_is_asked_for() -> None:
    assert "flyball_loop_age_seconds 3.5\n" in beat({"at": 1_000_000, "tick_ms": 1}, 4_500_000)
    assert "flyball_loop_age_seconds 0\n" in beat({"at": 9_000_000}, 4_500_000), "a clock that went back is no age below zero"
    assert beat(None, 1) == beat({}, 1) == ""
