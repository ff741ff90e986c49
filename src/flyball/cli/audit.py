"""`flyball audit`: whether everything that is stored is what the events say; and what follows from the events, made again."""

from __future__ import annotations

from flyball.cli import common
from flyball.cli.common import HERE, Json, Project, Quiet
from flyball.cli.output import Output

app = common.app()


@app.callback()
def audit() -> None:
    """The record and all that rests on it."""


@app.command()
def verify(*, project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Check everything that is stored. Every event, the tree over them, the projections, every blob; exit 1 with each problem named."""
    from flyball.ledger.verify import verify as check

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project) as wired:
        found = check(wired.ledger, wired.blobs)
    counts = f"{found.events:,} events, {found.checkpoints} checkpoints, {found.projections} projections, {found.artifacts} artifacts"
    wrong = "1 problem" if len(found.problems) == 1 else f"{len(found.problems)} problems"
    for problem in found.problems:
        out.line(f"{out.paint('PROBLEM', 'bad')}  {problem.where}  {problem.what}")
    out.line(f"{counts}: {'verified' if found.verified else wrong}")
    out.document(found)
    return 0 if found.verified else 1


@app.command()
def rebuild(*, project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Make every projection again from the events. It mends changed or lost rows, not changed events; look at what verify names first."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project) as wired:
        events = wired.ledger.rebuild()
    out.line(f"projections made again from {events:,} events")
    out.document({"events": events})
    return 0
