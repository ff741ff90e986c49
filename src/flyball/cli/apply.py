"""`flyball apply`: make what the loop files declare the declarations in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyball.cli import common
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet
from flyball.cli.output import Output
from flyball.declare import codec
from flyball.declare.codec import short
from flyball.loop.checking import GONE, other_requests, plain
from flyball.loop.commands import changes, decide_apply
from flyball.loop.compiling import Compilation, compile_project
from flyball.loop.declaring import apply_command
from flyball.loop.requests import readable
from flyball.records.declarations import DECLARATIONS, DeclarationApplied, DeclarationRow

if TYPE_CHECKING:
    from flyball.wiring import Wired

app = common.app()


@app.command()
def apply(
    *, env: Env = "", project: Project = HERE, dry_run: DryRun = False, key: Key = "", as_json: Json = False, quiet: Quiet = False
) -> int:
    """Record the declarations of all loop files. A broken file stops its own models alone; then the exit code is 1."""
    out = Output(as_json=as_json, quiet=quiet)
    with common.opened(project, env) as wired:
        compilation = compile_project(wired.root)
        compilation.refuse_empty(wired.root)
        acting = Acting(dry_run=dry_run, key=key)
        order = " ".join(("apply", *(each.version_digest + each.policy_digest for each in compilation.models)))
        in_effect = dict(wired.ports.ledger.state().scan(DECLARATIONS))
        command = apply_command(compilation, wired.blobs, command=common.command_id(wired, acting, order), actor=wired.caller.actor)
        receipt = common.act(wired, out, command, decide_apply, acting)
        if receipt is not None:
            changed = {each.model: _changed(in_effect.get(each.model), each) for each in command.models}
            _show(out, compilation, changed)
            gone = compilation.gone(in_effect)
            for name in gone:
                out.line(GONE.format(name))
            state = wired.ports.ledger.state()
            for one in compilation.models:
                sent = readable(state, one.model, wired.ports.library.signature)
                for warning in other_requests(sent, codec.decode(one.body), f"{one.file}:{one.line}") if sent is not None else ():
                    out.note(f"warning  {warning}")
            out.document(
                {
                    "models": [{"name": one.model, "file": one.file, "changed": changed[one.model]} for one in compilation.models],
                    "broken": [
                        {"file": file.file, "problems": [plain(problem) for problem in file.problems]} for file in compilation.broken
                    ],
                    "gone": list(gone),
                    "event": receipt.last,
                }
            )
            if receipt.last and not common.is_up(wired):
                out.note("flyball is not up: the loop acts on it when it is (flyball up)")
        return 1 if compilation.broken else 0


def _show(out: Output, compilation: Compilation, changed: dict[str, list[str]]) -> None:
    for one in compilation.models:
        digests = f"version {short(one.version_digest)}  policy {short(one.policy_digest)}"
        out.line(f"{one.file}   {one.model}   {digests}   {', '.join(changed[one.model]) or 'as it was'}")
    for problem in dict.fromkeys(problem for file in compilation.broken for problem in file.problems):
        out.line(str(problem))
    for file in compilation.broken:
        stays = f"in {file.file}: {', '.join(file.names)} stays as it was" if file.names else ""
        out.line(stays or f"{file.file} is broken: its models stay as they were")


def _changed(row: DeclarationRow | None, declared: DeclarationApplied) -> list[str]:
    """`new`, or `policy changed` and the like. Code is said only where nothing else is: another digest comes of other code."""
    found = changes(row, declared)
    return list(found) if row is None else [f"{name} changed" for name in found if name != "code" or found == ("code",)]


def declare(wired: Wired) -> Compilation:
    """Apply the project's files as they stand, as `train` does first."""
    compilation = compile_project(wired.root)
    command = apply_command(compilation, wired.blobs, command=wired.ports.clock.new_id("cmd"), actor=wired.caller.actor)
    wired.ports.ledger.execute(command, decide_apply)
    return compilation
