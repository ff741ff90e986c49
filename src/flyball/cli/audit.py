"""`flyball audit`: whether everything that is stored is what the events say, proofs of it for others, and projections made again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output, counted
from flyball.errors import BadInput, Corrupt, NotFound, Refused, Unavailable

if TYPE_CHECKING:
    from flyball.ledger.checkpointcheck import Kept
    from flyball.ledger.checkpoints import Proof
    from flyball.loop.ports import Ports
    from flyball.wiring import Wired

app = common.app()


@app.callback()
def audit() -> None:
    """The record and all that rests on it."""


@app.command()
def verify(
    *,
    against: Annotated[
        list[Path] | None,
        typer.Option("--against", metavar="FILE", show_default=False, help="checkpoints kept elsewhere; anchor_file is always looked at"),
    ] = None,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Check everything that is stored. Every event, the tree over them, checkpoints, projections, every blob; exit 1 with each problem named."""
    from flyball.ledger.verify import verify as check

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        found = check(wired.ledger, wired.blobs, _kept(wired, against or []))
    kinds = (("event", found.events), ("checkpoint", found.checkpoints), ("projection", found.projections), ("artifact", found.artifacts))
    counts = ", ".join(counted(number, one) for one, number in kinds)
    wrong = counted(len(found.problems), "problem")
    for problem in found.problems:
        out.line(f"{out.paint('PROBLEM', 'bad')}  {problem.where}  {problem.what}")
    out.line(f"{counts}: {'verified' if found.verified else wrong}")
    out.document(found)
    return 0 if found.verified else 1


@app.command()
def prove(
    event: Annotated[int, typer.Argument(metavar="SEQ", min=1, help="the event's number")],
    *,
    to: Annotated[Path | None, typer.Option("--out", metavar="FILE", show_default=False, help="write the proof there")] = None,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Prove that an event is in the record. A third party needs the proof, your verifier key, and no flyball (docs/ledger.md)."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        common.must_read_record(wired)
        proof = _proof(wired, event)
    _deliver(out, proof, to, f"event {event} is one of the {proof.size:,} under the checkpoint of {proof.vkey.partition('+')[0]}")
    return 0


@app.command()
def consistency(
    old: Annotated[Path, typer.Argument(metavar="FILE", help="a checkpoint that was kept; the last one of a file of several")],
    *,
    to: Annotated[Path | None, typer.Option("--out", metavar="FILE", show_default=False, help="write the proof there")] = None,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Prove that nothing was changed since. The record of a kept checkpoint is shown to be the beginning of today's; exit 1 where it is not."""
    from flyball.ledger import checkpoints
    from flyball.ledger.note import Checkpoint

    out = Output(as_json=as_json, quiet=quiet)
    notes = _given(old, "FILE")
    try:
        Checkpoint.claimed(notes[-1].note if notes else b"")
    except Corrupt as error:
        fix = "name a file with a signed checkpoint, such as checkpoints.txt of flyball audit export"
        raise BadInput(f"{old} holds no checkpoint", why=error.why if notes else "it is empty", fix=fix) from error
    with common.opened(project, env) as wired:
        common.must_read_record(wired)
        # who may not have one signed has the newest that there is
        if wired.ledger.size() and (ports := _signing(wired)) is not None:
            _checkpoint(wired, ports)
        proof = checkpoints.consistency(wired.ledger, notes[-1].note)
    _deliver(out, proof, to, f"the record of {_of(proof.old)} events is the beginning of that of {_of(proof.new)}")
    return 0


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")],
    *,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write the record as plain files. events.jsonl (one event a line, as it was hashed), checkpoints.txt, keys.txt: they need no flyball to be read."""
    from flyball.governance.authority import LOOP
    from flyball.ledger.export import export as write
    from flyball.loop.authority import ExportRecord

    out = Output(as_json=as_json, quiet=quiet)
    common.empty_folder(folder)
    with common.opened(project, env) as wired:
        wired.permit(ExportRecord)
        if wired.ledger.size():
            # who may have all of it may have it signed
            _checkpoint(wired, wired.acting(LOOP))
        written = write(wired.ledger, folder)
    out.line(f"{counted(written.events, 'event')} and {counted(written.checkpoints, 'checkpoint')} in {folder}")
    out.document(written)
    return 0


@app.command()
def rebuild(*, env: Env = "", project: Project = HERE, as_json: Json = False, quiet: Quiet = False) -> int:
    """Make every projection again from the events. It mends changed or lost rows, not changed events; look at what verify names first."""
    from flyball.loop.authority import Rebuild

    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        # the rows that say who may are themselves among those that it mends
        with suppress(Corrupt):
            wired.permit(Rebuild)
        events = wired.ledger.rebuild()
    out.line(f"projections made again from {counted(events, 'event')}")
    out.document({"events": events})
    return 0


def _kept(wired: Wired, against: list[Path]) -> list[Kept]:
    """Checkpoints from outside: the anchor's file, where it is there, and those that the caller names."""
    from flyball.ledger.anchors import FileAnchor

    given = [kept for path in against for kept in _given(path, "--against")]
    return [kept for anchor in wired.anchors() if isinstance(anchor, FileAnchor) for kept in anchor.kept()] + given


def _given(path: Path, option: str) -> list[Kept]:
    """The checkpoints of a file that the caller names. Raises NotFound, BadInput, and nothing that would be there later."""
    from flyball.ledger.anchors import kept_in

    fix = f"{option} names a file of signed checkpoints, such as checkpoints.txt of flyball audit export"
    try:
        return list(kept_in(path))
    except Unavailable as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise NotFound(f"{option} {path} does not exist", fix=fix) from error
        raise BadInput(f"{option} {path} cannot be read", why=error.why, fix=fix) from error


def _proof(wired: Wired, event: int) -> Proof:
    """The proof, against a checkpoint that is made where there is none yet. Raises NotFound, Unavailable, Corrupt."""
    from flyball.ledger import checkpoints

    try:
        return checkpoints.prove(wired.ledger, event)
    except NotFound:
        if event > wired.ledger.size():
            raise
    ports = _signing(wired)
    if ports is None:
        raise Unavailable(
            f"event {event} has no checkpoint yet",
            why=f"the loop signs one from time to time (checkpoint_s), and {wired.caller.person} may not have one signed",
            fix="wait for it; or ask a scientist, an operator or an admin to prove the event, which signs one",
            retry_after=wired.settings.checkpoint_s,
        )
    _checkpoint(wired, ports)
    return checkpoints.prove(wired.ledger, event)


def _signing(wired: Wired) -> Ports | None:
    """What signs a checkpoint for this caller; None where they may not have one signed. Raises Refused where it is not known who they are."""
    _ = wired.caller
    try:
        return wired.driving()
    except Refused:
        return None


def _checkpoint(wired: Wired, ports: Ports) -> None:
    """Sign the record as it stands, as flyball itself."""
    from flyball.ledger import checkpoints
    from flyball.loop.proving import known_key

    checkpoints.sign(wired.ledger, known_key(ports))


def _deliver(out: Output, proof: object, to: Path | None, line: str) -> None:
    """Show a proof, or write it to a file and say so."""
    import msgspec

    if to is not None:
        to.write_bytes(msgspec.json.format(msgspec.json.encode(proof), indent=1) + b"\n")
        line += f"; the proof is in {to}"
    elif not out.as_json:
        print(msgspec.json.format(msgspec.json.encode(proof), indent=1).decode())
    out.note(line)
    out.document(proof)


def _of(checkpoint: str) -> str:
    return f"{int(checkpoint.split(chr(10))[1]):,}"
