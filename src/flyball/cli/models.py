"""`flyball models`: versions, and what each rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common, comparing, elsewhere, lifecycle
from flyball.cli.card import card, framing_document
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.costs import cost_text, search_text
from flyball.cli.output import Output, ago, estimate, one_line
from flyball.clock import Instant, rfc3339
from flyball.declare.codec import short
from flyball.declare.framing import summary
from flyball.loop import lookup
from flyball.loop.cards import declared
from flyball.loop.feedback import examined
from flyball.loop.waiting import stopped
from flyball.loop.waivers import waivers_text
from flyball.monitoring.feedback import feedback_findings
from flyball.records import codec
from flyball.records.base import State
from flyball.records.commits import commit_text
from flyball.records.declarations import DECLARATIONS
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.models import Manifest
from flyball.records.training import RUNS, RunResult
from flyball.records.versions import VERSIONS, VersionRow, VersionState
from flyball.registry import approvals, report
from flyball.registry.card import made
from flyball.registry.search import matches, parse
from flyball.serving.environments import apart, sentence

if TYPE_CHECKING:
    from flyball.wiring import Wired

app = common.app()
_SHOWN = 200
Version = Annotated[str, typer.Argument(metavar="MODEL[@V]", help="without a version: the champion, else the newest")]
_MOODS = {Outcome.PASS: "good", Outcome.FAIL: "bad", Outcome.INSUFFICIENT: "unsure", Outcome.WAIVED: "unsure"}


app.command()(card)
app.command("compare")(comparing.versions)
app.command()(lifecycle.deprecate)
app.command()(lifecycle.quarantine)
app.command()(lifecycle.judge)
app.command()(lifecycle.delete)
app.command()(lifecycle.note)


@app.callback()
def models() -> None:
    """Versions of models."""


@app.command("list")
def list_versions(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="only this model's versions", show_default=False)] = "",
    *,
    search: Annotated[
        str, typer.Option("--search", metavar="TERMS", help='such as "accuracy>0.7 state=eligible tag=region:eu"; all of them have to hold')
    ] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="how many versions at most")] = _SHOWN,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Every version, newest first. With its state, its part in serving, and its metrics on the hold-out."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.reading_options():
        query = parse(search)
    with common.opened(project, env) as wired:
        if model:
            common.declared(wired, common.model_name(model))
        state, now = wired.ledger.state(), wired.ports.clock.now()
        every: Iterable[VersionRow] = _versions(state, model) if model else lookup.newest_versions(state, partial(common.may_see, wired))
        found = list(islice((row for row in every if matches(query, row)), limit + 1))
        more, found = len(found) > limit, found[:limit]
        cells = [
            [row.model, row.version, _state(row), lookup.role(state, row), headline(row), f"{ago(row.registered_at, now)} ago", row.run]
            for row in found
        ]
        out.table(("MODEL", "VERSION", "STATE", "ROLE", "ON THE HOLD-OUT", "MADE", "RUN"), cells)
        declared = [name for name, _ in state.scan(DECLARATIONS) if model in ("", name) and common.may_see(wired, name)]
        without = [name for name in declared if not lookup.roles(state, name).newest]
        for name in [] if query else without:
            if lookup.is_unmade(wired.ports, state, name):
                there = elsewhere.version(state, name)
                out.line(f"{name}{there and f'@{there}'}  is served elsewhere: flyball {f'monitor {name}' if there else 'status'}")
            else:
                out.line(f"{name}  has no version yet: flyball train {name}")
        if query and not found:
            out.line("no version is so")
        if more:
            out.note(f"there are more: --limit {limit * 10:,} shows them, or name a model")
        out.document({"versions": [_summary(state, row) for row in found], "without_version": without, "more": more})
    return 0


def _versions(state: State, model: str) -> list[VersionRow]:
    """A model's versions, newest first."""
    rows = [row for _, row in state.scan(VERSIONS, f"{model}/")]
    return sorted(rows, key=lambda row: (-row.registered_at, row.version))


@app.command()
def show(
    version: Version,
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """One version. Where it comes from, what it was made of, and how it was judged."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        row = common.find_reference(wired, version)
        state = wired.ports.ledger.state()
        if row.state is VersionState.DELETED:
            _tombstone(out, row)
            out.document(_summary(state, row) | {"artifact": None, "why": row.retired_why})
            return 0
        result = wired.ports.library.result(row.result)
        now = wired.ports.clock.now()
        _show(out, wired, state, row, result, now)
        document = _summary(state, row) | {
            "artifact": row.artifact,
            "lock": lines_of_lock(wired, row),
            "parameters": result.parameters,
            "window": str(result.window),
            "rows": result.rows,
            "holdout_rows": result.holdout_rows,
            "baseline": result.baseline,
            "compared_with": result.champion,
            "slices": result.by_slice,
            "verdicts": verdicts(row, result, now),
            "unlisted": {},
            "waivers": waivers_document(row, now),
            "measured": result.measured,
            "unmeasured": result.unmeasured,
            "report": wired.ports.library.report(result.report),
            "cpu_s": round(result.whole_cpu_s, 3),
            "cost": result.cost,
            "environment": result.environment,
            "served_by": apart(wired.layout).get(f"{row.model}@{row.version}", ()),
            "notes": result.notes,
            "feedback": examined(state, row.model, row.version),
            "history": result.history,
            "framing": _framing(wired, state, row),
        }
        out.document(document)
    return 0


def lines_of_lock(wired: Wired, row: VersionRow) -> list[str]:
    """Every distribution that a version was made with; none of one that was made before environments were locked."""
    lock = codec.decode(wired.blobs.get(row.artifact), Manifest).lock
    return wired.blobs.get(lock).decode().splitlines() if lock else []


def _of_code(wired: Wired, row: VersionRow) -> str:
    """Which features and which code it is of, as far as that was noted."""
    made = codec.decode(wired.blobs.get(row.artifact), Manifest)
    features = f"  features {short(row.features_digest)}" if row.features_digest else ""
    return f"{features}  code {made.code[:12]}" + (f", commit {commit_text(row.commit)}" if row.commit else "")


def _state(row: VersionRow) -> str:
    return f"{row.state.value}, deprecated" if row.deprecated else row.state.value


def _made_with(wired: Wired, row: VersionRow, result: RunResult) -> Iterator[str]:
    """What it was made with, and whether what serves it has the same."""
    found = result.environment
    if found is not None:
        known = ", ".join(f"{name} {version}" for name, version in found.libraries.items())
        yield f"built     Python {found.python}, {known} on {found.processor}"
    if result.cost is not None:
        yield f"cost      {cost_text(result.cost)}"
    if search_text(result):
        yield f"search    {search_text(result)}"
    differs = apart(wired.layout).get(f"{row.model}@{row.version}")
    if differs:
        yield f"differs   {sentence(f'{row.model}@{row.version}', differs)}"
    yield from (f"note      {note}" for note in result.notes)
    own = feedback_findings(examined(wired.ledger.state(), row.model, row.version))
    yield from (f"feedback  {one.why}" for one in own if one.severity != "none")


def _tombstone(out: Output, row: VersionRow) -> None:
    out.line(f"{row.model}@{row.version}   {row.state.value}: {row.retired_why}")
    out.line(f"made      {made(row)} by {row.run}")
    for verdict in row.verdicts:
        out.line(f"gate      {verdict_line(out, verdict)}")


def _show(out: Output, wired: Wired, state: State, row: VersionRow, result: RunResult, now: Instant) -> None:
    run = state.get(RUNS, row.run)
    out.line(f"{row.model}@{row.version}   {row.state.value}   {lookup.role(state, row)}".rstrip())
    if (waits := stopped(state, row, wired.ports.library)) is not None:
        out.line(
            f"{out.paint(waits.kind, 'bad' if waits.kind == 'rejected' else 'unsure')}{' ' * (10 - len(waits.kind))}{waits.what}   → {waits.step}"
        )
    if open_ := lookup.unjudged(state, row):
        out.line(f"{out.paint('gates', 'unsure')}     {open_}")
    if row.state is VersionState.QUARANTINED:
        out.line(f"{out.paint('quarantine', 'bad')}  {one_line(row.quarantined)}")
    for line in lifecycle.known_lines(out, row):
        out.line(line)
    for said in row.said:
        under = "" if said.gates_digest == row.gates_digest else "   (to other gates than those that judge it now)"
        out.line(
            f"{'approved' if said.yes else 'rejected'}  {rfc3339(said.at)} by {said.actor} as {', '.join(said.roles)}: {one_line(said.reason)}{under}"
        )
    for expired, text in waivers_text(row, now):
        out.line(f"{out.paint('waived', 'bad' if expired else 'unsure')}    {one_line(text)}")
    out.line(f"made      {made(row)} by {row.run}" + (f" ({run.trigger}: {run.reason})" if run else ""))
    if (model := declared(wired.ports, state, row)) is not None:
        out.line(f"for       {summary(model.framing)}")
    out.line(f"declared  version {short(row.version_digest)}  policy {short(row.policy_digest)}{_of_code(wired, row)}")
    for name, content in row.data.items():
        # what views and suites read is told too; the rows that were fitted and held out are those of the model's own data set
        rows = (
            f"  {result.rows:,} rows {result.taken}, {result.holdout_rows:,} held out" if model is None or name == model.data.name else ""
        )
        out.line(f"data      {name} {content[:12]}{rows}")
    out.line(f"lineage   flyball lineage {row.model}@{row.version}")
    if result.parameters:
        out.line(f"with      {', '.join(f'{name}={value}' for name, value in result.parameters.items())}")
    for text in _made_with(wired, row, result):
        out.line(text)
    out.line(f"artifact  {row.artifact[:12]}  {len(wired.ports.library.signature(row.artifact).fields)} fields a request")
    if locked := lines_of_lock(wired, row):
        out.line(f"lock      {len(locked)} distributions: {', '.join(locked[:3])}, …   → --json has all")
    metrics = [[name, estimate(found), _value(result.champion, name), _value(result.baseline, name)] for name, found in row.metrics.items()]
    out.table(("METRIC", "ON THE HOLD-OUT", "CHAMPION THEN", "BASELINE"), metrics)
    for topic, line in report.lines(wired.ports.library.report(result.report)):
        out.line(f"{topic:<9} {line}")
    for verdict in verdicts(row, result, now):
        out.line(verdict_line(out, verdict))


def _framing(wired: Wired, state: State, row: VersionRow) -> dict[str, object] | None:
    model = declared(wired.ports, state, row)
    return None if model is None else framing_document(model)


def _value(known: dict[str, Estimate], name: str) -> str:
    return estimate(known[name]) if name in known else "–"


def verdicts(row: VersionRow, result: RunResult, now: Instant) -> tuple[Verdict, ...]:
    """All verdicts on a version as they are now: a gate whose waiver has expired is what it was before.

    Of many verdicts the row lists some, and the result that the version was judged by has all.
    """
    if not row.unlisted and not row.waivers:
        return row.verdicts
    # what persons said since stands on the row alone
    return approvals.lifted(row, result.verdicts, row.gates_digest, now)


def waivers_document(row: VersionRow, now: Instant) -> list[dict[str, object]]:
    """The waivers of the gates that judge a version."""
    return [
        {
            "gate": each.gate,
            "slice": each.slice or None,
            "actor": each.actor,
            "reason": each.reason,
            "at": rfc3339(each.at),
            "until": rfc3339(each.until) if each.until else None,
            "expired": approvals.expired(each, now),
        }
        for each in row.waivers
        if each.gates_digest == row.gates_digest
    ]


def verdict_line(out: Output, verdict: Verdict) -> str:
    """One gate's outcome: "PASS  accuracy ≥ 0.62  0.768 [0.70, 0.83] n=144"."""
    word = out.paint(f"{verdict.outcome.value.upper():<12}", _MOODS[verdict.outcome])
    check = f"{verdict.check} in {verdict.slice}" if verdict.slice else verdict.check
    # why a verdict is as it is says its figures, in their unit
    return f"{word}  {check:<40}  {verdict.why or estimate(verdict.estimate)}".rstrip()


def headline(row: VersionRow) -> str:
    """The first metric of a version: its task's own."""
    found = next(((name, each) for name, each in row.metrics.items() if each.value is not None), None)
    return f"{found[0]} {estimate(found[1])}" if found else ""


def _summary(state: State, row: VersionRow) -> dict[str, object]:
    return {
        "model": row.model,
        "version": row.version,
        "state": row.state,
        "role": lookup.role(state, row),
        "run": row.run,
        "made": rfc3339(row.registered_at),
        "version_digest": row.version_digest,
        "policy_digest": row.policy_digest,
        "features_digest": row.features_digest or None,
        "commit": row.commit or None,
        "data": row.data,
        "metrics": row.metrics,
        "verdicts": row.verdicts,
        "unlisted": row.unlisted,
        "deprecated": row.deprecated or None,
        "quarantined": row.quarantined or None,
        "origin": row.origin or None,
        "checked": row.checked,
        "integration": row.integration,
        "known": row.known,
        "tags": row.tags,
    }
