"""References to what JSON cannot hold: a decoded declaration names a function or an expression, and never runs it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Function:
    """A function of a loop file by name, with the digest of its normalised source and of the project names it uses."""

    module: str
    name: str
    digest: str

    def __str__(self) -> str:
        """Write `module:name`."""
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Expression:
    """A Polars expression as the JSON it serialises to, and that text's digest."""

    text: str
    digest: str


@dataclass(frozen=True)
class Frame:
    """A frame that a data set was declared with. Only its digest is kept: rows are not part of a declaration."""

    digest: str


Code: TypeAlias = Callable[..., Any] | Function
"""A plain function, or its reference once decoded."""

Expr: TypeAlias = Any
"""A `polars.Expr`, or an `Expression` once decoded; declare never imports Polars, so the type is open."""


_FRAMES = {("pandas", "DataFrame"), ("pyarrow", "Table")}


def is_frame(value: object) -> bool:
    """True of a frame of Polars, pandas or Arrow, recognised without importing any of them, and of its reference."""
    kind = type(value)
    home = (kind.__module__.partition(".")[0], kind.__name__)
    return isinstance(value, Frame) or callable(getattr(value, "hash_rows", None)) or home in _FRAMES


def frame_digest(value: Any) -> str:
    """The digest of a frame's rows: 64 hex digits."""
    if isinstance(value, Frame):
        return value.digest
    if type(value).__module__.partition(".")[0] in ("pandas", "pyarrow"):
        import polars as pl

        value = pl.DataFrame(value) if type(value).__name__ == "DataFrame" else pl.from_arrow(value)
    return hashlib.sha256(str(value.hash_rows().to_list()).encode()).hexdigest()


def is_expression(value: object) -> bool:
    """True of a Polars expression, recognised by what it can do, and of its reference."""
    return isinstance(value, Expression) or callable(getattr(getattr(value, "meta", None), "serialize", None))


def expression_text(value: Expr) -> str:
    """The JSON of an expression: canonical, and the same for a Polars expression and its reference."""
    if isinstance(value, Expression):
        return value.text
    written = value.meta.serialize(format="json")
    return json.dumps(json.loads(written), sort_keys=True, separators=(",", ":"))


def reference(value: Expr) -> Expression:
    """Turn an expression into its reference."""
    if isinstance(value, Expression):
        return value
    text = expression_text(value)
    return Expression(text, hashlib.sha256(text.encode()).hexdigest())


def roots(value: Expr) -> tuple[str, ...]:
    """Names of the columns that an expression reads, in order, each once."""
    return _roots(expression_text(value))


@lru_cache(maxsize=4096)
def _roots(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(name) for kind, name in _walk(json.loads(text)) if kind == "Column"))


def obstacle(value: Expr) -> str:
    """Say why an expression cannot be shipped and run row by row; empty text if it can."""
    for kind, _ in _walk(json.loads(expression_text(value))):
        if kind == "AnonymousFunction":
            return "it holds a Python function"
        if kind in ("Selector", "Wildcard"):
            return "it selects columns by a pattern"
        if kind in ("Over", "Window", "Rolling", "Agg"):
            return "it looks at other rows"
    return ""


_WORDS = frozenset({"Column", "Literal"})
"""Whose content is a name or a value: whatever it says, it is no part of how the expression is built."""


def _walk(node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            if key not in _WORDS:
                yield from _walk(value)
    elif isinstance(node, list) and not (node and isinstance(node[0], int)):
        for value in node:
            yield from _walk(value)
    elif node == "Wildcard":
        yield node, None
