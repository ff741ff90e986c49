"""`flyball check`: every problem of a project in one pass. Changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Env, Json, Project, Quiet
from flyball.cli.output import Output
from flyball.clock import SystemClock
from flyball.declare import codec
from flyball.declare.project import find_project, read_project
from flyball.declare.units import near
from flyball.errors import BadInput, NotFound
from flyball.loop.checking import Applied, Standards, check_project, requests_of, to_json, to_lines
from flyball.loop.checkreport import to_markdown
from flyball.loop.compiling import compile_project
from flyball.loop.requests import readable

if TYPE_CHECKING:
    from flyball.loop.power import Known

app = common.app()


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(metavar="[PATH]", help="a project's folder, or one of its loop files")] = None,
    *,
    data: Annotated[
        bool, typer.Option("--data", help="read the data too: contracts, transforms on its rows, and what gives the answer away")
    ] = False,
    ci: Annotated[bool, typer.Option("--ci", help="as a report in Markdown, for a pull request")] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="compare with the loop files of this project, not with what is applied here"),
    ] = None,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Show every problem of a project, what callers send, what its checks can see, and what differs from the declaration in effect. Exit 1 on problems."""
    out = Output(as_json=as_json, quiet=quiet)
    root, only = _target(path, project)
    before = applied(root, env) if against is None else declared_in(against)
    held = standards(root, env) if data else None
    checked = check_project(root, env, data=data, standards=held, applied=before, known=known(root, env), only=only)
    report, now = to_markdown(checked) if ci else "", SystemClock().now()
    for line in report.splitlines() if ci else to_lines(checked, now):
        out.line(line)
    out.document(to_json(checked, now) | ({"report": report} if ci else {}))
    return 1 if checked.problems else 0


def _target(path: Path | None, project: Path) -> tuple[Path, str]:
    """The project's folder and, where a file was named, that file within it. Raises NotFound."""
    if path is None:
        return find_project(project), ""
    if not path.exists():
        raise NotFound(f"{path} does not exist", fix="name a project's folder or one of its loop files")
    root = find_project(path if path.is_dir() else path.parent)
    if path.is_dir():
        return root, ""
    file = path.resolve().relative_to(root).as_posix()
    known = read_project(root).loop_files
    if file not in known:
        raise NotFound(f"{file} is not a loop file", why="loop files are loop.py and loops/**.py", fix=near(file, known))
    return root, file


def applied(root: Path, env: str = "") -> dict[str, Applied]:
    """The declarations in effect; nothing where flyball has never run. A check writes no file."""
    from flyball.records.declarations import DECLARATIONS
    from flyball.wiring import has_ledger

    if not has_ledger(root, env):
        return {}

    with common.opened(root, env) as wired:
        state = wired.ports.ledger.state()
        return {
            name: Applied(
                row.version_digest,
                row.policy_digest,
                wired.blobs.get(row.body).decode(),
                row.gates_digest,
                readable(state, name, wired.ports.library.signature),
            )
            for name, row in state.scan(DECLARATIONS)
        }


def declared_in(folder: Path) -> dict[str, Applied]:
    """What the loop files of another copy of the project declare, such as the branch that is merged into. Raises NotFound, BadInput."""
    if not folder.is_dir():
        raise NotFound(f"{folder} does not exist", fix="name the folder of a copy of the project")
    compilation = compile_project(find_project(folder))
    if compilation.broken:
        files = ", ".join(file.file for file in compilation.broken)
        raise BadInput(
            f"{folder} has loop files that are broken: {files}", why="there is nothing to compare with", fix="flyball check there"
        )
    who = f"the declaration in {folder}"
    return {
        each.model: Applied(
            each.version_digest, each.policy_digest, each.body, each.gates_digest, requests_of(codec.decode(each.body), who)
        )
        for each in compilation.models
    }


def known(root: Path, env: str = "") -> dict[str, Known]:
    """What runs and traffic have told of each applied model; nothing where flyball has never run. A check writes no file."""
    from flyball.loop.power import known_of
    from flyball.records.declarations import DECLARATIONS
    from flyball.wiring import has_ledger

    if not has_ledger(root, env):
        return {}
    with common.opened(root, env) as wired:
        names = [name for name, _ in wired.ports.ledger.state().scan(DECLARATIONS) if common.may_see(wired, name)]
        return {name: known_of(wired.ports, wired.blobs, name) for name in names}


def standards(root: Path, env: str = "") -> Standards:
    """The clock and, where flyball has run, the last good versions. A check writes no file."""
    from flyball.data.against import Against
    from flyball.data.erasures import present
    from flyball.records.data import DATASETS
    from flyball.wiring import has_ledger

    if not has_ledger(root, env):
        return Standards(Against(SystemClock().now))
    with common.opened(root, env) as wired:
        state = wired.ports.ledger.state()
        heads = {name: row.head for name, row in state.scan(DATASETS) if row.head is not None}
        lies = {name: present(state, name, head.content) for name, head in heads.items()}
        return Standards(Against(wired.ports.clock.now, lambda name: lies.get(name, "")), wired.blobs, heads)
