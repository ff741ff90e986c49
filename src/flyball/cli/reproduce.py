"""`flyball train MODEL --reproduce RUN`: make a run again, and say whether the same artifact comes of it, or what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.cli import common
from flyball.cli.common import Acting
from flyball.cli.output import Output
from flyball.loop import lookup, reproducing, training
from flyball.loop.commands import Train, decide_train
from flyball.records.training import RunQueued, RunRow, RunSpec

if TYPE_CHECKING:
    from flyball.wiring import Wired


def queue(wired: Wired, out: Output, model: str, named: str, acting: Acting) -> str:
    """Queue the run that makes `named` (a run, or `MODEL@V`) again; returns its id, empty on a dry run. Raises what `reproduction_spec` does."""
    ports, state = wired.ports, wired.ports.ledger.state()
    row = reproducing.find(state, model, named)
    spec = reproducing.reproduction_spec(ports, state, row)
    reason = acting.reason or f"{row.run} is made again for {wired.caller.actor}"
    command = common.command_id(wired, acting, f"train {model} reproduce {row.run}")
    if acting.dry_run:
        common.act(wired, out, _wish(wired, spec, reason, command), decide_train, acting)
        return ""
    out.line(f"again     {row.run}" + (f"  of {model}@{row.version}" if row.version else ""))
    run, receipt = training.start(
        ports, spec, trigger="reproduction", reason=reason, actor=wired.caller.actor, release=False, command=command
    )
    return next((event.run for event in lookup.events_of(ports.ledger, receipt) if isinstance(event, RunQueued)), run)


def _wish(wired: Wired, spec: RunSpec, reason: str, command: str) -> Train:
    return Train(
        id=command,
        actor=wired.caller.actor,
        run=wired.ports.clock.new_id("run"),
        model=spec.model,
        trigger="reproduction",
        reason=reason,
        spec="",
        what=spec,
        release=False,
    )


def report(wired: Wired, out: Output, row: RunRow) -> int:
    """Say what came of it: 0 where the artifact is the very one, else 1."""
    found = wired.ports.library.result(row.result).reproduction
    assert found is not None, f"{row.run} is a reproduction, and its result says nothing of it"
    if found.same:
        out.line(f"{row.run}  the same artifact hash as {found.run}: {found.artifact}")
    else:
        learned = "what was learned is the same" if found.learned_same else "what was learned differs too"
        out.line(f"{row.run}  another artifact than {found.run}: {found.artifact[:12]}, was {found.expected[:12]}; {learned}")
        for text in found.differs:
            out.line(f"  differs  {text}")
    out.document(
        {
            "run": row.run,
            "model": row.model,
            "reproduces": found.run,
            "same": found.same,
            "artifact": found.artifact,
            "expected": found.expected,
            "learned_same": found.learned_same,
            "differs": found.differs,
        }
    )
    return 0 if found.same else 1
