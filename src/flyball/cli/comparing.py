"""Two runs or versions side by side, for people."""

from __future__ import annotations

from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output, estimate, number
from flyball.declare.metrics import metric_info
from flyball.declare.units import shown_size
from flyball.loop import sides
from flyball.registry.compare import Comparison, Differs, MetricBeside, compare

Version = Annotated[str, typer.Argument(metavar="MODEL[@V]", help="without a version: the champion, else the newest")]


def versions(
    first: Version,
    second: Version,
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Two versions side by side. What they were made of as far as it differs, their metrics whole and in slices, and their verdicts."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        rows = [common.find_reference(wired, text) for text in (first, second)]
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        found = compare(*(sides.of_version(wired.ports, state, row, now) for row in rows))
        show(out, found)
    return 0


def show(out: Output, found: Comparison) -> None:
    """A comparison as tables, and as a document."""
    differences = [[each.topic, each.what, *(_side(each, text) for text in (each.first, each.second))] for each in found.differences]
    if differences:
        out.table(("DIFFERS IN", "WHAT", found.first, found.second), differences)
    else:
        out.line("both were made of the same")
    out.line()
    metrics = [
        [
            each.metric,
            each.slice,
            estimate(each.first, _unit(each)) if each.first is not None else "–",
            estimate(each.second, _unit(each)) if each.second is not None else "–",
            _apart(each),
        ]
        for each in found.metrics
    ]
    out.table(("METRIC", "SLICE", found.first, found.second, "DIFFERENCE"), metrics)
    if found.verdicts:
        out.line()
        verdicts = [[each.gate, each.slice, _outcome(each.first), _outcome(each.second)] for each in found.verdicts]
        out.table(("GATE", "SLICE", found.first, found.second), verdicts)
    out.document(found)


def _side(each: Differs, text: str) -> str:
    """One side of a difference; of a content the beginning, by which people know it."""
    return (text[:12] if each.topic == "data" else text) or "–"


def _unit(each: MetricBeside) -> str:
    info = metric_info(each.metric)
    return info.unit if info is not None else ""


def _apart(each: MetricBeside) -> str:
    if each.difference is None:
        return "–"
    size, unit = abs(each.difference), _unit(each)
    shown = shown_size(size) if unit == "B" else f"{number(size)}{' ms' if unit == 'ms' else ''}"
    return f"{'+' if each.difference > 0 else '−' if each.difference < 0 else ''}{shown}"


def _outcome(outcome: str | None) -> str:
    return str(outcome) if outcome is not None else "–"
