"""A project: a folder with `flyball.toml`, and its loop files."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyball.declare.routes import Routes, read_routes
from flyball.declare.units import near
from flyball.errors import BadInput, DeclarationError, NotFound
from flyball.records.models import valid_name

MARK = "flyball.toml"
_TABLES = ("settings", "env", "secrets", "routes")
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


@dataclass(frozen=True)
class Project:
    """A project's folder, its loop files (relative to it, with `/`), and what `flyball.toml` says for one environment.

    `env` names it (empty: the project's own, on this machine, which no table is about), `environments` are all, in promotion order.
    """

    root: Path
    loop_files: tuple[str, ...]
    settings: dict[str, Any]
    secrets: Any
    env: str = ""
    environments: tuple[str, ...] = ()
    secrets_table: str = "[secrets]"
    """Where flyball.toml says what `secrets` are."""
    routes_tables: tuple[Any, Any] = (None, None)
    """What flyball.toml says of routes: for all, and for this environment alone."""

    @property
    def routes(self) -> Routes:
        """Where people are told of incidents. Raises DeclarationError with every problem."""
        return read_routes(*self.routes_tables, self.env)

    @property
    def before(self) -> str:
        """The environment that a version comes from; empty where versions are made: in the first, and in the project's own."""
        return self.environments[self.environments.index(self.env) - 1] if self.env in self.environments[1:] else ""

    @property
    def is_followed(self) -> bool:
        """Whether versions go on from here to another environment."""
        return self.env in self.environments[:-1]


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


def read_project(root: Path, env: str = "") -> Project:
    """Read a project's settings and list its loop files.

    Raises NotFound without `flyball.toml`, or where it has no such environment, DeclarationError if it is broken.
    """
    toml = _read(root)
    tables = _environments(toml)
    if env and env not in tables:
        raise NotFound(
            f'{MARK} has no environment "{env[:64]}"',
            why="" if tables else "it has none",
            fix=f"environments: {near(env, tables)}" if tables else f"write [env.{env[:64]}]",
        )
    own = tables.get(env, {})
    return Project(
        root,
        loop_files(root),
        _settings(toml, own),
        own.get("secrets", toml.get("secrets", {})),
        env,
        tuple(tables),
        f"[env.{env}.secrets]" if "secrets" in own else "[secrets]",
        (toml.get("routes"), own.get("routes")),
    )


def every_settings(root: Path) -> dict[str, dict[str, Any]]:
    """What flyball.toml sets for each environment by its name, that of the project itself (empty) first. Raises as `read_project`."""
    toml = _read(root)
    return {name: _settings(toml, table) for name, table in {"": {}, **_environments(toml)}.items()}


def _settings(toml: dict[str, Any], table: dict[str, Any]) -> Any:
    """The settings of the project, and those of an environment's table over them; as they stand where they are no table."""
    shared = toml.get("settings", {})
    return (
        {**shared, **{name: value for name, value in table.items() if name not in ("secrets", "routes")}}
        if isinstance(shared, dict)
        else shared
    )


def _read(root: Path) -> dict[str, Any]:
    """What `flyball.toml` holds: tables of known names."""
    mark = root / MARK
    try:
        toml = tomllib.loads(mark.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            f"{root} is not a flyball project", why=f"it has no {MARK}", fix="make one: flyball init DIR", code="no-project"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise DeclarationError(f"{MARK} cannot be read", why=str(error), fix="mend the file; an empty one is enough") from error
    strange = next((name for name in toml if name not in _TABLES), "")
    if strange:
        raise DeclarationError(
            f'{MARK} has "{strange}" where it says nothing',
            why=f"it has the tables {', '.join(f'[{name}]' for name in _TABLES)}",
            fix=f"write it under [{_TABLES[0]}], if it is a setting",
        )
    return toml


def _environments(toml: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tables of `[env]`, in the order of the file. Raises DeclarationError for what is no such table."""
    tables = toml.get("env", {})
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise DeclarationError(f"[env] of {MARK} is no list of environments", fix="write [env.staging], and its settings below it")
    for name in tables:
        try:
            valid_name(name, "project environment")
        except BadInput as error:
            raise DeclarationError(f"[env.{name[:64]}] of {MARK}: {error.what}", why=error.why, fix=error.fix) from None
    return tables


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
