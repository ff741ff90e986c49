"""`flyball models card`: a version's card, and the texts of it that only a person can write."""

from __future__ import annotations

from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet
from flyball.cli.output import Output, event_text
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.loop import cards, describing, lookup
from flyball.records.models import ModelRef, parse_ref
from flyball.records.versions import VersionState


def card(
    version: Annotated[str, typer.Argument(metavar="MODEL[@V]", help="without a version: the champion, else the newest")],
    *,
    fill: Annotated[
        tuple[str, str] | None,
        typer.Option("--fill", metavar="BLANK TEXT", help="write a text that only a person can write; an empty one makes it a blank again"),
    ] = None,
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """A version's card, as the Hugging Face Hub reads it. YAML with every metric, then what it is for, made of, how good and for whom, and what nobody has written yet."""
    out = Output(as_json=as_json, quiet=quiet)
    if fill is not None and not parse_ref(version).version:
        raise BadInput(f"{version} names no version", why="a text is of one version", fix=f"flyball models list {version} shows them")
    with common.opened(project, env) as wired:
        row = common.find_reference(wired, version)
        event = 0
        if fill is not None:
            blank, text = fill
            acting = Acting("", dry_run, key)
            command = common.command_id(wired, acting, f"card {row.model}@{row.version} {blank} {text}")
            with common.reading_options():
                order = describing.describe(wired.ports, row, command=command, actor=wired.caller.actor, blank=blank, text=text)
            receipt = common.act(wired, out, *order, acting)
            if receipt is None:
                return 0
            event = receipt.last
            row = lookup.version(wired.ports.ledger.state(), ModelRef(model=row.model, version=row.version))
        state, now = wired.ports.ledger.state(), wired.ports.clock.now()
        found = cards.card(wired.ports, state, row, now)
        if fill is None:
            for line in found.text.splitlines():
                out.line(line)
            if row.blanks and row.state is not VersionState.DELETED:
                out.note(f'blank     {", ".join(row.blanks)}   → flyball models card {row.model}@{row.version} --fill {row.blanks[0]} "…"')
        else:
            left = f"still blank: {', '.join(row.blanks)}" if row.blanks else "its card is written"
            said = f"{blank} is {'written' if text.strip() else 'a blank again'}" if event else f"{blank} is as it was"
            out.line(f"{row.model}@{row.version}   {said}   {row.state.value}   {left}   {event_text(event)}")
        document = {"model": row.model, "version": row.version, "state": row.state, "framing": framing_document(found.model)}
        out.document(document | {"written": row.card, "blanks": row.blanks, "card": found.text, "event": event or None})
    return 0


def framing_document(model: Model) -> dict[str, object]:
    """A framing with durations as the documents write them."""
    framing = model.framing
    return {
        "purpose": framing.purpose,
        "horizon": f"{framing.horizon.seconds:g}s",
        "act_within": None if framing.act_within is None else f"{framing.act_within.seconds:g}s",
        "kpi": framing.kpi,
        "gain": framing.gain,
        "risk": framing.risk,
    }
