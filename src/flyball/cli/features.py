"""`flyball features`: the values that models get from feature views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball.cli import common
from flyball.cli.common import HERE, BadArgument, Env, Json, Project, Quiet
from flyball.cli.output import Bar, Output, ago, counted, dated, roughly
from flyball.cli.verify import verify
from flyball.clock import Instant, Span, rfc3339
from flyball.errors import BadInput, FlyballError
from flyball.loop.lookup import missing
from flyball.loop.online import Wanted, bring_up, noted, seen, status, wanted
from flyball.records.online import ViewsStatus, ViewStatus

if TYPE_CHECKING:
    from flyball.wiring import Wired

app = common.app()
View = Annotated[str, typer.Argument(metavar="VIEW", help="a feature view")]


@app.callback()
def features() -> None:
    """Feature views: how far they are in the online store, and what was served of them."""


@app.command("list")
def list_views(*, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Every feature view that a model reads. How far it is in the online store."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        now = wired.ports.clock.now()
        views = _views(wired, out)
    if views:
        head = ("VIEW", "DEFINITION", "DATA SET", "STATE", "ROWS", "NEWEST ROW", "BEHIND", "MODELS")
        out.table(head, [_listed(each, now) for each in views])
    else:
        out.line("no declared model reads a feature view")
    out.document({"views": [_document(each) for each in views]})
    return 0


@app.command()
def show(view: View, *, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """One feature view. Its definitions that models read, what is read of each, how old that is, and what keeps it behind."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        now = wired.ports.clock.now()
        own = _named(_views(wired, out), view)
    for each in own:
        entity = f"by {', '.join(each.entity)}" if each.entity else "one series"
        out.line(f"{each.view} {each.digest}  {entity}, of data set {each.data}, for {', '.join(each.models)}")
        out.line(f"  {', '.join(each.features)}" + (f"   older than {Span(each.ttl)}: null" if each.ttl is not None else ""))
        if each.state == "live":
            behind = "up to date" if each.current else f"{roughly(each.lag)} behind" if each.lag else "rows have changed since"
            out.line(f"  {each.rows:,} rows, the newest known {ago(each.as_of, now)} ago, taken up {ago(each.made_at, now)} ago: {behind}")
        else:
            out.line("  nothing is read of it yet" + (f"; {counted(each.filled, 'entity', 'entities')} filled" if each.filled else ""))
        if each.problem:
            out.line(f"  {each.problem}")
    out.document({"view": view, "definitions": [_document(each) for each in own]})
    return 0


@app.command()
def materialise(
    view: Annotated[str, typer.Argument(metavar="VIEW", help="a feature view")] = "",
    *,
    every: Annotated[bool, typer.Option("--all", help="every view that a model reads")] = False,
    full: Annotated[bool, typer.Option("--full", help="make all values anew, beside those that are read")] = False,
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="make anew what rows from then on have a part in")] = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Bring views in the online store to their data sets' newest versions. The loop does it by itself where flyball is up."""
    from flyball.loop.authority import Drive

    out = Output(as_json=as_json, quiet=quiet)
    if bool(view) == every or (full and since):
        what = "--full and --since exclude each other" if full and since else "name one view, or say --all"
        raise BadArgument(what, fix="flyball features materialise VIEW, or --all; with --full, or --since 2026-01-31T00:00:00Z")
    # a span before now is none: the same command again would begin anew what was broken off
    moment = common.moment("--since", since) if since else None
    with common.opened(project, env) as wired:
        wired.permit(Drive)
        known = wanted(wired.ports.ledger.state(), wired.ports.library)
        names = [name for name, want in sorted(known.items()) if every or want.view.name == view]
        if not names:
            raise missing("feature view", view, sorted({want.view.name for want in known.values()}))
        done = [_materialise(wired, out, name, known[name], full=full, since=moment) for name in names]
    out.document({"views": [_document(each) for each in done]})
    return 0


app.command()(verify)


def _materialise(wired: Wired, out: Output, name: str, want: Wanted, *, full: bool, since: Instant | None) -> ViewStatus:
    """Bring one view up. Raises BadInput where its data set was never read, Unavailable, Conflict."""
    from flyball.features.online.encode import columns
    from flyball.features.online.materialise import Version, backfill
    from flyball.features.online.plan import plan

    bar, store, now = Bar(out, want.view.name), wired.online(), wired.ports.clock.now()

    def report(done: int, of: int) -> None:
        bar.show(done / max(of, 1), f"{done:,} of {counted(of, 'entity', 'entities')}")

    if done := store.mend():
        out.note(done)
    try:
        # where pushed rows are there that no version holds, a part alone cannot be made anew
        at = bring_up(store, want, wired.rows, now, report, whole=full or (since is not None and want.pushes))
        if at is None:
            raise BadInput(
                f'view "{want.view.name}" has nothing to be made of',
                why=f'data set "{want.view.data.name}" was not read yet',
                fix="flyball train MODEL reads it, and so do flyball up and flyball tick",
            )
        if since is not None and not want.pushes:
            made = plan(want.view)
            backfill(store, made, at, Version(want.content, wired.rows.load(want.content, columns(made))), since, now, report)
        found = status(name, want, store.generations())
    finally:
        bar.end()
        store.close()
    out.line(f"{found.view} {found.digest}  {found.rows:,} rows, the newest known {ago(found.as_of, now)} ago")
    return found


def _views(wired: Wired, out: Output) -> list[ViewStatus]:
    """Every view that the caller may see, by what the store says; where it does not answer, by what the loop saw last."""
    known = wanted(wired.ports.ledger.state(), wired.ports.library)
    told = noted(wired.layout.views)
    problems = {(each.view, each.digest): each.problem for each in told.views}
    try:
        store = wired.online()
        try:
            generations = store.generations()
        finally:
            store.close()
    except FlyballError as error:
        out.note(f"{error.what}: {error.why}. What follows is what the loop saw last")
        return _mine(wired, told)
    made = [status(name, want, generations) for name, want in sorted(known.items())]
    return _mine(wired, ViewsStatus(tuple(_with(each, problems.get((each.view, each.digest), "")) for each in made)))


def _with(each: ViewStatus, problem: str) -> ViewStatus:
    import msgspec

    return msgspec.structs.replace(each, problem="" if each.current else problem)


def _mine(wired: Wired, told: ViewsStatus) -> list[ViewStatus]:
    covers = common.seen(wired)
    return list(told.views) if covers is None else seen(told, wired.caller)


def _named(views: list[ViewStatus], name: str) -> list[ViewStatus]:
    own = [each for each in views if each.view == name]
    if not own:
        raise missing("feature view", name, sorted({each.view for each in views}))
    return own


def _listed(each: ViewStatus, now: Instant) -> list[str]:
    behind = "–" if each.lag is None else "0 s" if each.current else roughly(each.lag) if each.lag else "changed"
    rows = f"{each.rows:,}" if each.state == "live" else "–"
    state = f"{each.state}: {each.problem}" if each.problem else each.state
    return [
        each.view,
        each.digest[:8],
        each.data,
        state,
        rows,
        f"{ago(each.as_of, now)} ago" if each.as_of else "–",
        behind,
        ", ".join(each.models),
    ]


def _document(each: ViewStatus) -> dict[str, Any]:
    made = dated(each)
    return {
        **made,
        "as_of": rfc3339(each.as_of) if each.state == "live" else None,
        "lag": None if each.lag is None else each.lag / 1e6,
        "ttl": None if each.ttl is None else each.ttl / 1e6,
    }
