"""`flyball runs`: trainings and judgings, what they were asked, what they came to, and what they wrote."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.comparing import show as show_comparison
from flyball.cli.costs import cost_text, search_text
from flyball.cli.models import verdict_line
from flyball.cli.output import Output, ago, dated, estimate, event_text, roughly
from flyball.clock import Instant, rfc3339
from flyball.loop import lookup, sides
from flyball.loop.commands import CancelRun, decide_cancel_run
from flyball.records.commits import commit_text
from flyball.records.training import RUNS, RunRow, RunState
from flyball.registry.compare import compare as compared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flyball.records.training import RunResult, RunSpec
    from flyball.wiring import Wired

app = common.app()
Run = Annotated[str, typer.Argument(metavar="ID", help="a run's id, or its end")]
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
_SHOWN = 50
_PAGE = 200
_LINES = 20
_MOODS = {RunState.SUCCEEDED: "good", RunState.FAILED: "bad", RunState.CANCELLED: "unsure"}


@app.callback()
def runs() -> None:
    """Runs of all models."""


@app.command("list")
def list_runs(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help="only this model's runs", show_default=False)] = "",
    *,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="how many, the newest first")] = _SHOWN,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Runs, newest first. Why each was made, what it came to, and how long it took."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        if model:
            common.declared(wired, common.model_name(model))
        now = wired.ports.clock.now()
        found = list(islice((row for row in _newest(wired) if model in ("", row.model) and common.may_see(wired, row.model)), limit + 1))
        more, found = len(found) > limit, found[:limit]
        cells = [
            [
                row.run,
                row.model,
                row.state.value,
                row.trigger,
                row.version or "–",
                f"{ago(row.queued_at, now)} ago",
                _took(row, now),
                _why(row),
            ]
            for row in found
        ]
        out.table(("RUN", "MODEL", "STATE", "TRIGGER", "VERSION", "QUEUED", "TOOK", "WHY"), cells)
        if not found:
            out.line("no run yet: flyball train MODEL")
        if more:
            out.note(f"there are older ones: --limit {limit * 10:,} shows more")
        out.document({"runs": [dated(row) for row in found], "more": more})
    return 0


def _newest(wired: Wired) -> Iterator[RunRow]:
    """Every run, the newest first: ids sort by time, and a page at a time is read."""
    state, before = wired.ledger.state(), ""
    while page := state.last(RUNS, "", before, _PAGE):
        yield from (row for _, row in page)
        before = page[-1][0]


@app.command()
def show(
    run: Run,
    *,
    log: Annotated[bool, typer.Option("--log", help="all that it has written, and nothing else")] = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """One run. What it was asked, what it came to, and the end of its log."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        row = _found(wired, run)
        text = _log(wired, row)
        if log:
            for line in text.splitlines():
                out.line(line)
            out.document({"run": row.run, "log": text})
            return 0
        now, library = wired.ports.clock.now(), wired.ports.library
        spec, result = library.spec(row.spec), library.result(row.result) if row.result else None
        same = lookup.reused(wired.ports.ledger.state(), row)
        _show(out, row, spec, result, now, same)
        before = lookup.last_not_cancelled(wired.ports.ledger.state(), row.after) if row.state is RunState.CANCELLED else None
        if before is not None and before.state is RunState.FAILED:
            out.line(f"before    {before.run} {out.paint('failed', 'bad')}: {_why(before)}   → flyball runs show {before.run}")
        lines = text.splitlines()
        if lines:
            out.line("log" + (f"       the last {_LINES} of {len(lines):,} lines; --log shows all" if len(lines) > _LINES else ""))
        for line in lines[-_LINES:]:
            out.line(f"  {line}")
        out.document(dated(row) | {"spec_of": spec, "result_of": result, "reused": same or None, "log": lines[-_LINES:]})
    return 0


def _show(out: Output, row: RunRow, spec: RunSpec, result: RunResult | None, now: Instant, same: str) -> None:
    out.line(f"{row.run}   {row.model}   {out.paint(row.state.value, _MOODS.get(row.state, 'dim'))}   {_took(row, now)}".rstrip())
    out.line(f"asked     {rfc3339(row.queued_at)} by {row.by or 'loop'} ({row.trigger}: {row.reason})")
    out.line(f"code      {spec.code[:12]}" + (f", commit {commit_text(row.commit)}" if row.commit else ""))
    if row.version:
        out.line(f"gave      {row.model}@{row.version}   → flyball models show {row.model}@{row.version}")
    if same:
        out.line(f"same      nothing had changed since {same}: this is its result, and nothing was fitted")
    if row.why:
        out.line(f"why       {row.why}")
    if spec.candidate:
        out.line(f"judged    {spec.candidate_version} again; nothing was fitted")
    for name, content in spec.datasets.items():
        # rows without a time are known whenever they are read
        out.line(f"data      {name} {content[:12]}" + (f", known by {rfc3339(spec.as_of)}" if spec.as_of else ""))
    asked = [f"{name}={value}" for name, value in spec.parameters.items()]
    out.line(f"with      {', '.join([*asked, f'{spec.trials} trials', f'seed {spec.seed}'])}")
    if spec.champion_version:
        out.line(f"beside    {spec.champion_version}, the champion then")
    if result is None:
        return
    if result.parameters:
        out.line(f"chose     {', '.join(f'{name}={value}' for name, value in result.parameters.items())}")
    out.line(f"used      {result.rows:,} rows {result.taken}, {result.holdout_rows:,} held out")
    if not same:
        out.line(f"cost      {cost_text(result.cost) if result.cost is not None else f'{result.cpu_s:.1f} s CPU'}")
    if search_text(result):
        out.line(f"search    {search_text(result)}")
    for note in result.notes:
        out.line(f"note      {note}")
    out.table(("METRIC", "ON THE HOLD-OUT"), [[name, estimate(found)] for name, found in result.metrics.items()])
    for verdict in result.verdicts:
        out.line(verdict_line(out, verdict))


@app.command()
def compare(
    first: Run,
    second: Run,
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Two runs side by side. What differs of data, features, code, parameters and libraries, their metrics, and their verdicts."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        found = [sides.of_run(wired.ports, _found(wired, name)) for name in (first, second)]
        show_comparison(out, compared(*found))
    return 0


@app.command()
def cancel(
    run: Run,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Stop a run that has not ended. What it has found by then is lost."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting(reason, dry_run, key)
    with common.opened(project, env) as wired:
        row = _found(wired, run)
        command = CancelRun(
            id=common.command_id(wired, acting, f"cancel {row.run}"),
            actor=wired.caller.actor,
            run=row.run,
            reason=reason or "no reason was given",
        )
        receipt = common.act(wired, out, command, decide_cancel_run, acting)
        if receipt is None:
            return 0
        wired.ports.runs.cancel(row.run, row.attempt)
        after = lookup.run(wired.ports.ledger.state(), row.run)
        out.line(f"{row.run} is {after.state.value}   {event_text(receipt.last)}")
        out.document({"run": row.run, "state": after.state, "event": receipt.last})
    return 0


def _found(wired: Wired, name: str) -> RunRow:
    row = lookup.run(wired.ports.ledger.state(), name, partial(common.may_see, wired))
    common.must_see(wired, row.model)
    return row


def _log(wired: Wired, row: RunRow) -> str:
    path = wired.layout.run_log(row.run, max(row.attempt, 1))
    return path.read_text(errors="replace") if path.is_file() else ""


def _took(row: RunRow, now: Instant) -> str:
    return roughly((row.ended_at or now) - row.queued_at, parts=2) if row.ended_at or row.state not in _OVER else "–"


def _why(row: RunRow) -> str:
    return (row.why if row.state is RunState.FAILED and row.why else row.reason).splitlines()[0] if (row.why or row.reason) else ""
