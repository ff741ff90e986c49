"""A project: a folder with `flyball.toml`, and its loop files."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.errors import DeclarationError, NotFound, Problem

MARK = "flyball.toml"
_TABLES = ("settings", "env", "secrets")
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


@dataclass(frozen=True)
class Project:
    """A project's folder, its loop files (relative to it, with `/`), and what `flyball.toml` says."""

    root: Path
    loop_files: tuple[str, ...]
    settings: dict[str, Any]


def find_project(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds `flyball.toml`. Raises NotFound outside a project."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / MARK).is_file():
            return folder
    raise NotFound(
        f"{here} is not in a flyball project",
        why=f"neither it nor a folder above it has a {MARK}",
        fix="go to the project's folder, name it with --project, or make one: flyball init DIR",
        code="no-project",
    )


def read_project(root: Path) -> Project:
    """Read a project's settings and list its loop files. Raises NotFound without `flyball.toml`, DeclarationError if it is broken."""
    mark = root / MARK
    try:
        settings = tomllib.loads(mark.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            f"{root} is not a flyball project", why=f"it has no {MARK}", fix="make one: flyball init DIR", code="no-project"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise DeclarationError(f"{MARK} cannot be read", why=str(error), fix="mend the file; an empty one is enough") from error
    strange = next((name for name in settings if name not in _TABLES), "")
    if strange:
        raise DeclarationError(
            f'{MARK} has "{strange}" where it says nothing',
            why=f"it has the tables {', '.join(f'[{name}]' for name in _TABLES)}",
            fix=f"write it under [{_TABLES[0]}], if it is a setting",
        )
    return Project(root, loop_files(root), settings)


def unread(project: Project) -> list[Problem]:
    """What `flyball.toml` may say and nothing reads yet."""
    tables = project.settings.get("env", {})
    names = list(tables) if isinstance(tables, dict) else []
    return [
        Problem(
            f"{MARK}  [env.{name}]",
            "not built yet: environments",
            "nothing reads it: every command acts on the database and the folder of this project",
            "keep each environment as a project of its own, with the same loop files",
        )
        for name in names
    ]


def loop_files(root: Path) -> tuple[str, ...]:
    """`loop.py` and `loops/**.py`, relative to the project, sorted; package markers are none."""
    found = ["loop.py"] if (root / "loop.py").is_file() else []
    found += [path.relative_to(root).as_posix() for path in _python_files(root / "loops") if path.name != "__init__.py"]
    return tuple(sorted(found))


def fingerprint(root: Path) -> str:
    """A digest of the sizes and times of the project's Python files and settings: another one means that something may have changed.

    Cheap enough for every second: one `stat` a file, nothing is read.
    """
    seen = hashlib.sha256()
    for path in (*_python_files(root), root / MARK):
        try:
            found = path.stat()
        except OSError:
            continue
        seen.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ino}\n".encode())
    return seen.hexdigest()


def _python_files(folder: Path) -> Iterator[Path]:
    """Python files below a folder in a fixed order; hidden folders, environments and caches are left out."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir(follow_symlinks=False):
            if not (Path(entry.path) / "pyvenv.cfg").exists():
                yield from _python_files(Path(entry.path))
        elif entry.name.endswith(".py") and entry.is_file():
            yield Path(entry.path)
