"""`flyball waive`: let a version pass a gate that did not hold, with a reason, until a time."""

from __future__ import annotations

from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.approve import VersionArgument
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.models import waivers_document
from flyball.cli.output import Output
from flyball.errors import BadInput
from flyball.loop import waivers
from flyball.records.models import parse_ref
from flyball.records.versions import VERSIONS

app = common.app()


@app.command()
def waive(
    version: VersionArgument,
    *,
    gate: Annotated[
        str,
        typer.Option("--gate", metavar="GATE", help='the gate as `models show` writes it, such as "accuracy ≥ 0.7" or "accuracy >= 0.7"'),
    ] = "",
    until: Annotated[
        str, typer.Option("--until", metavar="SPAN|TIME", help="how long, as 7d, or until when (RFC 3339); without end if it is left out")
    ] = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Let a version pass a gate that failed or is open. Never one of your own: four eyes. From its end on, the gate blocks again."""
    out = Output(as_json=as_json, quiet=quiet)
    common.must_say("--reason", reason, "a waiver needs a reason")
    common.must_say("--gate", gate, "no gate is named", why=f"a waiver is of one gate, as flyball models show {version} writes it")
    if not parse_ref(version).version:
        raise BadInput(f"{version} names no version", why="a waiver is of one version", fix=f"flyball models list {version} shows them")
    with common.opened(project, env) as wired:
        row = common.find_reference(wired, version)
        acting = Acting(reason, dry_run, key)
        with common.reading_options():
            ends = waivers.end_of(until, wired.ports.clock.now())
        command, decide = waivers.waive(
            wired.ports,
            wired.caller,
            row,
            command=common.command_id(wired, acting, f"waive {row.model}@{row.version} {gate} {until}"),
            gate=gate,
            reason=reason,
            until=ends,
        )
        receipt = common.act(wired, out, command, decide, acting)
        if receipt is None:
            return 0
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        after = state.get(VERSIONS, f"{row.model}/{row.version}")
        assert after is not None, f"{version} was waived and is not there"
        out.line(f"{row.model}@{row.version} {after.state.value}   event {receipt.last}")
        for expired, text in waivers.waivers_text(after, now):
            out.line(f"{out.paint('waived', 'bad' if expired else 'unsure')}    {text}")
        told = {"model": row.model, "version": row.version, "state": after.state, "waivers": waivers_document(after, now)}
        out.document(told | {"event": receipt.last})
    return 0
