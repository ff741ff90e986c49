"""`flyball tick`: one pass of the loop, for any scheduler."""

from __future__ import annotations

from flyball.cli import common
from flyball.cli.common import HERE, Json, Project, Quiet
from flyball.cli.look import look
from flyball.cli.output import Output, roughly
from flyball.clock import rfc3339
from flyball.errors import FlyballError
from flyball.records.declarations import DECLARATIONS

app = common.app()


@app.command()
def tick(*, project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Do everything that is due, once. Where flyball is up it does so by itself, and this does nothing."""
    from flyball.ledger.anchors import TIMEOUT_S
    from flyball.loop.tick import one_models_own
    from flyball.loop.tick import tick as one_pass

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project) as wired:
        ports = wired.ports
        before = ports.ledger.size()
        if common.is_up(wired):
            out.line("flyball is up: its loop ticks by itself")
            out.document({"ticked": False, "events": 0, "due": None})
            return 0
        # who may not is refused before anything is read
        driving = wired.driving()
        failed: list[FlyballError] = []
        for _, row in ports.ledger.state().scan(DECLARATIONS):
            with one_models_own(failed):
                look(wired, ports.library.model(row.body))
        due = now = ports.clock.now()
        with one_models_own(failed):
            due = one_pass(now, driving)
        if driving.views is not None:
            driving.views.finish()
        proving = wired.checkpointing()
        proving.step(driving, now)
        proving.finish(2 * TIMEOUT_S, now)
        verifying = wired.verifying()
        with one_models_own(failed):
            verifying.step(driving, now)
            verifying.finish(driving)
        if failed:
            raise failed[0]
        events = ports.ledger.size() - before
        out.line(f"{events} {'event' if events == 1 else 'events'}, due again in {roughly(max(due - now, 0))}")
        out.document({"ticked": True, "events": events, "due": rfc3339(due)})
    return 0
