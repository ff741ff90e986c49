"""`flyball monitor MODEL`: what its monitors say, and what a drift is made of: which column, which values, since when, and how much of the metric's change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common, elsewhere, estimated
from flyball.cli.budgets import budget_lines, document
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.live_quality import Live, LiveQuality, live
from flyball.cli.outcomes import outcome_lines
from flyball.cli.output import Output, ago, dated, number, roughly
from flyball.cli.serving_cost import cost_of, cost_text
from flyball.clock import Instant, rfc3339
from flyball.errors import NotFound
from flyball.incidents.rules import fires_since
from flyball.loop import lookup
from flyball.loop.budgets import budgets_of
from flyball.loop.findings import alerts_of, incidents_of
from flyball.loop.memory import load
from flyball.loop.outcomes import outcomes_seen
from flyball.monitoring.explain import Explained, explained
from flyball.monitoring.labels import labels_seen
from flyball.monitoring.rules import lacking
from flyball.monitoring.slabs import within
from flyball.records.alerts import AlertRow, AlertState, Finding
from flyball.records.elsewhere import ELSEWHERE
from flyball.records.evidence import LabelsSeen
from flyball.records.incidents import IncidentState
from flyball.records.versions import VERSIONS

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.monitoring.state import MonitorState
    from flyball.records.base import State
    from flyball.wiring import Wired

app = typer.Typer(add_completion=False)

_TOLD = (AlertState.PENDING, AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.STALE, AlertState.BROKEN)
_PAINT = {"alert": "bad", "warn": "unsure", "none": "unsure"}


@app.command()
def monitor(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="which model")],
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """What a model's monitors say, and what a drift is made of: column, values, since when, and its part of the metric's change."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        common.must_see(wired, model)
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        declared = lookup.declared(wired.ports, model)
        kept = load(wired.ports.memory).monitor(model)
        if not kept.version:
            why = elsewhere.doing(state, declared, kept) or "no version of it has answered"
            raise NotFound(f"nothing of {model} is watched yet", why=why, fix="flyball status says how far it is")
        found = live(state, declared, kept, now)
        alerts = [row for _, row in sorted(alerts_of(state, model).items()) if row.state in _TOLD]
        parts = _explanations(wired, state, declared, kept, alerts, now)
        budgets = budgets_of(state, declared, kept, now)
        incidents = incidents_of(state, model)
        open_ = [row.incident for row in incidents if row.state != IncidentState.CLOSED]
        fires = {row.key: fires_since(row, incidents) for row in alerts}
        blind = lacking(declared, kept, now)
        doing = elsewhere.doing(state, declared, kept)
        _head(out, model, found, doing, labels_seen(kept.slabs, now), now)
        _tell(out, alerts, fires, parts, blind, now)
        estimated.tell(out, state, [model], now)
        made = estimated.estimate_of(state, model)
        cost = cost_of(wired, model, now)
        if cost is not None:
            out.line(f"  cost      {cost_text(cost)}")
        brought = outcomes_seen(wired.ports.memory, declared, kept.version)
        for line in outcome_lines(out, brought, now):
            out.line(line)
        spends = [(model, each) for each in budgets]
        for line in budget_lines(out, spends):
            out.line(line)
        for incident in open_:
            out.line(f"  next      flyball incidents show {incident}")
        out.document({
            "model": model,
            "version": found.version,
            "since": rfc3339(found.since) if found.since else None,
            "quality": found.quality,
            "former": found.former,
            "normal": doing or None,
            "labels": labels_seen(kept.slabs, now),
            "outcomes": [dated(each) for each in brought],
            "alerts": [dated(row) | {"fires_since": rfc3339(fires[row.key])} for row in alerts],
            "explained": parts,
            "lacking": [{"monitor": each.monitor, "why": each.why} for each in blind],
            "estimate": estimated.told(made),
            "budgets": document(spends),
            "incidents": open_,
            "cost": cost,
        })  # fmt: skip
    return 0


def _explanations(
    wired: Wired, state: State, model: Model, kept: MonitorState, alerts: list[AlertRow], now: Instant
) -> dict[str, Explained | None]:
    """Of each column that drifts, what it explains of the loss metric's change; None where that is not counted."""
    version, outside = state.get(VERSIONS, f"{model.name}/{kept.version}"), state.get(ELSEWHERE, model.name)
    columns = dict.fromkeys(
        row.finding.column for row in alerts if row.finding.column and row.finding.failure.endswith(("drift", "change"))
    )
    then = wired.ports.library.result(version.result).by_slice if version is not None and version.result else {}
    if version is None and outside is not None and outside.watched == kept.version:
        then = outside.by_slice
    slab = within(kept.slabs, max(kept.released_at, 0), now)
    metric = "accuracy" if model.task in ("binary", "multiclass") else "mae"
    return {column: explained(column, metric, then, slab.quality) for column in columns}


def _head(out: Output, model: str, found: Live, doing: str, labels: LabelsSeen, now: Instant) -> None:
    """Which version answers, how good it is, and what is still to be learnt of it."""
    out.line(f"{model}  {found.version}   answers since {ago(found.since, now)} ago")
    if doing:
        out.line(f"  normal    {doing}")
    former = found.former
    told = _quality(found.quality) if former is None else f"not known yet; {former.version}: {_quality(former.quality)}"
    out.line(f"  {found.quality.metric:<9} {told}")
    if labels.coverage is not None:
        lag = "" if labels.lag_p50_s is None else f", half of them within {roughly(round(labels.lag_p50_s * 1e6))}"
        out.line(f"  labels    {100 * labels.coverage:.0f}% of the {labels.judged:,} rows that were due in {labels.span}{lag}")


def _tell(
    out: Output,
    alerts: list[AlertRow],
    fires: dict[str, Instant],
    parts: dict[str, Explained | None],
    blind: tuple[Finding, ...],
    now: Instant,
) -> None:
    for row in alerts:
        said = "" if row.finding.severity == "none" else f"{row.finding.severity}, "
        state = out.paint(row.state.value, _PAINT[row.finding.severity])
        out.line(f"  {state}  {row.monitor}: {said}since {ago(fires[row.key], now)} ago")
        out.line(f"            {row.finding.why}")
        if row.finding.column in parts:
            for line in _explained(row.finding.column, parts[row.finding.column]):
                out.line(f"            {line}")
    for finding in blind:
        out.line(f"  no data   {finding.monitor}: {finding.why}")
    if not alerts:
        out.line("  all other monitors are quiet" if blind else "  all monitors are quiet")


def _quality(found: LiveQuality) -> str:
    if found.value is None:
        return "not known: no labelled row yet" if not found.n else f"not known, n={found.n:,}"
    interval = "" if found.low is None or found.high is None else f" [{number(found.low)}, {number(found.high)}]"
    then = "" if found.at_release is None else f", at its release {number(found.at_release)}"
    return f"{number(found.value)}{interval} n={found.n:,}{then}: {found.verdict}"


def _explained(column: str, found: Explained | None) -> list[str]:
    if found is None:
        return (
            [f'how much of the metric\'s change lies in {column} is not counted: slices=["{column}"] would']
            if column != "prediction"
            else []
        )
    moved, inside = _signed(found.moved), _signed(found.within)
    told = f"{found.metric} has changed by {_signed(found.change)} over the values of {column} (n={found.n:,})"
    lines = [f"{told}: {moved} as rows moved between them, {inside} within them"]
    for part in found.parts:
        was, is_ = ("new" if part.then is None else number(part.then)), ("gone" if part.now is None else number(part.now))
        shares = f"{100 * part.share_then:.3g}% → {100 * part.share_now:.3g}% of rows"
        lines.append(f"  {column}={part.value}: {shares}, {found.metric} {was} → {is_}, {_signed(part.change)} of the change")
    return lines


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{number(abs(value))}"
