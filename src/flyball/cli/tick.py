"""`flyball tick`: one pass of the loop, for any scheduler."""

from __future__ import annotations

from dataclasses import replace

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.look import look
from flyball.cli.output import Output, roughly
from flyball.clock import rfc3339
from flyball.declare.data import Dataset
from flyball.errors import FlyballError
from flyball.records.data import DatasetRow
from flyball.records.declarations import DECLARATIONS, DeclarationRow

app = common.app()


class _Looked:
    """Data sets whose sources were looked at just now: what a loop looks at beside itself would be left half read when this process ends."""

    def refresh(self, dataset: Dataset, row: DatasetRow | None, declared: DeclarationRow) -> None:
        """Nothing new."""


@app.command()
def tick(*, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Do everything that is due, once. Where flyball is up it does so by itself, and this does nothing."""
    from flyball.ledger.anchors import TIMEOUT_S
    from flyball.loop.live_outbox import TIMEOUT_S as SEND_S
    from flyball.loop.tick import one_models_own
    from flyball.loop.tick import tick as one_pass
    from flyball.serving.resting import RestingRoutes

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        ports = wired.ports
        before = ports.ledger.size()
        if common.is_up(wired):
            out.line("flyball is up: its loop ticks by itself")
            out.document({"ticked": False, "events": 0, "due": None})
            return 0
        # who may not is refused before anything is read
        driving = wired.driving()
        failed: list[FlyballError] = []
        looked: set[str] = set()
        for _, row in ports.ledger.state().scan(DECLARATIONS):
            with one_models_own(failed):
                look(wired, ports.library.model(row.body), looked)
        due = now = ports.clock.now()
        with one_models_own(failed):
            routes = RestingRoutes(wired.layout.root, own_environments=bool(wired.settings.own_environments))
            due = one_pass(now, replace(driving, data=_Looked(), routes=routes))
        if driving.views is not None:
            driving.views.finish()
        delivering = wired.delivering()
        delivering.step(driving, now)
        delivering.finish(driving, 2 * SEND_S)
        due = min(due, delivering.due(ports.ledger.state(), now) or due)
        proving = wired.checkpointing()
        proving.step(driving, now)
        proving.finish(2 * TIMEOUT_S, now)
        verifying = wired.verifying()
        with one_models_own(failed):
            verifying.step(driving, now)
            verifying.finish(driving)
        outside = wired.elsewhere()
        with one_models_own(failed):
            outside.step(driving, now)
            outside.finish(driving, now)
        outcomes = wired.outcomes()
        with one_models_own(failed):
            outcomes.step(driving, now)
            outcomes.finish(driving, now)
        feedback = wired.feedback()
        with one_models_own(failed):
            feedback.step(driving, now)
            feedback.finish(driving, now)
        if failed:
            raise failed[0]
        events = ports.ledger.size() - before
        out.line(f"{events} {'event' if events == 1 else 'events'}, due again in {roughly(max(due - now, 0))}")
        out.document({"ticked": True, "events": events, "due": rfc3339(due)})
    return 0
