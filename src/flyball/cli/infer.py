"""`flyball data infer`: a declaration to begin with, written from the rows of a file. It changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flyball.cli import common
from flyball.cli.common import HERE, Json, Project, Quiet
from flyball.cli.output import Output
from flyball.declare.project import find_project, read_project
from flyball.declare.units import near
from flyball.errors import BadInput, NotFound
from flyball.records.models import valid_name

app = common.app()


def infer(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="a CSV, Parquet or JSON Lines file, a glob, or the name of a declared data set")
    ],
    *,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="what the data set is to be called  [default: as the file]")] = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Write a data set's declaration from its rows. Types, bounds, values and roles, each with its reason; to be pasted and gone over."""
    from flyball.data.infer import infer as guess
    from flyball.data.infer import lines

    out = Output(as_json=as_json, quiet=quiet)
    if name:
        with common.reading_options():
            valid_name(name, "data set")
    root, path, called = _target(source, project)
    found = guess(path, root, name or called)
    text = "\n".join(lines(found))
    out.line(text)
    out.document({**asdict(found), "text": text})
    return 0


def _target(source: str, project: Path) -> tuple[Path, str, str]:
    """The folder that the source is taken from, the source as it will be declared, and the data set's name if it is a declared one.

    Raises NotFound, BadInput.
    """
    try:
        root = find_project(project)
    except NotFound:
        root = project.resolve()
    if any(mark in source for mark in "*?[") or Path(source).exists() or (root / source).exists():
        path = Path(source)
        whole = path.resolve() if path.exists() else root / source
        return root, whole.relative_to(root).as_posix() if whole.is_relative_to(root) else str(whole), ""
    declared = _declared(root)
    if source in declared:
        given = declared[source]
        if not isinstance(given, str) or "://" in given:
            raise BadInput(f'the source of data set "{source}" is no file', why="only files are looked at", fix="write its rows to a file")
        return root, given, source
    guess = near(source, list(declared)) if declared else "name a file that is there"
    raise NotFound(f"{source} does not exist", why="it is no file, and no data set of this name is declared", fix=guess)


def _declared(root: Path) -> dict[str, object]:
    """The sources of the data sets that loop files declare, by name; none outside a project. Files that are broken declare none."""
    from flyball.declare import codec
    from flyball.declare.reads import looked_at
    from flyball.loop.compiling import Compiler

    try:
        read_project(root)
    except NotFound:
        return {}
    found: dict[str, object] = {}
    for compiled in Compiler(root).compile(prove="").models:
        found |= {name: data.source for name, data in looked_at(codec.decode(compiled.body)).items()}
    return found
