"""The source of a function, normalised: its text without comments, docstrings and layout, and the project names it uses.

What counts is what the code says, not where it stands: a function moved to another file of the project keeps its digest. Names of
libraries count by name only. The files are read and parsed, never run.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

from flyball.declare.functions import Function
from flyball.errors import DeclarationError

_OUTSIDE = tuple({sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")} | {str(Path(__file__).parents[1])})


def is_project_file(path: str) -> bool:
    """Whether a module's file belongs to the project: neither the standard library nor an installed package."""
    return path.endswith(".py") and not any(path.startswith(f"{folder}/") for folder in _OUTSIDE) and "/site-packages/" not in path


def function(value: Callable[..., Any] | Function) -> Function:
    """Turn a function into its reference. Raises DeclarationError for what has no source to count."""
    if isinstance(value, Function):
        return value
    if isinstance(value, functools.partial):
        inner = function(value.func)
        bound = repr((value.args, sorted(value.keywords.items())))
        return Function(inner.module, inner.name, _digest([inner.digest, bound]))
    plain = inspect.unwrap(value)
    module, name = getattr(plain, "__module__", None), getattr(plain, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise DeclarationError(f"{value!r} has no name", why="a version carries a function by name and source", fix="pass a plain function")
    home = sys.modules.get(module)
    path = plain.__code__.co_filename if isinstance(plain, FunctionType) else getattr(home, "__file__", None)
    if not path or not is_project_file(str(path)):
        return Function(module, name, _digest([f"{module}:{name}"]))
    return Function(module, name, _digest(_units(plain, Path(path), module)))


def import_closure(root: Path, files: list[Path]) -> list[Path]:
    """The given project files and every project file that they import, at once or later, inside functions too."""
    walk, found = _Walk(root), list(files)
    for path in found:
        found.extend(other for other in dict.fromkeys(walk.imported(path)) if other not in found)
    return found


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _units(value: Any, path: Path, module: str) -> list[str]:
    """Texts of a definition and of all that it uses in the project, in the order of first use."""
    deep = module.count(".") + (path.name == "__init__.py")
    root = path.parents[deep] if deep < len(path.parents) else path.parent
    walk = _Walk(root)
    node = _definition(walk.tree(path), value)
    return [_text(node), *_closure(value), *walk.used(path, node)]


def _definition(tree: ast.Module, value: Any) -> ast.AST:
    if not isinstance(value, FunctionType):
        found = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == value.__name__]
        if found:
            return found[0]
        raise DeclarationError(f"{value!r} is not defined where it says", fix="pass a plain function of the loop file")
    line, name = value.__code__.co_firstlineno, value.__name__
    kinds: tuple[type[ast.AST], ...] = (ast.Lambda,) if name == "<lambda>" else (ast.FunctionDef, ast.AsyncFunctionDef)
    found_here = []
    for node in ast.walk(tree):
        if isinstance(node, kinds):
            first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))])  # type: ignore[attr-defined]  # all kinds have it
            if first == line and getattr(node, "name", name) == name:
                found_here.append(node)
    if len(found_here) != 1:
        raise DeclarationError(
            f"{name} at line {line} cannot be told apart" if found_here else f"the source of {name} is not in its file",
            why="a version carries the function's source",
            fix="define it with def at the top of the file",
        )
    return found_here[0]


def _closure(value: Any) -> list[str]:
    """What a function took from the function around it: plain values and functions."""
    out = []
    for cell in getattr(value, "__closure__", None) or ():
        held = cell.cell_contents
        if isinstance(held, FunctionType):
            out.append(function(held).digest)
        elif isinstance(held, int | float | str | bytes | tuple | type(None)):
            out.append(repr(held))
        else:
            raise DeclarationError(
                f"{value.__name__} holds {held!r} of the function around it",
                why="its digest could not see a change of that",
                fix="pass it as a hyperparameter, or define the function at the top of the file",
            )
    return out


def _text(node: ast.AST) -> str:
    copy = ast.parse(ast.unparse(node))
    for inner in ast.walk(copy):
        body = getattr(inner, "body", None)
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and isinstance(body, list):
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                inner.body = body[1:] or [ast.Pass()]
    return ast.unparse(copy)


class _Walk:
    """Follows names through the files of one project; each module-level statement is given once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trees: dict[Path, ast.Module] = {}
        self._seen: set[tuple[Path, int]] = set()

    def tree(self, path: Path) -> ast.Module:
        """A file, parsed once."""
        if path not in self._trees:
            try:
                self._trees[path] = ast.parse(path.read_bytes())
            except OSError as error:
                raise DeclarationError(f"{path.name} cannot be read", why=str(error), fix="keep the source beside the project") from error
        return self._trees[path]

    def used(self, path: Path, node: ast.AST) -> Iterator[str]:
        """Texts of the module-level names that `node` uses, and of those that they use."""
        local = {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
        inside = _imports(node)
        for name, rest in _names(node):
            if name not in local:
                yield from self._follow(path, name, rest)
                for statement in inside:
                    yield from self._through(path, statement, name, rest)

    def imported(self, path: Path) -> Iterator[Path]:
        """The project files that a file imports anywhere, also inside its functions."""
        for statement in _imports(self.tree(path)):
            if isinstance(statement, ast.Import):
                names, level = [alias.name for alias in statement.names], 0
            else:
                home = f"{statement.module}." if statement.module else ""
                names, level = [home.rstrip("."), *(f"{home}{alias.name}" for alias in statement.names)], statement.level
            for name in names:
                parts = name.split(".") if name else []
                for depth in range(len(parts) + 1):
                    found = self._module(".".join(parts[:depth]), path, level) if depth or level else None
                    if found is not None:
                        yield found

    def _module(self, name: str, near: Path, level: int) -> Path | None:
        """The project file of an imported module, or None if it is a library."""
        start = near.parents[level - 1] if level else self._root
        base = start.joinpath(*name.split(".")) if name else start
        for path in (*([base.with_suffix(".py")] if name else []), base / "__init__.py"):
            if path.is_file() and is_project_file(str(path)):
                return path
        return None

    def _follow(self, path: Path, name: str, rest: tuple[str, ...]) -> Iterator[str]:
        for statement in self.tree(path).body:
            if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for inner in _imports(statement):
                    yield from self._through(path, inner, name, rest)
            if name in _bound(statement) and (path, statement.lineno) not in self._seen:
                self._seen.add((path, statement.lineno))
                yield f"{name} = {_text(statement)}"
                yield from self.used(path, statement)

    def _through(self, path: Path, statement: ast.Import | ast.ImportFrom, name: str, rest: tuple[str, ...]) -> Iterator[str]:
        if isinstance(statement, ast.ImportFrom):
            yield from self._from(path, statement, name, rest)
        else:
            yield from self._import(path, statement, name, rest)

    def _from(self, path: Path, statement: ast.ImportFrom, name: str, rest: tuple[str, ...]) -> Iterator[str]:
        home = self._module(statement.module or "", path, statement.level)
        for alias in statement.names:
            if alias.name == "*" and home is not None:
                yield from self._follow(home, name, rest)
            elif (alias.asname or alias.name) == name:
                inner = self._module(f"{statement.module}.{alias.name}" if statement.module else alias.name, path, statement.level)
                if inner is not None:
                    yield from self._member(inner, rest)
                elif home is not None:
                    yield from self._follow(home, alias.name, rest)
                else:
                    yield f"{name} from {statement.module}:{alias.name}"

    def _import(self, path: Path, statement: ast.Import, name: str, rest: tuple[str, ...]) -> Iterator[str]:
        for alias in statement.names:
            if (alias.asname or alias.name.split(".")[0]) == name:
                home = self._module(alias.name, path, 0)
                if home is None:
                    yield f"{name} is {alias.name}"
                else:
                    yield from self._member(home, rest if alias.asname else rest[alias.name.count(".") :])

    def _member(self, home: Path, rest: tuple[str, ...]) -> Iterator[str]:
        """A name of a module used as `module.name`; a module used as a value counts whole."""
        if rest:
            yield from self._follow(home, rest[0], rest[1:])
        elif (home, 0) not in self._seen:
            self._seen.add((home, 0))
            yield _text(self.tree(home))


def _names(node: ast.AST) -> list[tuple[str, tuple[str, ...]]]:
    """Every (name, attributes read from it) in a node, sorted so that the order of statements alone decides nothing."""
    found: set[tuple[str, tuple[str, ...]]] = set()
    inside: set[int] = set()
    for inner in ast.walk(node):
        chain: list[str] = []
        step: ast.AST = inner
        while isinstance(step, ast.Attribute):
            chain.append(step.attr)
            inside.add(id(step.value))
            step = step.value
        if isinstance(step, ast.Name) and id(inner) not in inside and isinstance(step.ctx, ast.Load):
            found.add((step.id, tuple(reversed(chain))))
    return sorted(found)


def _imports(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    return [inner for inner in ast.walk(node) if isinstance(inner, ast.Import | ast.ImportFrom)]


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
