"""`flyball models deprecate|quarantine|delete|note`: what persons make of a version, and what they know of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.output import Output, event_text, one_line
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.loop import lifecycle, lookup
from flyball.loop.carrying import integration_text
from flyball.records.base import Receipt, Refusal
from flyball.records.models import ModelRef, parse_ref
from flyball.records.versions import VersionRow

if TYPE_CHECKING:
    from pathlib import Path

    from flyball.wiring import Wired

Version = Annotated[str, typer.Argument(metavar="MODEL@V", help="the version, as in price-direction@1.4.0")]


def deprecate(
    version: Version,
    *,
    lift: Annotated[bool, typer.Option("--lift", help="advise against it no more")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Advise against a version. It stays what it is, whoever releases it is told, and the loop releases it no more by itself."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting(reason, dry_run, key)
    common.must_say("--reason", reason, f"{'taking an advice back' if lift else 'advising against a version'} needs a reason")
    with common.opened(_named(project, version), env) as wired:
        row = common.find_reference(wired, version)
        command, actor = _command(wired, acting, f"deprecate {row.model}@{row.version} {lift}"), wired.caller.actor
        if lift:
            receipt = common.act(wired, out, *lifecycle.undeprecate(row, command=command, actor=actor, reason=reason), acting)
        else:
            receipt = common.act(wired, out, *lifecycle.deprecate(row, command=command, actor=actor, reason=reason), acting)
        return _told(wired, out, row, receipt, "is advised against no more" if lift else "is deprecated")


def quarantine(
    version: Version,
    *,
    lift: Annotated[bool, typer.Option("--lift", help="let it out: it is judged again")] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Take a version out of everything. It is not released, nor gone back to; what answers is rolled back first."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting(reason, dry_run, key)
    common.must_say("--reason", reason, f"{'letting a version out' if lift else 'a quarantine'} needs a reason")
    with common.opened(_named(project, version), env) as wired:
        row = common.find_reference(wired, version)
        ports, actor = wired.ports, wired.caller.actor
        command = _command(wired, acting, f"quarantine {row.model}@{row.version} {lift}")
        if lift:
            receipt = common.act(wired, out, *lifecycle.reinstate(ports, row, command=command, actor=actor, reason=reason), acting)
        else:
            model = common.declared(wired, row.model)
            receipt = common.act(wired, out, *lifecycle.quarantine(ports, model, row, command=command, actor=actor, reason=reason), acting)
        return _told(wired, out, row, receipt, "is out of quarantine" if lift else "is quarantined")


def judge(
    version: Version,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Judge a version by the present gates. Of one that was judged by others only; the loop does it, and it costs no training."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting(reason, dry_run, key)
    common.must_say("--reason", reason, "a judging needs a reason")
    with common.opened(_named(project, version), env) as wired:
        row = common.find_reference(wired, version)
        command = _command(wired, acting, f"judge {row.model}@{row.version}")
        order = lifecycle.judge(row, command=command, actor=wired.caller.actor, reason=reason)
        told = _told(wired, out, row, common.act(wired, out, *order, acting), "is judged by the loop")
        if not dry_run and not common.is_up(wired):
            out.note("flyball is not up: flyball tick, or flyball up, judges it")
        return told


def delete(
    version: Version,
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Give up what a version is made of. Its name, verdicts and notes stay; `flyball gc` makes the room once it is old enough."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting(reason, dry_run, key)
    common.must_say("--reason", reason, "a deletion needs a reason")
    with common.opened(_named(project, version), env) as wired:
        row = common.find_reference(wired, version)
        command, model = _command(wired, acting, f"delete {row.model}@{row.version}"), common.declared(wired, row.model)
        order = lifecycle.delete(wired.ports, model, row, command=command, actor=wired.caller.actor, reason=reason)
        return _told(wired, out, row, common.act(wired, out, *order, acting), "is deleted")


def note(
    version: Version,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT…]", help="known failure modes to add", show_default=False)] = None,
    *,
    drop: Annotated[
        list[int] | None, typer.Option("--drop", metavar="N", help="take the note of this number off; may be given again")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="NAME[=VALUE]", help="set a tag; may be given again")] = None,
    untag: Annotated[list[str] | None, typer.Option("--untag", metavar="NAME", help="take a tag off; may be given again")] = None,
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Change what is known of a version. How it fails, in words, and tags: both stand on its card; without anything to change they are shown."""
    out, acting = Output(as_json=as_json, quiet=quiet), Acting("", dry_run, key)
    with common.opened(_named(project, version), env) as wired:
        row = common.find_reference(wired, version)
        if not any((texts, drop, tag, untag)):
            return _known(out, row, 0)
        with common.reading_options():
            command, decide = lifecycle.annotate(
                row,
                command=_command(wired, acting, f"note {row.model}@{row.version} {texts} {drop} {tag} {untag}"),
                actor=wired.caller.actor,
                add=texts or (),
                drop=[row.known[number - 1].text for number in drop or () if 1 <= number <= len(row.known)],
                tags=lifecycle.plain_tags(tag or (), untag or ()),
            )
        # what was done under its key before is not asked of what it left
        absent = _absent(row, drop or (), untag or ())
        receipt = common.act(wired, out, command, (lambda *_: absent) if absent is not None else decide, acting)
        return 0 if receipt is None else _known(out, _again(wired, row), receipt.last)


def _absent(row: VersionRow, drop: Sequence[int], untag: Sequence[str]) -> Refusal | None:
    """That something is to be taken off which is not there."""
    ref = f"{row.model}@{row.version}"
    for number in drop:
        if not 1 <= number <= len(row.known):
            fix = f"flyball models note {ref} shows them"
            return Refusal(code="bad-input", what=f"there is no note {number}", why=f"{ref} has {len(row.known)}", fix=fix)
    for name in untag:
        if name not in row.tags:
            fix = near(name, row.tags) if row.tags else f"flyball models note {ref} shows what there is"
            return Refusal(code="bad-input", what=f'{ref} has no tag "{name[:80]}"', why="so it cannot be taken off", fix=fix)
    return None


def known_lines(out: Output, row: VersionRow) -> list[str]:
    """What is known of a version: where it was tried, its advice, failure modes and tags."""
    found = ((f"in {row.origin}: ", row.checked), ("", row.integration))
    lines = [f"tried     {where}{integration_text(each)}" for where, each in found if each is not None]
    lines += [f"{out.paint('advised', 'bad')}   against: {one_line(row.deprecated)}"] if row.deprecated else []
    lines += [
        f"{out.paint('known', 'unsure')}     {place}. {one_line(each.text)}   ({each.actor})" for place, each in enumerate(row.known, 1)
    ]
    return lines + ([f"tags      {', '.join(tags_text(row))}"] if row.tags else [])


def tags_text(row: VersionRow) -> list[str]:
    """Tags as they are written: `reviewed`, `region=eu`."""
    return [f"{name}={value}" if value else name for name, value in row.tags.items()]


def _known(out: Output, row: VersionRow, event: int) -> int:
    for line in known_lines(out, row) or [f"{row.model}@{row.version} has no notes and no tags"]:
        out.line(line)
    out.document({"model": row.model, "version": row.version, "known": row.known, "tags": row.tags, "event": event or None})
    return 0


def _named(project: Path, version: str) -> Path:
    """The project, if the argument names one version. Raises BadInput."""
    if not parse_ref(version).version:
        raise BadInput(f"{version} names no version", why="this is about one version", fix=f"flyball models list {version} shows them")
    return project


def _command(wired: Wired, acting: Acting, order: str) -> str:
    return common.command_id(wired, acting, order)


def _again(wired: Wired, row: VersionRow) -> VersionRow:
    return lookup.version(wired.ports.ledger.state(), ModelRef(model=row.model, version=row.version))


def _told(wired: Wired, out: Output, row: VersionRow, receipt: Receipt | None, done: str) -> int:
    if receipt is None:
        return 0
    after = _again(wired, row)
    said = done if receipt.last else "is as it was"
    state = f"   {after.state.value}" if after.state.value not in done else ""
    out.line(f"{row.model}@{row.version} {said}{state}   {event_text(receipt.last)}")
    out.document(
        {
            "model": row.model,
            "version": row.version,
            "state": after.state,
            "deprecated": after.deprecated or None,
            "event": receipt.last or None,
        }
    )
    return 0
