"""`flyball data`: data sets and their versions, and a person's rights: everything held of them, and all of it erased."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common, versions
from flyball.cli import infer as inferring
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason, Yes
from flyball.cli.output import Output, dated
from flyball.errors import BadInput, Conflict
from flyball.loop.erasing import decide_erase, of_nobody
from flyball.records.base import Receipt
from flyball.records.data import DATASETS

if TYPE_CHECKING:
    from flyball.loop.eraser import Eraser, Held
    from flyball.loop.subjectkey import SubjectKey
    from flyball.wiring import Wired

app = common.app()
Subject = Annotated[str, typer.Option("--subject", metavar="VALUE", help="who: a value of the column that the data set names as subject=")]
Only = Annotated[str, typer.Option("--data", metavar="NAME", help="only this data set, and the log of the models made from it")]
TRIES = 3
"""How often rows are looked for again where more were stored meanwhile."""


@app.callback()
def data() -> None:
    """Data sets, and the rights of the persons in them."""


@app.command("list")
def list_datasets(*, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Every data set. The version in use, and what is wrong with its source."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        state = wired.ports.ledger.state()
        known, seen = state.scan(DATASETS), common.may_see_data(wired, state)
        rows = [(name, row) for name, row in known if seen(name)]
    if rows:
        out.table(("NAME", "VERSION", "ROWS", "AS OF", "SOURCE"), [versions.listed(name, row) for name, row in rows])
    elif known:
        out.line("this token is for no model that is made from one of the data sets here")
    else:
        out.line("no data set was read yet: flyball train MODEL reads one, and so does flyball up")
    out.document({"datasets": [{"name": name, **dated(row)} for name, row in rows]})
    return 0


app.command("infer")(inferring.infer)
app.command("show")(versions.show)
app.command("diff")(versions.diff)


@app.command()
def erase(
    subject: Subject,
    *,
    name: Only = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    yes: Yes = False,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Hold nothing of a person any more. Every version of every data set and the prediction log lose their rows; it cannot be undone."""
    from flyball.loop.eraser import Eraser
    from flyball.loop.subjectkey import throwaway

    out = Output(as_json=as_json, quiet=quiet)
    acting = Acting(reason, dry_run, key)
    _checked(subject, reason)
    why = "it cannot be undone, and the record says why"
    common.must_say("--reason", reason, "an erasure needs a reason", why=why, example="request NUMBER")
    with common.opened(project, env) as wired:
        wired.permit(of_nobody)
        subjects = wired.subjects()
        eraser = Eraser(subjects, wired.blobs, wired.layout)
        held = eraser.find(subject, name)
        given = _given(wired, acting, _order(subjects.key(), subject, name)) if key and not dry_run else None
        if given is not None:
            return _again(wired, out, eraser, held, key, given.last)
        if held.nothing:
            # what a killed erasure left behind is removed even so
            removed = 0 if dry_run else eraser.finish(held)
            if not dry_run:
                _forget_online(wired, out)
            _nothing(out, held, removed, None)
            return 0
        if not dry_run and not common.sure(f"erase {_counts(held)}? It cannot be undone.", yes=yes):
            return 1
        who = (subjects.key() or throwaway()) if dry_run else subjects.make_key()
        return _erase(wired, out, eraser, held, name, acting, who)


def _given(wired: Wired, acting: Acting, order: str) -> Receipt | None:
    """What the command came to that was given under this key before; None for a new key. Raises BadInput for the key of another order."""
    command = of_nobody(id=common.command_id(wired, acting, order), actor=wired.caller.actor)
    receipt = wired.ports.ledger.execute(command, lambda *_: ())
    return receipt if receipt.repeated else None


def _again(wired: Wired, out: Output, eraser: Eraser, held: Held, key: str, event: int) -> int:
    """The same command once more: what a kill left undone is done. Raises BadInput where more is held by now, which it did not erase."""
    held, removed = eraser.finish_again(held, event)
    _forget_online(wired, out)
    if not held.nothing:
        raise BadInput(
            f"the idempotency key {key} was used for an erasure that is done",
            why=f"since event {event} more came to be held: {_counts(held)}",
            fix="choose a new key to erase it too",
            code="key-reused",
        )
    _nothing(out, held, removed, event)
    return 0


def _erase(wired: Wired, out: Output, eraser: Eraser, held: Held, name: str, acting: Acting, key: SubjectKey) -> int:
    from flyball.data.erase import name_only

    command = common.command_id(wired, acting, _order(key, held.subject, name))
    for left in reversed(range(TRIES)):
        keep = name_only if acting.dry_run else None
        order = eraser.order(held, key, command=command, actor=wired.caller.actor, reason=acting.reason, keep=keep)
        try:
            receipt = common.act(wired, out, order, decide_erase, acting)
        except Conflict:
            if not left:
                raise
            held = eraser.find(held.subject, name)
            continue
        if receipt is not None and receipt.repeated:
            # the same command was given by another process just now
            return _again(wired, out, eraser, eraser.find(held.subject, name), acting.key, receipt.last)
        if receipt is not None and receipt.last:
            models = sorted({model for each in order.erased for model in each.models})
            _told(out, held, models, receipt.last, eraser.finish(held))
        elif receipt is not None:
            _nothing(out, held, eraser.finish(held), None)
        if receipt is not None:
            _forget_online(wired, out)
        return 0
    return 1


def _forget_online(wired: Wired, out: Output) -> None:
    """Have the values of feature views made anew from the rows that are left."""
    from flyball.loop.online import brought_up

    if (behind := brought_up(wired.ports)) and not out.quiet:
        out.note(f"still in the online store until its values are made anew, which flyball up does: {', '.join(behind)}")


def _told(out: Output, held: Held, models: list[str], event: int, removed: int) -> None:
    out.line(f"erased  {_counts(held)}   event {event}")
    if models:
        out.line(f"made from these rows, and what they learned stays: {', '.join(models)}")
    if held.logged:
        out.line(f"{held.logged:,} predictions lie in the open log: they go when it is sealed, within the hour where flyball is up")
    out.document(
        {
            "erased": {
                "rows": sum(each.rows for each in held.versions),
                "versions": len(held.versions),
                "predictions": sum(each.rows for each in held.segments),
                "sent": held.pushed,
                "texts": len(held.texts),
            },
            "waiting": held.logged,
            "models": models,
            "blobs_removed": removed,
            "event": event,
        }
    )


def _nothing(out: Output, held: Held, removed: int, event: int | None) -> None:
    """Nothing to erase, or no more: `event` is of the same command, given before."""
    more = f"; {held.logged:,} predictions in the open log go when it is sealed" if held.logged else ""
    out.line(f"nothing is held of this person in {', '.join(held.names)}{more}")
    counts: dict[str, int] = {"rows": 0, "versions": 0, "predictions": 0, "sent": 0, "texts": 0}
    out.document({"erased": counts, "waiting": held.logged, "models": [], "blobs_removed": removed, "event": event})


@app.command()
def export(
    subject: Subject,
    *,
    name: Only = "",
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="write it there, a file for each kind; the folder is new or empty")
    ] = None,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Everything that is held of a person. Rows, features, predictions, labels, decisions; it changes nothing."""
    from flyball.loop.erasing import Disclose
    from flyball.loop.held import Holdings, document, write

    out = Output(as_json=as_json, quiet=quiet)
    _checked(subject, "")
    with common.opened(project, env) as wired:
        wired.permit(Disclose)
        found = Holdings(wired.subjects(), wired.blobs, wired.layout).of(subject, name, wired.ports.clock.now())
    if folder is not None:
        common.empty_folder(folder)
        write(found, folder)
    for kind, items in found.parts().items():
        out.line(f"{kind:<12} {len(items):,}" + (f"   {folder / f'{kind}.jsonl'}" if folder is not None else ""))
    if folder is None and not as_json:
        out.note("--out DIR writes it to files, --json to stdout")
    out.document(document(found))
    return 0


def _checked(subject: str, reason: str) -> None:
    """Raises BadInput for what names nobody, and for a reason that would keep what is to be forgotten."""
    if not subject or len(subject) > 1000:
        raise common.BadArgument(
            "--subject names nobody", why="it is a value of the subject column, of 1 to 1,000 characters", fix="write it out"
        )
    if subject in reason.split() or (len(subject) > 3 and subject in reason):
        raise BadInput("the reason holds the person's name", why="it is recorded and would stay", fix="write the number of the request")


def _order(key: SubjectKey | None, subject: str, name: str) -> str:
    """What an idempotency key stands for: the person under their keyed hash, since it goes into the record, and the data set, if one is named.

    Without a `key` nobody was erased yet, so none is of an erasure.
    """
    return f"erase {key.who(subject) if key is not None else ''} {name}"


def _counts(held: Held) -> str:
    rows, predictions = sum(each.rows for each in held.versions), sum(each.rows for each in held.segments)
    parts = [f"{rows:,} rows in {len(held.versions)} versions of {', '.join(held.names)}", f"{predictions + held.waiting:,} predictions"]
    pushed = f", {held.pushed:,} rows that were sent" if held.pushed else ""
    return " and ".join(parts) + pushed + (f", {len(held.texts)} texts of events" if held.texts else "")
